"""Due dates: every one is counted from the anchor, never from the one before, so that 31 January leads to 28 February
and on to 31 March (Apache Fineract's seed day; month ends as in its published month-end strategies)."""

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, timedelta

from backend_api.domain.dates import MAX_DATE
from backend_api.domain.terms import FrequencyUnit, MonthEnd, Refusal, Terms, TermsRefused

MIDDLE = 15
"""The day in the middle of a month on which semimonthly installments fall due."""


@dataclass(frozen=True, slots=True)
class Period:
    """What lies before one due date. `regular`: it has the length that the frequency says.

    Interest of it runs from `accrues_from`, which is `starts_on` unless the period was cut by an early payment.
    """

    number: int
    starts_on: date
    due_on: date
    regular: bool
    accrues_from: date


def periods(terms: Terms) -> tuple[Period, ...]:
    """The periods of a loan, one per installment, numbered from 1; due dates strictly increase.

    Raises TermsRefused when the last one falls due after MAX_DATE, or `first_due_on` is no day of the frequency.
    """
    dates = _due_dates(terms)
    starts = (terms.disbursed_on, *dates)
    first_is_regular = _is_regular(terms, dates[0])
    return tuple(
        Period(number, start, due, number > 1 or first_is_regular, start)
        for number, (start, due) in enumerate(zip(starts, dates, strict=False), 1)
    )


def rest_of(all_periods: tuple[Period, ...], day: date) -> tuple[Period, ...]:
    """The periods that fall due after `day`; interest of the first one runs from that day on."""
    rest = [period for period in all_periods if period.due_on > day]
    if rest and rest[0].starts_on < day:
        rest[0] = replace(rest[0], accrues_from=day)
    return tuple(rest)


def _due_dates(terms: Terms) -> list[date]:
    first = terms.first_due_on
    if first is not None and terms.frequency.unit is FrequencyUnit.SEMIMONTH and not _is_semimonth_day(first):
        raise TermsRefused(
            Refusal("first_due_on", "first_due_not_semimonth", "The first due date is the 15th or a month's last day.")
        )
    anchor, offset = terms.disbursed_on, 1
    try:
        if first is not None and first != _step(terms, terms.disbursed_on, 1):
            anchor, offset = first, 0
        dates = [_step(terms, anchor, offset + index) for index in range(terms.installments)]
    except (ValueError, OverflowError):
        dates = [date.max]
    if dates[-1] > MAX_DATE:
        raise TermsRefused(
            Refusal("installments", "last_due_out_of_range", f"The last installment falls due by {MAX_DATE}.")
        )
    return dates


def _step(terms: Terms, anchor: date, steps: int) -> date:
    """The date `steps` periods after the anchor. Raises ValueError or OverflowError beyond the calendar."""
    count = terms.frequency.every * steps
    match terms.frequency.unit:
        case FrequencyUnit.DAY:
            return anchor + timedelta(days=count)
        case FrequencyUnit.WEEK:
            return anchor + timedelta(weeks=count)
        case FrequencyUnit.MONTH:
            return _plus_months(anchor, count, terms.month_end)
        case FrequencyUnit.SEMIMONTH:
            return _plus_halves(anchor, count)


def _plus_months(anchor: date, months: int, month_end: MonthEnd) -> date:
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last = monthrange(year, month0 + 1)[1]
    if anchor.day <= last:
        return date(year, month0 + 1, anchor.day)
    if month_end is MonthEnd.NEXT_MONTH_FIRST:
        return date(year, month0 + 1, last) + timedelta(days=1)
    return date(year, month0 + 1, last)


def _plus_halves(anchor: date, halves: int) -> date:
    """The `halves`-th of the dates 15th and month end after the anchor; the anchor itself for none."""
    if halves == 0:
        return anchor
    # Halves of months are numbered through: 2m ends on the 15th, 2m + 1 on the last day. The anchor has passed one.
    passed = (anchor.year * 12 + anchor.month - 1) * 2 + (anchor.day >= MIDDLE) - 1
    if _is_month_end(anchor):
        passed += 1
    month, second = divmod(passed + halves, 2)
    year, month0 = divmod(month, 12)
    return date(year, month0 + 1, monthrange(year, month0 + 1)[1] if second else MIDDLE)


def _is_regular(terms: Terms, first_due: date) -> bool:
    if terms.frequency.unit is FrequencyUnit.SEMIMONTH and not _is_semimonth_day(terms.disbursed_on):
        return False
    return first_due == _step(terms, terms.disbursed_on, 1)


def _is_semimonth_day(day: date) -> bool:
    return day.day == MIDDLE or _is_month_end(day)


def _is_month_end(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]
