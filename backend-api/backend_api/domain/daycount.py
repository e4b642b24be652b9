"""Day counts: what part of a year lies between two dates.

Sources: the day counts of Apache Fineract's published tests; actual/360 is the Mexican usage. A part of a year is kept
as days and year length, never divided early, so that interest is rounded once and from the exact value.
"""

from calendar import isleap
from datetime import date
from enum import StrEnum
from typing import NamedTuple


class DayCount(StrEnum):
    """How days and years are counted."""

    THIRTY_360 = "30/360"
    ACTUAL_360 = "actual/360"
    ACTUAL_364 = "actual/364"
    ACTUAL_365 = "actual/365"
    ACTUAL_ACTUAL = "actual/actual"


class YearPart(NamedTuple):
    """A part of a year: `days` of a year of `year` days. May be more than one year; never negative."""

    days: int
    year: int


_YEARS = {
    DayCount.THIRTY_360: 360,
    DayCount.ACTUAL_360: 360,
    DayCount.ACTUAL_364: 364,
    DayCount.ACTUAL_365: 365,
    DayCount.ACTUAL_ACTUAL: 365 * 366,
}
"""Length of the year. Of actual/actual it is the common multiple of both lengths, and days weigh accordingly."""


def year_part(count: DayCount, start: date, end: date) -> YearPart:
    """The part of a year from `start` to `end`; interest of a day belongs to the day on which it ends.

    Raises ValueError when `end` lies before `start`.
    """
    if end < start:
        raise ValueError("a period ends before it starts")
    if count is DayCount.THIRTY_360:
        days = days_30_360(start, end)
    elif count is DayCount.ACTUAL_ACTUAL:
        in_leap_years = _leap_days(start, end)
        days = in_leap_years * 365 + ((end - start).days - in_leap_years) * 366
    else:
        days = (end - start).days
    return YearPart(days, _YEARS[count])


def days_30_360(start: date, end: date) -> int:
    """Days between two dates where every month has thirty: the 31st counts as the 30th (30E/360)."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months * 30 + min(end.day, 30) - min(start.day, 30)


def _leap_days(start: date, end: date) -> int:
    """How many days after `start`, up to and including `end`, lie in leap years.

    A period that crosses New Year is thereby divided at 31 December, as Fineract does it.
    """
    total = 0
    for year in range(start.year, end.year + 1):
        if isleap(year):
            first = max(start, date(year - 1, 12, 31))
            last = min(end, date(year, 12, 31))
            total += (last - first).days
    return total
