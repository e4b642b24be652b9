"""The end of day: closes business dates one after the other, each in steps that may be cut off at any point.

    1  the next business date begins: from now on nothing is posted on the day
    2  what is overdue is told, client by client
    3  the portfolio is measured as it was at the end of the day
    4  one write: accruals, provisions, the day's totals, the event, and the row that says that the day is closed

Steps 1 to 3 change nothing when they are repeated, and 4 happens once. What step 3 finds depends only on what was
posted up to the day, however late it is asked and whatever moves meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson

from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection, connect
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.domain.ledger import Adjustment, adjustment
from backend_api.domain.money import ZERO
from backend_api.domain.portfolio import Figures, by_product_sheet
from backend_api.http import context
from backend_api.http.resources import Resources
from backend_api.http.write import Aggregate, Change, UseCase, carry_out
from backend_api.ledger import service as ledger
from backend_api.models import daily_totals, day_closes, ledger_entries, postings
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Lane, Origin
from backend_api.portfolio import events, overdue, queries
from backend_api.portfolio.measure import LoanRow, Measured, measure, told

ACTOR = "system:end-of-day"
CLIENTS_AT_ONCE = 100
"""Clients whose loans are looked at together."""
WRITES_AT_ONCE = 3
LOANS_AT_ONCE = 500
"""Loans that are measured together: what memory holds of a portfolio. One process does it, in 0.16 ms of CPU for a loan
(measured): others would be done sooner and take the machine from the payments that come in meanwhile."""
NOBODY = UUID(int=0)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many of it are done, and how many there are."""


class EndOfDayRunning(DomainError):
    """Another process closes days now."""

    code = "end_of_day_running"
    status = 409
    message = "Another end of day is at work."


class DayNotOpen(DomainError):
    """Days are closed in their order, and a day ends before it is closed."""

    code = "day_not_open"
    status = 409
    message = "The business date has not reached this day."


class DayAlreadyClosed(DomainError):
    """Somebody else has closed it meanwhile."""

    code = "day_already_closed"
    status = 409
    message = "The day is closed already."


@dataclass(slots=True)
class Outcome:
    """What an end of day did: the days it closed, and the loans it could not look at."""

    closed: list[date] = field(default_factory=list)
    failed: dict[UUID, str] = field(default_factory=dict)


async def run(resources: Resources, through: date, progress: Progress) -> Outcome:
    """Close every day that is not closed, up to and with `through`.

    Raises `EndOfDayRunning`, `DayNotOpen`.
    """
    async with turn(resources) as connection:
        return await close(resources, connection, through, progress)


@asynccontextmanager
async def turn(resources: Resources) -> AsyncIterator[Connection]:
    """The connection of the one process that may close days now. Raises `EndOfDayRunning`."""
    async with _connected(resources) as connection:
        if not await queries.take_turn(connection):
            raise EndOfDayRunning
        yield connection


async def close(resources: Resources, connection: Connection, through: date, progress: Progress) -> Outcome:
    """What `run` does, for who has the turn. Raises `DayNotOpen`."""
    outcome = Outcome()
    first, today = await queries.first_open_day(connection)
    if first > today:
        raise DayNotOpen
    if first > through:
        await _try_failed_again(resources, connection, first - timedelta(days=1), outcome, progress)
    for number in range((through - first).days + 1):
        await _close(resources, connection, first + timedelta(days=number), outcome, progress)
    return outcome


@asynccontextmanager
async def _connected(resources: Resources) -> AsyncIterator[Connection]:
    """A connection that waits longer than a request may."""
    connection = await connect(resources.settings, name="sofipo-eod", session=queries.SESSION)
    try:
        yield connection
    except BaseException:
        connection.terminate()  # a server that hangs would not let go of whoever is told to stop
        raise
    await connection.close()


