"""Loan-loss provisions: what part of a balance is reserved, by how late the loan is.

Tables are versioned data; every band begins where the one before ends, so that each day belongs to exactly one.
Source: Annex D of the general provisions for popular savings and credit entities, transcribed from secondary copies
(the primary text was not opened; day 90 differs between copies): check before reporting to the authority.
"""

from dataclasses import dataclass
from decimal import Decimal

from backend_api.domain.rounding import EXACT, Rounding
from backend_api.domain.terms import Portfolio


@dataclass(frozen=True, slots=True)
class Band:
    """From `first` days past due on, up to the next band: the part of the balance to reserve, as a fraction."""

    first: int
    rate: Decimal


@dataclass(frozen=True, slots=True)
class ProvisionTable:
    """The bands of one portfolio, from day 0 on, in order. A change is a new version; old ones stay."""

    portfolio: Portfolio
    version: int
    bands: tuple[Band, ...]

    def rate(self, days: int) -> Decimal:
        """The part to reserve of a loan so many days past due. Raises ValueError for a negative number."""
        reached = [band for band in self.bands if band.first <= days]
        if not reached:
            raise ValueError("days past due are never negative")
        return reached[-1].rate


def _table(portfolio: Portfolio, *rows: tuple[int, str]) -> ProvisionTable:
    return ProvisionTable(portfolio, 1, tuple(Band(first, Decimal(percent) / 100) for first, percent in rows))


CONSUMER = _table(
    Portfolio.CONSUMER, (0, "1"), (1, "4"), (8, "15"), (31, "30"), (61, "50"), (91, "75"), (121, "90"), (181, "100")
)
CONSUMER_MARGINAL_ZONE = _table(
    Portfolio.CONSUMER_MARGINAL_ZONE, (0, "1"), (8, "4"), (31, "30"), (61, "60"), (91, "80"), (121, "90"), (181, "100")
)
MICROCREDIT = _table(Portfolio.MICROCREDIT, (0, "1"), (8, "5"), (31, "20"), (61, "40"), (90, "70"), (121, "100"))
MICROCREDIT_MARGINAL_ZONE = _table(
    Portfolio.MICROCREDIT_MARGINAL_ZONE, (0, "1"), (8, "2.5"), (31, "20"), (61, "50"), (90, "80"), (121, "100")
)
HOUSING = _table(
    Portfolio.HOUSING, (0, "0.35"), (1, "1.05"), (31, "2.45"), (61, "8.75"), (90, "17.5"), (121, "33.25"),
    (151, "34.3"), (181, "70"), (1461, "100"),
)  # fmt: skip

TABLES = {
    table.portfolio: table
    for table in (CONSUMER, CONSUMER_MARGINAL_ZONE, MICROCREDIT, MICROCREDIT_MARGINAL_ZONE, HOUSING)
}
"""The table of every portfolio, in its newest version."""


def provision(table: ProvisionTable, balance: Decimal, days: int) -> Decimal:
    """The reserve for a balance so many days past due, in whole cents."""
    return Rounding.HALF_UP.cents(EXACT.multiply(balance, table.rate(days)))
