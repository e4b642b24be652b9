"""Closing a month: nothing is posted in it any more."""

from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import date

from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http.idempotency import Answer
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.ledger import events, queries
from backend_api.ledger.schemas import PeriodOut
from backend_api.models import day_closes, ledger_periods
from backend_api.outbox.record import Origin


class DayNotClosed(DomainError):
    """The end of day has not closed the day that this needs. Facts: `day`."""

    code = "day_not_closed"
    status = 409
    message = "That day is not closed."


class PeriodAlreadyClosed(DomainError):
    """A period is closed once, and closes all before it."""

    code = "period_already_closed"
    status = 409
    message = "The period is closed already."


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"ledger_periods_period_key": PeriodAlreadyClosed}


def close_period(period: str) -> UseCase:
    """Close a month, `YYYY-MM`, and what lies before it. Raises `DayNotClosed`, `PeriodAlreadyClosed`."""
    ends_on = last_day(period)

    async def use_case(connection: Connection, origin: Origin) -> Change:
        found = await queries.period_to_close(connection, ends_on)
        if found["closed_at"] is not None:
            raise PeriodAlreadyClosed
        if found["id"] is None:
            raise DayNotClosed(day=ends_on.isoformat())
        period_id = uuid7(origin.at)
        row = {
            "id": period_id,
            "period": period,
            "ends_on": ends_on,
            "actor": origin.actor,
            "closed_at": origin.at,
        }
        return Change(
            aggregate=Aggregate("day", day_closes, found["id"], found["event_sequence"], found["chain_head"]),
            business_date=found["today"],
            inserts=[Insert(ledger_periods, [row])],
            facts=[events.period_closed(period_id, period, ends_on)],
            answer=Answer(201, PeriodOut.model_validate(row).model_dump_json().encode(), {}),
        )

    return use_case


def last_day(period: str) -> date:
    """The last day of a month, `YYYY-MM`."""
    year, month = map(int, period.split("-"))
    return date(year, month, monthrange(year, month)[1])