async def _close(
    resources: Resources,
    connection: Connection,
    day: date,
    outcome: Outcome,
    progress: Progress,
) -> None:
    started_at = resources.clock()
    if await queries.end_business_date(connection, day) <= day:
        raise DayNotOpen
    failed = await _tell(resources, connection, day, progress)
    measured = await _measure(connection, day, progress)
    failed |= dict(measured.failed)
    for loan_id, error in failed.items():
        await queries.failed(connection, day, loan_id, error, resources.clock())
    await _book(resources, connection, day, started_at, measured, len(failed))
    await queries.resolved(connection, list(failed), resources.clock())
    outcome.closed.append(day)
    outcome.failed = failed


async def _try_failed_again(
    resources: Resources, connection: Connection, day: date, outcome: Outcome, progress: Progress
) -> None:
    """The day is closed, but some loans could not be looked at."""
    if not await queries.open_failures(connection):
        return
    outcome.failed = await _tell(resources, connection, day, progress)
    await queries.resolved(connection, list(outcome.failed), resources.clock())


# What is overdue.


async def _tell(resources: Resources, connection: Connection, day: date, progress: Progress) -> dict[UUID, str]:
    """Look at every loan to which the day may have done something; the ones that fail, with what was wrong."""
    client_ids = await queries.clients_to_look_at(connection, day)
    failed: dict[UUID, str] = {}
    turns = asyncio.Semaphore(WRITES_AT_ONCE)
    for start in range(0, len(client_ids), CLIENTS_AT_ONCE):
        progress(f"{day}: clients looked at", start, len(client_ids))
        some = client_ids[start : start + CLIENTS_AT_ONCE]
        silent: list[tuple[UUID, int, Mapping[str, Any]]] = []
        loud: dict[UUID, list[UUID]] = {}
        for loan in await queries.loans_to_look_at(connection, day, some):
            try:
                change = overdue.passed(loan, day)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one loan must not stop the others
                failed[loan["id"]] = told(error)
                continue
            if change.facts:
                loud.setdefault(loan["client_id"], []).append(loan["id"])
            else:
                silent.append((loan["id"], loan["version"], change.values))
        await queries.looked_at(connection, silent)
        tasks = [_tell_client(resources, client_id, day, loans, failed, turns) for client_id, loans in loud.items()]
        await asyncio.gather(*tasks)
    progress(f"{day}: clients looked at", len(client_ids), len(client_ids))
    return failed


async def _tell_client(
    resources: Resources,
    client_id: UUID,
    day: date,
    loan_ids: Sequence[UUID],
    failed: dict[UUID, str],
    turns: asyncio.Semaphore,
) -> None:
    async with turns:
        try:
            use_case = overdue.tell(client_id, day, frozenset(failed))
            await carry_out(resources, _origin(resources), use_case, lane=Lane.BULK)
        except Exception as error:  # noqa: BLE001 - nor may what is wrong with one client
            failed.update(dict.fromkeys(loan_ids, told(error)))


# The figures.


async def _measure(connection: Connection, day: date, progress: Progress) -> Measured:
    """The figures of every loan that was owed at the end of the day."""
    count = await queries.owed_loans(connection)
    whole = Measured()
    done = 0
    async for batch in _batches(connection, day):
        whole.add(measure(batch, day))
        done += len(batch)
        progress(f"{day}: loans measured", done, max(count, done))
    return whole


async def _batches(connection: Connection, day: date) -> AsyncIterator[list[LoanRow]]:
    last = NOBODY
    while rows := await queries.portfolio(connection, day, last, LOANS_AT_ONCE):
        last = rows[-1]["id"]
        moved = [row["id"] for row in rows if row["moved_since"]]
        movements = {
            loan_id: tuple(booked.movement for booked in ledger.standing(list(of_loan)))
            for loan_id, of_loan in _by_loan(await queries.movements_through(connection, moved, day) if moved else [])
        }
        yield [
            LoanRow(
                row["id"],
                row["product"],
                row["terms"],
                row["disbursed_on"],
                row["account"],
                movements.get(row["id"], ()) if row["moved_since"] else None,
            )
            for row in rows
        ]


