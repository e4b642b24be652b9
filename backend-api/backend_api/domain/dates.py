"""Dates of business: what range the books cover, and which business date an instant belongs to."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from backend_api.domain.errors import DateOutOfRange

MIN_DATE = date(1970, 1, 1)
MAX_DATE = date(2200, 12, 31)
MIN_BIRTH_DATE = date(1880, 1, 1)


def check_date(day: date) -> date:
    """The same day, if the books cover it: MIN_DATE to MAX_DATE, both included. Raises DateOutOfRange.

    The range keeps every due date of a 600-month loan inside what the database and its drivers can hold.
    """
    if not MIN_DATE <= day <= MAX_DATE:
        raise DateOutOfRange
    return day


def check_birth_date(day: date) -> date:
    """The same day, if somebody who is alive can have been born on it: MIN_BIRTH_DATE to MAX_DATE, both included.

    Raises DateOutOfRange.
    """
    if not MIN_BIRTH_DATE <= day <= MAX_DATE:
        raise DateOutOfRange
    return day


def business_date(instant: datetime, zone: ZoneInfo) -> date:
    """The calendar date of an instant in the lender's time zone. Raises ValueError for an instant without a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone has no business date")
    return instant.astimezone(zone).date()
