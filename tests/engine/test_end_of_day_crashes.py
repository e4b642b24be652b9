"""An end of day that is killed wherever, again and again, leaves the same books as one that ran through."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest
from backend_api.db.pools import Connection

from tests.engine.conftest import STACK, copy, lending
from tests.support.postgres import connect_as_owner
from tests.support.processes import process, run_command, try_command
from tests.support.waiting import eventually

KILLS = int(os.environ.get("END_OF_DAY_KILLS", "10"))
CLIENTS = 30
DAYS = 45
"""Installments of the weekly loans become overdue on nearly all of them."""

STEPS = ("clients looked at", "loans measured")
MOMENT = 0.03
"""Seconds in which a day of this size is closed, or nearly."""

# Everything that a day leaves behind, without what says when and by which process it was written.
BOOKS = {
    "loans": "SELECT folio, status, current_balance, account, next_due_on, next_change_on, stage FROM loans",
    "entries": "SELECT e.posted_on, e.kind, e.product, p.line, p.account, p.amount, e.movement_id IS NULL AS of_day "
    "FROM ledger_entries e JOIN postings p ON p.entry_id = e.id",
    "totals": "SELECT * FROM daily_totals",
    "days": "SELECT business_date, totals, event_sequence FROM day_closes",
    "events": "SELECT aggregate_type, event_type, payload, sequence, CASE aggregate_type WHEN 'day' THEN NULL "
    "ELSE aggregate_id END AS of FROM events",
    "business day": "SELECT business_date FROM business_day",
    "failures": "SELECT * FROM day_close_failures",
}


async def books(owner: Connection) -> dict[str, list[str]]:
    """All of it, in an order of its own."""
    return {name: sorted(str(tuple(row)) for row in await owner.fetch(query)) for name, query in BOOKS.items()}


@asynccontextmanager
async def copied(server: Connection, original: str) -> AsyncIterator[tuple[str, Connection]]:
    """A copy of a database that nobody is connected to, and its owner's connection."""
    name = await copy(server, original)
    owner = await connect_as_owner(STACK.model_copy(update={"postgres_db": name}))
    try:
        yield name, owner
    finally:
        await owner.close()


@pytest.mark.timeout(60 + 6 * KILLS)
async def test_killed_at_random_and_run_again_the_books_are_those_of_one_run(
    server: Connection, pattern: str, tmp_path: Path
) -> None:
    async with portfolio(server, pattern) as (original, through):
        async with copied(server, original) as (name, owner):
            await end_of_day(name, through, tmp_path)
            expected = await books(owner)
        assert len(expected["days"]) == DAYS
        async with copied(server, original) as (name, owner):
            closed = [0]
            for number in range(KILLS):
                ahead = random.randint(0, max(DAYS - 1 - closed[-1], 0) // (KILLS - number))
                day = through - timedelta(days=DAYS - 1 - closed[-1] - ahead)
                await end_of_day(name, through, tmp_path, kill_at=f"{day}: {random.choice(STEPS)}")
                await eventually(partial(is_alone, owner))
                closed.append(await owner.fetchval("SELECT count(*) FROM day_closes"))
            assert sum(days < DAYS for days in closed) > KILLS / 3, f"too few have found it at work: {closed}"
            await end_of_day(name, through, tmp_path)
            assert await books(owner) == expected


async def test_two_at_once_leave_the_books_of_one(server: Connection, pattern: str) -> None:
    async with portfolio(server, pattern) as (original, through):
        async with copied(server, original) as (name, owner):
            await run_command("-m", "backend_api.cli", "eod", "--date", str(through), POSTGRES_DB=name)
            expected = await books(owner)
        async with copied(server, original) as (name, owner):
            command = ("-m", "backend_api.cli", "eod", "--date", str(through))
            ends = await asyncio.gather(*(try_command(*command, POSTGRES_DB=name) for _ in range(2)))
            assert {code for code, _ in ends} <= {0, 1}
            assert any(f"closed {DAYS} days" in said for _, said in ends), ends
            assert await books(owner) == expected


DAMAGE = (
    "UPDATE loans SET stage = 3 WHERE id = (SELECT min(id::text)::uuid FROM loans)",
    "DELETE FROM events WHERE ctid = (SELECT max(ctid) FROM events WHERE aggregate_type = 'client')",
    "INSERT INTO daily_totals SELECT posted_on + 1000, account, product, debit, credit FROM daily_totals LIMIT 1",
    "UPDATE postings SET amount = -amount WHERE entry_id = (SELECT max(id::text)::uuid FROM ledger_entries)",
    "DELETE FROM day_closes WHERE business_date = (SELECT max(business_date) FROM day_closes)",
)


async def test_control_what_a_half_done_day_leaves_is_seen(server: Connection, pattern: str) -> None:
    async with portfolio(server, pattern) as (original, through), copied(server, original) as (name, owner):
        await run_command("-m", "backend_api.cli", "eod", "--date", str(through), POSTGRES_DB=name)
        expected = await books(owner)
        await owner.execute("SET session_replication_role = replica")  # the guards of the tables look away
        for damage in DAMAGE:
            done = owner.transaction()
            await done.start()
            assert not (await owner.execute(damage)).endswith(" 0")
            assert await books(owner) != expected, damage
            await done.rollback()
        assert await books(owner) == expected


async def is_alone(owner: Connection) -> bool:
    """Whether the server has noticed that the killed process is gone: its last write may have been on its way."""
    others: int = await owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name LIKE 'sofipo%'"
    )
    return not others


async def end_of_day(database: str, through: date, folder: Path, kill_at: str | None = None) -> None:
    """Close days in a process of its own, to the end, or until some moment after it has said what to kill it at."""
    arguments = ("-m", "backend_api.cli", "eod", "--date", str(through))
    async with process(f"eod-{token_hex(4)}", *arguments, folder=folder, POSTGRES_DB=database) as running:
        if kill_at is None:
            assert await running.program.wait() == 0, running.output()
            return
        await eventually(lambda: kill_at in running.output() or not running.is_alive, 60, interval=0.002)
        await asyncio.sleep(random.uniform(0, MOMENT))


@asynccontextmanager
async def portfolio(server: Connection, pattern: str) -> AsyncIterator[tuple[str, date]]:
    """A database with loans, some of them paid, and the last of the days to close."""
    async with lending(server, pattern) as lender:
        for number in range(CLIENTS):
            weekly = {"frequency": {"unit": "week"}, "installments": number % 12 + 1}
            loan = await lender.grant(amount="12000.00", interest_rate="0.36", term_months=None, **weekly)
            if number % 3 == 0:
                await lender.pay(loan, "1500.00")
            if number % 4 == 3:
                await lender.pass_days(1)
        name = lender.resources.settings.postgres_db
        first = await lender.owner.fetchval("SELECT min(posted_on) FROM ledger_entries")
    yield name, first + timedelta(days=DAYS - 1)
