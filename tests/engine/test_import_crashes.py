"""An import that is killed wherever, again and again, leaves what one that ran through leaves: nobody twice."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from backend_api.db.pools import Connection
from backend_api.imports import queries
from backend_api.imports.schemas import Mode
from backend_api.outbox import envelope

from tests.engine.conftest import lending
from tests.engine.lender import Lender, days
from tests.engine.test_end_of_day_crashes import copied, is_alone
from tests.support.builders import Json, get, new_client
from tests.support.imports import IMPORTS, ask, counts, csv_file, row
from tests.support.imports import work as work_here
from tests.support.processes import process
from tests.support.waiting import eventually

KILLS = int(os.environ.get("IMPORT_KILLS", "3"))
LINES = int(os.environ.get("IMPORT_LINES", "8000"))
BAD_EVERY = 100
LOAN_EVERY = 50
COLUMNS = ("full_name", "email", "rfc", "external_id", "opening_balance", "interest_rate", "term_months")
SECONDS_OF_A_RUN = 60 + LINES / 200

# Everything that an import leaves, without ids, moments and running numbers.
LEFT = {
    "clients": "SELECT full_name, email, rfc, external_id, status, credit_limit, event_sequence FROM clients",
    "loans": "SELECT c.rfc, l.amount, l.status, l.current_balance, l.terms, l.next_due_on FROM loans l "
    "JOIN clients c ON c.id = l.client_id",
    "postings": "SELECT c.rfc, p.line, p.account, p.amount FROM postings p JOIN ledger_entries e ON e.id = p.entry_id "
    "JOIN loan_movements m ON m.id = e.movement_id JOIN loans l ON l.id = m.loan_id "
    "JOIN clients c ON c.id = l.client_id",
    "events": "SELECT c.rfc, e.sequence, e.event_type, e.actor FROM events e "
    "LEFT JOIN clients c ON c.id = e.aggregate_id",
    "outbox": "SELECT c.rfc, o.sequence, o.lane FROM outbox o LEFT JOIN clients c ON c.id = o.aggregate_id",
    "not taken": "SELECT line, outcome, problems, record FROM import_lines",
    "taken": "SELECT a.line, c.rfc, l.amount FROM import_batches "
    "CROSS JOIN LATERAL unnest(lines, client_ids, loan_ids) AS a (line, client_id, loan_id) "
    "JOIN clients c ON c.id = a.client_id LEFT JOIN loans l ON l.id = a.loan_id AND l.client_id = c.id",
    "import": "SELECT status, lines_done, accepted, duplicates, refused, loans, event_sequence, failures FROM imports",
    "parts": "SELECT number FROM import_chunks",
}


async def left(owner: Connection) -> dict[str, list[str]]:
    """All of it, in an order of its own."""
    return {name: sorted(str(tuple(one)) for one in await owner.fetch(query)) for name, query in LEFT.items()}


async def broken_chains(owner: Connection) -> list[Any]:
    """Clients whose events are not numbered from 1 or not chained up to the head in their row."""
    heads: dict[Any, bytes] = {}
    broken = set()
    for event in await owner.fetch("SELECT * FROM events ORDER BY aggregate_id, sequence"):
        aggregate = event["aggregate_id"]
        numbered = event["prev_hash"] == heads.get(aggregate, envelope.GENESIS)
        if not numbered or event["hash"] != envelope.digest(envelope.canonical(dict(event))):
            broken.add(aggregate)
        heads[aggregate] = event["hash"]
    heads_of_rows = await owner.fetch("SELECT id, chain_head FROM clients UNION ALL SELECT id, chain_head FROM imports")
    return [*broken, *(one["id"] for one in heads_of_rows if heads[one["id"]] != one["chain_head"])]


def file(there: Json, *, clean: bool) -> bytes:
    """Clients, some with a balance; unless it is to be `clean`, every so often one who cannot be taken."""
    rows: list[dict[str, Any]] = []
    for number in range(LINES):
        one = row(external_id=token_hex(16))
        if number % LOAN_EVERY == 0:
            one |= {"opening_balance": "5000.00", "interest_rate": "0.36", "term_months": "12"}
        if not clean and number % BAD_EVERY == BAD_EVERY - 1:
            one |= ({"rfc": "nonsense"}, {"rfc": rows[number // 2]["rfc"]}, {"rfc": there["rfc"]})[number % 3]
        rows.append(one)
    return csv_file(rows, COLUMNS)


@asynccontextmanager
async def asked_for(server: Connection, pattern: str, mode: Mode) -> AsyncIterator[str]:
    """The name of a database with an import that waits."""
    async with lending(server, pattern) as lender:
        there = await new_client(lender.api)
        await ask(lender.api, file(there, clean=mode is Mode.ALL_OR_NOTHING), mode=mode.value)
        name = lender.resources.settings.postgres_db
    yield name


async def work(database: str, owner: Connection, folder: Path, *, until: int | None = None) -> None:
    """Let a worker work, to the end, or until it is killed a moment after it has written up to a line."""

    async def is_there() -> bool:
        found = await owner.fetchrow("SELECT lines_done, status, finished_at FROM imports")
        assert found is not None
        if until is None:
            return found["finished_at"] is not None and await owner.fetchval(LEFT["parts"]) is None
        return found["finished_at"] is not None or (found["status"] == "WRITING" and found["lines_done"] >= until)

    environment = {"POSTGRES_DB": database, "END_OF_DAY_AT": "never"}
    async with process(f"worker-{token_hex(4)}", "-m", "backend_api.cli", "worker", folder=folder, **environment):
        await eventually(is_there, SECONDS_OF_A_RUN, interval=random.uniform(0.001, 0.02))
    await eventually(partial(is_alone, owner))


@pytest.mark.timeout(120 + (KILLS + 3) * SECONDS_OF_A_RUN)
@pytest.mark.parametrize("mode", list(Mode))
async def test_killed_at_random_and_begun_again_an_import_leaves_what_one_run_leaves(
    mode: Mode, server: Connection, pattern: str, tmp_path: Path
) -> None:
    async with asked_for(server, pattern, mode) as original:
        async with copied(server, original) as (name, owner):
            await work(name, owner, tmp_path)
            expected = await left(owner)
        bad = 0 if mode is Mode.ALL_OR_NOTHING else LINES // BAD_EVERY
        assert len(expected["clients"]) == 1 + LINES - bad
        assert len(expected["taken"]) == LINES - bad
        assert len(expected["not taken"]) == bad
        async with copied(server, original) as (name, owner):
            stood = [0]
            for number in range(KILLS):
                ahead = random.randint(0, max(LINES - stood[-1], 0) // (KILLS - number + 1))
                await work(name, owner, tmp_path, until=stood[-1] + ahead)
                stood.append(await owner.fetchval("SELECT lines_done FROM imports"))
            assert sum(line < LINES for line in stood) > KILLS / 2, f"too few have found it at work: {stood}"
            await work(name, owner, tmp_path)
            assert await left(owner) == expected
            assert await broken_chains(owner) == []


DAMAGE = (
    "DELETE FROM clients WHERE ctid = (SELECT max(ctid) FROM clients)",
    "UPDATE clients SET external_id = 'b' WHERE ctid = (SELECT max(ctid) FROM clients)",
    "DELETE FROM events WHERE ctid = (SELECT max(ctid) FROM events WHERE event_type = 'client_created')",
    "DELETE FROM outbox WHERE ctid = (SELECT max(ctid) FROM outbox)",
    "DELETE FROM postings WHERE ctid = (SELECT max(ctid) FROM postings)",
    "UPDATE imports SET accepted = accepted + 1",
    "UPDATE import_batches SET client_ids = array_cat(client_ids[2:], client_ids[:1])",
    "UPDATE import_batches SET loan_ids = array_cat(loan_ids[2:], loan_ids[:1])",
)


async def test_control_what_a_half_done_import_leaves_is_seen(server: Connection, pattern: str, tmp_path: Path) -> None:
    async with (
        asked_for(server, pattern, Mode.ACCEPT_GOOD) as original,
        copied(server, original) as (name, owner),
    ):
        await work(name, owner, tmp_path)
        expected = await left(owner)
        await owner.execute("SET session_replication_role = replica")  # the guards of the tables look away
        for damage in DAMAGE:
            done = owner.transaction()
            await done.start()
            assert not (await owner.execute(damage)).endswith(" 0")
            assert await left(owner) != expected, damage
            await done.rollback()
        assert await left(owner) == expected
        await owner.execute("UPDATE clients SET chain_head = decode(repeat('00', 32), 'hex')")
        assert len(await broken_chains(owner)) == len(expected["clients"])


async def test_a_day_that_is_closed_meanwhile_is_not_the_day_of_what_is_written_after_it(
    new_lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(opening_balance="5000.00", interest_rate="0.36", term_months="12") for _ in range(5)]
    today = await new_lender.today()
    ask_day, asked = queries.business_date, 0

    async def overtaken(*arguments: Any) -> Any:
        nonlocal asked
        found, asked = await ask_day(*arguments), asked + 1
        if asked == 1:
            await new_lender.close_days(1)
        return found

    requested = await ask(new_lender.api, csv_file(rows, COLUMNS))
    monkeypatch.setattr(queries, "business_date", overtaken)
    await work_here(new_lender.resources)
    ended = await get(new_lender.api, f"{IMPORTS}/{requested['id']}")
    assert (counts(ended), asked) == (("COMPLETED", 5, 0, 0, 5), 2)
    disbursed = await new_lender.owner.fetch("SELECT DISTINCT disbursed_on FROM loans")
    assert [one["disbursed_on"] for one in disbursed] == [today + days(1)]
    assert await broken_chains(new_lender.owner) == []
