"""Delinquency: how late a loan is, and what that makes of it.

Days past due are calendar days since the due date of the oldest unpaid installment; due today is not late. Stages: 1
up to 30 days, 2 from 31 to 89, 3 from 90 on (the regime of the DOF of 18-04-2024, read in secondary sources).
"""

from datetime import date
from decimal import Decimal
from enum import IntEnum

from backend_api.domain.rounding import EXACT, Rounding

SECOND_STAGE_DAYS = 31
THIRD_STAGE_DAYS = 90
"""From so many days past due on a loan is non-performing and in default."""


class Stage(IntEnum):
    """Credit risk stage. Stage 3 is non-performing: its interest is no income any more."""

    PERFORMING = 1
    UNDERPERFORMING = 2
    NON_PERFORMING = 3


def days_past_due(oldest_unpaid: date | None, on: date) -> int:
    """Calendar days since the due date of the oldest unpaid installment; 0 until the day after it, and for None."""
    return 0 if oldest_unpaid is None else max((on - oldest_unpaid).days, 0)


def stage(days: int) -> Stage:
    """The stage of a loan so many days past due."""
    if days >= THIRD_STAGE_DAYS:
        return Stage.NON_PERFORMING
    return Stage.UNDERPERFORMING if days >= SECOND_STAGE_DAYS else Stage.PERFORMING


def imor(non_performing: Decimal, total: Decimal) -> Decimal | None:
    """The non-performing part of a portfolio in percent, with two decimals; None of an empty one, which has none."""
    return Rounding.HALF_UP.cents(EXACT.divide(100 * non_performing, total)) if total else None
