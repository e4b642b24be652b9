"""Parts of a year, by every day count."""

from datetime import date
from decimal import Decimal

import pytest
from backend_api.domain.daycount import DayCount, YearPart, days_30_360, year_part
from hypothesis import given
from hypothesis import strategies as st

DAYS = st.dates(date(1970, 1, 1), date(2200, 12, 31))


@pytest.mark.parametrize(
    ("count", "start", "end", "part"),
    [
        ("30/360", "2026-01-31", "2026-02-28", YearPart(28, 360)),
        ("30/360", "2026-01-15", "2027-01-15", YearPart(360, 360)),
        ("actual/360", "2026-01-31", "2026-02-28", YearPart(28, 360)),
        ("actual/364", "2026-01-01", "2026-01-15", YearPart(14, 364)),
        ("actual/365", "2024-02-01", "2024-03-01", YearPart(29, 365)),
        ("actual/actual", "2024-02-01", "2024-03-01", YearPart(29 * 365, 365 * 366)),
        ("actual/actual", "2025-02-01", "2025-03-01", YearPart(28 * 366, 365 * 366)),
        # 8 days up to 31 December of the leap year, 23 after it.
        ("actual/actual", "2024-12-23", "2025-01-23", YearPart(8 * 365 + 23 * 366, 365 * 366)),
        ("actual/actual", "2023-12-31", "2024-01-31", YearPart(31 * 365, 365 * 366)),
        # A whole leap year, and 730 days of the years around it.
        ("actual/actual", "2023-07-01", "2026-07-01", YearPart(366 * 365 + 730 * 366, 365 * 366)),
    ],
)
def test_the_part_of_a_year(count: str, start: str, end: str, part: YearPart) -> None:
    assert year_part(DayCount(count), date.fromisoformat(start), date.fromisoformat(end)) == part


@pytest.mark.parametrize("count", DayCount)
def test_no_time_is_no_part_and_time_does_not_run_backwards(count: DayCount) -> None:
    assert year_part(count, date(2026, 1, 31), date(2026, 1, 31)).days == 0
    with pytest.raises(ValueError, match="ends before it starts"):
        year_part(count, date(2026, 2, 1), date(2026, 1, 31))


@given(st.sampled_from(DayCount), st.tuples(DAYS, DAYS, DAYS))
def test_parts_add_up(count: DayCount, days: tuple[date, date, date]) -> None:
    first, middle, last = sorted(days)
    before, after = year_part(count, first, middle), year_part(count, middle, last)
    assert before.days + after.days == year_part(count, first, last).days


@given(DAYS.filter(lambda day: (day.month, day.day) != (2, 29) and day.year < 2200))
def test_a_calendar_year_is_one_year(day: date) -> None:
    later = day.replace(year=day.year + 1)
    assert days_30_360(day, later) == 360
    part = year_part(DayCount.ACTUAL_ACTUAL, day.replace(month=1, day=1), later.replace(month=1, day=1))
    assert abs(Decimal(part.days) / part.year - 1) < Decimal("0.00001")