def _by_loan(rows: Sequence[Any]) -> Iterator[tuple[UUID, Iterator[Any]]]:
    return groupby(sorted(rows, key=lambda row: row["loan_id"]), key=lambda row: row["loan_id"])


# The books.


async def _book(
    resources: Resources, connection: Connection, day: date, started_at: datetime, measured: Measured, failed: int
) -> None:
    """Close the day in one write."""
    accounts = [kind.account.code for kind in Adjustment]
    moved = await queries.day_totals(connection, day)
    before = await queries.balances_before(connection, day, accounts)
    use_case = _closing(day, started_at, measured.figures, moved, before, failed)
    try:
        await carry_out(resources, _origin(resources), use_case, CONFLICTS, lane=Lane.BULK)
    except DayAlreadyClosed:
        return


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {
    "day_closes_business_date_key": DayAlreadyClosed,
    "ledger_entries_day_key": DayAlreadyClosed,
    "daily_totals_pkey": DayAlreadyClosed,
}


def _closing(
    day: date,
    started_at: datetime,
    figures: Mapping[str, Figures],
    moved: Mapping[tuple[str, str], tuple[Decimal, Decimal]],
    before: Mapping[tuple[str, str], Decimal],
    failed: int,
) -> UseCase:
    async def use_case(connection: Connection, origin: Origin) -> Change:
        _, today = await queries.first_open_day(connection)
        if await queries.is_closed(connection, day):
            raise DayAlreadyClosed
        day_id = uuid7(origin.at)
        totals = {**by_product_sheet(figures), "loans_failed": failed}
        entries, lines, day_totals = _entries(day, figures, moved, before, origin)
        return Change(
            aggregate=Aggregate("day", day_closes, day_id, 0, GENESIS),
            business_date=today,
            values={
                "business_date": day,
                "totals": orjson.dumps(totals).decode(),
                "started_at": started_at,
                "finished_at": origin.at,
            },
            inserts=[Insert(ledger_entries, entries), Insert(postings, lines), Insert(daily_totals, day_totals)],
            facts=[events.day_closed(day_id, day, totals)],
            answer=overdue.NOTHING_TO_TELL,
        )

    return use_case


def _entries(
    day: date,
    figures: Mapping[str, Figures],
    moved: Mapping[tuple[str, str], tuple[Decimal, Decimal]],
    before: Mapping[tuple[str, str], Decimal],
    origin: Origin,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The adjustments of every product that has loans or ever had: entries, postings, and the totals of the day."""
    entries, lines = [], []
    totals = {key: [debit, credit] for key, (debit, credit) in moved.items()}
    products = sorted({*figures, *(product for _, product in (*moved, *before))})
    for product in products:
        of_product = figures.get(product, Figures())
        for kind in Adjustment:
            key = (kind.account.code, product)
            debit, credit = moved.get(key, (ZERO, ZERO))
            posted = before.get(key, ZERO) + debit - credit
            entry = adjustment(kind, of_product.target(kind), posted)
            if not entry:
                continue
            entry_id = uuid7(origin.at)
            entries.append(
                {
                    "id": entry_id,
                    "movement_id": None,
                    "kind": kind.value,
                    "product": product,
                    "posted_on": day,
                    "sequence": 1,
                    "created_at": origin.at,
                }
            )
            for number, posting in enumerate(entry, start=1):
                lines.append(
                    {"entry_id": entry_id, "line": number, "account": posting.account, "amount": posting.amount}
                )
                sums = totals.setdefault((posting.account, product), [ZERO, ZERO])
                sums[posting.amount < ZERO] += abs(posting.amount)
    rows = [
        {"posted_on": day, "account": account, "product": product, "debit": debit, "credit": credit}
        for (account, product), (debit, credit) in sorted(totals.items())
    ]
    return entries, lines, rows


def _origin(resources: Resources) -> Origin:
    return Origin(ACTOR, context.request_id(), context.current().traceparent, resources.clock())
