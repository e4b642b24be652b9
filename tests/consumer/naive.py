"""Consumers with one mechanism taken out: the controls that have to fail where the real one holds."""

from collections.abc import Sequence

from aio_pika.abc import AbstractChannel
from event_consumer.couchdb import CouchDBAway
from event_consumer.documents import Verdict, document
from event_consumer.envelope import Event, Poison
from event_consumer.handler import Acknowledgements, Consumer, Delivery


class AcknowledgesFirst(Consumer):
    """Acknowledges what it has received, then stores it."""

    async def _settle(
        self, batch: Sequence[Delivery], acknowledgements: Acknowledgements, channel: AbstractChannel
    ) -> list[Delivery]:
        for delivery in batch:
            await delivery.message.channel.basic_ack(delivery.message.delivery_tag or 0)
        try:
            await self._store([one.content for one in batch if isinstance(one.content, Event)])
        except CouchDBAway:
            self._health.done["retried"] += len(batch)  # it would, had it not told the broker to forget them
        self._offered = []
        return []


class BelievesTheStatus(Consumer):
    """Takes any 2xx of `_bulk_docs` for success of every row."""

    async def _offer(self, events: list[Event]) -> dict[str, Verdict]:
        await self._couchdb.bulk_docs([document(event) for event in events])
        return {event.hash: Verdict.STORED for event in events}


class Overwrites(Consumer):
    """Makes its document win over the one that is there."""

    async def _offer(self, events: list[Event]) -> dict[str, Verdict]:
        stored = await self._couchdb.documents([event.event_id for event in events])
        revisions = {event_id: {"_rev": found["_rev"]} for event_id, found in stored.items()}
        await self._couchdb.bulk_docs([document(event) | revisions.get(event.event_id, {}) for event in events])
        return {event.hash: Verdict.STORED for event in events}


class Requeues(Consumer):
    """Rejects into the queue what CouchDB cannot take just now, and goes on consuming."""

    async def _settle(
        self, batch: Sequence[Delivery], acknowledgements: Acknowledgements, channel: AbstractChannel
    ) -> list[Delivery]:
        try:
            return await super()._settle(batch, acknowledgements, channel)
        except CouchDBAway:
            for delivery in batch:
                await delivery.message.channel.basic_nack(delivery.message.delivery_tag or 0, requeue=True)
            return []


class StopsAtPoison(Consumer):
    """Has no place for poison: lets it fail like an outage."""

    async def _settle(
        self, batch: Sequence[Delivery], acknowledgements: Acknowledgements, channel: AbstractChannel
    ) -> list[Delivery]:
        for delivery in batch:
            if isinstance(delivery.content, Poison):
                raise CouchDBAway(str(delivery.content))
        return await super()._settle(batch, acknowledgements, channel)


class Fails(Consumer):
    """Has a fault of its own."""

    async def _settle(
        self, batch: Sequence[Delivery], acknowledgements: Acknowledgements, channel: AbstractChannel
    ) -> list[Delivery]:
        raise ZeroDivisionError
