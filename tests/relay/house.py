"""A database and a virtual host of a test's own, with writers on one side, a queue on the other, a relay between."""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from backend_api.db.pools import Connection
from backend_api.outbox import broker, envelope
from backend_api.outbox.record import Fact, Lane, Origin, seal
from backend_api.relay.app import run
from backend_api.settings import Settings

from tests.support.postgres import connect_as_owner
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[2]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT_COLUMNS = (
    "aggregate_id", "sequence", "aggregate_type", "event_type", "entity_id", "payload", "occurred_at",
    "schema_version", "actor", "request_id", "traceparent", "prev_hash", "hash",
)  # fmt: skip


@dataclass
class Arrivals:
    """What came out of the queue, in the order it came."""

    events: list[tuple[UUID, int]] = field(default_factory=list)
    at: dict[tuple[UUID, int], float] = field(default_factory=dict)
    messages: list[AbstractIncomingMessage] = field(default_factory=list)

    async def keep(self, message: AbstractIncomingMessage) -> None:
        """Take a message in."""
        assert message.message_id is not None
        aggregate, _, sequence = message.message_id.rpartition(":")
        key = (UUID(aggregate), int(sequence))
        self.events.append(key)
        self.at.setdefault(key, monotonic())
        self.messages.append(message)
        await message.ack()

    def sequences(self, aggregate_id: UUID) -> list[int]:
        """The sequences of one aggregate as they arrived first; a repetition is left out."""
        return list(dict.fromkeys(sequence for found, sequence in self.events if found == aggregate_id))

    def assert_complete_and_in_order(self, expected: Mapping[UUID, int]) -> None:
        """Each aggregate's events arrived from 1 to its last, none missing, none before its predecessor."""
        for aggregate_id, last in expected.items():
            assert self.sequences(aggregate_id) == list(range(1, last + 1))


