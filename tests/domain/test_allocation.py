"""A payment reaches the loans it is meant for, to the cent."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from backend_api.domain.account import Movement, MovementKind, Split, Terms, position
from backend_api.domain.allocation import Debt, Share, allocate_to_loan, distribute, distribute_explicit
from backend_api.domain.errors import (
    DetailLoanNotOwing,
    DetailRepeated,
    DetailsExceedAmount,
    DomainError,
    MoneyNotPositive,
    PaymentExceedsDebt,
)
from hypothesis import given
from hypothesis import strategies as st

START = date(2026, 1, 31)
TERMS = Terms(Decimal("1000.00"), Decimal("0.15"), 12, START)
OWED = position(TERMS, [Movement(MovementKind.DISBURSEMENT, START, 1, Split(Decimal("1000.00")))], START)


def loan(number: int) -> UUID:
    return UUID(int=number)


def debt(number: int, payoff: str, days: int = 0) -> Debt:
    return Debt(loan(number), Decimal(payoff), START + timedelta(days=days), folio=number)


DEBTS = [debt(1, "100.00", days=9), debt(2, "50.00", days=3), debt(3, "0.01", days=3)]

debts_strategy = st.lists(
    st.builds(
        lambda cents, days: (Decimal(cents) / 100, START + timedelta(days=days)),
        st.integers(1, 10**8),
        st.integers(0, 5),
    ),
    max_size=8,
).map(lambda found: [Debt(loan(n), payoff, since, n) for n, (payoff, since) in enumerate(found, start=1)])
amount_strategy = st.integers(1, 10**9).map(lambda cents: Decimal(cents) / 100)


def test_a_payment_on_a_loan_is_principal() -> None:
    assert allocate_to_loan(OWED, Decimal("2.50"), START) == Split(principal=Decimal("2.50"))
    assert allocate_to_loan(OWED, Decimal("1000.00"), START).total == Decimal("1000.00")


def test_more_than_the_payoff_is_refused_with_the_payoff() -> None:
    with pytest.raises(PaymentExceedsDebt) as refusal:
        allocate_to_loan(OWED, Decimal("1000.01"), START)
    assert refusal.value.facts == {"payoff_amount": "1000.00"}
    assert (refusal.value.status, refusal.value.code) == (409, "payment_exceeds_debt")


def test_nothing_is_no_payment() -> None:
    for amount in (Decimal("0.00"), Decimal("-1.00")):
        with pytest.raises(MoneyNotPositive):
            allocate_to_loan(OWED, amount, START)
        with pytest.raises(MoneyNotPositive):
            distribute(amount, DEBTS)
        with pytest.raises(MoneyNotPositive):
            distribute_explicit(amount, [], DEBTS)
        with pytest.raises(MoneyNotPositive):
            distribute_explicit(Decimal("1.00"), [Share(loan(1), amount)], DEBTS)


def test_a_position_of_another_day_is_not_used() -> None:
    with pytest.raises(ValueError, match="value date"):
        allocate_to_loan(OWED, Decimal("1.00"), START + timedelta(days=1))


def test_the_loan_owed_longest_is_paid_first_and_the_folio_decides_between_equals() -> None:
    assert distribute(Decimal("60.00"), DEBTS) == [
        Share(loan(2), Decimal("50.00")),
        Share(loan(3), Decimal("0.01")),
        Share(loan(1), Decimal("9.99")),
    ]


def test_loans_that_get_nothing_are_left_out() -> None:
    assert distribute(Decimal("50.00"), DEBTS) == [Share(loan(2), Decimal("50.00"))]


def test_more_than_all_debts_is_refused() -> None:
    with pytest.raises(PaymentExceedsDebt) as refusal:
        distribute(Decimal("150.02"), DEBTS)
    assert refusal.value.facts == {"payoff_amount": "150.01"}
    with pytest.raises(PaymentExceedsDebt):
        distribute(Decimal("0.01"), [])


def test_details_come_first_and_the_rest_goes_to_the_oldest() -> None:
    details = [Share(loan(1), Decimal("30.00"))]
    assert distribute_explicit(Decimal("100.00"), details, DEBTS) == [
        Share(loan(2), Decimal("50.00")),
        Share(loan(3), Decimal("0.01")),
        Share(loan(1), Decimal("49.99")),
    ]


def test_details_of_the_whole_amount_leave_nothing_to_spread() -> None:
    details = [Share(loan(1), Decimal("30.00"))]
    assert distribute_explicit(Decimal("30.00"), details, DEBTS) == details


@pytest.mark.parametrize(
    ("amount", "details", "refusal", "facts"),
    [
        ("10.00", [(1, "10.01")], DetailsExceedAmount, {"details_total": "10.01"}),
        ("10.00", [(1, "5.00"), (1, "5.00")], DetailRepeated, {"loan_id": str(loan(1))}),
        ("10.00", [(9, "5.00")], DetailLoanNotOwing, {"loan_id": str(loan(9))}),
        ("60.00", [(2, "50.01")], PaymentExceedsDebt, {"payoff_amount": "50.00", "loan_id": str(loan(2))}),
        ("150.02", [(2, "50.00")], PaymentExceedsDebt, {"payoff_amount": "150.01"}),
    ],
)
def test_details_that_cannot_be_followed_are_refused(
    amount: str, details: list[tuple[int, str]], refusal: type[DomainError], facts: dict[str, str]
) -> None:
    with pytest.raises(refusal) as refused:
        distribute_explicit(Decimal(amount), [Share(loan(n), Decimal(part)) for n, part in details], DEBTS)
    assert refused.value.facts == facts


@given(amount_strategy, debts_strategy)
def test_distribution_never_loses_or_invents_a_cent(amount: Decimal, debts: list[Debt]) -> None:
    payoffs = {found.loan_id: found.payoff for found in debts}
    try:
        shares = distribute(amount, debts)
    except PaymentExceedsDebt:
        assert amount > sum(payoffs.values())
        return
    assert sum(share.amount for share in shares) == amount
    assert all(0 < share.amount <= payoffs[share.loan_id] for share in shares)
    assert all(share.amount == payoffs[share.loan_id] for share in shares[:-1])


@given(amount_strategy, debts_strategy, st.data())
def test_details_never_lose_or_invent_a_cent(amount: Decimal, debts: list[Debt], data: st.DataObject) -> None:
    named = data.draw(st.lists(st.sampled_from(debts), unique_by=lambda found: found.loan_id)) if debts else []
    details = [Share(found.loan_id, data.draw(amount_strategy)) for found in named]
    payoffs = {found.loan_id: found.payoff for found in debts}
    try:
        shares = distribute_explicit(amount, details, debts)
    except (PaymentExceedsDebt, DetailsExceedAmount):
        too_much = [detail for detail in details if detail.amount > payoffs[detail.loan_id]]
        assert (
            too_much
            or sum(detail.amount for detail in details) > amount
            or amount > sum(payoffs.values(), Decimal("0.00"))
        )
        return
    paid = {share.loan_id: share.amount for share in shares}
    assert sum(paid.values()) == amount
    assert all(0 < paid[loan_id] <= payoffs[loan_id] for loan_id in paid)
    assert all(paid[detail.loan_id] >= detail.amount for detail in details)
