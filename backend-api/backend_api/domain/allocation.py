"""Where a payment goes: over the parts of one loan, and over the loans of a client. No cent is lost or invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from backend_api.domain.account import Position, Split
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
    """What is owed of one loan. `payoff` is all of it today; `owed_since`, then `folio`, say which is paid first."""

    loan_id: UUID
    payoff: Decimal
    owed_since: date
    folio: int


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a payment that goes to one loan; always more than zero."""

    loan_id: UUID
    amount: Decimal


def allocate_to_loan(position: Position, amount: Decimal, on: date) -> Split:
    """How a payment of `amount` with value date `on` splits over what is owed of a loan in `position`.

    In a principal-only loan all of it is principal. Raises MoneyNotPositive, PaymentExceedsDebt (more than the payoff
    is refused, not kept), and ValueError when the position is of another day.
    """
    if position.on != on:
        raise ValueError("the position is not of the payment's value date")
    _refuse_nothing(amount)
    _refuse_excess(amount, position.payoff_amount)
    return Split(principal=amount)


def distribute(amount: Decimal, debts: Sequence[Debt]) -> list[Share]:
    """Spread a payment over loans, owed longest first, each in full before the next one.

    The shares add up to `amount` and none is larger than its loan's payoff; loans that get nothing are left out.
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
    payoffs = {debt.loan_id: debt.payoff for debt in debts}
    fixed: dict[UUID, Decimal] = {}
    for detail in details:
        if detail.loan_id in fixed:
            raise DetailRepeated(loan_id=str(detail.loan_id))
        if detail.loan_id not in payoffs:
            raise DetailLoanNotOwing(loan_id=str(detail.loan_id))
        _refuse_nothing(detail.amount)
        _refuse_excess(detail.amount, payoffs[detail.loan_id], loan_id=str(detail.loan_id))
        fixed[detail.loan_id] = detail.amount
    named = sum(fixed.values(), ZERO)
    if named > amount:
        raise DetailsExceedAmount(details_total=format_money(named))
    _refuse_excess(amount, _total(debts))
    return _spread(amount - named, fixed, debts)


def _spread(rest: Decimal, fixed: dict[UUID, Decimal], debts: Sequence[Debt]) -> list[Share]:
    shares = []
    for debt in sorted(debts, key=lambda debt: (debt.owed_since, debt.folio)):
        named = fixed.get(debt.loan_id, ZERO)
        added = min(rest, debt.payoff - named)
        rest -= added
        if named + added > ZERO:
            shares.append(Share(debt.loan_id, named + added))
    return shares


def _total(debts: Sequence[Debt]) -> Decimal:
    return sum((debt.payoff for debt in debts), ZERO)


def _refuse_nothing(amount: Decimal) -> None:
    if amount <= ZERO:
        raise MoneyNotPositive


def _refuse_excess(amount: Decimal, payoff: Decimal, **facts: str) -> None:
    if amount > payoff:
        raise PaymentExceedsDebt(payoff_amount=format_money(payoff), **facts)
