"""CouchDB or the broker away, slow, or lying: nothing is lost, nothing is parked, nothing spins."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiormq
import pytest
from aio_pika.abc import AbstractConnection
from event_consumer.envelope import Reason
from event_consumer.handler import Consumer

from tests.consumer.naive import AcknowledgesFirst, BelievesTheStatus, Requeues
from tests.consumer.stack import Condition, Running, Stack, consuming, envelope, envelopes, eventually
from tests.support.proxy import Mode, Proxy

Connect = Callable[[], Awaitable[AbstractConnection]]


def away(running: Running, part: str = "couchdb") -> Condition:
    async def is_away() -> bool:
        return getattr(running.health, part) is not None

    return is_away


def ready(running: Running) -> Condition:
    async def is_ready() -> bool:
        return running.health.report()[0] == 200

    return is_ready


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HANG, Mode.DROP_REPLIES])
async def test_events_of_an_outage_are_stored_after_it(stack: Stack, couchdb_proxy: Proxy, mode: Mode) -> None:
    before, during, after = envelopes(50), envelopes(500), envelopes(50)
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await stack.publish(before)
        await eventually(lambda: stack.holds(before))
        await couchdb_proxy.become(mode)
        await stack.publish(during)
        await eventually(away(running))
        # Away means: off the queue, and every message back in it.
        await eventually(lambda: has_waiting(stack, 500))
        tried = couchdb_proxy.connections
        await asyncio.sleep(2)  # the outage itself
        assert couchdb_proxy.connections - tried < 12
        await couchdb_proxy.become(Mode.PASS)
        returned = time.monotonic()
        await eventually(ready(running), 3)
        await stack.publish(after)
        await eventually(lambda: stack.holds(before + during + after))
        assert time.monotonic() - returned < 10
    assert running.health.done["parked"] == 0
    assert await stack.parked() == []


async def has_waiting(stack: Stack, count: int) -> bool:
    return await stack.waiting() == count


async def test_control_acknowledging_first_loses_events(stack: Stack, couchdb_proxy: Proxy) -> None:
    during, after = envelopes(50), envelopes(5)
    async with consuming(stack, consumer=AcknowledgesFirst, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        await couchdb_proxy.become(Mode.REFUSE)
        await stack.publish(during)

        async def all_tried() -> bool:
            return running.health.done["retried"] == 50

        await eventually(all_tried)
        await couchdb_proxy.become(Mode.PASS)
        await stack.publish(after)
        await eventually(lambda: stack.holds(after))
    assert await stack.waiting() == 0
    assert await stack.holds(after)  # and nothing of the 50


async def redeliveries(stack: Stack, couchdb_proxy: Proxy, consumer: type[Consumer], tries: int = 0) -> int:
    """How often a message was delivered in vain during two seconds without CouchDB, or longer: until CouchDB was tried
    to be reached so many times."""
    async with consuming(stack, consumer=consumer, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        await couchdb_proxy.become(Mode.REFUSE)
        known = couchdb_proxy.connections
        await stack.publish([envelope()])
        await asyncio.sleep(2)  # the outage itself

        async def tried() -> bool:
            return couchdb_proxy.connections - known >= tries

        await eventually(tried)
    [message] = await stack.take(stack.topology.queue)
    return int(str(message.headers.get("x-delivery-count", 0)))


async def test_an_outage_costs_one_delivery(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await redeliveries(stack, couchdb_proxy, Consumer) <= 1


async def test_control_requeueing_comes_near_the_delivery_limit(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await redeliveries(stack, couchdb_proxy, Requeues, tries=25) > 20


@pytest.mark.parametrize(
    "status", [b"500 Internal Server Error", b"503 Service Unavailable", b"507 Insufficient Storage", b"404 Not Found"]
)
async def test_an_error_for_the_whole_batch_is_an_outage(stack: Stack, couchdb_proxy: Proxy, status: bytes) -> None:
    sent = envelopes(100)
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        # /_up still says 200: only offering the events again proves that the trouble is over.
        couchdb_proxy.on_reply = lambda data: data.replace(b"201 Created", status)
        await stack.publish(sent)
        await eventually(away(running))
        await eventually(lambda: has_waiting(stack, 100))
        couchdb_proxy.on_reply = None
        await eventually(ready(running), 3)
        await eventually(lambda: stack.holds(sent))
    assert running.health.done["parked"] == 0


async def after_accepted(stack: Stack, couchdb_proxy: Proxy, consumer: type[Consumer]) -> tuple[int, int]:
    """CouchDB says 202 and forgets: how many of 50 events are stored, and how many still wait, after a while."""
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
    async with consuming(stack, consumer=consumer, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        couchdb_proxy.on_request = lambda data: answer if b"_bulk_docs" in data else None
        await stack.publish(envelopes(50))

        async def offered() -> bool:
            return sum(running.health.done.values()) >= 50

        await eventually(offered)
    return len(await stack.documents()), await stack.waiting()


async def test_accepted_is_not_durable(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await after_accepted(stack, couchdb_proxy, Consumer) == (0, 50)


async def test_control_believing_202_loses_events(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await after_accepted(stack, couchdb_proxy, BelievesTheStatus) == (0, 0)


async def test_after_a_202_the_events_are_offered_again(stack: Stack, couchdb_proxy: Proxy) -> None:
    sent = envelopes(50)
    couchdb_proxy.on_reply = lambda data: data.replace(b"201 Created", b"202 Accepted")
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await stack.publish(sent)

        async def offered_again() -> bool:
            return running.health.done["retried"] >= 50

        await eventually(offered_again)
        couchdb_proxy.on_reply = None
        await eventually(lambda: stack.holds(sent))

        async def settled() -> bool:
            # Those that came after the last 202 are new; the others are found stored when they are offered again.
            done = running.health.done
            return done["stored"] + done["already_stored"] == 50 and done["already_stored"] > 0

        await eventually(settled)
    assert await stack.waiting() == 0


REFUSES_LARGE_AMOUNTS = """function (document) {
  if (document.payload && document.payload.amount === '9500.00') { throw({forbidden: 'not now'}); }
}"""


async def test_a_row_that_fails_is_offered_again_while_the_others_flow(stack: Stack) -> None:
    design = f"/{stack.database}/_design/rule"
    made = await stack.admin.put(design, json={"validate_doc_update": REFUSES_LARGE_AMOUNTS})
    failing = [envelope(payload={"amount": "9500.00"}) for _ in range(3)]
    flowing = envelopes(500)
    async with consuming(stack) as running:
        await stack.publish([*flowing[:10], *failing, *flowing[10:]])
        await eventually(lambda: stack.holds(flowing))

        async def tried_often() -> bool:
            return running.health.done["retried"] >= 12

        await eventually(tried_often)
        assert await stack.holds(flowing)
        (await stack.admin.delete(design, params={"rev": made.json()["rev"]})).raise_for_status()
        await eventually(lambda: stack.holds(flowing + failing))
    assert running.health.done["parked"] == 0
    assert await stack.waiting() == 0


async def test_a_batch_that_is_too_large_is_halved(stack: Stack, couchdb_proxy: Proxy) -> None:
    small, large = envelopes(120), envelope(payload={"text": "x" * 60_000})
    refused = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    sizes: list[int] = []

    def limit(data: bytes) -> bytes | None:
        head = re.match(rb"POST [^ ]*/_bulk_docs .*?content-length: (\d+)", data, re.DOTALL | re.IGNORECASE)
        if head is None:
            return None
        sizes.append(int(head[1]))
        return refused if int(head[1]) > 20_000 else None

    couchdb_proxy.on_request = limit
    await stack.publish([*small[:60], large, *small[60:]])
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await eventually(lambda: stack.holds(small))

        async def parked() -> bool:
            return running.health.done["parked"] == 1

        await eventually(parked)
    assert max(sizes) > len(json.dumps(large)) + 2_000, "the large one never came together with others"
    [message] = await stack.parked()
    assert (message.message_id, message.headers["x-parked-reason"]) == (large["event_id"], Reason.REFUSED_BY_COUCHDB)
    assert await stack.waiting() == 0


@pytest.mark.parametrize("status", [b"400 Bad Request", b"413 Payload Too Large"])
async def test_a_server_that_refuses_everything_parks_nothing(
    stack: Stack, couchdb_proxy: Proxy, status: bytes
) -> None:
    sent = envelopes(20)
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        couchdb_proxy.on_reply = lambda data: data.replace(b"201 Created", status)
        await stack.publish(sent)
        await eventually(away(running))
        assert "refuses even an empty request" in str(running.health.couchdb)
        await eventually(lambda: has_waiting(stack, 20))
        couchdb_proxy.on_reply = None
        await eventually(lambda: stack.holds(sent))
    assert running.health.done["parked"] == 0


async def test_a_lost_broker_connection_is_made_anew(stack: Stack, broker_proxy: Proxy) -> None:
    sent = envelopes(1500)
    async with consuming(stack, rabbitmq_port=broker_proxy.port) as running:
        for start in range(0, 1500, 300):
            await stack.publish(sent[start : start + 300])
            broker_proxy.cut()
        await eventually(lambda: stack.holds(sent))
        await broker_proxy.become(Mode.REFUSE)
        await eventually(away(running, "broker"))
        more = envelopes(50)
        await stack.publish(more)
        await broker_proxy.become(Mode.PASS)
        await eventually(ready(running), 5)
        await eventually(lambda: stack.holds(sent + more))
    assert await stack.parked() == []
    assert await stack.waiting() == 0


async def test_a_connection_lost_before_it_had_a_channel_is_made_anew(stack: Stack, broker_proxy: Proxy) -> None:
    sent, lost = envelopes(1), 0

    class LosesTheFirst(Consumer):
        def __init__(self, connect: Connect, *more: Any) -> None:
            async def lose_the_first() -> AbstractConnection:
                nonlocal lost
                connection = await connect()
                if not lost:
                    lost += 1
                    broker_proxy.cut()
                    assert connection.transport is not None
                    await eventually(is_closed(connection.transport.connection))
                return connection

            super().__init__(lose_the_first, *more)

    await stack.publish(sent)
    async with consuming(stack, consumer=LosesTheFirst, rabbitmq_port=broker_proxy.port):
        await eventually(lambda: stack.holds(sent))
    assert lost


async def test_a_connection_lost_while_a_channel_is_opened_is_made_anew(stack: Stack) -> None:
    sent, closing = envelopes(1), set[asyncio.Task[None]]()

    class LosesTheFirst(Consumer):
        def __init__(self, connect: Connect, *more: Any) -> None:
            async def lose_the_first() -> AbstractConnection:
                connection = await connect()
                if not closing:
                    assert connection.transport is not None
                    # What the client does when its reader comes to an end without an error; it gives no reason then.
                    closing.add(asyncio.create_task(connection.transport.connection.close(None)))
                return connection

            super().__init__(lose_the_first, *more)

    await stack.publish(sent)
    async with consuming(stack, consumer=LosesTheFirst):
        await eventually(lambda: stack.holds(sent))
    assert len(closing) == 1


def is_closed(connection: aiormq.abc.AbstractConnection) -> Condition:
    async def closed() -> bool:
        return connection.is_closed

    return closed


async def test_a_broker_that_drops_replies_loses_nothing(stack: Stack, broker_proxy: Proxy) -> None:
    sent = envelopes(300)
    async with consuming(stack, rabbitmq_port=broker_proxy.port) as running:
        await eventually(ready(running))
        await stack.publish(sent[:100])
        await broker_proxy.become(Mode.HANG)
        await stack.publish(sent[100:])
        await asyncio.sleep(0.5)  # acknowledgements get stuck on their way
        broker_proxy.cut()
        await broker_proxy.become(Mode.PASS)
        await eventually(lambda: stack.holds(sent))
    await eventually(lambda: has_waiting(stack, 0))


async def test_the_broker_and_couchdb_may_come_later(stack: Stack, broker_proxy: Proxy, couchdb_proxy: Proxy) -> None:
    sent = envelopes(100)
    await stack.publish(sent)
    await broker_proxy.become(Mode.REFUSE)
    await couchdb_proxy.become(Mode.REFUSE)
    async with consuming(stack, rabbitmq_port=broker_proxy.port, couchdb_port=couchdb_proxy.port) as running:

        async def tried() -> bool:
            return broker_proxy.connections >= 3

        await eventually(tried)
        assert running.health.report()[0] == 503
        await broker_proxy.become(Mode.PASS)

        async def tried_couchdb() -> bool:
            return couchdb_proxy.connections >= 3

        await eventually(tried_couchdb)
        assert running.health.broker is None
        assert "not reachable" in str(running.health.couchdb)
        await couchdb_proxy.become(Mode.PASS)
        await eventually(lambda: stack.holds(sent))


async def test_the_connection_may_be_lost_while_couchdb_is_away(
    stack: Stack, broker_proxy: Proxy, couchdb_proxy: Proxy
) -> None:
    sent = envelopes(100)
    async with consuming(stack, rabbitmq_port=broker_proxy.port, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        await couchdb_proxy.become(Mode.REFUSE)
        await stack.publish(sent)
        await eventually(away(running))
        connections = broker_proxy.connections
        broker_proxy.cut()

        async def connected_again() -> bool:
            return broker_proxy.connections > connections and running.health.broker is None

        await eventually(connected_again)
        await couchdb_proxy.become(Mode.PASS)
        await eventually(lambda: stack.holds(sent))


@pytest.mark.parametrize("mode", [Mode.DELAY, Mode.HANG])
async def test_a_stop_finishes_the_batch_in_hand_but_not_for_ever(
    stack: Stack, couchdb_proxy: Proxy, mode: Mode
) -> None:
    sent = envelopes(30)
    async with consuming(stack, couchdb_port=couchdb_proxy.port) as running:
        await eventually(ready(running))
        couchdb_proxy.delay = 0.5
        await couchdb_proxy.become(mode)
        offered = asyncio.Event()

        def notice(data: bytes) -> None:
            if b"_bulk_docs" in data:
                offered.set()

        couchdb_proxy.on_request = notice
        await stack.publish(sent)
        await eventually(lambda: has_waiting(stack, 0))
        if mode is Mode.DELAY:
            # A batch that is in hand, and not only its messages.
            await asyncio.wait_for(offered.wait(), 10)
        began = time.monotonic()
        running.stopping.set()
        await asyncio.wait_for(asyncio.shield(running.task), 8)
        assert time.monotonic() - began < 6
    stored = len(await stack.documents())
    # What was in hand is stored and acknowledged, what was not yet looked at is back in the queue.
    await eventually(lambda: has_waiting(stack, 30 - stored))
    assert (stored > 0) is (mode is Mode.DELAY)
