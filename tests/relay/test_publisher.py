"""What became of a message is known, not hoped for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aiormq.abc import DeliveredMessage
from backend_api.outbox import broker
from backend_api.relay.publisher import Outcome, Outgoing, Publisher
from pamqp.commands import Basic

from tests.relay.house import House
from tests.support.proxy import Mode, Proxy
from tests.support.waiting import eventually


def message(number: int = 1, key: str = "sofipo.payment.registered") -> Outgoing:
    return Outgoing(f"event:{number:012d}", key, b'{"event":true}', {"cloudEvents:id": f"event:{number}"})


@pytest.fixture
async def publisher(house: House) -> AsyncIterator[Publisher]:
    opened = Publisher(house.broker_url)
    await opened.connect()
    yield opened
    await opened.close()


async def test_a_message_in_the_queue_is_confirmed_persistent_and_complete(house: House, publisher: Publisher) -> None:
    queue = await house.bind_queue()
    assert await publisher.publish([message()]) == [Outcome.CONFIRMED]
    found = await queue.get(no_ack=True)
    assert found is not None
    assert (found.body, found.message_id, found.routing_key, found.content_type) == (
        b'{"event":true}', "event:000000000001", "sofipo.payment.registered", "application/json",
    )  # fmt: skip
    assert found.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert found.headers["cloudEvents:id"] == "event:1"


async def test_a_message_that_no_queue_takes_is_unroutable(house: House, publisher: Publisher) -> None:
    await house.bind_queue("sofipo.loan.#")
    outcomes = await publisher.publish([message(1), message(2, "sofipo.loan.created"), message(3)])
    assert outcomes == [Outcome.UNROUTABLE, Outcome.CONFIRMED, Outcome.UNROUTABLE]


async def test_control_with_default_settings_an_unroutable_message_succeeds(house: House) -> None:
    """The client library's defaults report it as delivered; without `mandatory` the broker itself says yes."""
    exchange = await house.channel.declare_exchange(broker.EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    returned: Any = await exchange.publish(aio_pika.Message(b"lost"), "sofipo.payment.registered")
    assert isinstance(returned, DeliveredMessage)
    answer: Any = await exchange.publish(aio_pika.Message(b"lost"), "sofipo.payment.registered", mandatory=False)
    assert isinstance(answer, Basic.Ack)


async def test_a_full_queue_refuses(house: House, publisher: Publisher) -> None:
    await house.bind_queue(arguments={"x-max-length": 3, "x-overflow": "reject-publish"})
    outcomes = [(await publisher.publish([message(number)]))[0] for number in range(12)]
    assert outcomes[0] is Outcome.CONFIRMED
    assert outcomes[-1] is Outcome.REFUSED


async def test_before_connecting_nothing_is_known_to_have_been_sent(house: House) -> None:
    assert await Publisher(house.broker_url).publish([message()]) == [Outcome.UNKNOWN]


async def test_a_lost_connection_leaves_the_outcome_unknown_and_is_replaced(house: House) -> None:
    await house.bind_queue()
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy:
        publisher = Publisher(house.through(proxy))
        await publisher.connect()
        proxy.cut()
        assert await publisher.publish([message()]) == [Outcome.UNKNOWN]
        await publisher.connect()
        assert await publisher.publish([message()]) == [Outcome.CONFIRMED]
        await publisher.close()


async def test_a_broker_that_does_not_answer_is_given_up_after_five_seconds(house: House) -> None:
    await house.bind_queue()
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy:
        publisher = Publisher(house.through(proxy))
        await publisher.connect()
        await proxy.become(Mode.HANG)
        assert await publisher.publish([message()]) == [Outcome.UNKNOWN]
        await proxy.become(Mode.PASS)
        await publisher.connect()
        assert await publisher.publish([message()]) == [Outcome.CONFIRMED]
        await publisher.close()


async def test_an_exchange_deleted_under_the_publisher_is_declared_again(house: House, publisher: Publisher) -> None:
    await house.bind_queue()
    await house.channel.exchange_delete(broker.EXCHANGE)
    assert await publisher.publish([message()]) == [Outcome.UNKNOWN]
    await publisher.connect()
    await house.bind_queue()
    assert await publisher.publish([message()]) == [Outcome.CONFIRMED]


async def test_connecting_goes_on_until_the_broker_is_there(house: House) -> None:
    async with Proxy(house.settings.rabbitmq_host, house.settings.rabbitmq_port) as proxy:
        await proxy.become(Mode.REFUSE)
        publisher = Publisher(house.through(proxy))
        connecting = asyncio.create_task(publisher.connect())
        await eventually(lambda: proxy.connections > 2)
        assert not connecting.done()
        await proxy.become(Mode.PASS)
        await connecting
        await publisher.close()
