"""What a consumer test needs of the real servers: names of its own on them, and ways to look."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from event_consumer.app import connect
from event_consumer.couchdb import CouchDB
from event_consumer.envelope import canonical
from event_consumer.handler import Consumer
from event_consumer.health import Health
from event_consumer.settings import Settings
from event_consumer.topology import Topology

from tests.support import waiting
from tests.support.golden import FIRST_PREV_HASH, rehash

Envelope = dict[str, Any]
Condition = Callable[[], Awaitable[bool]]


def envelope(number: int = 1, aggregate_id: str | None = None, **changes: Any) -> Envelope:
    """A valid envelope, whatever is changed in it (its hash is made last)."""
    aggregate = aggregate_id or str(uuid.uuid4())
    return rehash(
        {
            "event_type": "payment_registered",
            "entity_id": str(uuid.uuid4()),
            "payload": {"loan_ids": [str(uuid.uuid4())], "amount": "2500.00", "value_date": "2026-01-31"},
            "timestamp": "2026-01-31T18:00:00.123456Z",
            "schema_version": 1,
            "aggregate_type": "client",
            "aggregate_id": aggregate,
            "sequence": number,
            "actor": "user:019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c02",
            "request_id": "test",
            "traceparent": None,
            "prev_hash": FIRST_PREV_HASH,
            **changes,
        }
    )


def envelopes(count: int) -> list[Envelope]:
    """Valid envelopes of one aggregate."""
    aggregate = str(uuid.uuid4())
    return [envelope(number, aggregate) for number in range(1, count + 1)]


async def eventually(condition: Condition, seconds: float = 30.0) -> None:
    """Waits until the condition, which lives in another server, holds; fails when it does not within `seconds`."""
    await waiting.eventually(condition, seconds, interval=0.02)


@dataclass
class Stack:
    """A test's own exchange, queues and database, and the settings to reach the servers."""

    settings: Settings
    topology: Topology
    database: str
    channel: AbstractChannel
    admin: httpx2.AsyncClient
    management: httpx2.AsyncClient

    async def publish(self, sent: Iterable[Envelope]) -> None:
        """Publishes envelopes as the relay does, confirmed."""
        messages = [
            Message(
                canonical(one),
                message_id=one["event_id"],
                content_type="application/json",
                delivery_mode=DeliveryMode.PERSISTENT,
            )
            for one in sent
        ]
        exchange = await self.channel.get_exchange(self.topology.exchange, ensure=False)
        for start in range(0, len(messages), 200):
            await asyncio.gather(
                *(exchange.publish(one, "sofipo.payment.registered") for one in messages[start : start + 200])
            )

    async def publish_body(self, body: bytes, message_id: str | None, **headers: Any) -> None:
        """Publishes any bytes at all."""
        exchange = await self.channel.get_exchange(self.topology.exchange, ensure=False)
        message = Message(body, message_id=message_id, headers=headers, content_type="application/json")
        await exchange.publish(message, "sofipo.payment.registered")

    async def take(self, queue: str) -> list[AbstractIncomingMessage]:
        """Takes all that waits in a queue."""
        found = []
        handle = await self.channel.get_queue(queue, ensure=False)
        while message := await handle.get(no_ack=True, fail=False):
            found.append(message)
        return found

    async def parked(self) -> list[AbstractIncomingMessage]:
        """Takes the parked messages."""
        return await self.take(self.topology.parked_queue)

    async def waiting(self) -> int:
        """Messages that are ready in the event queue."""
        handle = await self.channel.declare_queue(self.topology.queue, passive=True)
        return handle.declaration_result.message_count or 0

    async def documents(self) -> dict[str, Envelope]:
        """The documents of the database by id, as CouchDB returns them."""
        answer = await self.admin.get(f"/{self.database}/_all_docs?include_docs=true")
        rows = answer.raise_for_status().json()["rows"]
        return {row["id"]: row["doc"] for row in rows if not row["id"].startswith("_design/")}

    async def stored(self) -> int:
        """The number of documents in the database."""
        return int((await self.admin.get(f"/{self.database}")).raise_for_status().json()["doc_count"])

    async def holds(self, sent: list[Envelope]) -> bool:
        """Whether the database holds exactly these events, unchanged and in their first revision."""
        if await self.stored() < len(sent):
            return False
        stored = await self.documents()
        wanted = {one["event_id"]: one for one in sent}
        if stored.keys() != wanted.keys():
            return False
        for event_id, document in stored.items():
            assert document.pop("_id") == event_id
            assert document.pop("_rev").startswith("1-")
            assert document == wanted[event_id]
        return True

    async def insert(self, document: Envelope) -> None:
        """Writes a document behind the consumer's back."""
        (await self.admin.put(f"/{self.database}/{document['_id']}", json=document)).raise_for_status()


@dataclass
class Running:
    """A consumer that runs in this process."""

    health: Health
    stopping: asyncio.Event
    task: asyncio.Task[None]


@asynccontextmanager
async def consuming(stack: Stack, *, consumer: type[Consumer] = Consumer, **changes: object) -> AsyncIterator[Running]:
    """Runs a consumer on the stack, with settings changed as given."""
    settings = stack.settings.model_copy(update=changes)
    health = Health()
    couchdb = CouchDB(
        settings.couchdb_host,
        settings.couchdb_port,
        settings.couchdb_consumer_user,
        settings.couchdb_consumer_password.get_secret_value(),
        stack.database,
    )
    stopping = asyncio.Event()

    task = asyncio.create_task(consumer(lambda: connect(settings), couchdb, stack.topology, health).run(stopping))
    try:
        yield Running(health, stopping, task)
    finally:
        stopping.set()
        try:
            await asyncio.wait_for(task, 20)
        finally:
            await couchdb.close()
