"""Facts about orders: what a borrower wants to pay at the gateway, and what came of it. Carts have none."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from backend_api.domain.money import format_money
from backend_api.outbox.record import Fact


def cart_checked_out(checkout: Mapping[str, Any], loan_ids: list[UUID]) -> Fact:
    """The gateway may ask for this much now; nothing is booked."""
    return Fact(
        "cart_checked_out", checkout["id"], {**_what(checkout), "loan_ids": [str(loan_id) for loan_id in loan_ids]}
    )


def cart_paid(checkout: Mapping[str, Any], payment_id: UUID, transaction_code: str) -> Fact:
    """The payment was registered, and the commission booked, in the same commit; their events come before this one."""
    return Fact(
        "cart_paid",
        checkout["id"],
        {**_what(checkout), "payment_id": str(payment_id), "transaction_code": transaction_code},
    )


def cart_refused(checkout: Mapping[str, Any], reason: str) -> Fact:
    """The gateway took no money, or gives back what it took. The order may still be paid by another try."""
    return Fact(
        "cart_refused",
        checkout["id"],
        {"checkout_id": str(checkout["id"]), "client_id": str(checkout["client_id"]), "reason": reason},
    )


def _what(checkout: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "checkout_id": str(checkout["id"]),
        "client_id": str(checkout["client_id"]),
        "amount": format_money(checkout["amount"]),
        "commission": format_money(checkout["commission"]),
        "commission_vat": format_money(checkout["commission_vat"]),
        "total": format_money(checkout["total"]),
    }
