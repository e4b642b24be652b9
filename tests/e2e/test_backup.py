"""Backup, loss and restore, with the commands of docs/operations.md as they stand there, on a stack of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Any

import httpx2
import machine
import pytest
from backend_api.outbox import broker, parked
from backend_api.settings import Environment, Settings
from places import Stack

from tests.chaos import oracle
from tests.chaos.chain import client_at
from tests.support.documents import block
from tests.support.postgres import connect_as_owner
from tests.support.processes import (
    ROOT,
    api_process,
    consumer_process,
    relay_process,
    run_command,
    try_command,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)

STACK = ROOT / "local-stack" / "stack.py"
API = "/api/v1"
SECONDS = 60.0


@dataclass
class House:
    """A stack of servers with the environment its processes need, and a folder for backups and logs."""

    name: str
    environment: dict[str, str]
    folder: Path

    @property
    def settings(self) -> Settings:
        """How to reach it from here."""
        ports = ("postgres_port", "postgres_replica_port", "rabbitmq_port")
        own = {name: int(self.environment[name.upper()]) for name in ports}
        return Settings(environment=Environment.DEVELOPMENT).model_copy(update={**own, "postgres_db": "sofipo"})

    async def follow(self, name: str, **more: str) -> str:
        """Run a block of the document; what it printed."""
        path = os.pathsep.join([str(machine.postgres_folder()), str(self.folder), os.environ["PATH"]])
        given = {"STACK": self.name, "BACKUP": str(self.folder / "backup"), "DATA": str(Stack(self.name).data)}
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", block("docs/operations.md", f"tests/e2e/test_backup.py runs: {name}"),
            env={**os.environ, **self.environment, "PATH": path, **given, **more}, cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        assert process.returncode == 0, f"{name}: {errors.decode()}"
        return output.decode()

    def stack(self, *arguments: str) -> str:
        """Do something to the stack; what was printed."""
        command = [sys.executable, str(STACK), *arguments, "--name", self.name]
        done = run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def verify(self) -> tuple[int, dict[str, Any]]:
        """Exit code and findings of `sofipo verify --quick`."""
        code, output = await try_command("-m", "backend_api.cli", "verify", "--quick", "--json", **self.environment)
        return code, json.loads(output)

    def found(self, file: str) -> list[str]:
        """The ids in a file that the comparison of documents wrote."""
        return [line.split()[0] for line in (self.folder / "backup" / file).read_text().splitlines()]

    def couchdb(self) -> httpx2.AsyncClient:
        """The event database, as its administrator."""
        given = self.environment
        address = f"http://{given['COUCHDB_HOST']}:{given['COUCHDB_PORT']}/business_events"
        return httpx2.AsyncClient(
            base_url=address, auth=(given["COUCHDB_USER"], given["COUCHDB_PASSWORD"]), timeout=30.0
        )

    async def document_count(self) -> int:
        """Documents of the event database without its design document."""
        async with self.couchdb() as couchdb:
            return int((await couchdb.get("/")).raise_for_status().json()["doc_count"]) - 1

    async def ask(self, question: str, *, replica: bool = False) -> Any:
        """One value, from the primary or the replica."""
        settings = self.settings
        if replica:
            settings = settings.model_copy(update={"postgres_port": settings.postgres_replica_port})
        connection = await connect_as_owner(settings)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    async def events_are_documents(self) -> bool:
        """Whether every event is a document."""
        return bool(await self.document_count() == await self.ask("SELECT count(*) FROM events"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A stack nobody else uses."""
    house = House(f"{os.environ.get('SOFIPO_STACK_NAME', 'test')[:13]}-backup", {}, tmp_path)
    sofipo = tmp_path / "sofipo"
    sofipo.write_text(f'#!/bin/sh\nexec {sys.executable} -m backend_api.cli "$@"\n')
    sofipo.chmod(0o755)
    house.stack("reset", "--yes")
    try:
        house.stack("up", "--servers-only")
        house.environment |= dict(line.split("=", 1) for line in house.stack("env").splitlines())
        yield house
    finally:
        house.stack("reset", "--yes")


