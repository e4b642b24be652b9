"""What the API, its commands and its jobs share, opened in order and closed in reverse order.

Apart from `backend_api.app`, so that a command does not read every call of the API before it says a word.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from backend_api.cache.clients import SCRIPTS, ClientCache
from backend_api.cache.guard import CacheGuard
from backend_api.cache.redis import BatchedRedis
from backend_api.db.pools import open_databases
from backend_api.db.sampler import Sampler
from backend_api.http.consistency import CommitPosition
from backend_api.http.resources import Resources
from backend_api.http.signing import Signer
from backend_api.http.turns import Turns
from backend_api.outbox.wake import Wake
from backend_api.reads import Reads
from backend_api.settings import Settings


def utc_now() -> datetime:
    """The clock of the process; everything that needs the time gets it passed in."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open what the API and the command line share, close it in reverse order."""
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(open_databases(settings))
        sampler = Sampler(settings)
        stack.push_async_callback(sampler.close)
        await sampler.start()
        redis = BatchedRedis(settings, SCRIPTS)
        stack.push_async_callback(redis.close)
        cache = ClientCache(redis, CacheGuard(sampler, databases.writer), settings.cache_ttl_seconds)
        wake = Wake(settings)
        stack.push_async_callback(wake.close)
        await wake.start()
        yield Resources(
            settings=settings,
            clock=utc_now,
            databases=databases,
            sampler=sampler,
            redis=redis,
            cache=cache,
            reads=Reads(databases, sampler, cache),
            commit_position=CommitPosition(databases.writer),
            wake=wake,
            turns=Turns(),
            token_signer=Signer(settings.secrets, "consistency-token"),
            cursor_signer=Signer(settings.secrets, "cursor"),
        )
