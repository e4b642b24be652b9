"""Publishing with certainty: a message counts as sent when the broker has said so, and only then.

Mandatory alone is not enough: by default the client reports an unroutable message as delivered. Here a returned, a
refused, an unanswered and a lost message are all told apart from a confirmed one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from backend_api.outbox.broker import CONFIRM_SECONDS, CONNECT_SECONDS, EXCHANGE
from backend_api.pacing import Complaint, backoff_seconds

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way."""

    message_id: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str]


class Outcome(Enum):
    """What became of a message. Only a confirmed one may be forgotten."""

    CONFIRMED = auto()
    UNROUTABLE = auto()
    REFUSED = auto()
    UNKNOWN = auto()


LOST_WITHOUT_A_WORD = (RuntimeError, Exception)
"""What the client raises, of just these types, when a connection was lost a moment ago, or is lost now."""


class Publisher:
    """A channel with confirms that is opened again whenever it was lost. Not for concurrent use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._unreachable = Complaint("relay_lost_broker")

    async def connect(self) -> None:
        """Return once there is an open channel; tries for ever, with growing patience."""
        attempt = 0
        while self._exchange is None or self._channel is None or self._channel.is_closed:
            try:
                await self._open()
            except (AMQPError, OSError, TimeoutError) as error:
                await self.close()
                attempt += 1
                self._unreachable.say(error=type(error).__name__)
                await asyncio.sleep(backoff_seconds(attempt))
            else:
                self._unreachable.over()

    async def publish(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Send all at once and wait for each answer; the outcomes in the order of the batch.

        After an unknown outcome the connection is given up: it may be half-open, and `connect` makes a new one.
        """
        answers = await asyncio.gather(*(self._publish(message) for message in batch), return_exceptions=True)
        outcomes = [_outcome(answer) for answer in answers]
        if Outcome.UNKNOWN in outcomes:
            await self.close()
        return outcomes

    async def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        connection, self._connection, self._channel, self._exchange = self._connection, None, None, None
        if connection is not None:
            with suppress(AMQPError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()

    async def _open(self) -> None:
        await self.close()
        async with asyncio.timeout(CONNECT_SECONDS):
            self._connection = await aio_pika.connect(self._url, client_properties={"connection_name": "sofipo-relay"})
            try:
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                # The exchange only: the queue belongs to the consumer. Without one, messages come back and are kept.
                topic = aio_pika.ExchangeType.TOPIC
                self._exchange = await self._channel.declare_exchange(EXCHANGE, topic, durable=True)
            except Exception as closed:
                if type(closed) not in LOST_WITHOUT_A_WORD:
                    raise
                raise ConnectionError("the connection was lost while it was opened") from closed

    async def _publish(self, message: Outgoing) -> None:
        if self._exchange is None:
            raise ConnectionError("the publisher is not connected")
        await self._exchange.publish(
            aio_pika.Message(
                message.body,
                message_id=message.message_id,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers=dict(message.headers),
            ),
            message.routing_key,
            mandatory=True,
            timeout=CONFIRM_SECONDS,
        )


def _outcome(answer: BaseException | None) -> Outcome:
    match answer:
        case None:
            return Outcome.CONFIRMED
        case PublishError():
            return Outcome.UNROUTABLE
        case DeliveryError():
            return Outcome.REFUSED
        case _:
            return Outcome.UNKNOWN
