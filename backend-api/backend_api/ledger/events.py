"""Facts about the ledger."""

from datetime import date
from uuid import UUID

from backend_api.outbox.record import Fact


def period_closed(period_id: UUID, period: str, ends_on: date) -> Fact:
    """Nothing is posted any more up to the last day of the period."""
    return Fact("period_closed", period_id, {"period": period, "ends_on": ends_on.isoformat()})
