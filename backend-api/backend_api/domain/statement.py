"""The account statement of a client: lines by posting date, running balances, an opening and a closing that add up.

Listing by posting date is what keeps an issued statement true for ever: a back-dated movement or a reversal appears on
the statement of the day it was recorded, never on an earlier one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from backend_api.domain.account import MovementKind, Split
from backend_api.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A movement as the statement needs it. `posted_on` is the business date of recording, `value_date` the date it
    counts from, `sequence` the client's event number."""

    posted_on: date
    value_date: date
    sequence: int
    loan_id: UUID
    kind: MovementKind
    split: Split
    undoes: bool = False
    reference: str | None = None

    @property
    def charge(self) -> Decimal:
        """What the movement added to the principal owed, or zero."""
        return self.split.principal if principal_effect(self.kind, undoes=self.undoes) > 0 else ZERO

    @property
    def credit(self) -> Decimal:
        """What the movement took off the principal owed, or zero."""
        return self.split.principal if principal_effect(self.kind, undoes=self.undoes) < 0 else ZERO


def principal_effect(kind: MovementKind, *, undoes: bool) -> int:
    """+1 when a movement adds to the principal owed, -1 when it takes off it, 0 when the loan has left the books."""
    if kind is MovementKind.RECOVERY:
        return 0
    return 1 if kind.raises_debt is not undoes else -1


def _place(line: StatementLine) -> tuple[object, ...]:
    """Where a line stands: by posting date, sequence and loan; of one correction what is undone comes first.

    Two lines in the same place are the same in all that is shown, so that however often a statement is made, it is the
    same to the letter.
    """
    split = line.split
    parts = (split.total, split.principal, split.interest, split.vat, split.fees, split.moratory)
    told = (line.value_date, line.kind, line.reference or "", parts)
    return (line.posted_on, line.sequence, line.loan_id, not line.undoes, *told)


@dataclass(frozen=True, slots=True)
class Commission:
    """What a payment cost besides what it pays, on the day it was booked; negative on the day it was given back. No
    loan owes it, so it is in no balance."""

    posted_on: date
    reference: str | None
    net: Decimal
    vat: Decimal

    @property
    def total(self) -> Decimal:
        """What the client was charged."""
        return self.net + self.vat


@dataclass(frozen=True, slots=True)
class RunningLine:
    """A line and the principal owed after it."""

    line: StatementLine
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """A period's statement: `opening + charges - credits = closing`, and the last line's balance is the closing."""

    period_from: date
    period_to: date
    opening: Decimal
    lines: tuple[RunningLine, ...]
    charges: Decimal
    credits: Decimal
    closing: Decimal


def statement(opening: Decimal, lines: Iterable[StatementLine], period_from: date, period_to: date) -> Statement:
    """The statement of [period_from, period_to], both days included.

    `opening` is what was owed before the first of `lines`. Lines posted before the period go into the opening, later
    ones are left out: the caller may hand over the whole history with an opening of zero, or the period's lines with a
    balance it knows, in any order. Raises ValueError for a period that ends before it begins.
    """
    if period_to < period_from:
        raise ValueError("the period ends before it begins")
    balance = opening
    charges = credit_total = ZERO
    running: list[RunningLine] = []
    for line in sorted(lines, key=_place):
        if line.posted_on > period_to:
            break
        balance += line.charge - line.credit
        if line.posted_on < period_from:
            opening = balance
            continue
        charges += line.charge
        credit_total += line.credit
        running.append(RunningLine(line, balance))
    return Statement(period_from, period_to, opening, tuple(running), charges, credit_total, balance)
