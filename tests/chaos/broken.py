"""The services with one mechanism taken out: each is a control that has to fail where the real one holds."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any
from unittest.mock import patch

import aio_pika
import backend_api.app
import event_consumer.__main__
from aio_pika.exceptions import AMQPError
from backend_api import opening
from backend_api.cache import clients as cache
from backend_api.cli import commands
from backend_api.http import write
from backend_api.outbox.broker import EXCHANGE
from backend_api.reads import Reads
from backend_api.relay import queries
from backend_api.relay.publisher import Publisher
from backend_api.relay.rounds import Rounds
from event_consumer import app as consumer_app
from event_consumer.documents import Verdict
from event_consumer.envelope import Event
from fastapi import FastAPI

from tests.consumer.naive import AcknowledgesFirst


class _RemovesFirst(Rounds):
    """Takes events off the outbox before they are published, and does not look back."""

    async def _send(self, rows: Sequence[Any]) -> None:
        keys = [(row["aggregate_id"], row["sequence"]) for row in rows]
        await queries.remove(self._connection, self._epoch, keys)
        await asyncio.sleep(0.05)  # so that a kill at random falls here
        messages = [message for row in rows if (message := await self._encode(row)) is not None]
        await self._publisher.publish(messages)


class _DoesNotWait(Publisher):
    """Tries to reach the broker once, and goes on without it."""

    async def connect(self) -> None:
        if self._channel is None or self._channel.is_closed:
            with suppress(AMQPError, OSError, TimeoutError):
                await self._open()


def relay_that_removes_first() -> None:
    """A relay that deletes what it is going to send, whether there is a broker or not."""
    with patch("backend_api.relay.app.Rounds", _RemovesFirst), patch("backend_api.relay.app.Publisher", _DoesNotWait):
        commands.relay()


class _BelievesReturns(Publisher):
    """Uses the client library's defaults: a message that came back counts as delivered."""

    async def _open(self) -> None:
        await self.close()
        self._connection = await aio_pika.connect(self._url)
        self._channel = await self._connection.channel(publisher_confirms=True)
        self._exchange = await self._channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)


def relay_that_believes_returns() -> None:
    """A relay that takes an unroutable message for a delivered one."""
    with patch("backend_api.relay.app.Publisher", _BelievesReturns):
        commands.relay()


class _AcknowledgesFirst(AcknowledgesFirst):
    """Takes its time between the two, so that a kill at random falls there."""

    async def _store(self, events: Sequence[Event]) -> dict[str, Verdict]:
        if events:
            await asyncio.sleep(0.3)
        return await super()._store(events)


def consumer_that_acknowledges_first() -> None:
    """A consumer that lets go of a message before its document is durable."""
    with patch.object(consumer_app, "Consumer", _AcknowledgesFirst):
        event_consumer.__main__.main()


def api_without_lsn_fence() -> FastAPI:
    """An API that reads from the replica however far it is behind."""
    Reads._replica_serves = lambda *_: True  # type: ignore[method-assign]  # this is the sabotage
    return backend_api.app.create_app()


DELETE = """
for i = 1, #KEYS - (ARGV[#ARGV]:sub(1, 1) == 'L' and 1 or 0) do redis.call('DEL', KEYS[i]) end
if ARGV[#ARGV]:sub(1, 1) == 'L' then redis.call('SET', KEYS[#KEYS], ARGV[#ARGV], 'EX', 60) end
return 1
"""
STORE = "redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) return 1"


def api_that_only_deletes() -> FastAPI:
    """An API whose cache forgets a changed client and then takes whatever it is given."""
    for original, replacement in ((cache.ANNOUNCE, DELETE), (cache.FILL, STORE)):
        cache._SHA[original] = sha1(replacement.encode(), usedforsecurity=False).hexdigest()
    for module in (opening, cache):
        module.SCRIPTS = (DELETE, STORE, cache.STANDING)  # type: ignore[attr-defined]  # this is the sabotage
    return backend_api.app.create_app()


def api_that_forgets_doubt() -> FastAPI:
    """An API that does again whatever it has heard nothing of."""
    write.FIND_EVENT = "SELECT $1::uuid IS NULL AND $2::bigint IS NULL AND $3::bytea IS NULL"
    return backend_api.app.create_app()
