"""Bank holidays against published lists, and the next day on which a payment can be made."""

from datetime import date, timedelta

import pytest
from backend_api.domain.business_days import bank_holidays, business_day_from, is_business_day
from backend_api.domain.dates import MAX_DATE, MIN_DATE
from hypothesis import given
from hypothesis import strategies as st

# CNBV, general provisions that name the days of a year, as published in the DOF and the press. The list of 2016 leaves
# out 25 December, a Sunday; that of 2026 12 December, a Saturday.
PUBLISHED = {
    2016: ("01-01", "02-01", "03-21", "03-24", "03-25", "05-01", "09-16", "11-02", "11-21", "12-12", "12-25"),
    2024: (
        "01-01", "02-05", "03-18", "03-28", "03-29", "05-01", "09-16", "10-01", "11-02", "11-18", "12-12", "12-25",
    ),
    2026: ("01-01", "02-02", "03-16", "04-02", "04-03", "05-01", "09-16", "11-02", "11-16", "12-12", "12-25"),
}  # fmt: skip
# Easter Sundays, the earliest and the latest possible ones among them.
EASTER = ("1818-03-22", "1943-04-25", "2000-04-23", "2025-04-20", "2038-04-25", "2049-04-18", "2100-03-28")

days = st.dates(MIN_DATE, MAX_DATE)


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_published_lists_agree(year: int) -> None:
    assert bank_holidays(year) == {date.fromisoformat(f"{year}-{day}") for day in PUBLISHED[year]}


@pytest.mark.parametrize("easter", EASTER)
def test_holy_thursday_and_good_friday_come_before_easter(easter: str) -> None:
    sunday = date.fromisoformat(easter)
    in_spring = {day for day in bank_holidays(sunday.year) if day.month in (3, 4)}
    assert in_spring >= {sunday - timedelta(days=3), sunday - timedelta(days=2)}
    assert len(in_spring) == 3


def test_the_first_of_october_is_one_when_the_government_changes() -> None:
    found = [year for year in range(2010, 2050) if date(year, 10, 1) in bank_holidays(year)]
    assert found == [2024, 2030, 2036, 2042, 2048]


@given(days)
def test_the_next_business_day_is_the_first_one(day: date) -> None:
    found = business_day_from(day)
    assert is_business_day(found)
    assert day <= found <= day + timedelta(days=6)
    assert not any(is_business_day(day + timedelta(days=number)) for number in range((found - day).days))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-02-13", "2026-02-13"),
        ("2026-02-14", "2026-02-16"),
        ("2026-04-01", "2026-04-01"),
        ("2026-04-02", "2026-04-06"),
        ("2026-12-12", "2026-12-14"),
        ("2027-12-31", "2027-12-31"),
        ("2028-01-01", "2028-01-03"),
        ("2576-01-01", "2576-01-02"),
    ],
)
def test_some_days(day: str, expected: str) -> None:
    assert business_day_from(date.fromisoformat(day)) == date.fromisoformat(expected)
