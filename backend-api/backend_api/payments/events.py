"""Facts about payments: one per payment, however many loans it reached."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

from backend_api.domain.money import format_money
from backend_api.outbox.record import Fact


def payment_registered(payment_id: UUID, loan_ids: Sequence[UUID], amount: Decimal, value_date: date) -> Fact:
    """Money came in and was booked."""
    return Fact(
        "payment_registered",
        payment_id,
        {
            "loan_ids": [str(loan_id) for loan_id in loan_ids],
            "amount": format_money(amount),
            "value_date": value_date.isoformat(),
        },
    )


def payment_rejected(
    payment_id: UUID, loan_ids: Sequence[UUID], amount: Decimal, value_date: date, reason: str
) -> Fact:
    """Money was offered and not taken; nothing was booked."""
    return Fact(
        "payment_rejected",
        payment_id,
        {
            "loan_ids": [str(loan_id) for loan_id in loan_ids],
            "amount": format_money(amount),
            "value_date": value_date.isoformat(),
            "reason": reason,
        },
    )


def payment_reversed(payment_id: UUID, loan_ids: Sequence[UUID], amount: Decimal, value_date: date) -> Fact:
    """A payment was taken back; what came after it may be split anew."""
    return Fact(
        "payment_reversed",
        payment_id,
        {
            "loan_ids": [str(loan_id) for loan_id in loan_ids],
            "amount": format_money(amount),
            "value_date": value_date.isoformat(),
        },
    )
