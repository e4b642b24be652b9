"""Whatever happens to the broker: what was committed arrives, in order, once it can."""

import asyncio
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractConnection
from backend_api.outbox import broker

from tests.relay.house import House
from tests.support.proxy import Mode, Proxy
from tests.support.waiting import eventually


async def test_unroutable_events_are_kept_and_sent_when_the_queue_is_back(house: House) -> None:
    clients = [uuid4() for _ in range(30)]
    async with house.relay():
        await house.write(clients, count=2)
        await eventually(lambda: house.logged("relay_cannot_deliver"))
        assert await house.waiting() == 60
        arrivals = await house.collect()
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == 60, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())


async def test_events_that_cannot_be_routed_do_not_hold_up_those_that_can(house: House) -> None:
    arrivals = await house.collect("sofipo.loan.#")
    stuck = [uuid4() for _ in range(150)]
    await house.write(stuck, event_type="payment_registered")
    async with house.relay():
        await eventually(lambda: house.logged("relay_cannot_deliver"))
        for _ in range(20):
            [key] = await house.write([uuid4()], event_type="loan_created")
            await eventually(lambda: key in arrivals.at)  # noqa: B023 - awaited at once

        async def only_the_stuck_wait() -> bool:
            return await house.waiting() == len(stuck)

        await eventually(only_the_stuck_wait)  # the last one arrives before its row is removed
        await house.bind_queue("sofipo.#")
        await eventually(house.is_empty, seconds=30)


async def test_more_undeliverable_aggregates_than_are_remembered_are_all_sent_later(house: House) -> None:
    await house.write([uuid4() for _ in range(1300)])
    async with house.relay():
        await eventually(lambda: house.logged("relay_cannot_deliver"))
        arrivals = await house.collect()
        await eventually(lambda: len(arrivals.at) == 1300, seconds=40)


async def test_a_full_queue_keeps_events_in_the_outbox_until_there_is_room(house: House) -> None:
    queue = await house.bind_queue(arguments={"x-max-length": 5, "x-overflow": "reject-publish"})
    await house.write([uuid4()], count=60)
    async with house.relay():
        await eventually(lambda: house.logged("relay_cannot_deliver"))
        assert await house.waiting() > 0
        arrivals = await house.collect_from(queue)
        await eventually(lambda: len(arrivals.at) == 60, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())


async def test_connections_cut_under_load_lose_and_reorder_nothing(house: House) -> None:
    arrivals = await house.collect()
    clients = [uuid4() for _ in range(50)]
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy, house.relay(proxy):
        for _ in range(12):
            await house.write(clients, count=5)
            known = len(arrivals.at)
            await eventually(lambda: len(arrivals.at) > known)  # noqa: B023 - awaited at once
            proxy.cut()
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == 3000, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())


async def test_a_connection_lost_before_it_had_a_channel_is_made_anew(house: House) -> None:
    arrivals = await house.collect()
    connect, lost = aio_pika.connect, 0

    async def lose_the_first(*arguments: Any, **options: Any) -> AbstractConnection:
        nonlocal lost
        connection: AbstractConnection = await connect(*arguments, **options)
        if not lost:
            lost += 1
            proxy.cut()
            await eventually(lambda: connection.transport is not None and connection.transport.connection.is_closed)
        return connection

    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy:
        with patch.object(aio_pika, "connect", lose_the_first):
            async with house.relay(proxy):
                await house.write([uuid4()])
                await eventually(lambda: len(arrivals.at) == 1)
    assert lost


async def test_a_connection_lost_while_a_channel_is_opened_is_made_anew(house: House) -> None:
    arrivals = await house.collect()
    connect, closing = aio_pika.connect, set[asyncio.Task[None]]()

    async def lose_the_first(*arguments: Any, **options: Any) -> AbstractConnection:
        connection: AbstractConnection = await connect(*arguments, **options)
        if not closing:
            assert connection.transport is not None
            # What the client does when its reader comes to an end without an error; it gives no reason then.
            closing.add(asyncio.create_task(connection.transport.connection.close(None)))
        return connection

    with patch.object(aio_pika, "connect", lose_the_first):
        async with house.relay():
            await house.write([uuid4()])
            await eventually(lambda: len(arrivals.at) == 1)
    assert len(closing) == 1


async def test_confirms_that_never_arrive_cost_a_repetition_and_no_event(house: House) -> None:
    arrivals = await house.collect()
    clients = [uuid4() for _ in range(20)]
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy, house.relay(proxy):
        await house.write(clients)
        await eventually(lambda: len(arrivals.at) == 20, seconds=30)
        await proxy.become(Mode.DROP_REPLIES)
        await house.write(clients)
        await eventually(lambda: len(arrivals.at) == 40, seconds=30)
        proxy.cut()
        await proxy.become(Mode.PASS)
        await eventually(house.is_empty, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())
    assert len(arrivals.events) == 60, "the twenty unconfirmed ones came twice"


async def test_a_hanging_broker_is_left_and_found_again(house: House) -> None:
    arrivals = await house.collect()
    clients = [uuid4() for _ in range(10)]
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy, house.relay(proxy):
        await house.write(clients)
        await eventually(lambda: len(arrivals.at) == 10, seconds=30)
        await proxy.become(Mode.HANG)
        await house.write(clients, count=3)
        await eventually(lambda: house.logged("relay_cannot_deliver"))
        await proxy.become(Mode.PASS)
        await eventually(house.is_empty, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())


async def test_a_cache_that_is_away_does_not_keep_events_from_the_broker(house: House) -> None:
    arrivals = await house.collect()
    house.announcing = ConnectionError("the cache is away")
    async with house.relay():
        await house.write([uuid4()], count=3)
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == 3, seconds=30)
        assert house.logged("relay_cannot_announce")
        house.announcing = None
        await house.write([uuid4()])
        await eventually(lambda: len(house.announced) == 1)


async def test_the_relay_stops_while_the_broker_is_away(house: House) -> None:
    await house.write([uuid4()])
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy:
        await proxy.become(Mode.REFUSE)
        async with house.relay(proxy):
            await eventually(lambda: house.logged("relay_lost_broker"))
    assert await house.waiting() == 1
    assert broker.url(house.settings).endswith("heartbeat=10")