@dataclass
class House:
    """The servers as one test sees them."""

    settings: Settings
    owner: Connection
    broker_url: str
    channel: AbstractChannel
    chains: dict[UUID, tuple[int, bytes]] = field(default_factory=dict)
    announced: list[dict[UUID, int]] = field(default_factory=list)
    announcing: Exception | None = None
    log: list[MutableMapping[str, Any]] = field(default_factory=list)

    def rows(
        self,
        aggregate_id: UUID,
        count: int = 1,
        event_type: str = "payment_registered",
        aggregate_type: str = "client",
        payload: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The next sealed events of an aggregate."""
        sequence, head = self.chains.get(aggregate_id, (0, envelope.GENESIS))
        facts = [Fact(event_type, uuid4(), payload or {"amount": "2500.00"}) for _ in range(count)]
        origin = Origin("user:test", "request-1", TRACEPARENT, datetime.now(UTC))
        rows = seal(aggregate_type, aggregate_id, sequence, head, facts, origin)
        self.chains[aggregate_id] = (rows[-1]["sequence"], rows[-1]["hash"])
        return rows

    async def insert(self, rows: Sequence[Mapping[str, Any]], lane: Lane = Lane.INTERACTIVE) -> None:
        """Commit events and their outbox rows."""
        async with self.owner.transaction():
            await self.owner.copy_records_to_table(
                "events", columns=EVENT_COLUMNS, records=[[row[name] for name in EVENT_COLUMNS] for row in rows]
            )
            await self.owner.copy_records_to_table(
                "outbox",
                columns=("aggregate_id", "sequence", "lane"),
                records=[(row["aggregate_id"], row["sequence"], int(lane)) for row in rows],
            )

    async def write(
        self, aggregates: Iterable[UUID], count: int = 1, lane: Lane = Lane.INTERACTIVE, **facts: Any
    ) -> list[tuple[UUID, int]]:
        """Commit `count` events of each aggregate; their keys."""
        rows = [row for aggregate_id in aggregates for row in self.rows(aggregate_id, count, **facts)]
        await self.insert(rows, lane)
        return [(row["aggregate_id"], row["sequence"]) for row in rows]

    def expected(self) -> dict[UUID, int]:
        """The last sequence of every aggregate written through this house."""
        return {aggregate_id: sequence for aggregate_id, (sequence, _) in self.chains.items()}

    async def waiting(self) -> int:
        """How many events are in the outbox."""
        return int(await self.owner.fetchval("SELECT count(*) FROM outbox"))

    async def is_empty(self) -> bool:
        """Whether the outbox is empty."""
        return await self.waiting() == 0

    async def epoch(self) -> int | None:
        """The epoch of the newest leader; None when there never was one."""
        found: int | None = await self.owner.fetchval("SELECT epoch FROM relay_lease")
        return found

    async def epoch_is(self, epoch: int) -> bool:
        """Whether the newest leader has this epoch."""
        return await self.epoch() == epoch

    async def sessions(self, application: str) -> set[int]:
        """The server's processes that serve sessions of this name."""
        rows = await self.owner.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()", application
        )
        return {row["pid"] for row in rows}

    async def has_leader(self) -> bool:
        """Whether a relay ever led."""
        return await self.epoch() is not None

    async def cut_sessions(self, application: str) -> set[int]:
        """End the database sessions of this name, as a server that takes them for dead does. Which they were."""
        found = await self.sessions(application)
        await self.owner.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", list(found))
        return found

    def logged(self, event: str) -> bool:
        """Whether a relay in this process has said so."""
        return any(entry["event"] == event for entry in self.log)

    def through(self, proxy: Proxy) -> str:
        """The broker's address behind a proxy."""
        return self.broker_url.replace(f":{self.settings.rabbitmq_port}/", f":{proxy.port}/")

    async def announce(self, versions: Mapping[UUID, int]) -> None:
        """Stands where the cache does in production."""
        if self.announcing is not None:
            raise self.announcing
        self.announced.append(dict(versions))

    async def bind_queue(
        self, key: str = "sofipo.#", name: str = broker.QUEUE, arguments: Mapping[str, Any] | None = None
    ) -> AbstractQueue:
        """A queue like the consumer's, with everything whose routing key fits."""
        exchange = await self.channel.declare_exchange(broker.EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await self.channel.declare_queue(
            name, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})}
        )
        await queue.bind(exchange, key)
        return queue

    async def collect(self, key: str = "sofipo.#", name: str = broker.QUEUE) -> Arrivals:
        """What comes out of such a queue from now on."""
        return await self.collect_from(await self.bind_queue(key, name))

    async def collect_from(self, queue: AbstractQueue) -> Arrivals:
        """What comes out of this queue from now on."""
        arrivals = Arrivals()
        await queue.consume(arrivals.keep)
        return arrivals

    @contextlib.asynccontextmanager
    async def relay(
        self, through: Proxy | None = None, settings: Settings | None = None
    ) -> AsyncIterator[asyncio.Event]:
        """A relay in this process; set the event to stop it."""
        url = self.broker_url if through is None else self.through(through)
        stop = asyncio.Event()
        task = asyncio.create_task(run(settings or self.settings, stop, self.announce, url))
        try:
            yield stop
        finally:
            stop.set()
            await task

    @contextlib.asynccontextmanager
    async def relay_process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A relay in a process of its own, killed in the end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.relay.process", self.broker_url,
            env={**os.environ, "ENVIRONMENT": "development", "POSTGRES_DB": self.settings.postgres_db},
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def prepare_writers(self, aggregates: Sequence[UUID]) -> None:
        """Rows to lock, and a table numbered by a sequence as a naive outbox would be."""
        await self.owner.execute(
            """CREATE TABLE heads (aggregate_id uuid PRIMARY KEY);
               CREATE TABLE by_id (id bigserial PRIMARY KEY, aggregate_id uuid, sequence bigint)"""
        )
        await self.owner.executemany("INSERT INTO heads VALUES ($1)", [(found,) for found in aggregates])

    async def write_concurrently(self, writers: int, each: int, aggregates: Sequence[UUID]) -> None:
        """Writers that lock the aggregate first and draw its sequence under the lock, as every write does.

        Each transaction stays open for a while, so commits of different aggregates overtake each other.
        """
        await asyncio.gather(*(self._write_some(each, aggregates) for _ in range(writers)))

    async def _write_some(self, count: int, aggregates: Sequence[UUID]) -> None:
        connection = await connect_as_owner(self.settings)
        try:
            for _ in range(count):
                aggregate_id = random.choice(aggregates)
                async with connection.transaction():
                    await connection.execute("SELECT FROM heads WHERE aggregate_id = $1 FOR UPDATE", aggregate_id)
                    [row] = self.rows(aggregate_id)
                    names = ", ".join(EVENT_COLUMNS)
                    places = ", ".join(f"${number}" for number in range(1, len(EVENT_COLUMNS) + 1))
                    await connection.execute(
                        f"INSERT INTO events ({names}) VALUES ({places})", *(row[name] for name in EVENT_COLUMNS)
                    )
                    key = (row["aggregate_id"], row["sequence"])
                    await connection.execute(
                        "INSERT INTO outbox (aggregate_id, sequence, lane) VALUES ($1, $2, 0)", *key
                    )
                    await connection.execute("INSERT INTO by_id (aggregate_id, sequence) VALUES ($1, $2)", *key)
                    await asyncio.sleep(random.uniform(0, 0.02))  # the transaction takes its time
        finally:
            await connection.close()
