"""Banking business days in Mexico: until when an installment that falls due on another day is paid in time.

The days on which entities supervised by the CNBV, SOFIPOs among them, close their doors are published in the DOF every
December for the year after (general provisions of the CNBV; lists of 2016, 2024, 2025 and 2026 were compared). They
have followed the same rules in all of those years, so that they are computed: a loan runs for decades, a list for one.
"""

from datetime import date, timedelta
from functools import lru_cache

from backend_api.domain.dates import MAX_DATE, MIN_DATE

_DAY = timedelta(days=1)
_FIXED = ((1, 1), (5, 1), (9, 16), (11, 2), (12, 12), (12, 25))
_MONDAYS = ((2, 1), (3, 3), (11, 3))
"""First of February, third of March and of November: what the 5th, the 21st and the 20th are kept on."""
_FIRST_OCTOBER_HANDOVER, _TERM_YEARS = 2024, 6
_YEARS = MAX_DATE.year - MIN_DATE.year + 2


@lru_cache(maxsize=_YEARS)
def bank_holidays(year: int) -> frozenset[date]:
    """The days of a year, besides Saturdays and Sundays, on which banks and SOFIPOs are closed.

    Once in six years from 2024 on the 1st of October is one of them, when the federal executive changes hands. What is
    decreed for a single year is not among them.
    """
    easter = _easter(year)
    days = {date(year, month, day) for month, day in _FIXED}
    days |= {_monday(year, month, number) for month, number in _MONDAYS}
    days |= {easter - 3 * _DAY, easter - 2 * _DAY}
    if year >= _FIRST_OCTOBER_HANDOVER and (year - _FIRST_OCTOBER_HANDOVER) % _TERM_YEARS == 0:
        days.add(date(year, 10, 1))
    return frozenset(days)


def is_business_day(day: date) -> bool:
    """Whether banks are open."""
    return day.weekday() < 5 and day not in bank_holidays(day.year)


def business_day_from(day: date) -> date:
    """The day itself if banks are open, else the next one on which they are."""
    while not is_business_day(day):
        day += _DAY
    return day


def _monday(year: int, month: int, number: int) -> date:
    """The `number`-th Monday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=-first.weekday() % 7 + 7 * (number - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm, as in Meeus, Astronomical Algorithms)."""
    golden, century, of_century = year % 19, year // 100, year % 100
    moon = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    late = (golden + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, day + 1)
