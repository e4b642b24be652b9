"""A statement adds up, and one that was issued never changes."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from backend_api.domain.account import MovementKind, Split
from backend_api.domain.money import ZERO
from backend_api.domain.statement import StatementLine, statement
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import money

START = date(2026, 1, 1)
LOAN = UUID(int=1)


def line(
    kind: MovementKind, amount: str | Decimal, posted: int, value: int | None = None, undoes: bool = False
) -> StatementLine:
    """A line over principal, posted on a day counted from START, with interest beside it that no balance shows."""
    return StatementLine(
        posted_on=START + timedelta(days=posted),
        value_date=START + timedelta(days=posted if value is None else value),
        sequence=posted,
        loan_id=LOAN,
        kind=kind,
        split=Split(principal=Decimal(amount), interest=Decimal("7.00")),
        undoes=undoes,
    )


HISTORY = [
    line(MovementKind.DISBURSEMENT, "1000.00", posted=0),
    line(MovementKind.PAYMENT, "100.00", posted=10),
    line(MovementKind.PAYMENT, "200.00", posted=40, value=9),
    line(MovementKind.PAYMENT, "100.00", posted=70, value=10, undoes=True),
    line(MovementKind.FEE, "0.00", posted=75),
    line(MovementKind.WRITE_OFF, "800.00", posted=80),
    line(MovementKind.RECOVERY, "30.00", posted=90),
    line(MovementKind.RECOVERY, "30.00", posted=91, undoes=True),
    line(MovementKind.WRITE_OFF, "800.00", posted=95, undoes=True),
]

histories = st.lists(
    st.builds(line, st.sampled_from(MovementKind), money(0, 10**9), st.integers(0, 100), undoes=st.booleans()),
    max_size=20,
)


@given(histories, st.data())
def test_the_order_in_which_lines_are_handed_over_changes_nothing(
    history: list[StatementLine], data: st.DataObject
) -> None:
    end = START + timedelta(days=100)
    in_another_order = data.draw(st.permutations(history))
    assert statement(ZERO, in_another_order, START, end) == statement(ZERO, history, START, end)


def test_a_period_opens_with_what_was_owed_before_and_runs_to_its_closing() -> None:
    found = statement(ZERO, HISTORY, START + timedelta(days=1), START + timedelta(days=50))
    assert found.opening == Decimal("1000.00")
    assert [running.balance for running in found.lines] == [Decimal("900.00"), Decimal("700.00")]
    assert (found.charges, found.credits, found.closing) == (ZERO, Decimal("300.00"), Decimal("700.00"))


def test_a_line_is_a_charge_or_a_credit_or_leaves_the_principal_alone() -> None:
    assert [(str(found.charge), str(found.credit)) for found in HISTORY] == [
        ("1000.00", "0.00"),
        ("0.00", "100.00"),
        ("0.00", "200.00"),
        ("100.00", "0.00"),
        ("0.00", "0.00"),
        ("0.00", "800.00"),
        ("0.00", "0.00"),
        ("0.00", "0.00"),
        ("800.00", "0.00"),
    ]


def test_a_back_dated_payment_does_not_change_the_statement_before() -> None:
    end = START + timedelta(days=30)
    assert statement(ZERO, HISTORY, START, end) == statement(ZERO, HISTORY[:2], START, end)


def test_a_period_without_movements_closes_as_it_opens() -> None:
    found = statement(Decimal("12.34"), [], START, START)
    assert (found.opening, found.lines, found.closing) == (Decimal("12.34"), (), Decimal("12.34"))


def test_a_period_ends_no_earlier_than_it_begins() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        statement(ZERO, [], START, START - timedelta(days=1))


@given(histories, st.integers(0, 100), st.integers(0, 100))
def test_opening_plus_charges_less_credits_is_the_closing(lines: list[StatementLine], one: int, other: int) -> None:
    first, last = START + timedelta(days=min(one, other)), START + timedelta(days=max(one, other))
    found = statement(Decimal("5.00"), lines, first, last)
    assert found.opening + found.charges - found.credits == found.closing
    assert found.closing == (found.lines[-1].balance if found.lines else found.opening)
    assert all(first <= running.line.posted_on <= last for running in found.lines)


@given(histories, histories, st.integers(0, 100))
def test_what_is_posted_later_never_changes_a_statement(
    lines: list[StatementLine], more: list[StatementLine], end: int
) -> None:
    last = START + timedelta(days=end)
    later = [found for found in more if found.posted_on > last]
    assert statement(ZERO, [*later, *lines], START, last) == statement(ZERO, lines, START, last)


@given(histories, st.integers(1, 99))
def test_the_closing_of_a_period_is_the_opening_of_the_next(lines: list[StatementLine], cut: int) -> None:
    middle = START + timedelta(days=cut)
    earlier = statement(ZERO, lines, START, middle)
    later = statement(ZERO, lines, middle + timedelta(days=1), START + timedelta(days=200))
    whole = statement(ZERO, lines, START, START + timedelta(days=200))
    assert earlier.closing == later.opening
    assert earlier.lines + later.lines == whole.lines
    # The same from the period's own lines and a balance that is known.
    own = [found for found in lines if found.posted_on > middle]
    assert statement(earlier.closing, own, middle + timedelta(days=1), START + timedelta(days=200)) == later
