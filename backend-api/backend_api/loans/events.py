"""Facts about loans."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backend_api.domain.account import Split
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


def loan_updated(loan_id: UUID, client_id: UUID, changed: Sequence[str]) -> Fact:
    """Terms of a pending loan, or notes, were changed; `changed` names the fields."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "changed": sorted(changed)}
    return Fact("loan_updated", loan_id, payload)


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
    """The loan ended before any money moved: rejected or cancelled."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "status": status.value}
    return Fact(f"loan_{status.value.lower()}", loan_id, payload)


_CHANGES = {
    (LoanStatus.ACTIVE, LoanStatus.DEFAULTED): "loan_defaulted",
    (LoanStatus.ACTIVE, LoanStatus.PAID_OFF): "loan_paid_off",
    (LoanStatus.DEFAULTED, LoanStatus.PAID_OFF): "loan_paid_off",
    (LoanStatus.PAID_OFF, LoanStatus.ACTIVE): "loan_reopened",
    (LoanStatus.WRITTEN_OFF, LoanStatus.ACTIVE): "loan_reopened",
    (LoanStatus.WRITTEN_OFF, LoanStatus.DEFAULTED): "loan_reopened",
    (LoanStatus.DEFAULTED, LoanStatus.ACTIVE): "loan_cured",
}


def loan_changed(loan_id: UUID, client_id: UUID, before: LoanStatus, after: LoanStatus) -> Fact:
    """A movement, or the passing of a day, took the loan to another state."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "status": after.value}
    return Fact(_CHANGES[before, after], loan_id, payload)


def fee_charged(loan_id: UUID, client_id: UUID, movement_id: UUID, split: Split) -> Fact:
    """A fee was charged; `amount` is without its VAT."""
    return Fact(
        "fee_charged",
        movement_id,
        {
            "loan_id": str(loan_id),
            "client_id": str(client_id),
            "amount": format_money(split.fees),
            "vat": format_money(split.vat),
        },
    )


def fee_waived(loan_id: UUID, client_id: UUID, movement_id: UUID, split: Split) -> Fact:
    """Something that was due was forgiven, by concept and with its VAT."""
    return Fact(
        "fee_waived",
        movement_id,
        {
            "loan_id": str(loan_id),
            "client_id": str(client_id),
            "fees": format_money(split.fees),
            "moratory": format_money(split.moratory),
            "interest": format_money(split.interest),
            "vat": format_money(split.vat),
        },
    )


def loan_written_off(loan_id: UUID, client_id: UUID, split: Split) -> Fact:
    """All that was owed became a loss."""
    return Fact(
        "loan_written_off",
        loan_id,
        {
            "loan_id": str(loan_id),
            "client_id": str(client_id),
            "status": LoanStatus.WRITTEN_OFF.value,
            "principal": format_money(split.principal),
            "total": format_money(split.total),
        },
    )


def loan_restructured(loan_id: UUID, client_id: UUID, new_loan_id: UUID) -> Fact:
    """Another loan took this one's place."""
    payload = {
        "loan_id": str(loan_id),
        "client_id": str(client_id),
        "status": LoanStatus.RESTRUCTURED.value,
        "new_loan_id": str(new_loan_id),
    }
    return Fact("loan_restructured", loan_id, payload)


def loan_recovered(loan_id: UUID, client_id: UUID, split: Split) -> Fact:
    """Something was paid of a loan that is written off."""
    payload = {"loan_id": str(loan_id), "client_id": str(client_id), "amount": format_money(split.total)}
    return Fact("loan_recovered", loan_id, payload)


def disbursement_undone(loan_id: UUID, client_id: UUID) -> Fact:
    """The money came back on the day it was handed over, as if it had never left."""
    return Fact("loan_disbursement_undone", loan_id, {"loan_id": str(loan_id), "client_id": str(client_id)})
