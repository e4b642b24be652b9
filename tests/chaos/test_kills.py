"""`kill -9` at random moments under load: nothing is lost, nothing is doubled, nothing changes places."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from backend_api.outbox import broker
from backend_api.outbox.broker import EXCHANGE

from tests.chaos import oracle
from tests.chaos.chain import Api, Chain
from tests.chaos.conftest import BuildChain
from tests.chaos.load import Book, open_loans, paying
from tests.chaos.nursery import Service
from tests.chaos.seeds import SCALE, schedule
from tests.support.processes import Process, api_process
from tests.support.waiting import eventually

KILLS_OF_EACH = 25 * SCALE
KILLS_OF_API = 20 * SCALE
KILLS_OF_WORKERS = 2
KILLS_IN_CONTROLS = 10
SERVING = "Application startup complete"
pytestmark = pytest.mark.timeout(120 * SCALE)


class Observer:
    """Sees every message at the exchange, in order, beside the consumer."""

    def __init__(self) -> None:
        self.sequences: dict[UUID, list[int]] = {}
        self.messages = 0

    async def keep(self, message: AbstractIncomingMessage) -> None:
        """Note a message's event."""
        aggregate, _, sequence = str(message.message_id).rpartition(":")
        self.sequences.setdefault(UUID(aggregate), []).append(int(sequence))
        self.messages += 1

    @property
    def events(self) -> int:
        """How many different events were seen."""
        return sum(len(set(sequences)) for sequences in self.sequences.values())

    def disorder(self) -> list[str]:
        """Aggregates whose events were not first seen in the order 1, 2, 3 …"""
        first = {aggregate: list(dict.fromkeys(sequences)) for aggregate, sequences in self.sequences.items()}
        return [f"{one}: {found}" for one, found in first.items() if found != list(range(1, len(found) + 1))]


@asynccontextmanager
async def observing(chain: Chain) -> AsyncIterator[Observer]:
    """A queue of this test's own beside the consumer's."""
    async with await aio_pika.connect(broker.url(chain.settings)) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"observer-{uuid4().hex}", exclusive=True)
        await queue.bind(EXCHANGE, "sofipo.#")
        observer = Observer()
        await queue.consume(observer.keep, no_ack=True)
        yield observer


async def kill_often(service: Service, chance: random.Random, times: int, shortest: float, longest: float) -> None:
    """Let it work for a random time, kill it, start it again."""
    for _ in range(times):
        await asyncio.sleep(chance.uniform(shortest, longest))  # the moment of the kill is what is drawn
        await service.kill()
        await service.start()


async def test_50_kills_of_relay_and_consumer_lose_double_and_reorder_nothing(chain: Chain) -> None:
    chance = schedule("kills of relay and consumer")
    book = Book()
    async with observing(chain) as observer, chain.api() as api:
        await open_loans(chain, api.address, book, 10)
        async with paying(chain, [api.address], book):
            await asyncio.gather(
                kill_often(chain.relay, chance, KILLS_OF_EACH, 0.2, 1.6),
                kill_often(chain.consumer, chance, KILLS_OF_EACH, 0.2, 1.6),
            )
        await oracle.check(chain, book)
        events = await chain.owner.fetchval("SELECT count(*) FROM events")
        await eventually(lambda: observer.events == events)
        assert not observer.disorder()
        print(
            f"{2 * KILLS_OF_EACH} kills: {book.summary()}; {events} events, "
            f"{observer.messages - events} sent once more, each document there once"
        )
        assert book.server_errors == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"relay": "tests.chaos.broken:relay_that_removes_first"},
        {"consumer": "tests.chaos.broken:consumer_that_acknowledges_first"},
    ],
    ids=["relay_that_removes_first", "consumer_that_acknowledges_first"],
)
async def test_control_a_kill_loses_what_was_let_go_too_early(build: BuildChain, broken: dict[str, str]) -> None:
    chance = schedule(f"kills of {broken}")
    book = Book()
    async with build(**broken) as chain, chain.api() as api:
        await open_loans(chain, api.address, book, 10)
        service = chain.relay if "relay" in broken else chain.consumer
        async with paying(chain, [api.address], book, pause=0.01):
            await kill_often(service, chance, KILLS_IN_CONTROLS, 0.8, 1.6)  # started, connected, and at work
        await chain.come_to_rest()
        lost = [one for one in await oracle.findings(chain, book) if one.endswith("is no document")]
        print(f"{KILLS_IN_CONTROLS} kills lost {len(lost)} of {len(book.acknowledged)} payments")
        assert lost


async def kill_some(apis: list[Api], chance: random.Random, book: Book) -> None:
    """Kill one API, or once in four times all of them, in the middle of payments, and start them again."""
    accepted = len(book.acknowledged)
    some = chance.randint(1, 10)
    await eventually(lambda: len(book.acknowledged) >= accepted + some, 20.0)
    victims = apis if chance.random() < 0.25 else [chance.choice(apis)]
    await asyncio.gather(*(api.kill() for api in victims))
    await asyncio.gather(*(api.start() for api in victims))


async def test_20_kills_of_the_api_leave_every_acknowledged_payment_there_once(chain: Chain) -> None:
    chance = schedule("kills of the API")
    book = Book()
    async with chain.apis() as apis:
        await open_loans(chain, apis[0].address, book, 10)
        async with paying(chain, [api.address for api in apis], book, pause=0.01):
            for _ in range(KILLS_OF_API):
                await kill_some(apis, chance, book)
        await oracle.check(chain, book)
    print(f"{KILLS_OF_API} kills: {book.summary()}")
    assert book.unanswered, "no kill struck a request, so nothing was shown"
    assert len(book.acknowledged) == len(book.attempted), "every payment is answered in the end"


async def test_killed_workers_of_a_deployed_api_are_replaced(chain: Chain, tmp_path: Path) -> None:
    chance = schedule("kills of workers")
    book = Book()
    async with api_process(tmp_path, workers=2, POSTGRES_DB=chain.settings.postgres_db) as (master, address):
        await open_loans(chain, address, book, 10)
        async with paying(chain, [address], book):
            for number in range(1, KILLS_OF_WORKERS + 1):
                accepted = len(book.acknowledged)
                await eventually(lambda: len(book.acknowledged) > accepted, 20.0)  # noqa: B023 - awaited before the loop goes on
                os.kill(chance.choice(workers_of(master)), signal.SIGKILL)
                await eventually(lambda: master.output().count(SERVING) == 2 + number, 30.0)  # noqa: B023 - awaited before the loop goes on
        await oracle.check(chain, book)
    print(f"{KILLS_OF_WORKERS} kills: {book.summary()}")


def workers_of(master: Process) -> list[int]:
    """The processes that serve."""
    pid = master.program.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def test_control_without_a_key_trying_again_pays_twice(chain: Chain) -> None:
    chance = schedule("kills of the API, no keys")
    book = Book()
    async with chain.apis() as apis:
        await open_loans(chain, apis[0].address, book, 10)
        async with paying(chain, [api.address for api in apis], book, payers=16, pause=0.0, keys=False):
            for _ in range(KILLS_IN_CONTROLS):
                await kill_some(apis, chance, book)
                if await doubled(chain):
                    break
        twice = await doubled(chain)
    print(f"{twice} payments stand twice")
    assert twice


async def doubled(chain: Chain) -> int:
    """How many payments stand more than once."""
    return int(
        await chain.owner.fetchval(
            "SELECT count(*) FROM (SELECT FROM payments GROUP BY amount HAVING count(*) > 1) twice"
        )
    )
