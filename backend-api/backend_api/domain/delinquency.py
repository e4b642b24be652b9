"""Delinquency: how late a loan is, and what that makes of it.

Days past due are calendar days since the due date of the oldest unpaid installment, or since the business day until
which it was in time where the terms say so; due today is not late. Stages: 1 up to 30 days, 2 from 31 to 89, 3 from 90
on (the regime of the DOF of 18-04-2024, read in secondary sources).
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum

from backend_api.domain.account import SUSTAINED_PAYMENTS, Account, Row
from backend_api.domain.money import ZERO
from backend_api.domain.rounding import EXACT, Rounding

SECOND_STAGE_DAYS = 31
THIRD_STAGE_DAYS = 90
"""From so many days past due on a loan is non-performing and in default."""


class Stage(IntEnum):
    """Credit risk stage. Stage 3 is non-performing: its interest is no income any more."""

    PERFORMING = 1
    UNDERPERFORMING = 2
    NON_PERFORMING = 3


class AgeBucket(StrEnum):
    """Days past due by which a portfolio is looked at."""

    UP_TO_30 = "0-30"
    FROM_31_TO_89 = "31-89"
    FROM_90 = "90+"

    @property
    def days(self) -> tuple[int, int | None]:
        """The fewest and the most days past due; None is no bound."""
        return _AGES[self]


_AGES: dict[AgeBucket, tuple[int, int | None]] = {
    AgeBucket.UP_TO_30: (0, SECOND_STAGE_DAYS - 1),
    AgeBucket.FROM_31_TO_89: (SECOND_STAGE_DAYS, THIRD_STAGE_DAYS - 1),
    AgeBucket.FROM_90: (THIRD_STAGE_DAYS, None),
}


def days_past_due(in_time_until: date | None, on: date) -> int:
    """Calendar days since the oldest unpaid installment was in time, on its due date or later; 0 until then, and for
    None."""
    return 0 if in_time_until is None else max((on - in_time_until).days, 0)


def stage(days: int) -> Stage:
    """The stage of a loan so many days past due."""
    if days >= THIRD_STAGE_DAYS:
        return Stage.NON_PERFORMING
    return Stage.UNDERPERFORMING if days >= SECOND_STAGE_DAYS else Stage.PERFORMING


def stage_of(account: Account, on: date) -> Stage:
    """The stage of a loan at the end of a day by its account, which may have been brought to another one.

    A loan that takes a restructured one's place is non-performing until three payments in a row were sustained (CNBV's
    accounting criterion B-6, from secondary sources). One is counted for a payment that completes, in time, all that is
    due with an installment, what was carried over included; however many installments it covers, it counts once. An
    installment that is completed too late starts the count anew, and what is paid earlier than within the early days
    does not count. After the third the loan is like any other. Not looked at: how much of the principal has come back,
    which the criterion asks for in addition where it is repaid at the end.
    """
    if account.sustained is not None and account.sustained < SUSTAINED_PAYMENTS:
        return Stage.NON_PERFORMING
    return stage(days_past_due(in_time_until(account), on))


def age_bucket(days: int) -> AgeBucket:
    """The bucket of a loan so many days past due."""
    return next(bucket for bucket, (first, last) in _AGES.items() if first <= days and (last is None or days <= last))


def unpaid(account: Account) -> tuple[Row, ...]:
    """Installments of which principal or interest is open, oldest first; what being late has added does not count."""
    return tuple(row for row in account.rows if _is_unpaid(row))


def oldest_unpaid(account: Account) -> Row | None:
    """The first of them."""
    return next((row for row in account.rows if _is_unpaid(row)), None)


def in_time_until(account: Account) -> date | None:
    """The last day on which the oldest unpaid installment is paid in time; None when nothing is to be paid."""
    oldest = oldest_unpaid(account)
    return account.terms.in_time_until(oldest.due_on) if oldest else None


def next_change(in_time_until: Sequence[date], after: date) -> date | None:
    """The first day after this one at whose end something changes as long as nobody pays: an installment is overdue
    (the day after it was in time), or the oldest one is so late that the loan's stage changes. None: nothing will.

    `in_time_until` are the last days on which the unpaid installments are in time, oldest first.
    """
    days = [day + timedelta(days=1) for day in in_time_until]
    days += [in_time_until[0] + timedelta(days=late) for late in (SECOND_STAGE_DAYS, THIRD_STAGE_DAYS) if in_time_until]
    return min((day for day in days if day > after), default=None)


def imor(non_performing: Decimal, total: Decimal) -> Decimal | None:
    """The non-performing part of a portfolio in percent, with two decimals; None of an empty one, which has none."""
    return Rounding.HALF_UP.cents(EXACT.divide(100 * non_performing, total)) if total else None


def _is_unpaid(row: Row) -> bool:
    return row.principal_open + row.interest.open > ZERO
