"""The cache of client views, fenced by version: a lagging reader can never put an old value back.

One hash per client holds `v`, the highest announced version, and the views. A writer announces its version, which drops
the views, before it answers; the relay announces it again, so a crash in between heals. A fill older than the announced
version, or begun before Redis was emptied (the sentinel changed), is refused.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from time import time
from uuid import UUID

from redis.exceptions import ResponseError

from backend_api.cache.entries import Entry, unpack
from backend_api.cache.guard import CacheGuard
from backend_api.cache.redis import BatchedRedis, RedisUnavailableError

VERSION_SECONDS = 3600
"""How long an announced version is remembered: far longer than any fill takes or a replica that is read may lag."""
MARK_SECONDS = 60
"""How long a principal's own write is remembered; longer than the lag at which a replica is still read (5 s)."""

# KEYS: client hashes, then the mark (if any). ARGV: versions in the same order, then the LSN as 16 hex digits.
ANNOUNCE = f"""
local marked = ARGV[#ARGV]:sub(1, 1) == 'L'
local clients = marked and #KEYS - 1 or #KEYS
for i = 1, clients do
  local known = tonumber(redis.call('HGET', KEYS[i], 'v') or '0')
  if tonumber(ARGV[i]) > known then
    redis.call('DEL', KEYS[i])
    redis.call('HSET', KEYS[i], 'v', ARGV[i])
  end
  redis.call('EXPIRE', KEYS[i], {VERSION_SECONDS})
end
if marked then
  local known = redis.call('GET', KEYS[#KEYS])
  if not known or ARGV[#ARGV] > known then
    redis.call('SET', KEYS[#KEYS], ARGV[#ARGV], 'EX', {MARK_SECONDS})
  end
end
return 1
"""

# KEYS: client hash, sentinel, rfc key. ARGV: version, view, entry, sentinel as it was when the read began, client id.
FILL = f"""
if redis.call('GET', KEYS[2]) ~= ARGV[4] then return 0 end
local known = tonumber(redis.call('HGET', KEYS[1], 'v') or '0')
if tonumber(ARGV[1]) < known then return 0 end
if tonumber(ARGV[1]) > known then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'v', ARGV[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], {VERSION_SECONDS})
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[5], 'EX', {VERSION_SECONDS}) end
return 1
"""

# KEYS: sentinel, mark. ARGV: a random name for a new sentinel. Answers sentinel, its age in seconds, the mark.
STANDING = """
local now = tonumber(redis.call('TIME')[1])
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. now, 'NX')
local sentinel = redis.call('GET', KEYS[1])
return {sentinel, now - tonumber(sentinel:match(':(%d+)$')), KEYS[2] and redis.call('GET', KEYS[2]) or false}
"""
SCRIPTS = (ANNOUNCE, FILL, STANDING)
_SHA = {script: sha1(script.encode()).hexdigest() for script in SCRIPTS}  # noqa: S324 - Redis names scripts by it


@dataclass(frozen=True, slots=True)
class Standing:
    """What Redis knows about a reader at the moment a read begins.

    `trusted`: the cache has been whole for longer than marks live, so a missing mark means "wrote nothing". `sentinel`
    changes when Redis is emptied. `mark`: LSN of the principal's newest write, 0 if none is known.
    """

    generation: int
    sentinel: bytes
    trusted: bool
    mark: int


class ClientCache:
    """Reading, announcing and filling; every method but `announce` answers "nothing known" when Redis is away."""

    def __init__(self, redis: BatchedRedis, guard: CacheGuard, ttl_seconds: int) -> None:
        self._redis = redis
        self._guard = guard
        self._ttl_seconds = ttl_seconds

    async def get(self, client_id: UUID, view: str) -> tuple[int, Entry | None]:
        """The highest announced version (0: none known) and the view, if it is not older and has not expired."""
        generation = self._guard.generation_for_reading()
        if generation is None:
            return 0, None
        try:
            version, value = await self._redis.execute("HMGET", f"c:{generation}:{client_id}", "v", view)
        except (RedisUnavailableError, ResponseError):
            return 0, None
        try:
            known = int(version or 0)
        except ValueError:
            return 0, None
        entry = unpack(value) if value else None
        if entry is None or entry.version < known or entry.expires_at <= time():
            return known, None
        return known, entry

    async def find(self, rfc: str) -> UUID | None:
        """The client id last seen under this RFC; only a hint, the caller checks the view's own RFC."""
        generation = self._guard.generation_for_reading()
        if generation is None:
            return None
        try:
            value = await self._redis.execute("GET", f"rfc:{generation}:{rfc}")
            return UUID(value.decode()) if value else None
        except (RedisUnavailableError, ResponseError, ValueError):
            return None

    async def standing(self, principal: str | None) -> Standing | None:
        """What a read that misses needs to know; None: the cache is off or away, trust nothing."""
        generation = self._guard.generation_for_reading()
        if generation is None:
            return None
        keys = [f"sentinel:{generation}"] + ([f"rw:{generation}:{principal}"] if principal else [])
        try:
            sentinel, age, mark = await self._redis.execute(
                "EVALSHA",
                _SHA[STANDING],
                len(keys),
                *keys,
                f"{random.getrandbits(64):x}",
            )
        except (RedisUnavailableError, ResponseError):
            return None
        return Standing(generation, sentinel, int(age) > MARK_SECONDS, int(mark[1:], 16) if mark else 0)

    async def fill(self, client_id: UUID, view: str, entry: Entry, rfc: str | None, standing: Standing) -> None:
        """Store a view unless something newer was announced or Redis was emptied since the read began."""
        keys = [f"c:{standing.generation}:{client_id}", f"sentinel:{standing.generation}"]
        if rfc:
            keys.append(f"rfc:{standing.generation}:{rfc}")
        try:
            await self._redis.execute(
                "EVALSHA", _SHA[FILL], len(keys), *keys,
                entry.version, view, entry.pack(), standing.sentinel, str(client_id),
            )  # fmt: skip
        except (RedisUnavailableError, ResponseError):
            return

    def expiry(self) -> int:
        """Unix time at which a view filled now expires; less up to a fifth, so that views do not expire together."""
        return int(time() + self._ttl_seconds * random.uniform(0.8, 1.0))  # noqa: S311 - jitter, not a secret

    async def announce(
        self, versions: Mapping[UUID, int], *, principal: str | None = None, lsn: int | None = None
    ) -> None:
        """Make sure nobody answers these clients' older views from now on, and remember the principal's write.

        If Redis cannot be told, the whole generation is retired instead: slower, and as safe.
        Raises when neither Redis nor the primary can be reached.
        """
        generation, certain = self._guard.generation_for_announcing()
        keys = [f"c:{generation}:{client_id}" for client_id in versions]
        values: list[int | str] = list(versions.values())
        if principal is not None and lsn is not None:
            keys.append(f"rw:{generation}:{principal}")
            values.append(f"L{lsn:016x}")
        if not keys:
            return
        try:
            await self._redis.execute("EVALSHA", _SHA[ANNOUNCE], len(keys), *keys, *values)
        except (RedisUnavailableError, ResponseError):
            certain = False
        if not certain:
            await self._guard.retire()
