"""From the queue into CouchDB: batches, verdicts, acknowledgements, parking, and what happens in an outage.

The promise: a message is acknowledged only when its event is durable in CouchDB or its copy is durable in the parked
queue. Everything else may happen twice, because a document's `_id` is the id of its event.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.abc import DeliveredMessage

from event_consumer.couchdb import BatchRefused, CouchDB, CouchDBAway
from event_consumer.documents import DURABLE, Verdict, compare, document, read_rows
from event_consumer.envelope import Event, Poison, Reason, parse
from event_consumer.health import Health
from event_consumer.topology import Topology, declare

PREFETCH = 400
BATCH_SIZE = 200
BATCH_SECONDS = 0.010
FINISH_SECONDS = 5.0
_BROKER_SECONDS = 5.0
_CLOSE_SECONDS = 2.0

# All the ways in which a broker is away; AMQPError covers nacks and returned messages as well.
BROKER_TROUBLE = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)

log = structlog.get_logger()


class ConsumingEnded(AMQPError):
    """The broker ended the subscription, the channel or the connection."""


@dataclass(eq=False, slots=True)
class Delivery:
    """A message on its way into CouchDB, what was read in it, and how often that was offered in vain."""

    message: DeliveredMessage
    content: Event | Poison
    tries: int = 0


class Acknowledgements:
    """Which deliveries of one channel are settled, so that one frame can acknowledge a whole run. Pure.

    The broker numbers the deliveries of a channel 1, 2, 3 … (delivery tags).
    """

    def __init__(self) -> None:
        self._floor = 0  # every tag up to here is settled
        self._above: set[int] = set()  # settled tags beyond the first gap

    def settle(self, tags: Iterable[int]) -> list[tuple[int, bool]]:
        """The frames (tag, multiple) to send for newly settled tags. `multiple` never reaches over an open delivery."""
        new = sorted(tags)
        self._above.update(new)
        while self._floor + 1 in self._above:
            self._floor += 1
            self._above.remove(self._floor)
        run = [tag for tag in new if tag <= self._floor]
        return [(tag, True) for tag in run[-1:]] + [(tag, False) for tag in new[len(run) :]]


def backoff(tries: int) -> float:
    """Seconds to wait after so many tries in vain: 0.1 doubling up to 2, with jitter down to the half."""
    return min(0.1 * 2.0 ** min(tries, 10), 2.0) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter is no secret)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until `stopping`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


class Consumer:
    """Consumes until it is told to stop, over any number of outages of the broker and of CouchDB."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AbstractConnection]],
        couchdb: CouchDB,
        topology: Topology,
        health: Health,
    ) -> None:
        self._connect = connect
        self._couchdb = couchdb
        self._topology = topology
        self._health = health
        self._offered: list[Event] = []  # what CouchDB was last asked to store and has not answered for

    async def run(self, stopping: asyncio.Event) -> None:
        """Returns after `stopping`; connects again whenever the broker is lost."""
        tries = 0
        while not stopping.is_set():
            try:
                async with _closing(await self._connect()) as connection:
                    async with _closing(await _open(connection)) as channel, asyncio.timeout(_BROKER_SECONDS):
                        await declare(channel, self._topology)
                    self._health.broker = None
                    log.info("broker connected")
                    tries = 0
                    await self._consume_by(connection, stopping)
            except Exception as trouble:
                # The client raises a bare Exception for what waits on a connection that ends without a reason.
                if not isinstance(trouble, BROKER_TROUBLE) and type(trouble) is not Exception:
                    raise
                self._health.broker = f"away ({type(trouble).__name__})"
                log.warning("broker away", trouble=repr(trouble))
                await pause(stopping, backoff(tries))
                tries += 1

    async def _consume_by(self, connection: AbstractConnection, stopping: asyncio.Event) -> None:
        """Stretches of consuming over one connection, between the outages of CouchDB."""
        tries = 0
        while not stopping.is_set():
            try:
                await self._couchdb.up()
                # Offering again what failed is the one probe that covers login, database and disk; it harms nothing.
                await self._store(self._offered)
                self._health.couchdb = None
                log.info("couchdb ready")
                tries = 0
                await self._stretch(connection, stopping)
            except CouchDBAway as away:
                self._health.couchdb = str(away)
                if tries == 0:
                    log.warning("couchdb away", trouble=str(away), waiting=len(self._offered))
                await pause(stopping, max(backoff(tries), away.wait_seconds))
                tries += 1
            if not connection.connected.is_set():
                raise ConsumingEnded("the connection is lost")

    async def _stretch(self, connection: AbstractConnection, stopping: asyncio.Event) -> None:
        """Consumes until `stopping` (then returns) or until CouchDB or the broker is away (then raises).

        Either way the subscription is cancelled and the channel closed: what is not acknowledged goes back to the
        queue once, instead of being rejected over and over, every time nearer to the delivery limit.
        """
        inbox: asyncio.Queue[Delivery] = asyncio.Queue()
        busy = asyncio.Lock()

        async def receive(message: DeliveredMessage) -> None:
            inbox.put_nowait(Delivery(message, _read(message)))

        async with _closing(await _open(connection)) as channel:
            ended = await _ending(channel)
            await channel.set_qos(PREFETCH, timeout=_BROKER_SECONDS)
            # The layer below aio-pika's queue: without a message object and a task more per event.
            subscriptions = await channel.get_underlay_channel()
            work = asyncio.create_task(self._work(inbox, busy, channel))
            stop = asyncio.create_task(stopping.wait())
            happening: set[asyncio.Future[Any]] = {work, stop, ended}
            try:
                started = await subscriptions.basic_consume(self._topology.queue, receive, timeout=_BROKER_SECONDS)
                await asyncio.wait(happening, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    raise ConsumingEnded("the broker ended the subscription")
                await subscriptions.basic_cancel(started.consumer_tag or "", timeout=_BROKER_SECONDS)
                if not work.done():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(busy.acquire(), FINISH_SECONDS)
            finally:
                work.cancel()
                stop.cancel()
                await asyncio.gather(work, stop, return_exceptions=True)
        if not work.cancelled():
            work.result()

    async def _work(self, inbox: asyncio.Queue[Delivery], busy: asyncio.Lock, channel: AbstractChannel) -> None:
        """Settles batch after batch, `busy` while there is one in hand. Raises CouchDBAway and broker trouble."""
        acknowledgements = Acknowledgements()
        loop = asyncio.get_running_loop()
        while True:
            batch = await _take(inbox)
            async with busy:
                undecided = await self._settle(batch, acknowledgements, channel)
                for delivery in undecided:
                    loop.call_later(backoff(delivery.tries), inbox.put_nowait, delivery)
                    delivery.tries += 1
            if undecided:
                self._health.done["retried"] += len(undecided)
                log.warning("documents not durable yet", count=len(undecided))

    async def _settle(
        self, batch: Sequence[Delivery], acknowledgements: Acknowledgements, channel: AbstractChannel
    ) -> list[Delivery]:
        """Stores a batch, acknowledges what is durable, parks what can never be; returns what is to be tried again."""
        durable: list[Delivery] = []
        undecided: list[Delivery] = []
        poisonous = [(delivery, delivery.content) for delivery in batch if isinstance(delivery.content, Poison)]
        events = [(delivery, delivery.content) for delivery in batch if isinstance(delivery.content, Event)]
        verdicts = await self._store([event for _, event in events])
        for delivery, event in events:
            verdict = verdicts.get(event.hash, Verdict.UNDECIDED)
            if verdict in DURABLE:
                self._health.done[verdict] += 1
                durable.append(delivery)
            elif verdict is Verdict.DIFFERS:
                log.critical("a stored document differs from its event", event_id=event.event_id)
                differs = Poison(Reason.DIFFERS_FROM_STORED, "another content is stored under this event_id")
                poisonous.append((delivery, differs))
            elif verdict is Verdict.REFUSED:
                poisonous.append((delivery, Poison(Reason.REFUSED_BY_COUCHDB, "CouchDB takes no such document")))
            else:
                undecided.append(delivery)

        await _acknowledge(durable, acknowledgements)
        for delivery, poison in poisonous:
            await self._park(delivery.message, poison, channel)
            await _acknowledge([delivery], acknowledgements)
        return undecided

    async def _store(self, events: Sequence[Event]) -> dict[str, Verdict]:
        """Verdicts by event hash. Of several events with one id only the first is offered and the others get none.

        Raises CouchDBAway, and remembers then what was offered.
        """
        self._offered = list({event.event_id: event for event in reversed(events)}.values())
        verdicts = await self._offer(self._offered)
        self._offered = []
        return verdicts

    async def _offer(self, events: list[Event]) -> dict[str, Verdict]:
        """Verdicts by event hash for events of different ids; a batch that is refused as a whole is halved."""
        try:
            status, rows = await self._couchdb.bulk_docs([document(event) for event in events])
        except BatchRefused as refused:
            if not events:
                raise CouchDBAway("CouchDB refuses even an empty request") from refused
            if len(events) == 1:
                await self._offer([])  # a server that refuses everything is away, and this document is not to blame
                return {events[0].hash: Verdict.REFUSED}
            half = len(events) // 2
            return await self._offer(events[:half]) | await self._offer(events[half:])
        verdicts = read_rows(events, status, rows)
        occupied = [event for event in events if verdicts[event.hash] is Verdict.OCCUPIED]
        if occupied:
            stored = await self._couchdb.documents([event.event_id for event in occupied])
            verdicts |= {event.hash: compare(event, stored.get(event.event_id)) for event in occupied}
        return verdicts

    async def _park(self, message: DeliveredMessage, poison: Poison, channel: AbstractChannel) -> None:
        """Publishes a copy to the parked exchange and returns when the broker has it for good.

        One at a time: the client finds a returned message by its id, and poison may bear any id twice.
        """
        marks = {
            "x-parked-reason": poison.reason.value,
            "x-parked-detail": poison.sentence,
            "x-parked-at": datetime.now(UTC).isoformat(),
        }
        properties = message.header.properties
        copy = Message(
            message.body,
            headers={**(properties.headers or {}), **marks},
            content_type=properties.content_type,
            content_encoding=properties.content_encoding,
            message_id=properties.message_id,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        parked = await channel.get_exchange(self._topology.parked_exchange, ensure=False)
        await parked.publish(copy, message.routing_key or "", mandatory=True, timeout=_BROKER_SECONDS)
        self._health.done["parked"] += 1
        log.error(
            "message parked", reason=poison.reason.value, detail=poison.sentence, message_id=properties.message_id
        )


def _read(message: DeliveredMessage) -> Event | Poison:
    try:
        return parse(message.body, message.header.properties.message_id)
    except Poison as poison:
        return poison


async def _take(inbox: asyncio.Queue[Delivery]) -> list[Delivery]:
    """The next batch: whatever comes within BATCH_SECONDS of its first message, at most BATCH_SIZE."""
    batch = [await inbox.get()]
    with suppress(TimeoutError):
        async with asyncio.timeout(BATCH_SECONDS):
            while len(batch) < BATCH_SIZE:
                batch.append(await inbox.get())
    return batch


async def _acknowledge(deliveries: Sequence[Delivery], acknowledgements: Acknowledgements) -> None:
    messages = {delivery.message.delivery_tag or 0: delivery.message for delivery in deliveries}
    for tag, multiple in acknowledgements.settle(messages):
        await messages[tag].channel.basic_ack(tag, multiple=multiple)


async def _open(connection: AbstractConnection) -> AbstractChannel:
    """A channel on which a publish returns when it is confirmed, and raises when it is unroutable."""
    channel = connection.channel(publisher_confirms=True, on_return_raises=True)
    try:
        async with asyncio.timeout(_BROKER_SECONDS):
            await channel.initialize()
    except RuntimeError as closed:  # what the client says of a connection that was lost a moment ago
        raise ConnectionError("the connection was lost before it had a channel") from closed
    return channel


async def _ending(channel: AbstractChannel) -> asyncio.Future[None]:
    """Done as soon as the broker ends the channel or cancels its subscription (as it does when a queue is deleted)."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(*_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    channel.close_callbacks.add(end)
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(end)
    return ended


Closable = TypeVar("Closable", AbstractConnection, AbstractChannel)


@asynccontextmanager
async def _closing(resource: Closable) -> AsyncIterator[Closable]:
    """Closes a connection or channel in the end, without waiting long for a broker that does not answer."""
    try:
        yield resource
    finally:
        with suppress(*BROKER_TROUBLE):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await resource.close()
