"""The account of a loan: its position on a date is a function of its terms and the movements posted so far.

Nothing here remembers a balance. Undoing a movement is another movement; a snapshot column is checked against this.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from backend_api.domain.money import ZERO


class MovementKind(StrEnum):
    """What a movement is. Each kind either raises or lowers what is owed, see `effect`."""

    DISBURSEMENT = "DISBURSEMENT"
    PAYMENT = "PAYMENT"
    PAYMENT_REVERSAL = "PAYMENT_REVERSAL"
    DISBURSEMENT_REVERSAL = "DISBURSEMENT_REVERSAL"


_EFFECT = {
    MovementKind.DISBURSEMENT: 1,
    MovementKind.PAYMENT: -1,
    MovementKind.PAYMENT_REVERSAL: 1,
    MovementKind.DISBURSEMENT_REVERSAL: -1,
}


def effect(kind: MovementKind) -> int:
    """+1 when a movement of this kind raises what the client owes, -1 when it lowers it."""
    return _EFFECT[kind]


@dataclass(frozen=True, slots=True)
class Split:
    """An amount by what it is for. Every part is zero or more, in whole cents.

    In a loan that is principal only the other parts are zero.
    """

    principal: Decimal = ZERO
    interest: Decimal = ZERO
    vat: Decimal = ZERO
    fees: Decimal = ZERO
    moratory: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """The amount that was split."""
        return self.principal + self.interest + self.vat + self.fees + self.moratory


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed, frozen in the loan.

    `interest_rate` is yearly and nominal, as a fraction: 0.15 is fifteen percent. `disbursed_on` is None until the
    money has been handed over.
    """

    amount: Decimal
    interest_rate: Decimal
    term_months: int
    disbursed_on: date | None


@dataclass(frozen=True, slots=True)
class Movement:
    """One posted movement. Order: `value_date`, then `sequence` (the client's event number).

    A reversal bears the value date of what it undoes: the position is as if that had never been, from that day on.
    """

    kind: MovementKind
    value_date: date
    sequence: int
    split: Split

    @property
    def amount(self) -> Decimal:
        """The whole amount moved, always positive; the kind says which way."""
        return self.split.total


@dataclass(frozen=True, slots=True)
class Position:
    """What is owed of a loan at the end of day `on`.

    `owed_since` is the date the oldest part of it fell due (None when nothing is owed): who pays several loans pays
    the one owed longest first. A principal-only loan has no schedule, so all of it counts from the disbursement.
    """

    on: date
    principal: Decimal
    interest: Decimal
    vat: Decimal
    fees: Decimal
    moratory: Decimal
    owed_since: date | None

    @property
    def current_balance(self) -> Decimal:
        """Outstanding principal."""
        return self.principal

    @property
    def payoff_amount(self) -> Decimal:
        """Everything that has to be paid on this day to owe nothing. Overpayment is measured against this."""
        return self.principal + self.interest + self.vat + self.fees + self.moratory


def position(terms: Terms, movements: Iterable[Movement], on: date) -> Position:
    """What is owed at the end of `on`, from the movements whose value date has come by then.

    The order of `movements` does not matter. Raises ValueError when they add up to a negative balance: such a history
    was never valid, and no figure derived from it would be.
    """
    counted = [movement for movement in movements if movement.value_date <= on]
    principal = sum((effect(movement.kind) * movement.split.principal for movement in counted), ZERO)
    if principal < ZERO:
        raise ValueError("the movements of this loan add up to a negative balance")
    return Position(
        on=on,
        principal=principal,
        interest=ZERO,
        vat=ZERO,
        fees=ZERO,
        moratory=ZERO,
        owed_since=terms.disbursed_on if principal else None,
    )
