"""The cache on a real Redis: what it refuses to keep, what it refuses to answer, and how it is done without."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from time import time
from uuid import uuid4

import pytest
from backend_api.cache.clients import ClientCache, Standing
from backend_api.cache.entries import Entry, unpack
from backend_api.cache.redis import BatchedRedis, RedisUnavailableError
from backend_api.db import sampler
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.opening import open_resources
from backend_api.settings import Settings
from redis.exceptions import ResponseError

from tests.support.proxy import Mode, Proxy
from tests.support.waiting import eventually, least

DAY = date(2026, 1, 31)
RFC = "PEPJ800101HNE"
TRUSTED_SECONDS = sampler.STALE_SECONDS


def entry(version: int, body: bytes = b"{}", expires_in: int = 60) -> Entry:
    """A view of this version."""
    return Entry(version, DAY, int(time()) + expires_in, RFC, f'"{version}"', body)


@pytest.fixture
async def cache(patience: None, resources: Resources) -> ClientCache:
    """The cache, in use."""
    await eventually(lambda: generation(resources) is not None)
    return resources.cache


@pytest.fixture
async def standing(cache: ClientCache) -> Standing:
    """What a read knows when it begins."""
    found = await cache.standing(None)
    assert found is not None
    return found


def generation(resources: Resources) -> int | None:
    """The generation that is in use; None while the cache is off."""
    sample = resources.sampler.fresh_primary()
    return None if sample is None or sample.cache_off else sample.cache_generation


async def test_what_was_filled_is_answered(cache: ClientCache, standing: Standing) -> None:
    client = uuid4()
    stored = entry(3, b'{"a":1}')
    assert await cache.get(client, "record") == (0, None)
    await cache.fill(client, "record", stored, RFC, standing)
    assert await cache.get(client, "record") == (3, stored)
    assert await cache.get(client, "balance") == (3, None)
    assert await cache.find(RFC) == client


async def test_a_fill_older_than_what_was_announced_is_refused(cache: ClientCache, standing: Standing) -> None:
    client = uuid4()
    await cache.announce({client: 5})
    await cache.fill(client, "record", entry(4), None, standing)
    assert await cache.get(client, "record") == (5, None)
    await cache.fill(client, "record", entry(5), None, standing)
    assert (await cache.get(client, "record"))[1] is not None


async def test_an_announcement_drops_older_views_and_never_lowers_the_version(
    cache: ClientCache, standing: Standing
) -> None:
    client = uuid4()
    await cache.fill(client, "record", entry(5), None, standing)
    await cache.announce({client: 4})
    await cache.announce({client: 5})
    assert (await cache.get(client, "record"))[1] is not None, "it is not older than what was announced"
    await cache.announce({client: 6})
    assert await cache.get(client, "record") == (6, None)
    await cache.announce({client: 5})
    assert await cache.get(client, "record") == (6, None)


async def test_a_newer_fill_drops_the_views_of_older_versions(cache: ClientCache, standing: Standing) -> None:
    client = uuid4()
    await cache.fill(client, "record", entry(5), None, standing)
    await cache.fill(client, "balance", entry(6), None, standing)
    assert await cache.get(client, "record") == (6, None)


async def test_a_fill_that_began_before_redis_was_emptied_is_refused(
    cache: ClientCache, standing: Standing, resources: Resources
) -> None:
    client = uuid4()
    await resources.redis.execute("DEL", f"sentinel:{standing.generation}")
    await cache.fill(client, "record", entry(5), None, standing)
    assert await cache.get(client, "record") == (0, None)
    after = await cache.standing(None)
    assert after is not None
    assert after.sentinel != standing.sentinel
    assert not after.trusted, "marks of own writes may have been lost with the rest"
    await cache.fill(client, "record", entry(5), None, after)
    assert (await cache.get(client, "record"))[1] is not None


async def test_an_expired_view_is_a_miss(cache: ClientCache, standing: Standing) -> None:
    client = uuid4()
    await cache.fill(client, "record", entry(5, expires_in=-1), None, standing)
    assert await cache.get(client, "record") == (5, None)


async def test_marks_are_only_raised(cache: ClientCache) -> None:
    principal = f"user:{uuid4()}"
    for lsn, expected in [(0x10, 0x10), (0x20, 0x20), (0x1F, 0x20), (2**63 - 1, 2**63 - 1)]:
        await cache.announce({uuid4(): 1}, principal=principal, lsn=lsn)
        found = await cache.standing(principal)
        assert found is not None
        assert found.mark == expected
    await cache.announce({})


CORRUPT = [
    b"", b"\n", b"garbage", b"garbage\n", b"5\n{}", b"x 2026-01-31 9 RFC tag\n{}", b"5 2026-13-31 9 RFC tag\n{}",
    b"5 2026-01-31 x RFC tag\n{}", b"5 2026-01-31 9 RFC tag more\n{}", b"\xff\xfe 2026-01-31 9 RFC tag\n{}",
    b"\x00" * 50,
]  # fmt: skip


@pytest.mark.parametrize("value", CORRUPT)
async def test_a_corrupt_view_is_a_miss(value: bytes, cache: ClientCache, resources: Resources) -> None:
    client = uuid4()
    assert unpack(value) is None
    await resources.redis.execute("HSET", f"c:{generation(resources)}:{client}", "v", "5", "record", value)
    assert await cache.get(client, "record") == (5, None)


async def test_corrupt_keys_are_a_miss(cache: ClientCache, standing: Standing, resources: Resources) -> None:
    now = standing.generation
    client, other = uuid4(), uuid4()
    await resources.redis.execute("HSET", f"c:{now}:{client}", "v", "many", "record", entry(5).pack())
    assert await cache.get(client, "record") == (0, None)
    await resources.redis.execute("SET", f"c:{now}:{other}", "a string")
    assert await cache.get(other, "record") == (0, None)
    await cache.fill(other, "record", entry(5), None, standing)
    await resources.redis.execute("SET", f"rfc:{now}:{RFC}", "nobody")
    assert await cache.find(RFC) is None
    sentinel = await resources.redis.execute("GET", f"sentinel:{now}")
    await resources.redis.execute("DEL", f"sentinel:{now}")
    await resources.redis.execute("HSET", f"sentinel:{now}", "a", "b")
    assert await cache.standing(None) is None
    await resources.redis.execute("SET", f"sentinel:{now}", sentinel)
    assert await cache.standing(None) is not None


async def test_an_entry_survives_its_packing() -> None:
    made = entry(7, b"line\nline\n")
    assert unpack(made.pack()) == made


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[Resources]:
    """A second process' worth of connections."""
    async with open_resources(settings) as opened:
        yield opened


