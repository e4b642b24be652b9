"""What of loans a second person may have to decide, and how it is done once they agree."""

from backend_api.approvals.service import Asked, UseCases
from backend_api.domain.approvals import ApprovalKind
from backend_api.http.write import UseCase
from backend_api.loans import movements, restructure, service
from backend_api.loans.schemas import NoteIn, RestructureIn, WaiverIn


def _activate(asked: Asked) -> UseCase:
    return service.activate_loan(asked.target_id, asked.if_match)


def _waive(asked: Asked) -> UseCase:
    return movements.waive(asked.target_id, WaiverIn.model_validate(asked.body), asked.if_match)


def _write_off(asked: Asked) -> UseCase:
    return movements.write_off(asked.target_id, NoteIn.model_validate(asked.body), asked.if_match)


def _undo_write_off(asked: Asked) -> UseCase:
    return movements.undo_write_off(asked.target_id, NoteIn.model_validate(asked.body), asked.if_match)


def _restructure(asked: Asked) -> UseCase:
    return restructure.restructure(asked.target_id, RestructureIn.model_validate(asked.body), asked.if_match)


USE_CASES: UseCases = {
    ApprovalKind.ACTIVATION: _activate,
    ApprovalKind.WAIVER: _waive,
    ApprovalKind.WRITE_OFF: _write_off,
    ApprovalKind.WRITE_OFF_REVERSAL: _undo_write_off,
    ApprovalKind.RESTRUCTURE: _restructure,
}
CONFLICTS = service.CONFLICTS
"""What one of them may run into."""
