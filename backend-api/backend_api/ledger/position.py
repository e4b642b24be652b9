"""A loan's position from its row: the snapshot stands in for the replay of all movements."""

from datetime import date
from decimal import Decimal
from typing import Protocol

from backend_api.domain.account import Position
from backend_api.domain.money import ZERO


class LoanSnapshot(Protocol):
    """The snapshot columns of a loan."""

    @property
    def current_balance(self) -> Decimal:
        """Outstanding principal."""
        ...

    @property
    def disbursed_on(self) -> date | None:
        """When the money was handed over."""
        ...


def position_of(loan: LoanSnapshot, on: date) -> Position:
    """What is owed of a loan on a day, from its snapshot columns.

    A replay of the movements through `domain.account.position` gives the same; a test holds the two together.
    """
    return Position(
        on=on,
        principal=loan.current_balance,
        interest=ZERO,
        vat=ZERO,
        fees=ZERO,
        moratory=ZERO,
        owed_since=loan.disbursed_on if loan.current_balance else None,
    )
