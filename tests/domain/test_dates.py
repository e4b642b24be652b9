"""The range of the books, and the business date of an instant."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from backend_api.domain.dates import MAX_DATE, MIN_BIRTH_DATE, MIN_DATE, business_date, check_birth_date, check_date
from backend_api.domain.errors import DateOutOfRange

MEXICO = ZoneInfo("America/Mexico_City")


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1969, 12, 31), date(2201, 1, 1), date(9999, 12, 31)])
def test_a_date_outside_of_the_books_is_refused(day: date) -> None:
    with pytest.raises(DateOutOfRange):
        check_date(day)


@pytest.mark.parametrize("day", [MIN_DATE, date(2026, 2, 28), MAX_DATE])
def test_a_date_within_the_books_is_kept(day: date) -> None:
    assert check_date(day) == day


def test_people_were_born_before_the_books_begin() -> None:
    assert check_birth_date(MIN_BIRTH_DATE) == MIN_BIRTH_DATE < MIN_DATE
    with pytest.raises(DateOutOfRange):
        check_birth_date(date(1879, 12, 31))
    with pytest.raises(DateOutOfRange):
        check_birth_date(date(2201, 1, 1))


def test_midnight_is_the_lenders_midnight() -> None:
    assert business_date(datetime(2026, 2, 1, 5, 59, 59, tzinfo=UTC), MEXICO) == date(2026, 1, 31)
    assert business_date(datetime(2026, 2, 1, 6, 0, 0, tzinfo=UTC), MEXICO) == date(2026, 2, 1)


def test_an_instant_without_a_zone_has_no_business_date() -> None:
    with pytest.raises(ValueError, match="time zone"):
        business_date(datetime(2026, 2, 1), MEXICO)  # noqa: DTZ001 - the point of the test
