"""The end of day by the clock: every day that has passed is closed, and what failed is tried again."""

from collections.abc import Set
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog

from backend_api.http.resources import Resources
from backend_api.portfolio import end_of_day
from backend_api.portfolio.end_of_day import EndOfDayRunning
from backend_api.settings import Settings

log = structlog.get_logger(__name__)


def last_day_over(now: datetime, settings: Settings) -> date | None:
    """The last day to be closed at `now` (with its time zone); None when the operator closes days.

    A day is to be closed on the day after it, from END_OF_DAY_AT in the business time zone on.
    """
    at = settings.closes_days_at
    if at is None:
        return None
    local = now.astimezone(settings.zone)
    return local.date() - timedelta(days=1 if local.time() >= at else 2)


class Days:
    """Closes days, and remembers which loans it has complained about."""

    def __init__(self) -> None:
        self._failing: Set[UUID] = frozenset()

    async def close(self, resources: Resources) -> None:
        """Close what is to be closed by now; loans that failed are tried again, whatever day it is.

        Does nothing while another process closes days. Raises what `end_of_day.run` does besides.
        """
        through = last_day_over(resources.clock(), resources.settings)
        if through is None:
            return
        try:
            outcome = await end_of_day.run(resources, through, lambda *_: None)
        except EndOfDayRunning:
            return
        for day in outcome.closed:
            log.info("day_closed", day=day.isoformat())
        if outcome.failed.keys() - self._failing:
            some = {str(loan_id): error for loan_id, error in list(outcome.failed.items())[:10]}
            log.warning("loans_not_looked_at", count=len(outcome.failed), some=some)
        self._failing = frozenset(outcome.failed)
