"""The broker, the event store and the way between them fail; every payment is a document in the end."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from backend_api.outbox import broker
from backend_api.outbox.broker import EXCHANGE

from tests.chaos import oracle
from tests.chaos.chain import PARKED_QUEUE, Chain
from tests.chaos.conftest import BuildChain
from tests.chaos.load import Book, open_loans, pay
from tests.support.waiting import eventually

PAYMENTS = 20


@asynccontextmanager
async def one_client(chain: Chain) -> AsyncIterator[tuple[Book, Callable[[int], Awaitable[None]]]]:
    """An API with one loan whose events have arrived, and a way to pay on it."""
    book = Book()
    async with chain.api() as api, api.client(chain.token()) as client:
        await open_loans(chain, api.address, book, 1)
        await chain.settle()

        async def pay_often(count: int) -> None:
            for _ in range(count):
                await pay(client, book, book.loans[0])

        yield book, pay_often


@pytest.mark.parametrize("server", ["rabbitmq", "couchdb"])
async def test_what_is_paid_while_a_server_is_away_is_documented_after_its_return(chain: Chain, server: str) -> None:
    async with one_client(chain) as (book, pay_often):
        before = await chain.document_count()
        async with chain.servers.without(server):
            await pay_often(PAYMENTS)
            assert book.server_errors == 0
            if server == "rabbitmq":
                assert await chain.waiting() == PAYMENTS
            else:
                await eventually(lambda: has_depth(chain, PAYMENTS))
        await oracle.check(chain, book)
        assert await chain.document_count() == before + PAYMENTS


async def has_depth(chain: Chain, count: int) -> bool:
    """Whether so many messages wait for the consumer, none of them in its hands."""
    return await chain.depth() == count


@pytest.mark.parametrize(
    ("server", "broken"),
    [
        ("rabbitmq", {"relay": "tests.chaos.broken:relay_that_removes_first"}),
        ("couchdb", {"consumer": "tests.chaos.broken:consumer_that_acknowledges_first"}),
    ],
)
async def test_control_letting_go_before_the_confirm_loses_them(
    build: BuildChain, server: str, broken: dict[str, str]
) -> None:
    async with build(**broken) as chain, one_client(chain) as (book, pay_often):
        async with chain.servers.without(server):
            await pay_often(PAYMENTS)
            if server == "rabbitmq":
                await eventually(lambda: outbox_is_empty(chain))
        await chain.come_to_rest()
        found = await oracle.findings(chain, book)
        print(f"\n{len(found)} breaches, such as: {found[0] if found else None}")
        assert any(finding.endswith("is no document") for finding in found)


async def outbox_is_empty(chain: Chain) -> bool:
    """Whether the relay has nothing to send."""
    return await chain.waiting() == 0


async def test_unroutable_events_are_kept_and_sent_when_there_is_a_way_again(chain: Chain) -> None:
    async with one_client(chain) as (book, pay_often):
        async with unbound(chain):
            await pay_often(PAYMENTS)
            await eventually(lambda: "UNROUTABLE" in chain.relay.output())
            assert await chain.waiting() == PAYMENTS
            assert await chain.owner.fetchval("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL") == 0
        await oracle.check(chain, book)


async def test_control_the_clients_default_takes_unroutable_for_delivered(build: BuildChain) -> None:
    async with build(relay="tests.chaos.broken:relay_that_believes_returns") as chain, one_client(chain) as found:
        book, pay_often = found
        async with unbound(chain):
            await pay_often(PAYMENTS)
            await eventually(lambda: outbox_is_empty(chain))
        await chain.come_to_rest()
        lost = [one for one in await oracle.findings(chain, book) if one.endswith("is no document")]
        assert len(lost) == PAYMENTS


@asynccontextmanager
async def unbound(chain: Chain) -> AsyncIterator[None]:
    """The exchange leads nowhere inside the block."""
    await chain.unbind()
    try:
        yield
    finally:
        await chain.bind()


async def test_poison_is_parked_with_its_reason_and_the_others_flow(chain: Chain) -> None:
    async with one_client(chain) as (book, pay_often), publisher(chain) as exchange:
        for body in (b"{", b"[]", b"x" * 1_000_001):
            await exchange.publish(aio_pika.Message(body, message_id="poison"), "sofipo.payment.registered")
            await pay_often(1)
        await eventually(lambda: is_parked(chain, 3))
        reasons = [message.headers["x-parked-reason"] for message in await chain.parked()]
        assert reasons == ["not_json", "not_an_object", "too_large"]
        await oracle.check(chain, book)


async def is_parked(chain: Chain, count: int) -> bool:
    """Whether so many messages are parked."""
    return await chain.depth(PARKED_QUEUE) == count


async def test_each_message_delivered_three_times_makes_one_document(chain: Chain) -> None:
    async with one_client(chain) as (book, pay_often), publisher(chain) as exchange:
        await pay_often(PAYMENTS)
        await chain.settle()
        events = await chain.events()
        for _ in range(2):
            for event in events:
                document = oracle.envelope(event)
                body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
                message = aio_pika.Message(body, message_id=document["event_id"], content_type="application/json")
                await exchange.publish(message, "sofipo.payment.registered")
        await chain.come_to_rest()
        lives = [json.loads(line) for line in chain.consumer.output().splitlines() if '"stopped"' in line]
        assert sum(life["stored"] + life["already_stored"] for life in lives) == 3 * len(events)
        await oracle.check(chain, book)


@asynccontextmanager
async def publisher(chain: Chain) -> AsyncIterator[aio_pika.abc.AbstractExchange]:
    """The exchange, with confirms."""
    async with await aio_pika.connect(broker.url(chain.settings)) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield await channel.get_exchange(EXCHANGE, ensure=False)
