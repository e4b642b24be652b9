"""A statement adds up, and one that was issued never changes."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from backend_api.domain.account import MovementKind, Split
from backend_api.domain.statement import StatementLine, statement
from hypothesis import given
from hypothesis import strategies as st

START = date(2026, 1, 1)
LOAN = UUID(int=1)


def line(kind: MovementKind, amount: str, posted: int, value: int | None = None, sequence: int = 1) -> StatementLine:
    return StatementLine(
        posted_on=START + timedelta(days=posted),
        value_date=START + timedelta(days=posted if value is None else value),
        sequence=sequence,
        loan_id=LOAN,
        kind=kind,
        split=Split(principal=Decimal(amount)),
    )


HISTORY = [
    line(MovementKind.DISBURSEMENT, "1000.00", posted=0, sequence=1),
    line(MovementKind.PAYMENT, "100.00", posted=10, sequence=2),
    line(MovementKind.PAYMENT, "200.00", posted=40, value=9, sequence=3),
    line(MovementKind.PAYMENT_REVERSAL, "100.00", posted=70, value=10, sequence=4),
]

lines_strategy = st.lists(
    st.builds(
        lambda kind, cents, posted, sequence: line(kind, str(Decimal(cents) / 100), posted, sequence=sequence),
        st.sampled_from(MovementKind),
        st.integers(1, 10**9),
        st.integers(0, 100),
        st.integers(1, 50),
    ),
    max_size=20,
)


def test_a_period_opens_with_what_was_owed_before_and_runs_to_its_closing() -> None:
    found = statement(Decimal("0.00"), HISTORY, START + timedelta(days=1), START + timedelta(days=50))
    assert found.opening == Decimal("1000.00")
    assert [running.balance for running in found.lines] == [Decimal("900.00"), Decimal("700.00")]
    assert (found.charges, found.credits, found.closing) == (Decimal("0.00"), Decimal("300.00"), Decimal("700.00"))


def test_a_back_dated_payment_does_not_change_the_statement_before() -> None:
    end = START + timedelta(days=30)
    assert statement(Decimal("0.00"), HISTORY, START, end) == statement(Decimal("0.00"), HISTORY[:2], START, end)


def test_a_period_without_movements_closes_as_it_opens() -> None:
    found = statement(Decimal("12.34"), [], START, START)
    assert (found.opening, found.lines, found.closing) == (Decimal("12.34"), (), Decimal("12.34"))


def test_a_period_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        statement(Decimal("0.00"), [], START, START - timedelta(days=1))


def test_a_line_is_a_charge_or_a_credit() -> None:
    assert [(found.charge, found.credit) for found in HISTORY] == [
        (Decimal("1000.00"), Decimal("0.00")),
        (Decimal("0.00"), Decimal("100.00")),
        (Decimal("0.00"), Decimal("200.00")),
        (Decimal("100.00"), Decimal("0.00")),
    ]


@given(lines_strategy, st.integers(0, 100), st.integers(0, 100))
def test_opening_plus_charges_less_credits_is_the_closing(lines: list[StatementLine], one: int, other: int) -> None:
    first, last = START + timedelta(days=min(one, other)), START + timedelta(days=max(one, other))
    found = statement(Decimal("5.00"), lines, first, last)
    assert found.opening + found.charges - found.credits == found.closing
    assert found.closing == (found.lines[-1].balance if found.lines else found.opening)
    assert all(first <= running.line.posted_on <= last for running in found.lines)


@given(lines_strategy, st.integers(1, 99))
def test_the_closing_of_a_period_is_the_opening_of_the_next(lines: list[StatementLine], cut: int) -> None:
    middle = START + timedelta(days=cut)
    earlier = statement(Decimal("0.00"), lines, START, middle)
    later = statement(Decimal("0.00"), lines, middle + timedelta(days=1), START + timedelta(days=200))
    whole = statement(Decimal("0.00"), lines, START, START + timedelta(days=200))
    assert earlier.closing == later.opening
    assert earlier.lines + later.lines == whole.lines
