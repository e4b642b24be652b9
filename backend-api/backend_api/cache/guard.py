"""Who may trust the cache: the rule that keeps a writer's failure to reach Redis from leaving an old value behind.

Every key name carries a *generation*, a number in the primary that each process samples and trusts for half a second
only. A writer that could not announce its change in Redis *retires* the generation and waits until that half second is
over for everybody: from then on no process reads the key space in which an old value may stand. Meanwhile reads go to
the database. Nothing depends on Redis being reachable, telling the truth or keeping its memory.
"""

import asyncio

from backend_api.db.pools import Pool
from backend_api.db.sampler import STALE_SECONDS, Sampler

OFF_SECONDS = 2
"""How long nobody uses the cache after a failed announcement; longer than a sample is trusted."""

RETIRE = f"""
UPDATE cache_guard
   SET generation = generation + 1,
       off_since = CASE WHEN off_until > clock_timestamp() THEN off_since ELSE clock_timestamp() END,
       off_until = clock_timestamp() + interval '{OFF_SECONDS} s'
RETURNING extract(epoch FROM off_since - clock_timestamp())::float + {STALE_SECONDS}
"""  # noqa: S608 - constants only


class CacheGuard:
    """The generation in force, as far as this process may know it."""

    def __init__(self, sampler: Sampler, writer: Pool) -> None:
        self._sampler = sampler
        self._writer = writer

    def generation_for_reading(self) -> int | None:
        """The generation whose values may be answered; None while the cache is off or its state unknown."""
        sample = self._sampler.fresh_primary()
        return None if sample is None or sample.cache_off else sample.cache_generation

    def generation_for_announcing(self) -> tuple[int, bool]:
        """The generation a change must be announced in, also while it is not read yet, and whether that is certain.

        An old sample may name a generation that has been retired since; or the one that is used again when the primary
        is back: so a change is announced in it and a new one is begun.
        """
        sample = self._sampler.primary
        return (sample.cache_generation if sample else 0), self._sampler.fresh_primary() is not None

    async def retire(self) -> None:
        """Return when no process can answer from what Redis held before this call. Raises when the primary is away."""
        async with self._writer.acquire() as connection:
            wait = await connection.fetchval(RETIRE)
        # Already off for everybody: the new generation alone does it, and an outage of Redis costs writers no wait.
        if wait > 0:
            await asyncio.sleep(wait)
