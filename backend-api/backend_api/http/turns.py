"""Queues within one process: who would collide on the same loan waits here and not in the database.

Without them a hot client's requests all read the same state and all but one decide in vain (measured: half the
throughput). The database stays the judge; a queue only saves work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from backend_api.http.problems import Busy

WAIT_SECONDS = 5.0


class Turns:
    """One lock per name that somebody waits for."""

    def __init__(self) -> None:
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, name: UUID | None) -> AsyncIterator[None]:
        """Wait for one's turn, at most five seconds, then `Busy`. No name, no waiting."""
        if name is None:
            yield
            return
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, users + 1
        try:
            await self._wait_for(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks[name]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = lock, users - 1

    async def _wait_for(self, lock: asyncio.Lock) -> None:
        if not lock.locked():
            # The usual case is alone, and needs no timer.
            await lock.acquire()
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError as error:
            raise Busy from error
