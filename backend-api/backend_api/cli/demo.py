"""`sofipo demo`: an invented lender with a history, for whoever wants to see something in an empty database."""

import gc
import time
from datetime import date, timedelta
from typing import Any

from backend_api.cli import initialise
from backend_api.cli.transfer import progress_bar
from backend_api.demo import lender, queries
from backend_api.demo.story import CAST, Story
from backend_api.domain.dates import business_date
from backend_api.domain.errors import DomainError
from backend_api.opening import open_resources, utc_now
from backend_api.portfolio import end_of_day
from backend_api.settings import Settings


class NotForProduction(DomainError):
    """Books of invented people."""

    code = "not_for_production"
    status = 409
    message = "Invented clients do not belong into a lender's books: this is done with ENVIRONMENT=development only."


async def fill(settings: Settings, clients: int, months: int, seed: int) -> dict[str, Any]:
    """Tell the story in the database, and what there is at its end. Raises `NotForProduction` and what the days do."""
    if not settings.is_development:
        raise NotForProduction
    story = Story(clients, months, seed, business_date(utc_now(), settings.zone))
    started = time.monotonic()
    async with open_resources(settings) as resources, end_of_day.turn(resources) as turn:
        await initialise.open_past(settings, story.first)
        gc.collect()
        gc.freeze()  # as the worker does
        with progress_bar() as bar:
            task = bar.add_task("", total=None)

            def tell(day: date, done: int, total: int) -> None:
                bar.update(task, description=day.isoformat(), completed=done, total=total)

            await lender.live(resources, turn, story, tell)
        counts = await queries.counts(turn)
    return {
        "seed": story.seed,
        "first_day": story.first.isoformat(),
        "business_date": story.until.isoformat(),
        **counts,
        "users": sorted({*lender.STAFF, *(username for _, _, username in CAST if username)}),
        "seconds": round(time.monotonic() - started, 1),
    }


def sentence(told: dict[str, Any]) -> str:
    """The same in words."""
    loans = ", ".join(f"{count} {status}" for status, count in told["loans"].items())
    took = timedelta(seconds=round(told["seconds"]))
    return (
        f"{told['clients']} clients, {sum(told['loans'].values())} loans ({loans}), "
        f"{sum(told['payments'].values())} payments, {told['events']} events, {told['days_closed']} days closed "
        f"({told['first_day']} to {told['business_date']}) in {took}\n"
        f"users, all with the password of admin: {', '.join(told['users'])}"
    )
