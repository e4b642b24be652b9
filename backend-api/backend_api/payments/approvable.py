"""What of payments a second person may have to decide, and how it is done once they agree."""

from backend_api.approvals.service import Asked, UseCases
from backend_api.domain.approvals import ApprovalKind
from backend_api.http.write import UseCase
from backend_api.payments import service
from backend_api.payments.schemas import ReversalIn


def _reverse(asked: Asked) -> UseCase:
    return service.reverse_payment(asked.target_id, ReversalIn.model_validate(asked.body))


USE_CASES: UseCases = {ApprovalKind.REVERSAL: _reverse}