async def test_a_retired_generation_is_answered_by_no_process(
    cache: ClientCache, resources: Resources, elsewhere: Resources, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, guard = uuid4(), elsewhere.cache._guard
    before = await cache.standing(None)
    assert before is not None
    await cache.fill(client, "record", entry(5), None, before)
    assert (await elsewhere.cache.get(client, "record"))[1] is not None
    monkeypatch.setattr(sampler, "STALE_SECONDS", TRUSTED_SECONDS)  # what the guard waits for, and no patience
    is_off, retired = False, 0
    while not is_off:
        await guard.retire()
        retired += 1
        answers = [
            (await one.cache.get(client, "record"), await one.cache.standing(None), await one.cache.find(RFC))
            for one in (resources, elsewhere)
        ]
        # Else the machine stood still for longer than the cache is off, and the answers are of afterwards.
        is_off = await owner.fetchval("SELECT off_until > clock_timestamp() FROM cache_guard")
    assert answers == [((0, None), None, None)] * 2

    async def seconds() -> float:
        nonlocal retired
        began = asyncio.get_running_loop().time()
        await guard.retire()
        retired += 1
        return asyncio.get_running_loop().time() - began

    assert await least(seconds, below=0.25) < 0.25, "the second time it is off already and nobody waits"
    await eventually(lambda: generation(resources) is not None)
    assert generation(resources) == before.generation + retired
    assert (await cache.get(client, "record"))[1] is None, "the old key space is never read again"


async def test_an_announcement_that_redis_does_not_hear_retires_the_generation(
    cache: ClientCache, resources: Resources, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = uuid4()
    before = await cache.standing(None)
    assert before is not None
    await cache.fill(client, "record", entry(5), None, before)
    monkeypatch.setattr(sampler, "STALE_SECONDS", TRUSTED_SECONDS)  # what the guard waits for, and no patience
    async with Proxy(settings.redis_host, settings.redis_port) as proxy:
        cut_off = settings.model_copy(update={"redis_port": proxy.port})
        async with open_resources(cut_off) as writer:
            await proxy.become(Mode.HANG)
            await writer.cache.announce({client: 6}, principal="user:x", lsn=5)
            assert await cache.get(client, "record") == (0, None), "the old view is not answered any more"
    await eventually(lambda: generation(resources) is not None)


async def test_the_breaker_opens_after_three_failures_and_closes_by_itself(settings: Settings) -> None:
    async with Proxy(settings.redis_host, settings.redis_port) as proxy:
        redis = BatchedRedis(settings.model_copy(update={"redis_port": proxy.port}))
        try:
            assert await redis.execute("PING") == b"PONG"
            await proxy.become(Mode.HANG)
            loop = asyncio.get_running_loop()
            for _ in range(3):
                assert not redis.is_open
                with pytest.raises(RedisUnavailableError):
                    await redis.execute("PING")
            assert redis.is_open

            async def seconds() -> float:
                started = loop.time()
                for _ in range(100):
                    with pytest.raises(RedisUnavailableError):
                        await redis.execute("PING")
                return loop.time() - started

            assert await least(seconds, below=0.1) < 0.1, "an open breaker costs nothing"
            await proxy.become(Mode.PASS)
            await eventually(lambda: not redis.is_open)
            assert await redis.execute("PING") == b"PONG"
        finally:
            await redis.close()


async def test_commands_of_one_turn_are_answered_each_for_itself(resources: Resources) -> None:
    results = await asyncio.gather(
        *(resources.redis.execute("ECHO", str(number)) for number in range(50)),
        resources.redis.execute("NO-SUCH-COMMAND"),
        resources.redis.execute("ECHO", "last"),
        return_exceptions=True,
    )
    assert results[:50] == [str(number).encode() for number in range(50)]
    assert isinstance(results[50], ResponseError)
    assert results[51] == b"last"


async def test_scripts_that_redis_forgot_are_loaded_again(resources: Resources) -> None:
    await resources.redis.execute("SCRIPT", "FLUSH")
    assert await resources.cache.standing(None) is None

    assert await resources.cache.standing(None) is not None


async def test_closing_fails_what_waits(settings: Settings) -> None:
    async with Proxy(settings.redis_host, settings.redis_port) as proxy:
        await proxy.become(Mode.HANG)
        redis = BatchedRedis(settings.model_copy(update={"redis_port": proxy.port}))
        waiting = [asyncio.create_task(redis.execute("PING")) for _ in range(2)]
        await eventually(lambda: bool(redis._waiting))
        await redis.close()
        for task in waiting:
            with pytest.raises(RedisUnavailableError):
                await task


async def test_a_wrong_password_counts_as_unavailable(settings: Settings) -> None:
    redis = BatchedRedis(settings.model_copy(update={"redis_password": type(settings.redis_password)("wrong")}))
    with pytest.raises(RedisUnavailableError):
        await redis.execute("PING")
    await redis.close()
