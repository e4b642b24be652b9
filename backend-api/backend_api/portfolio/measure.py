"""The figures of a portfolio at the end of a day, from the rows of its loans."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import orjson

from backend_api.domain import delinquency
from backend_api.domain.account import Account, Movement, replay
from backend_api.domain.portfolio import Figures
from backend_api.domain.provisions import TABLES
from backend_api.domain.term_sheet import terms_of
from backend_api.ledger.state import account_of


@dataclass(frozen=True, slots=True)
class LoanRow:
    """A loan as it is stored. `movements` are those of a loan that has moved since the day, up to it."""

    id: UUID
    product: str
    terms: str
    disbursed_on: date
    account: str
    movements: tuple[Movement, ...] | None = None


@dataclass(slots=True)
class Measured:
    """Figures by product, and the loans that could not be worked out, with what was wrong."""

    figures: dict[str, Figures] = field(default_factory=dict)
    failed: list[tuple[UUID, str]] = field(default_factory=list)

    def add(self, other: "Measured") -> None:
        """Other loans too."""
        for product, figures in other.figures.items():
            self.figures.setdefault(product, Figures()).add(figures)
        self.failed.extend(other.failed)


def measure(loans: Sequence[LoanRow], day: date) -> Measured:
    """The figures of these loans at the end of the day. One that cannot be worked out is left out and named."""
    measured = Measured()
    for loan in loans:
        try:
            account = _account(loan)
            if account is None:
                continue
            position = account.position(day)
            if not position.payoff_amount:
                continue
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one loan must not stop the others
            measured.failed.append((loan.id, told(error)))
            continue
        table = TABLES[account.terms.portfolio]
        measured.figures.setdefault(loan.product, Figures()).count(position, delinquency.stage_of(account, day), table)
    return measured


def told(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {error}"[:500]


def _account(loan: LoanRow) -> Account | None:
    """The account as it was at the end of the day; None if there was none that could be owed."""
    if loan.movements is None:
        return account_of(loan.terms, loan.disbursed_on, loan.account)
    if not loan.movements:
        return None
    account, _ = replay(terms_of(orjson.loads(loan.terms), loan.disbursed_on), loan.movements)
    return None if account.closed else account