@asynccontextmanager
async def services(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """API, relay and consumer on the house's servers; calls by `admin`."""
    # Views that outlive the restore, unless it sees to them.
    given: dict[str, Any] = {**house.environment, "CACHE_TTL_SECONDS": "3600"}
    del given["CONSUMER_HEALTH_PORT"]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(consumer_process(house.folder, **given))
        await stack.enter_async_context(relay_process(house.folder, **given))
        _, address = await stack.enter_async_context(api_process(house.folder, **given))
        async with httpx2.AsyncClient(base_url=address, timeout=15.0) as anonymous:
            login = {"username": "admin", "password": "string"}
            token = (await anonymous.post(f"{API}/auth/token", data=login)).raise_for_status().json()["access_token"]
        yield await stack.enter_async_context(client_at(address, token))


async def test_what_was_backed_up_comes_back_and_what_was_not_is_found(house: House) -> None:
    await run_command("-m", "backend_api.cli", "init", **house.environment)
    async with services(house) as api:
        client, loan = await _lend(api)
        await _pay(house, api, loan, 3)
        await eventually(house.events_are_documents, SECONDS, interval=0.1)
        await eventually(lambda: _replica_has_all(house), SECONDS, interval=0.1)
        known = await house.follow("compare tables")
        code, then = await house.verify()
        assert code == 0, then
        await house.follow("back up PostgreSQL")
        # What the backup does not know, but CouchDB does.
        late = await _pay(house, api, loan, 2)
        await eventually(house.events_are_documents, SECONDS, interval=0.1)
        assert await house.follow("compare tables") != known
        await eventually(lambda: _is_cached(api, client, "49500.00"), SECONDS, interval=0.1)
    await house.follow("back up CouchDB")
    exported = await house.document_count()

    await _lose_couchdb(house)
    await house.follow("restore CouchDB")
    assert await house.document_count() == exported

    await house.follow("restore PostgreSQL")
    assert await house.follow("compare tables") == known
    replica = {"POSTGRES_PORT": house.environment["POSTGRES_REPLICA_PORT"]}
    assert await house.follow("compare tables", **replica) == known
    assert await house.ask("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)") == "00000002"
    assert await _chains_are_whole(house)
    await house.follow("compare documents")
    assert house.found("documents-without-event") == late
    assert house.found("events-without-document") == []
    code, now = await house.verify()
    assert code == 1
    lost = [(one["subject"], one["sentence"]) for check in now["checks"] for one in check["findings"]]
    assert lost == [(event, "The document belongs to no event.") for event in late]
    assert {name for name, part in now["parts"].items() if part != then["parts"][name]} == {"documents"}

    # Going on without a look at them: the next event takes a number that a document bears already, and is parked.
    async with services(house) as api:
        # Redis would still know it better.
        assert (await _debt(api, client))[0] == "49700.00"
        [next_event] = await _pay(house, api, loan, 1)
        assert next_event == late[0]
        await eventually(lambda: _parked_for(house, ["differs_from_stored"]), SECONDS, interval=0.1)
    assert "a stored document differs from its event" in (house.folder / "consumer.log").read_text()
    await house.follow("compare documents")
    assert house.found("documents-without-event") == late
    assert house.found("events-without-document") == [next_event]

    await house.follow("make the documents again")
    async with services(house) as api:
        await eventually(house.events_are_documents, SECONDS, interval=0.1)
        await run_command("-m", "backend_api.cli", "outbox", "replay", "--all", **house.environment)
        await _pay(house, api, loan, 1)
        await eventually(house.events_are_documents, SECONDS, interval=0.1)
    assert await _parked(house) == []
    await house.follow("compare documents")
    assert house.found("documents-without-event") == house.found("events-without-document") == []
    assert await _chains_are_whole(house)
    await _an_empty_stack_becomes_the_same(house)


async def _an_empty_stack_becomes_the_same(house: House) -> None:
    """What is backed up and restored into a stack that was just made has the same digest, and another one as soon as a
    row and a document are changed."""
    await eventually(lambda: _replica_has_all(house), SECONDS, interval=0.1)
    told = await house.follow("verify")
    assert "\ndigest " in told
    backup = {"BACKUP": str(house.folder / "whole")}
    await house.follow("back up PostgreSQL", **backup)
    await house.follow("back up CouchDB", **backup)
    house.stack("reset", "--yes")
    house.stack("up", "--servers-only")
    assert await house.document_count() == 0
    await house.follow("restore PostgreSQL", **backup)
    await house.follow("restore CouchDB", **backup)
    assert await house.follow("verify") == told

    _, before = await house.verify()
    await house.ask("UPDATE loans SET current_balance = current_balance - 1 RETURNING id")
    changed = await _change_a_document(house)
    code, after = await house.verify()
    assert code == 1
    found = {check["name"]: [one["subject"] for one in check["findings"]] for check in after["checks"]}
    assert (found["documents"], len(found["loans"]), found["events"]) == ([changed], 1, [])
    assert after["digest"] != before["digest"]


async def _change_a_document(house: House) -> str:
    """Do what nobody can while the rule stands; the id."""
    async with house.couchdb() as couchdb:
        rule = (await couchdb.get("/_design/immutable")).raise_for_status().json()
        (await couchdb.delete("/_design/immutable", params={"rev": rule["_rev"]})).raise_for_status()
        rows = (await couchdb.get("/_all_docs", params={"include_docs": "true"})).raise_for_status().json()["rows"]
        document: dict[str, Any] = rows[0]["doc"]
        answer = await couchdb.put(f"/{document['_id']}", json={**document, "actor": "somebody else"})
        answer.raise_for_status()
    return str(document["_id"])


async def _lend(api: httpx2.AsyncClient) -> tuple[str, str]:
    """The ids of a new client and a loan."""
    person = {"full_name": "Carlos Perez", "email": "carlos.perez@example.com", "rfc": "PEPJ800101HNE"}
    client = (await api.post(f"{API}/clients", json=person)).raise_for_status().json()
    terms = {"client_id": client["id"], "amount": "50000.00", "interest_rate": "0.15", "term_months": 24}
    loan = (await api.post(f"{API}/loans", json=terms)).raise_for_status().json()
    return client["id"], loan["id"]


async def _pay(house: House, api: httpx2.AsyncClient, loan: str, times: int) -> list[str]:
    """Pay so many times; the ids of the events."""
    ids = []
    for _ in range(times):
        answer = await api.post(f"{API}/loans/{loan}/payments", json={"amount": "100.00"})
        payment = answer.raise_for_status().json()["id"]
        ids.append(await house.ask(
            "SELECT format('%s:%s', aggregate_id, lpad(sequence::text, 12, '0')) FROM events "
            f"WHERE entity_id = '{payment}'"
        ))  # fmt: skip
    return ids


async def _debt(api: httpx2.AsyncClient, client: str) -> tuple[str, str]:
    """What the client owes, and whether the cache knew it."""
    answer = (await api.get(f"{API}/clients/{client}/balance")).raise_for_status()
    return answer.json()["total_debt"], answer.headers["X-Cache"]


async def _is_cached(api: httpx2.AsyncClient, client: str, debt: str) -> bool:
    return await _debt(api, client) == (debt, "hit")


async def _lose_couchdb(house: House) -> None:
    async with house.couchdb() as couchdb:
        (await couchdb.delete("")).raise_for_status()


async def _replica_has_all(house: House) -> bool:
    """Whether the replica has replayed what the primary has written."""
    written = await house.ask("SELECT pg_current_wal_flush_lsn()::text")
    return bool(await house.ask(f"SELECT pg_last_wal_replay_lsn() >= '{written}'", replica=True))


async def _chains_are_whole(house: House) -> bool:
    """Whether everybody's events are numbered without a gap, linked by hash, and have the hash of their content."""
    connection = await connect_as_owner(house.settings)
    rows = await connection.fetch("SELECT * FROM events ORDER BY aggregate_id, sequence")
    await connection.close()
    heads: dict[Any, tuple[int, str]] = {}
    for row in rows:
        sequence, head = heads.get(row["aggregate_id"], (0, oracle.FIRST_PREV_HASH))
        document = oracle.envelope(dict(row))
        if (row["sequence"], document["prev_hash"]) != (sequence + 1, head):
            return False
        if document["hash"] != oracle.content_hash(document):
            return False
        heads[row["aggregate_id"]] = (row["sequence"], document["hash"])
    return bool(rows)


async def _parked_for(house: House, reasons: list[str]) -> bool:
    return await _parked(house) == reasons


async def _parked(house: House) -> list[str]:
    """Why messages are parked; they stay where they are."""
    found = await parked.parked_messages(broker.url(house.settings), limit=100)
    return [message.reason for message in found]
