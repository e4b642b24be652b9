"""How many requests a minute one caller may make: counted in this process, added up in Redis twice a second.

A request looks at no more than a dictionary. A process that counted a tenth of a caller's quota adds its count to that
of the others and learns theirs, so a caller can exceed the quota by a tenth for each process, and by what they let
through in half a second. Without Redis each process counts for itself. Why so, and what it costs:
docs/decisions/0022-rate-limits-and-deadlines.md.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Network
from math import ceil
from time import time

from redis.exceptions import ResponseError
from starlette.requests import Request
from starlette.types import Scope

from backend_api.cache.redis import BatchedRedis, RedisUnavailableError
from backend_api.domain.errors import DomainError
from backend_api.settings import Settings

WINDOW_SECONDS = 60
SYNC_SECONDS = 0.5
SHARED_FROM = 0.1
"""The part of the quota from which on a count is added up: many callers with few requests cost Redis nothing."""
MAX_COUNTED = 50_000
"""Callers counted apart in one window; later ones share one count, so that made-up addresses cannot fill the memory."""
READS = "reads"
WRITES = "writes"
ANONYMOUS = "anonymous"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SPENT = "backend_api.rate_limit"
"""Where the scope of a request holds what is left, for the edge to tell."""


class RateLimited(DomainError):
    """The caller has made more requests than it may; `retry_after` seconds later it may go on."""

    code = "rate_limited"
    status = 429
    message = "Too many requests: see Retry-After."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


@dataclass(slots=True)
class _Count:
    """Requests of one caller in this window: those added up in Redis, and those only this process knows."""

    everywhere: int = 0
    here: int = 0


class Limits:
    """Quotas by class of route. `spend` is called once by every request, for the caller that was verified."""

    def __init__(self, redis: BatchedRedis, quotas: Mapping[str, int]) -> None:
        self._redis = redis
        self._quotas = quotas
        self._policies = {kind: f'"{kind}";q={quota};w={WINDOW_SECONDS}'.encode() for kind, quota in quotas.items()}
        self._counts: dict[tuple[str, str], _Count] = {}
        self._fresh: set[tuple[str, str]] = set()
        self._ends = 0.0

    def spend_of(self, request: Request, actor: str) -> None:
        """Count a request of somebody who proved who they are. Raises `RateLimited`."""
        self._spend(request.scope, READS if request.method in SAFE_METHODS else WRITES, actor)

    def spend_of_address(self, request: Request) -> None:
        """Count a request of nobody in particular, by its address. Raises `RateLimited`."""
        self._spend(request.scope, ANONYMOUS, _household(request.client.host) if request.client else "unknown")

    def _spend(self, scope: Scope, kind: str, key: str) -> None:
        quota = self._quotas.get(kind)
        if quota is None:
            return
        now = time()
        if now >= self._ends:
            self._begin_window(now)
        name = (kind, key)
        count = self._counts.get(name)
        if count is None:
            name, count = self._begin_count(name)
        count.here += 1
        left = quota - count.everywhere - count.here
        if left <= quota * (1 - SHARED_FROM):
            self._fresh.add(name)
        seconds = ceil(self._ends - now)
        scope[SPENT] = (kind, max(0, left), seconds, self._policies[kind])
        if left < 0:
            raise RateLimited(seconds)

    def _begin_window(self, now: float) -> None:
        self._ends = (now // WINDOW_SECONDS + 1) * WINDOW_SECONDS
        self._counts = {}
        self._fresh = set()

    def _begin_count(self, name: tuple[str, str]) -> tuple[tuple[str, str], _Count]:
        if len(self._counts) >= MAX_COUNTED:
            name = (name[0], "the rest")
        return name, self._counts.setdefault(name, _Count())

    async def keep_in_step(self) -> None:
        """Add up with the other processes until cancelled."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            with contextlib.suppress(RedisUnavailableError, ResponseError):
                await self._add_up()

    async def _add_up(self) -> None:
        fresh, self._fresh = self._fresh, set()
        window = int(self._ends)
        await asyncio.gather(*(self._add(name, self._counts[name], window) for name in fresh))

    async def _add(self, name: tuple[str, str], count: _Count, window: int) -> None:
        sent = count.here
        key = f"limit:{window}:{name[0]}:{name[1]}"
        try:
            everywhere, _ = await asyncio.gather(
                self._redis.execute("INCRBY", key, sent), self._redis.execute("EXPIRE", key, 2 * WINDOW_SECONDS)
            )
        except RedisUnavailableError:
            if self._counts.get(name) is count:
                self._fresh.add(name)
            raise
        count.here -= sent
        # Never less than was known: Redis may have been emptied.
        count.everywhere = max(count.everywhere + sent, everywhere)


@asynccontextmanager
async def open_limits(settings: Settings, redis: BatchedRedis) -> AsyncIterator[Limits]:
    """The limits that the settings ask for, added up for as long as this is open."""
    limits = Limits(redis, settings.quotas)
    task = asyncio.create_task(limits.keep_in_step())
    try:
        yield limits
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _household(address: str) -> str:
    """The address, of IPv6 the network that one subscriber has: 64 of its bits are theirs to change at will."""
    return _network(address) if ":" in address else address


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        return str(IPv6Network((address, 64), strict=False))
    except ValueError:
        return address


def limits_of(request: Request) -> Limits:
    """The limits of the application a request came to."""
    limits: Limits = request.app.state.limits
    return limits


def told(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The header fields that tell what is left (draft-ietf-httpapi-ratelimit-headers)."""
    spent = scope.get(SPENT)
    if spent is None:
        return []
    kind, left, seconds, policy = spent
    return [(b"ratelimit-policy", policy), (b"ratelimit", b'"%b";r=%d;t=%d' % (kind.encode(), left, seconds))]
