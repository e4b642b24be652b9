"""The replica as readers meet it: behind, or caught up. Whoever wrote something never reads older than that; everybody
else may, and a test in which one writes and another reads waits in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from uuid import uuid4

import asyncpg
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Settings

from tests.support.waiting import eventually


async def caught_up(resources: Resources) -> None:
    """Wait until the application knows that its replica has replayed all that is committed by now."""
    _, lsn = await resources.commit_position.after_commit()
    await eventually(lambda: resources.sampler.replica_has(lsn))


async def trust_the_cache(resources: Resources) -> None:
    """Make the sentinel an old one, as it is when Redis has been whole for longer than marks live."""
    await eventually(lambda: resources.sampler.fresh_primary() is not None)
    sample = resources.sampler.primary
    assert sample is not None
    await resources.redis.execute("SET", f"sentinel:{sample.cache_generation}", f"{uuid4().hex}:{int(time()) - 3600}")


@asynccontextmanager
async def frozen(resources: Resources, settings: Settings) -> AsyncIterator[Connection]:
    """A connection to the replica, which knows what is committed by now, replays nothing more inside the block, and
    which the application trusts and reads."""
    replica: Connection = await asyncpg.connect(
        host=settings.postgres_replica_host,
        port=settings.postgres_replica_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
    )
    await trust_the_cache(resources)
    await caught_up(resources)
    await replica.execute("SELECT pg_wal_replay_pause()")

    async def is_paused() -> bool:
        return bool(await replica.fetchval("SELECT pg_get_wal_replay_pause_state() = 'paused'"))

    try:
        await eventually(is_paused)
        yield replica
    finally:
        await replica.execute("SELECT pg_wal_replay_resume()")
        await replica.close()
