"""Facts about days and what their passing does to loans."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from backend_api.outbox.record import Fact


def installment_overdue(loan_id: UUID, client_id: UUID, number: int, due_on: date) -> Fact:
    """An installment was not paid on its day. Told again when a payment that had settled it is taken back."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "number": number, "due_on": due_on.isoformat()}
    return Fact("installment_overdue", loan_id, payload)


def day_closed(day_id: UUID, business_date: date, totals: Mapping[str, Any]) -> Fact:
    """A business date is closed, with the figures of the portfolio at its end."""
    return Fact("day_closed", day_id, {"business_date": business_date.isoformat(), **totals})
