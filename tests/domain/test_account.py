"""The position of a loan is a function of its movements and the date, and of nothing else."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from backend_api.domain.account import Movement, MovementKind, Split, Terms, effect, position
from backend_api.domain.money import ZERO
from hypothesis import given
from hypothesis import strategies as st

START = date(2026, 1, 31)
TERMS = Terms(Decimal("50000.00"), Decimal("0.15"), 24, START)
PENDING = Terms(Decimal("50000.00"), Decimal("0.15"), 24, None)


def moved(kind: MovementKind, amount: str, day: date = START, sequence: int = 1) -> Movement:
    return Movement(kind, day, sequence, Split(principal=Decimal(amount)))


DISBURSED = moved(MovementKind.DISBURSEMENT, "50000.00")


def test_a_loan_that_was_not_disbursed_owes_nothing() -> None:
    owed = position(PENDING, [], START)
    assert (owed.current_balance, owed.payoff_amount, owed.owed_since) == (ZERO, ZERO, None)


def test_a_disbursed_loan_owes_its_amount_from_that_day() -> None:
    owed = position(TERMS, [DISBURSED], START)
    assert owed.current_balance == owed.payoff_amount == Decimal("50000.00")
    assert owed.owed_since == START
    assert position(TERMS, [DISBURSED], START - timedelta(days=1)).payoff_amount == ZERO


def test_a_payment_lowers_the_balance_from_its_value_date() -> None:
    payment = moved(MovementKind.PAYMENT, "2500.00", START + timedelta(days=5), 2)
    assert payment.amount == Decimal("2500.00")
    assert position(TERMS, [DISBURSED, payment], START + timedelta(days=4)).current_balance == Decimal("50000.00")
    assert position(TERMS, [DISBURSED, payment], START + timedelta(days=5)).current_balance == Decimal("47500.00")


def test_a_loan_paid_in_full_owes_nothing_since_no_day() -> None:
    owed = position(TERMS, [DISBURSED, moved(MovementKind.PAYMENT, "50000.00")], START)
    assert (owed.payoff_amount, owed.owed_since) == (ZERO, None)


def test_a_history_that_owes_less_than_nothing_is_not_believed() -> None:
    with pytest.raises(ValueError, match="negative"):
        position(TERMS, [moved(MovementKind.PAYMENT, "0.01")], START)


@pytest.mark.parametrize(
    ("kind", "undo"),
    [
        (MovementKind.DISBURSEMENT, MovementKind.DISBURSEMENT_REVERSAL),
        (MovementKind.PAYMENT, MovementKind.PAYMENT_REVERSAL),
    ],
)
def test_a_reversal_is_the_opposite_of_what_it_undoes(kind: MovementKind, undo: MovementKind) -> None:
    assert effect(kind) == -effect(undo)
    before = position(TERMS, [DISBURSED, DISBURSED], START)
    assert position(TERMS, [DISBURSED, DISBURSED, moved(kind, "70.00"), moved(undo, "70.00")], START) == before


@given(st.lists(st.integers(1, 100_000), max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_movements_are_handed_over_does_not_matter(cents: list[int], random: object) -> None:
    days = [START + timedelta(days=number) for number in range(len(cents))]
    movements = [DISBURSED] + [
        moved(MovementKind.PAYMENT, f"{amount / 100:.2f}", day, number)
        for number, (amount, day) in enumerate(zip(cents, days, strict=True), start=2)
    ]
    shuffled = list(movements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random typed as object
    for day in [START, *days]:
        assert position(TERMS, shuffled, day) == position(TERMS, movements, day)
    last = position(TERMS, movements, START + timedelta(days=20))
    assert last.current_balance == TERMS.amount - Decimal(sum(cents)) / 100


def test_a_split_adds_up() -> None:
    parts = [Decimal(f"{number}.0{number}") for number in range(1, 6)]
    assert Split(*parts).total == sum(parts)
