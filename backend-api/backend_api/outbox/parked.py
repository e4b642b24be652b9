"""What waits, what was parked, and how to try it again: in the outbox (relay) and beside the queue (consumer).

The relay parks an event that cannot be encoded, which holds back the later events of its aggregate only. The consumer
parks a message that cannot become a document. Both keep the reason, and both are replayed after a fix.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from backend_api.db.pools import Connection
from backend_api.outbox.broker import (
    CONFIRM_SECONDS,
    CONNECT_SECONDS,
    PARKED_AT_HEADER,
    PARKED_QUEUE,
    PARKED_REASON_HEADER,
    QUEUE,
)
from backend_api.outbox.envelope import event_id
from backend_api.outbox.record import Lane
from backend_api.outbox.wake import CHANNEL

STATUS = """
SELECT (SELECT count(*) FROM outbox WHERE lane = $1) AS interactive,
       (SELECT count(*) FROM outbox WHERE lane = $2) AS bulk,
       (SELECT extract(epoch FROM clock_timestamp() - min(enqueued_at))::float FROM outbox) AS oldest_seconds,
       (SELECT epoch FROM relay_lease WHERE name = 'main') AS epoch,
       (SELECT extract(epoch FROM clock_timestamp() - heartbeat_at)::float FROM relay_lease WHERE name = 'main')
           AS heartbeat_seconds
"""
EVENT_ID = """(aggregate_id || ':' || lpad(sequence::text, 12, '0')) COLLATE "C\""""
PARKED = f"""
SELECT aggregate_id, sequence, parked_at, parked_reason FROM outbox
 WHERE parked_at IS NOT NULL AND ($2::timestamptz IS NULL OR (parked_at, {EVENT_ID}) > ($2, $3::text))
 ORDER BY parked_at, {EVENT_ID} LIMIT $1
"""  # noqa: S608 - what is put in is a constant
REPLAY = f"""
WITH replayed AS (
    UPDATE outbox SET parked_at = NULL, parked_reason = NULL
     WHERE parked_at IS NOT NULL
       AND ($1::text[] IS NULL OR {EVENT_ID} = ANY($1))
    RETURNING aggregate_id, sequence)
SELECT aggregate_id, sequence, pg_notify('{CHANNEL}', '') FROM replayed ORDER BY aggregate_id, sequence
"""  # noqa: S608 - what is put in are constants


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event of the outbox that could not be encoded."""

    event_id: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How the outbox stands. Ages are seconds; None means nothing waits, or no relay ever led."""

    interactive: int
    bulk: int
    oldest_seconds: float | None
    relay_epoch: int | None
    relay_heartbeat_seconds: float | None
    parked: tuple[ParkedEvent, ...]


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message the consumer set aside. `since` is RFC 3339 text as the consumer wrote it, empty if the broker did."""

    message_id: str
    routing_key: str
    reason: str
    since: str

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands among the others."""
        return self.since, self.message_id


@dataclass(frozen=True, slots=True)
class Queue:
    """The consumer's queue: messages that wait in it, and how many consumers take them."""

    messages: int
    consumers: int


async def status(connection: Connection, limit: int = 100, after: ParkedEvent | None = None) -> OutboxStatus:
    """How many events wait in which lane, for how long, which were parked (the first `limit`, or those that follow one
    of them), and who sends them."""
    row = await connection.fetchrow(STATUS, Lane.INTERACTIVE, Lane.BULK)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    parked = await connection.fetch(PARKED, limit, *((after.since, after.event_id) if after else (None, None)))
    return OutboxStatus(
        interactive=row["interactive"],
        bulk=row["bulk"],
        oldest_seconds=row["oldest_seconds"],
        relay_epoch=row["epoch"],
        relay_heartbeat_seconds=row["heartbeat_seconds"],
        parked=tuple(
            ParkedEvent(event_id(found["aggregate_id"], found["sequence"]), found["parked_reason"], found["parked_at"])
            for found in parked
        ),
    )


async def replay_parked(connection: Connection, wanted: Collection[str] | None = None) -> list[str]:
    """Let the relay try parked events again: those of these ids, or all. The ids of those there were."""
    rows = await connection.fetch(REPLAY, None if wanted is None else list(wanted))
    return [event_id(row["aggregate_id"], row["sequence"]) for row in rows]


async def queue(url: str) -> Queue:
    """What waits for the consumer; nothing if it was never started, and so has no queue."""
    async with _channel(url) as channel:
        try:
            found = (await channel.declare_queue(QUEUE, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return Queue(0, 0)
    return Queue(found.message_count or 0, found.consumer_count or 0)


async def parked_messages(url: str, limit: int) -> list[ParkedMessage]:
    """Look at up to `limit` parked messages, told oldest first; they stay where they are. The queue takes back what was
    looked at in whatever order it likes."""
    async with _channel(url) as channel:
        found, last = [], None
        async for message in _got(channel, limit):
            found.append(_describe(message))
            last = message
        if last is not None:
            await last.nack(multiple=True, requeue=True)
    return sorted(found, key=lambda message: message.place)


async def replay_parked_messages(url: str, limit: int, wanted: Collection[str] | None = None) -> list[str]:
    """Put those of the first `limit` parked messages back into the consumer's queue that have one of these ids, or all.
    The ids of those that were moved.

    Each is published with a confirm before it is taken off the parking lot, so a crash in between leaves it in both;
    the consumer recognises what it has stored. Raises the client's error when the queue refuses one; that one stays.
    """
    async with _channel(url) as channel:
        moved = []
        # All of them first: what is parked again meanwhile has had its try.
        for message in [message async for message in _got(channel, limit)]:
            if wanted is not None and message.message_id not in wanted:
                continue  # goes back to where it was when the channel closes
            await channel.default_exchange.publish(
                aio_pika.Message(
                    message.body,
                    headers={name: value for name, value in message.headers.items() if not name.startswith("x-")},
                    content_type=message.content_type,
                    message_id=message.message_id,
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                ),
                QUEUE,
                mandatory=True,
                timeout=CONFIRM_SECONDS,
            )
            await message.ack()
            moved.append(message.message_id or "")
        return moved


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel with confirms. What was got on it and not acked goes back to its queue when it closes."""
    connection = await aio_pika.connect(url, timeout=CONNECT_SECONDS)
    async with connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _got(channel: AbstractChannel, limit: int) -> AsyncIterator[AbstractIncomingMessage]:
    """Up to `limit` parked messages. None is given back in between, or the same one would come again."""
    try:
        queue = await channel.declare_queue(PARKED_QUEUE, passive=True)
    except ChannelNotFoundEntity:  # the consumer makes the parking lot, and has never been started
        return
    for _ in range(limit):
        message = await queue.get(fail=False, timeout=CONFIRM_SECONDS)
        if message is None:
            return
        yield message


def _describe(message: AbstractIncomingMessage) -> ParkedMessage:
    headers = message.headers
    reason = headers.get(PARKED_REASON_HEADER) or headers.get("x-first-death-reason") or "unknown"
    return ParkedMessage(
        message_id=message.message_id or "",
        routing_key=message.routing_key or "",
        reason=str(reason),
        since=str(headers.get(PARKED_AT_HEADER, "")),
    )
