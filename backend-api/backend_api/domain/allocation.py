"""Where a client's payment goes: over the loans. Over the parts of a loan the account spreads it. No cent is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from backend_api.domain.errors import (
    DetailLoanNotOwing,
    DetailRepeated,
    DetailsExceedAmount,
    MoneyNotPositive,
    PaymentExceedsDebt,
)
from backend_api.domain.money import ZERO, format_money


@dataclass(frozen=True, slots=True)
class Debt:
    """What is owed of one loan: `due` can be demanded now, `most` is all that a payment may be today.

    `owed_since` is the due date of the oldest unpaid installment, or of the next one; with `folio` it says which loan
    is paid first.
    """

    loan_id: UUID
    due: Decimal
    most: Decimal
    owed_since: date
    folio: int


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a payment that goes to one loan; always more than zero."""

    loan_id: UUID
    amount: Decimal


def distribute(amount: Decimal, debts: Sequence[Debt]) -> list[Share]:
    """Spread a payment over loans: what is due first, owed longest first, and then the rest in the same order.

    The shares add up to `amount` and none is larger than its loan's `most`; loans that get nothing are left out.
    Raises MoneyNotPositive, PaymentExceedsDebt when it is more than all debts together.
    """
    _refuse_nothing(amount)
    _refuse_excess(amount, _total(debts))
    return _spread(amount, {}, debts)


def distribute_explicit(amount: Decimal, details: Sequence[Share], debts: Sequence[Debt]) -> list[Share]:
    """Spread a payment as its details say, and what they leave over the debts, owed longest first.

    Shares come in the order of age, one per loan, and add up to `amount`. Raises what `distribute` raises, and
    DetailsExceedAmount, DetailRepeated, DetailLoanNotOwing, PaymentExceedsDebt (with `loan_id`) for a detail.
    """
    _refuse_nothing(amount)
    most = {debt.loan_id: debt.most for debt in debts}
    fixed: dict[UUID, Decimal] = {}
    for detail in details:
        if detail.loan_id in fixed:
            raise DetailRepeated(loan_id=str(detail.loan_id))
        if detail.loan_id not in most:
            raise DetailLoanNotOwing(loan_id=str(detail.loan_id))
        _refuse_nothing(detail.amount)
        _refuse_excess(detail.amount, most[detail.loan_id], loan_id=str(detail.loan_id))
        fixed[detail.loan_id] = detail.amount
    named = sum(fixed.values(), ZERO)
    if named > amount:
        raise DetailsExceedAmount(details_total=format_money(named))
    _refuse_excess(amount, _total(debts))
    return _spread(amount - named, fixed, debts)


def _spread(rest: Decimal, fixed: dict[UUID, Decimal], debts: Sequence[Debt]) -> list[Share]:
    ordered = sorted(debts, key=lambda debt: (debt.owed_since, debt.folio))
    shares = {debt.loan_id: fixed.get(debt.loan_id, ZERO) for debt in ordered}
    for limits in ({debt.loan_id: debt.due for debt in ordered}, {debt.loan_id: debt.most for debt in ordered}):
        for loan_id, limit in limits.items():
            added = min(rest, max(limit - shares[loan_id], ZERO))
            shares[loan_id] += added
            rest -= added
    return [Share(loan_id, amount) for loan_id, amount in shares.items() if amount]


def _total(debts: Sequence[Debt]) -> Decimal:
    return sum((debt.most for debt in debts), ZERO)


def _refuse_nothing(amount: Decimal) -> None:
    if amount <= ZERO:
        raise MoneyNotPositive


def _refuse_excess(amount: Decimal, payoff: Decimal, **facts: str) -> None:
    if amount > payoff:
        raise PaymentExceedsDebt(payoff_amount=format_money(payoff), **facts)
