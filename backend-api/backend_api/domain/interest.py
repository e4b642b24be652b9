"""Interest: of a period, accrued between two dates, and moratory.

Simple interest on the outstanding principal, rounded once per period and concept. Interest bears no interest (Codigo de
Comercio 363).
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from backend_api.domain.daycount import DayCount, YearPart, days_30_360, year_part
from backend_api.domain.due_dates import Period
from backend_api.domain.money import ZERO
from backend_api.domain.rounding import EXACT, Rounding
from backend_api.domain.terms import FrequencyUnit, InterestPeriod, Terms

MORATORY_YEAR = 360
_MONTHLY = {FrequencyUnit.MONTH: 30, FrequencyUnit.SEMIMONTH: 15}
"""Days that 30/360 gives a unit of the frequency, however long it is in the calendar."""


def period_part(terms: Terms, period: Period, until: date | None = None) -> YearPart:
    """The part of a year for which a period bears interest, up to `until` (default: its due date).

    An interest-free period has none. With 30/360 a regular month has 30 days, and days or weeks are actual days.
    """
    count = _effective_day_count(terms)
    if period.number <= terms.interest_free_periods:
        return YearPart(0, year_part(count, period.starts_on, period.starts_on).year)
    end = period.due_on if until is None else min(until, period.due_on)
    if end <= period.accrues_from:
        return YearPart(0, year_part(count, period.starts_on, period.starts_on).year)
    if count is not DayCount.THIRTY_360:
        return year_part(count, period.accrues_from, end)
    return YearPart(_days_30(terms, period, end) - _days_30(terms, period, period.accrues_from), 360)


def interest_of(principal: Decimal, rate: Decimal, part: YearPart, rounding: Rounding) -> Decimal:
    """principal x rate x part of a year, in whole cents. `rate` is yearly, as a fraction."""
    product = EXACT.multiply(EXACT.multiply(principal, rate), Decimal(part.days))
    return rounding.cents(EXACT.divide(product, Decimal(part.year)))


def accrued_interest(terms: Terms, periods: Iterable[Period], principal: Decimal, start: date, end: date) -> Decimal:
    """Ordinary interest on an unchanged `principal` from `start` to `end`, rounded once.

    A whole period gives the interest of its installment; after the last due date there is none. Raises ValueError when
    `end` lies before `start`.
    """
    if end < start:
        raise ValueError("a period ends before it starts")
    days, year = 0, 1
    for period in periods:
        to_end, to_start = period_part(terms, period, end), period_part(terms, period, start)
        days, year = days + to_end.days - to_start.days, to_end.year
    return interest_of(principal, terms.interest_rate, YearPart(days, year), terms.rounding)


def moratory_interest(overdue_principal: Decimal, rate: Decimal, due_on: date, on: date, rounding: Rounding) -> Decimal:
    """Interest for paying late: overdue principal x rate / 360 x calendar days after the due date.

    Zero on the due date and before (Codigo de Comercio 362: from the day after), simple, computed for the whole time at
    once: adding up rounded days gives another figure. `rate` is yearly, as a fraction.
    """
    days = max((on - due_on).days, 0)
    return interest_of(overdue_principal, rate, YearPart(days, MORATORY_YEAR), rounding) if days else ZERO


def _effective_day_count(terms: Terms) -> DayCount:
    """`same_as_period` is a day count too: thirty days are 1/12 of 360, seven are 1/52 of 364."""
    if terms.interest_period is InterestPeriod.SAME_AS_PERIOD:
        match terms.frequency.unit:
            case FrequencyUnit.MONTH | FrequencyUnit.SEMIMONTH:
                return DayCount.THIRTY_360
            case FrequencyUnit.WEEK:
                return DayCount.ACTUAL_364
    return terms.day_count


def _days_30(terms: Terms, period: Period, day: date) -> int:
    """Days of a period up to a day where months have thirty."""
    unit = terms.frequency.unit
    if unit not in _MONTHLY:
        return (day - period.starts_on).days
    if not period.regular:
        return days_30_360(period.starts_on, day)
    whole = _MONTHLY[unit] * terms.frequency.every
    return whole if day >= period.due_on else min(days_30_360(period.starts_on, day), whole)
