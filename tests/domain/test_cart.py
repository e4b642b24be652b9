"""What a cart costs, and that paying it does exactly what it says (see `conftest` for how many histories are tried)."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from backend_api.domain.account import Account, MovementKind, apply, replay
from backend_api.domain.cart import (
    InstallmentNotOwed,
    Item,
    LoanTwiceInCart,
    NewerInstallmentFirst,
    NotInCart,
    OlderInstallmentFirst,
    Owed,
    amount,
    commission_vat,
    installments,
    owed_of,
    repriced,
    with_installment,
    without_installment,
)
from backend_api.domain.corrections import Booked, add, remove
from backend_api.domain.errors import MoneyNotPositive, PaymentExceedsDebt
from backend_api.domain.money import CENT, ZERO
from backend_api.domain.terms import ExcessPolicy, Terms
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.domain.histories import History, histories, payment

LOAN = UUID(int=7)
START = date(2026, 1, 31)
TERMS = Terms(
    amount=Decimal("12000.00"), interest_rate=Decimal("0.24"), installments=12, disbursed_on=START, early_days=10
)

waits = st.integers(0, 200).map(lambda count: timedelta(days=count))


def drawn(history: History, wait: timedelta, count: int) -> tuple[Account, date, Owed, Item]:
    """The account of a history on some day after it, what is owed then, and some of its installments in a cart."""
    account, _ = replay(history.terms, history.movements)
    day = history.last_day + wait
    owed = owed_of(account, day)
    assume(owed.installments)
    return account, day, owed, installments(LOAN, owed, 1 + count % len(owed.installments))


def open_of(account: Account, day: date) -> dict[int, Decimal]:
    """What is open of each installment."""
    return {row.number: row.open for row in account.on(day).rows}


@given(histories(may_close=False), waits, st.integers(0, 50))
def test_paying_installments_at_their_price_settles_them_and_leaves_all_others(
    history: History, wait: timedelta, count: int
) -> None:
    account, day, _, item = drawn(history, wait, count)
    before = account.on(day)
    paid, split = apply(account, payment(99, day, item.amount, ExcessPolicy.ADVANCE))
    assert split.total == item.amount
    rows = {row.number: row for row in paid.rows}
    assert all(rows[number].open == ZERO for number in item.numbers)
    if item.pays_off:
        assert not paid.position(day).payoff_amount
        assert not any(row.open for row in paid.rows)
    else:
        assert paid.position(day).payoff_amount
        assert [rows[row.number] for row in before.rows if row.number not in item.numbers] == [
            row for row in before.rows if row.number not in item.numbers
        ]
        assert sum((row.open for row in before.rows), ZERO) - sum((row.open for row in paid.rows), ZERO) <= item.amount


@given(histories(may_close=False), waits, st.integers(0, 50))
def test_taking_such_a_payment_back_leaves_the_account_as_it_was(history: History, wait: timedelta, count: int) -> None:
    account, day, _, item = drawn(history, wait, count)
    _, splits = replay(history.terms, history.movements)
    booked = [Booked(one.id, one, splits[one.id]) for one in history.movements]
    asked = payment(99, day, item.amount, ExcessPolicy.ADVANCE)
    correction = add(history.terms, booked, asked)
    assert correction.undone == ()
    [(movement, split)] = correction.booked
    taken_back = remove(history.terms, [*booked, Booked(movement.id, movement, split)], movement.id)
    assert taken_back.account.position(day) == account.position(day)
    assert [one.movement.id for one in taken_back.undone] == [movement.id]
    assert taken_back.booked == ()


@given(histories(may_close=False), waits, st.integers(0, 50))
def test_more_installments_cost_more_and_never_more_than_may_be_paid(
    history: History, wait: timedelta, count: int
) -> None:
    _, _, owed, item = drawn(history, wait, count)
    assert CENT <= item.amount <= owed.most
    assert item.pays_off <= (item.amount == owed.payoff)
    assert item.amount <= sum((line.amount for line in item.lines), ZERO) or item.pays_off
    if len(item.lines) < len(owed.installments):
        more = installments(LOAN, owed, len(item.lines) + 1)
        assert more.amount > item.amount or item.pays_off
    assert repriced(item, owed) == item


@given(histories(may_close=False, excess=ExcessPolicy.ADVANCE), waits, st.integers(0, 50))
def test_it_is_what_the_policy_of_such_a_loan_does_anyway(history: History, wait: timedelta, count: int) -> None:
    account, day, _, item = drawn(history, wait, count)
    assume(day > history.terms.disbursed_on)
    asked = apply(account, payment(99, day, item.amount, ExcessPolicy.ADVANCE))
    assert asked == apply(account, payment(99, day, item.amount))


def test_on_the_day_of_disbursement_an_installment_is_paid_because_it_was_asked_for() -> None:
    account = Account.opened(TERMS)
    item = installments(LOAN, owed_of(account, START), 2)
    paid, split = apply(account, payment(99, START, item.amount, ExcessPolicy.ADVANCE))
    assert open_of(paid, START)[2] == ZERO
    assert open_of(paid, START)[3] == open_of(account, START)[3]
    assert split.interest > ZERO
    # The control: without asking, all that is paid on this day is principal.
    _, by_terms = apply(account, payment(99, START, item.amount))
    assert by_terms.principal == item.amount


def test_all_installments_cost_the_payoff_which_charges_no_interest_that_has_not_arisen() -> None:
    owed = owed_of(Account.opened(TERMS), START)
    item = installments(LOAN, owed, 12)
    assert (item.amount, item.pays_off) == (Decimal("12000.00"), True)
    assert sum(line.amount for line in item.lines) > item.amount


def test_a_fee_is_part_of_the_installment_that_falls_due_after_it() -> None:
    day = date(2026, 2, 10)
    fee = replace(payment(5, day, Decimal("100.00")), kind=MovementKind.FEE)
    account, _ = apply(Account.opened(TERMS), fee)
    first, second, *_ = owed_of(account, date(2026, 2, 20)).installments
    assert (first.added, second.added) == (Decimal("116.00"), ZERO)


def test_a_fee_after_the_last_installment_is_part_of_the_payoff_only() -> None:
    day = date(2027, 3, 1)
    fee = replace(payment(5, day, Decimal("100.00")), kind=MovementKind.FEE)
    account, _ = apply(Account.opened(TERMS), fee)
    owed = owed_of(account, day)
    every = installments(LOAN, owed, 12)
    assert every.amount == owed.payoff == sum(line.amount for line in every.lines) + Decimal("116.00")
    assert owed.overdue + Decimal("116.00") == owed.due == owed.payoff


def test_what_is_late_says_so_and_holds_what_lateness_added() -> None:
    owed = owed_of(Account.opened(TERMS), date(2026, 3, 10))
    assert [one.late for one in owed.installments[:3]] == [True, False, False]
    assert owed.installments[0].added > ZERO == owed.installments[1].added
    assert owed.overdue == owed.installments[0].total == owed.due


def test_installments_are_added_in_their_order() -> None:
    owed = owed_of(Account.opened(TERMS), START)
    with pytest.raises(OlderInstallmentFirst) as refused:
        with_installment(LOAN, owed, None, 2)
    assert refused.value.facts == {"number": 1}
    first = with_installment(LOAN, owed, None, 1)
    assert with_installment(LOAN, owed, first, 1) == first
    both = with_installment(LOAN, owed, first, 2)
    assert both.numbers == (1, 2)
    with pytest.raises(InstallmentNotOwed):
        with_installment(LOAN, owed, both, 13)
    with pytest.raises(NewerInstallmentFirst) as newer:
        without_installment(both, 1)
    assert newer.value.facts == {"number": 2}
    assert repriced(without_installment(both, 2) or both, owed) == first
    assert without_installment(first, 1) is None
    for held in (None, first):
        with pytest.raises(NotInCart):
            without_installment(held, 2)


def test_a_loan_is_in_the_cart_with_installments_or_with_an_amount() -> None:
    owed = owed_of(Account.opened(TERMS), START)
    some = amount(LOAN, owed, Decimal("500.00"))
    with pytest.raises(LoanTwiceInCart):
        with_installment(LOAN, owed, some, 1)
    assert amount(LOAN, owed, owed.payoff).pays_off
    with pytest.raises(PaymentExceedsDebt):
        amount(LOAN, owed, owed.most + CENT)
    with pytest.raises(MoneyNotPositive):
        amount(LOAN, owed, ZERO)


def test_an_item_is_priced_anew_by_what_is_left_of_it() -> None:
    account = Account.opened(TERMS)
    owed = owed_of(account, START)
    three = installments(LOAN, owed, 3)
    paid, _ = apply(account, payment(99, START, installments(LOAN, owed, 1).amount, ExcessPolicy.ADVANCE))
    now = owed_of(paid, START)
    left = repriced(three, now)
    assert left is not None
    assert left.numbers == (2, 3)
    assert with_installment(LOAN, now, three, 4).numbers == (2, 3, 4)
    # What an older installment came to stand before is not in it any more, and neither is what is not owed.
    assert repriced(left, owed) is None
    assert repriced(three, None) is None
    too_much = Item(LOAN, Decimal("999999.00"))
    assert repriced(too_much, owed) == amount(LOAN, owed, owed.most)


def test_the_vat_of_a_commission_is_rounded_to_cents() -> None:
    assert commission_vat(Decimal("2.50")) == Decimal("0.40")
    assert commission_vat(Decimal("0.03")) == Decimal("0.00")
    assert commission_vat(ZERO) == ZERO
