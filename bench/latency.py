"""How long an event takes from its commit to the broker's confirm and to CouchDB, with 100 payments a second.

The database is asked every 2 ms which events of the payments under way are committed, and which of those are no longer
in the outbox: the relay removes a row once the broker has confirmed it. The times are those answers', so a difference
of two is wrong by no more than one such interval. That a document is visible, CouchDB's `_changes` feed tells. Beside
it stands the same from `occurred_at`, which is set before the write and therefore bounds the times from above.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles
from time import perf_counter, time
from uuid import UUID

import asyncpg
import httpx2
import orjson
import uvloop
from backend_api.outbox.envelope import event_id
from backend_api.settings import Settings

from bench import seed
from bench.load import Connection, Payments, connect
from bench.processes import Server, started
from bench.seed import Borrower
from bench.tables import owner_dsn
from bench.turns import Bench, Goal, Table

PER_SECOND = 100
CONNECTIONS = 16
CONTROL_SHARE = 0.5
"""The control runs for this part of the time: it only has to show that the measurement sees a slow relay."""
POLL_SECONDS = 0.002
DRAIN_SECONDS = 120.0
HEARTBEAT_MILLISECONDS = 100
ARRIVE_SECONDS = 15.0
BROKER_P99, COUCHDB_P99 = 50.0, 250.0
DATABASE = "business_events"

WAITING = "SELECT count(*) FROM outbox WHERE parked_at IS NULL"
COMMITTED = """
SELECT e.aggregate_id, e.sequence, e.occurred_at, o.aggregate_id IS NULL AS confirmed
  FROM events e LEFT JOIN outbox o USING (aggregate_id, sequence)
 WHERE e.aggregate_id = ANY($1) AND e.occurred_at >= $2
"""


class NotArrivedError(Exception):
    """Events did not get through in time."""


@dataclass(slots=True)
class _Journey:
    """What is known of the events of one run, by event id; times are seconds since the epoch.

    Every client is paid for at most once, so `sent` names the events that are not known to be confirmed.
    """

    begun: datetime
    sent: set[UUID] = field(default_factory=set)
    occurred: dict[str, float] = field(default_factory=dict)
    committed: dict[str, float] = field(default_factory=dict)
    confirmed: dict[str, float] = field(default_factory=dict)
    stored: dict[str, float] = field(default_factory=dict)
    watching: asyncio.Event = field(default_factory=asyncio.Event)


def tables(bench: Bench, api: Server, borrowers: Sequence[Borrower], seconds: float) -> Iterator[Table]:
    """The relay, then the control, with the consumer running beside both."""
    relay = [sys.executable, "-m", "backend_api.cli", "relay"]
    control = [sys.executable, "-m", "bench.polling_relay"]
    with started("consumer", [sys.executable, "-m", "event_consumer"], {}, bench.logs):
        lines: list[str] = []
        goals: list[Goal] = []
        for name, command, duration in (
            ("relay woken after each commit", relay, seconds),
            ("control: relay polling every second", control, seconds * CONTROL_SHARE),
        ):
            with (
                started("relay" if command is relay else "polling-relay", command, {}, bench.logs),
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                journey = runner.run(_run(bench.settings, api.port, borrowers, duration))
            lines.append(_line(name, duration, journey))
            if command is relay:
                goals = [
                    _goal("broker", _milliseconds(journey.committed, journey.confirmed), BROKER_P99),
                    _goal("CouchDB", _milliseconds(journey.committed, journey.stored), COUCHDB_P99),
                ]
    head = (
        f"{'':36}{'per s':>8}{'write':>17}{'to broker':>17}{'to CouchDB':>17}{'since occurred_at':>19}: broker, CouchDB"
    )
    notes = [head, *lines, f"p50 / p99 in ms, exact to {POLL_SECONDS * 1000:.0f} ms; how: bench/latency.py"]
    yield Table(f"Commit to broker and to CouchDB, {PER_SECOND} payments a second", [], goals, notes)


def _line(name: str, duration: float, journey: _Journey) -> str:
    spans = [
        (journey.occurred, journey.committed),
        (journey.committed, journey.confirmed),
        (journey.committed, journey.stored),
        (journey.occurred, journey.confirmed),
        (journey.occurred, journey.stored),
    ]
    figures = [f"{p50:.1f} / {p99:.1f}" for p50, p99 in (_milliseconds(*span) for span in spans)]
    return f"{name:36}{len(journey.confirmed) / duration:8.0f}" + "".join(f"{figure:>17}" for figure in figures)


def _goal(where: str, span: tuple[float, float], bound: float) -> Goal:
    return Goal(f"commit to {where}: p99 ms", span[1], bound, bound, below=True)


def _milliseconds(begun: dict[str, float], ended: dict[str, float]) -> tuple[float, float]:
    """Median and 99th percentile. The feed may tell of a document before the answer that tells of the commit."""
    cuts = quantiles([max(0.0, ended[event] - at) * 1000 for event, at in begun.items()], n=100, method="inclusive")
    return cuts[49], cuts[98]


async def _run(settings: Settings, port: int, borrowers: Sequence[Borrower], seconds: float) -> _Journey:
    journey = _Journey(datetime.now(UTC))
    count = round(PER_SECOND * seconds)
    connection = await asyncpg.connect(owner_dsn(settings))
    try:
        await _drain(connection)
        watchers = [
            asyncio.create_task(_watch_outbox(connection, journey)),
            asyncio.create_task(_watch_couchdb(journey)),
        ]
        try:
            async with asyncio.timeout(ARRIVE_SECONDS):
                await journey.watching.wait()
            await _pay(port, settings, borrowers[:count], journey)
            await _arrive(count, journey, watchers)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
    finally:
        await connection.close()
    return journey


async def _drain(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until earlier events are on their way."""
    deadline = perf_counter() + DRAIN_SECONDS
    while await connection.fetchval(WAITING):
        if perf_counter() > deadline:
            raise NotArrivedError(f"the outbox did not become empty within {DRAIN_SECONDS:.0f} s")
        await asyncio.sleep(0.1)


