"""`sofipo eod`: which days are closed, and how it is told."""

import sys
import time
from datetime import date, timedelta

from backend_api.domain.dates import business_date
from backend_api.domain.errors import DomainError
from backend_api.opening import open_resources, utc_now
from backend_api.portfolio import end_of_day
from backend_api.portfolio.end_of_day import Outcome
from backend_api.settings import Settings

TOLD_EVERY_SECONDS = 1.0


class DayNotOver(DomainError):
    """In production a day is closed after it has passed on the calendar."""

    code = "day_not_over"
    status = 409
    message = "This day has not passed yet."


async def close_days(settings: Settings, through: date | None) -> Outcome:
    """Close every day up to this one, by default up to yesterday. Raises `DayNotOver`, and what `end_of_day.run` does.

    Development may close any day, to see what time brings.
    """
    yesterday = business_date(utc_now(), settings.zone) - timedelta(days=1)
    if through is None:
        through = yesterday
    elif through > yesterday and not settings.is_development:
        raise DayNotOver
    async with open_resources(settings) as resources:
        return await end_of_day.run(resources, through, Told())


def sentence(outcome: Outcome) -> str:
    """What an end of day did."""
    match outcome.closed:
        case []:
            done = "no day to close"
        case [day]:
            done = f"closed {day}"
        case [first, *_, last]:
            done = f"closed {len(outcome.closed)} days, {first} to {last}"
    if not outcome.failed:
        return done
    named = "; ".join(f"{loan_id} ({error})" for loan_id, error in list(outcome.failed.items())[:10])
    return f"{done}; {len(outcome.failed)} loans could not be looked at: {named}"


class Told:
    """Progress on the standard error, at most once a second for each kind of work."""

    def __init__(self) -> None:
        self._what = ""
        self._since = self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._since, self._last = what, now, 0.0
        if now - self._last < TOLD_EVERY_SECONDS and done < total:
            return
        self._last = now
        rate = f", {done / (now - self._since):.0f}/s" if done and now > self._since else ""
        print(f"{what}: {done} of {total}{rate}", file=sys.stderr)
