"""Redis stopped, hung, emptied or restarted under load: slower, and as right as before."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from redis.exceptions import RedisError

from tests.chaos import oracle
from tests.chaos.chain import Chain
from tests.chaos.load import Book, open_loans, paying
from tests.chaos.test_replica import bear_witness, lagging
from tests.chaos.witness import PAID, Witness, witness
from tests.support.waiting import eventually

REPLICA_DELAY = "300ms"
ROUNDS = 15
MOST_WITNESSES = 40
Fault = Callable[[Chain], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(chain: Chain) -> AsyncIterator[None]:
    """Redis is gone, and comes back empty."""
    async with chain.servers.without("redis"):
        yield


@asynccontextmanager
async def hung(chain: Chain) -> AsyncIterator[None]:
    """Redis takes connections and answers nobody, and goes on later with what it held."""
    async with chain.servers.frozen("redis"):
        yield


@asynccontextmanager
async def flushed(chain: Chain) -> AsyncIterator[None]:
    """Redis forgets everything, again and again."""
    enough = asyncio.Event()

    async def flush() -> None:
        while not enough.is_set():
            await chain.cache.flushall()
            await asyncio.sleep(0.05)  # the rhythm of the fault

    async with asyncio.TaskGroup() as group:
        group.create_task(flush())
        try:
            yield
        finally:
            enough.set()


@asynccontextmanager
async def restarted(chain: Chain) -> AsyncIterator[None]:
    """Redis is new and empty."""
    await chain.servers.stop("redis")
    await chain.servers.start("redis")
    yield


@pytest.mark.parametrize("fault", [stopped, hung, flushed, restarted])
async def test_a_fault_of_redis_is_slow_at_most(chain: Chain, fault: Fault) -> None:
    book = Book()
    async with chain.apis() as apis, lagging(chain, REPLICA_DELAY):
        await open_loans(chain, apis[0].address, book, 4)
        await chain.trust_the_cache()
        one, two = witness(chain, apis, with_token=True), witness(chain, apis[::-1], with_token=False)
        witnesses = [one, two]
        for each in witnesses:
            await each.begin()
        async with paying(chain, [api.address for api in apis], book, payers=4):
            await rounds(witnesses, ROUNDS)
            async with fault(chain):
                await rounds(witnesses, 2)
                for each in witnesses:
                    each.seconds.clear()
                await rounds(witnesses, ROUNDS)
                seconds = sorted(one.seconds + two.seconds)
            await eventually(lambda: redis_answers(chain))
            await rounds(witnesses, ROUNDS)
        for each in witnesses:
            await each.close()
        book.others[PAID] = one.paid + two.paid
    await oracle.check(chain, book)
    print(
        f"\nredis {fault.__name__}: {one.reads + two.reads} own reads, p50 {statistics.median(seconds) * 1000:.1f} ms, "
        f"p99 {seconds[int(len(seconds) * 0.99)] * 1000:.1f} ms; {book.summary()}"
    )
    assert one.stale + two.stale == []
    assert one.statuses | two.statuses <= {200, 201}
    assert book.server_errors == 0
    assert statistics.median(seconds) < 0.1


async def rounds(witnesses: list[Witness], count: int) -> None:
    """All of them at work side by side."""

    async def work(one: Witness) -> None:
        for _ in range(count):
            await one.round()

    await asyncio.gather(*map(work, witnesses))


async def redis_answers(chain: Chain) -> bool:
    """Whether Redis is back."""
    try:
        return bool(await chain.cache.ping())
    except (RedisError, OSError):
        return False


async def test_control_a_cache_that_only_deletes_shows_old_values(chain: Chain) -> None:
    witnesses: list[Witness] = []
    async with (
        chain.apis(application="tests.chaos.broken:api_that_only_deletes") as apis,
        lagging(chain, REPLICA_DELAY),
    ):
        await chain.trust_the_cache()
        while not any(one.stale for one in witnesses) and len(witnesses) < MOST_WITNESSES:
            witnesses += await bear_witness(chain, apis, 20)
    stale = [found for one in witnesses for found in one.stale]
    print(f"\na cache that only deletes: {len(stale)} of {sum(one.reads for one in witnesses)} own reads stale")
    assert stale
