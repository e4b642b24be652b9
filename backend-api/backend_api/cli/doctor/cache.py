"""Redis, asked with the application's password."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from backend_api.cli.doctor.verdicts import Setup, Verdict, judge_version, ok, start, wrong

ANSWER_SECONDS = 3.0


@asynccontextmanager
async def _asked(setup: Setup, password: str | None) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis(
        host=setup.settings.redis_host,
        port=setup.settings.redis_port,
        password=password,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        # A refused password is an answer, not a failure to be tried again.
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        await client.aclose()


def _password(setup: Setup) -> str:
    return setup.settings.redis_password.get_secret_value()


async def server(setup: Setup) -> Verdict:
    """It answers our password, and nobody without one."""
    where = f"{setup.settings.redis_host}:{setup.settings.redis_port}"
    try:
        async with _asked(setup, None) as anybody:
            await anybody.ping()
    except AuthenticationError:
        pass
    except (RedisError, OSError, TimeoutError):
        return wrong(
            f"No Redis answers at {where}: reads come from the database.",
            f"{start('redis')}, or set REDIS_HOST and REDIS_PORT.",
        )
    else:
        return wrong(
            f"Redis at {where} demands no password: whoever reaches it can read and change what is cached.",
            "Start it with `requirepass` and the value of REDIS_PASSWORD.",
        )
    try:
        async with _asked(setup, _password(setup)) as client:
            await client.ping()
    except (AuthenticationError, ResponseError):
        return wrong(
            f"Redis at {where} refuses our password: reads come from the database.",
            "Set REDIS_PASSWORD to what the server was started with (`requirepass`).",
        )
    return ok(f"Redis answers at {where} and demands the password.")


async def version(setup: Setup) -> Verdict:
    """The server is new enough."""
    async with _asked(setup, _password(setup)) as client:
        return judge_version("Redis", (await client.info("server"))["redis_version"])


async def eviction(setup: Setup) -> Verdict:
    """A full cache refuses writes instead of dropping what others rely on."""
    async with _asked(setup, _password(setup)) as client:
        policy = (await client.info("memory"))["maxmemory_policy"]
    if policy != "noeviction":
        return wrong(
            f"Redis evicts by {policy} when it is full: marks that guard reads of own writes may vanish.",
            "Start it with `maxmemory-policy noeviction`.",
        )
    return ok("Redis drops nothing when it is full (noeviction).")
