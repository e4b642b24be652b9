"""Facts about loans."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from backend_api.domain.money import format_money
from backend_api.domain.states import LoanStatus
from backend_api.outbox.record import Fact


def loan_created(loan: Mapping[str, Any]) -> Fact:
    """A loan was granted; `status` says whether it waits for its activation."""
    return Fact(
        "loan_created",
        loan["id"],
        {
            "loan_id": str(loan["id"]),
            "client_id": str(loan["client_id"]),
            "folio": loan["folio"],
            "amount": format_money(loan["amount"]),
            "interest_rate": f"{loan['interest_rate'].normalize():f}",
            "term_months": loan["term_months"],
            "status": loan["status"],
        },
    )


def loan_activated(loan: Mapping[str, Any]) -> Fact:
    """The money was handed over."""
    return Fact(
        "loan_activated",
        loan["id"],
        {
            "loan_id": str(loan["id"]),
            "client_id": str(loan["client_id"]),
            "amount": format_money(loan["amount"]),
            "disbursed_on": loan["disbursed_on"].isoformat(),
            "status": LoanStatus.ACTIVE.value,
        },
    )


def loan_closed(loan_id: UUID, client_id: UUID, status: LoanStatus) -> Fact:
    """The loan ended: rejected, cancelled or paid off."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "status": status.value}
    return Fact(f"loan_{status.value.lower()}", loan_id, payload)
