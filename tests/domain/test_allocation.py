"""A payment reaches the loans it is meant for, to the cent."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from backend_api.domain.allocation import Debt, Share, distribute, distribute_explicit
from backend_api.domain.errors import (
    DetailLoanNotOwing,
    DetailRepeated,
    DetailsExceedAmount,
    DomainError,
    MoneyNotPositive,
    PaymentExceedsDebt,
)
from backend_api.domain.money import ZERO
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import money

START = date(2026, 1, 31)


def loan(number: int) -> UUID:
    return UUID(int=number)


def debt(number: int, most: str, due: str = "0.00", days: int = 0) -> Debt:
    """What is owed of a loan; the number is its folio too."""
    return Debt(loan(number), Decimal(due), Decimal(most), START + timedelta(days=days), folio=number)


NOT_DUE = [debt(1, "100.00", days=9), debt(2, "50.00", days=3), debt(3, "0.01", days=3)]
DUE = [debt(1, "100.00", "20.00", days=9), debt(2, "50.00", "0.00", days=3), debt(3, "40.00", "40.00", days=3)]


@st.composite
def debts(draw: st.DrawFn) -> list[Debt]:
    """Up to eight loans, of each of which some is due."""
    found = []
    for number in range(1, draw(st.integers(0, 8)) + 1):
        most = draw(money(0, 10**8))
        due = draw(money(0, int(most * 100)))
        found.append(Debt(loan(number), due, most, START + timedelta(days=draw(st.integers(0, 5))), number))
    return found


amounts = money(1, 10**9)


def test_nothing_is_no_payment() -> None:
    for amount in (Decimal("0.00"), Decimal("-1.00")):
        with pytest.raises(MoneyNotPositive):
            distribute(amount, NOT_DUE)
        with pytest.raises(MoneyNotPositive):
            distribute_explicit(amount, [], NOT_DUE)
        with pytest.raises(MoneyNotPositive):
            distribute_explicit(Decimal("1.00"), [Share(loan(1), amount)], NOT_DUE)


def test_the_loan_owed_longest_is_paid_first_and_the_folio_decides_between_equals() -> None:
    assert distribute(Decimal("60.00"), NOT_DUE) == [
        Share(loan(2), Decimal("50.00")),
        Share(loan(3), Decimal("0.01")),
        Share(loan(1), Decimal("9.99")),
    ]


def test_what_is_due_on_any_loan_comes_before_what_is_early_on_another() -> None:
    # 40.00 + 20.00 are due; the rest goes to the loan that is owed longest.
    assert distribute(Decimal("50.00"), DUE) == [
        Share(loan(3), Decimal("40.00")),
        Share(loan(1), Decimal("10.00")),
    ]
    assert distribute(Decimal("65.00"), DUE) == [
        Share(loan(2), Decimal("5.00")),
        Share(loan(3), Decimal("40.00")),
        Share(loan(1), Decimal("20.00")),
    ]


def test_loans_that_get_nothing_are_left_out() -> None:
    assert distribute(Decimal("50.00"), NOT_DUE) == [Share(loan(2), Decimal("50.00"))]


def test_more_than_all_debts_is_refused() -> None:
    with pytest.raises(PaymentExceedsDebt) as refusal:
        distribute(Decimal("150.02"), NOT_DUE)
    assert refusal.value.facts == {"payoff_amount": "150.01"}
    assert (refusal.value.status, refusal.value.code) == (409, "payment_exceeds_debt")
    with pytest.raises(PaymentExceedsDebt):
        distribute(Decimal("0.01"), [])


def test_details_come_first_and_the_rest_goes_to_the_oldest() -> None:
    details = [Share(loan(1), Decimal("30.00"))]
    assert distribute_explicit(Decimal("100.00"), details, NOT_DUE) == [
        Share(loan(2), Decimal("50.00")),
        Share(loan(3), Decimal("0.01")),
        Share(loan(1), Decimal("49.99")),
    ]


def test_a_detail_counts_towards_what_is_due_of_its_loan() -> None:
    # Of the first loan more than its 20.00 are named already, so that the rest pays what is due of the third.
    details = [Share(loan(1), Decimal("30.00"))]
    assert distribute_explicit(Decimal("60.00"), details, DUE) == [
        Share(loan(3), Decimal("30.00")),
        Share(loan(1), Decimal("30.00")),
    ]


def test_details_of_the_whole_amount_leave_nothing_to_spread() -> None:
    details = [Share(loan(1), Decimal("30.00"))]
    assert distribute_explicit(Decimal("30.00"), details, NOT_DUE) == details


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
        distribute_explicit(Decimal(amount), [Share(loan(n), Decimal(part)) for n, part in details], NOT_DUE)
    assert refused.value.facts == facts


@given(amounts, debts())
def test_distribution_never_loses_or_invents_a_cent(amount: Decimal, owed: list[Debt]) -> None:
    most = {debt.loan_id: debt.most for debt in owed}
    try:
        shares = distribute(amount, owed)
    except PaymentExceedsDebt:
        assert amount > sum(most.values())
        return
    assert sum(share.amount for share in shares) == amount
    assert all(ZERO < share.amount <= most[share.loan_id] for share in shares)
    assert len({share.loan_id for share in shares}) == len(shares)


@given(amounts, debts())
def test_nothing_is_paid_early_while_something_is_due(amount: Decimal, owed: list[Debt]) -> None:
    try:
        shares = {share.loan_id: share.amount for share in distribute(amount, owed)}
    except PaymentExceedsDebt:
        return
    early = [debt for debt in owed if shares.get(debt.loan_id, ZERO) > debt.due]
    unpaid = [debt for debt in owed if shares.get(debt.loan_id, ZERO) < debt.due]
    assert not (early and unpaid)
    # Of what is due, and of what is not, at most one loan is paid in part: those before it fully, those after not.
    part_due = [debt for debt in unpaid if shares.get(debt.loan_id)]
    part_early = [debt for debt in early if shares[debt.loan_id] < debt.most]
    assert len(part_due) <= 1
    assert len(part_early) <= 1


@given(amounts, debts(), st.data())
def test_details_never_lose_or_invent_a_cent(amount: Decimal, owed: list[Debt], data: st.DataObject) -> None:
    named = data.draw(st.lists(st.sampled_from(owed), unique_by=lambda debt: debt.loan_id)) if owed else []
    details = [Share(debt.loan_id, data.draw(amounts)) for debt in named]
    most = {debt.loan_id: debt.most for debt in owed}
    try:
        shares = distribute_explicit(amount, details, owed)
    except (PaymentExceedsDebt, DetailsExceedAmount):
        too_much = [detail for detail in details if detail.amount > most[detail.loan_id]]
        assert too_much or sum(detail.amount for detail in details) > amount or amount > sum(most.values(), ZERO)
        return
    paid = {share.loan_id: share.amount for share in shares}
    assert sum(paid.values()) == amount
    assert all(ZERO < paid[loan_id] <= most[loan_id] for loan_id in paid)
    assert all(paid[detail.loan_id] >= detail.amount for detail in details)