async def _pay(port: int, settings: Settings, borrowers: Sequence[Borrower], journey: _Journey) -> None:
    """A payment for each, at even distances however long the answers take."""
    token = seed.tokens(settings, 1)[0]
    paths = [f"/api/v1/loans/{borrower.loan_id}/payments" for borrower in borrowers]
    requests = Payments(paths, [token]).requests(0, 1)
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await connect(port))

    async def send(connection: Connection, request: bytes) -> None:
        answer = await connection.exchange(request)
        if answer.status != 201:
            raise seed.RefusedError(f"a payment answered {answer.status}: {answer.body.decode()}")
        idle.put_nowait(connection)

    begun = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, borrower in enumerate(borrowers):
            await asyncio.sleep(begun + number / PER_SECOND - perf_counter())
            journey.sent.add(UUID(borrower.client_id))
            group.create_task(send(await idle.get(), next(requests)))
    while not idle.empty():
        idle.get_nowait().close()


async def _watch_outbox(connection: "asyncpg.Connection[asyncpg.Record]", journey: _Journey) -> None:
    while True:
        rows = await connection.fetch(COMMITTED, list(journey.sent), journey.begun) if journey.sent else []
        seen = time()
        for row in rows:
            event = event_id(row["aggregate_id"], row["sequence"])
            journey.occurred[event] = row["occurred_at"].timestamp()
            journey.committed.setdefault(event, seen)
            if row["confirmed"]:
                journey.confirmed[event] = seen
                journey.sent.discard(row["aggregate_id"])
        await asyncio.sleep(POLL_SECONDS)


async def _watch_couchdb(journey: _Journey) -> None:
    environment = os.environ
    async with httpx2.AsyncClient(
        base_url=f"http://{environment['COUCHDB_HOST']}:{environment['COUCHDB_PORT']}",
        auth=(environment["COUCHDB_USER"], environment["COUCHDB_PASSWORD"]),
        # Compressed, the lines would wait for one another.
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(5.0, read=None),
    ) as client:
        options: dict[str, str | int] = {"feed": "continuous", "since": "now", "heartbeat": HEARTBEAT_MILLISECONDS}
        async with client.stream("GET", f"/{DATABASE}/_changes", params=options) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                # The first heartbeat tells that the feed is open.
                journey.watching.set()
                if line:
                    journey.stored.setdefault(orjson.loads(line)["id"], time())


async def _arrive(count: int, journey: _Journey, watchers: Sequence["asyncio.Task[None]"]) -> None:
    """Wait until every event was seen at both ends."""
    deadline = perf_counter() + ARRIVE_SECONDS
    while len(journey.confirmed) < count or not journey.confirmed.keys() <= journey.stored.keys():
        for watcher in watchers:
            if watcher.done():
                watcher.result()
        if perf_counter() > deadline:
            missing = count - len(journey.confirmed), len(journey.confirmed.keys() - journey.stored.keys())
            raise NotArrivedError(f"{missing[0]} of {count} events were not confirmed, {missing[1]} not in CouchDB")
        await asyncio.sleep(0.05)
