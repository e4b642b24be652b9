"""Where the two servers stand, sampled all the time so that a request need not ask.

One task samples the primary (flushed LSN, timeline, business date, trust in the cache), another the replica (replayed
LSN). A sample counts from the moment it was *asked for*, so a slow answer never looks fresher than it is.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from time import monotonic

import asyncpg
import structlog

from backend_api.db.pools import LOST_SERVER, Connection, connect
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 0.05
STALE_SECONDS = 0.5
"""A server not sampled for so long counts as unreachable."""
MAX_LAG_SECONDS = 5.0
"""A replica further behind is not read at all; the marks of own writes live longer than this."""

PRIMARY = """
SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline,
       (SELECT business_date FROM business_day) AS business_date,
       g.generation, g.off_until > clock_timestamp() AS off
  FROM cache_guard g
"""
REPLICA = """
SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint AS lsn, pg_is_in_recovery() AS standby
"""


@dataclass(frozen=True, slots=True)
class PrimarySample:
    """What the primary said, `at` being this process's monotonic clock when it was asked."""

    at: float
    lsn: int
    timeline: int
    business_date: date
    cache_generation: int
    cache_off: bool


@dataclass(frozen=True, slots=True)
class ReplicaSample:
    """How far the replica had replayed when it was asked."""

    at: float
    lsn: int


class Sampler:
    """Keeps the newest samples; `start` and `close` belong to the lifespan."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._history: deque[tuple[float, int]] = deque(maxlen=int(2 * MAX_LAG_SECONDS / INTERVAL_SECONDS))
        self.primary: PrimarySample | None = None
        self.replica: ReplicaSample | None = None

    async def start(self) -> None:
        """Start sampling; returns once the primary has answered for the first time."""
        first = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._follow(False, self._sample_primary, first.set)),
            asyncio.create_task(self._follow(True, self._sample_replica, lambda: None)),
        ]
        await first.wait()

    async def close(self) -> None:
        """Stop sampling."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fresh_primary(self) -> PrimarySample | None:
        """The newest sample of the primary, unless it is too old to trust."""
        sample = self.primary
        return sample if sample and monotonic() - sample.at < STALE_SECONDS else None

    def lag_seconds(self) -> float | None:
        """How far the replica is behind: the age of the newest primary position it has replayed. None: not usable."""
        sample = self.replica
        if sample is None or monotonic() - sample.at >= STALE_SECONDS:
            return None
        for at, lsn in reversed(self._history):
            if lsn <= sample.lsn:
                return max(0.0, sample.at - at)
        return None

    def replica_has(self, lsn: int) -> bool:
        """Whether a read from the replica sees everything up to this LSN."""
        lag = self.lag_seconds()
        return lag is not None and lag <= MAX_LAG_SECONDS and self.replica is not None and self.replica.lsn >= lsn

    async def _follow(
        self, replica: bool, sample: Callable[[Connection], Awaitable[None]], first: Callable[[], None]
    ) -> None:
        """Sample for ever, connecting again after every failure."""
        name = "replica" if replica else "primary"
        reachable = True
        while True:
            try:
                connection = await connect(self._settings, replica=replica, name=f"sofipo-sampler-{name}")
                try:
                    while True:
                        async with asyncio.timeout(STALE_SECONDS):
                            await sample(connection)
                        first()
                        if not reachable:
                            log.info("sampler_reachable_again", server=name)
                            reachable = True
                        await asyncio.sleep(INTERVAL_SECONDS)
                finally:
                    connection.terminate()
            except LOST_SERVER as error:
                if reachable:
                    log.warning("sampler_lost_server", server=name, error=type(error).__name__)
                    reachable = False
                await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - jitter, not a secret

    async def _sample_primary(self, connection: Connection) -> None:
        at = monotonic()
        row = await connection.fetchrow(PRIMARY)
        if row is None or row["business_date"] is None:
            raise asyncpg.InterfaceError("the database is not initialised: run `sofipo init`")
        self.primary = PrimarySample(
            at, row["lsn"], row["timeline"], row["business_date"], row["generation"], row["off"]
        )
        self._history.append((at, row["lsn"]))

    async def _sample_replica(self, connection: Connection) -> None:
        at = monotonic()
        row = await connection.fetchrow(REPLICA)
        usable = row is not None and row["standby"] and row["lsn"] is not None
        self.replica = ReplicaSample(at, row["lsn"]) if row and usable else None
