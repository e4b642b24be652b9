"""Who read a client's full record: noted in memory by the request, written down once a second by one task.

A request pays for one entry of a dictionary. A process that is killed loses what it noted in its last second.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from uuid import UUID

import structlog
from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.auth.principal import Principal
from backend_api.db.pools import GIVEN_UP, LOST_CONNECTION, DatabaseUnavailableError, Pool
from backend_api.models import record_reads

log = structlog.get_logger(__name__)

WRITTEN_EVERY_SECONDS = 1.0
MAX_NOTED = 20_000
"""Readers and clients noted at most between two writings; a process that reaches it writes at once."""
MAX_SHOWN = 1000
HOUR = 3600
AWAY = (*LOST_CONNECTION, *GIVEN_UP, DatabaseUnavailableError)

WRITE = """
INSERT INTO record_reads AS r (client_id, hour, actor, reads, last_at)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::timestamptz[])
    ON CONFLICT (client_id, hour, actor)
    DO UPDATE SET reads = r.reads + excluded.reads, last_at = greatest(r.last_at, excluded.last_at)
"""

Key = tuple[UUID, str, int]


@dataclass(slots=True)
class _Noted:
    reads: int = 0
    last_at: float = 0.0


class Readers:
    """Notes who read what."""

    def __init__(self, writer: Pool) -> None:
        self._writer = writer
        self._noted: dict[Key, _Noted] = {}
        self._full = asyncio.Event()

    def note(self, principal: Principal, client_id: UUID) -> None:
        """Somebody saw the full record; borrowers who look at their own are no news."""
        if principal.client_id is not None:
            return
        now = time()
        key = (client_id, principal.actor, int(now // HOUR))
        noted = self._noted.get(key)
        if noted is None:
            noted = self._noted[key] = _Noted()
            if len(self._noted) >= MAX_NOTED:
                self._full.set()
        noted.reads += 1
        noted.last_at = now

    async def work(self) -> None:
        """Write down what was noted until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_EVERY_SECONDS):
                    await self._full.wait()
            self._full.clear()
            with contextlib.suppress(*AWAY):
                await self.write_down()

    async def write_down(self) -> None:
        """Write all of it now. Raises what a lost database raises, and keeps what was noted then."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            async with self._writer.acquire() as connection:
                await connection.execute(WRITE, *_columns(noted))
        except (*AWAY, asyncio.CancelledError):
            self._keep(noted)
            raise
        except Exception:
            log.exception("readers_not_recorded", rows=len(noted))

    def _keep(self, noted: Mapping[Key, _Noted]) -> None:
        for key, before in noted.items():
            now = self._noted.setdefault(key, _Noted())
            now.reads += before.reads
            now.last_at = max(now.last_at, before.last_at)


def _columns(noted: Mapping[Key, _Noted]) -> list[list[Any]]:
    # In one order for everybody, so that two processes never wait for each other in a circle.
    rows = sorted(noted.items(), key=lambda item: item[0])
    return [
        [client_id for (client_id, _, _), _ in rows],
        [_instant(hour * HOUR) for (_, _, hour), _ in rows],
        [actor for (_, actor, _), _ in rows],
        [read.reads for _, read in rows],
        [_instant(read.last_at) for _, read in rows],
    ]


def _instant(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@asynccontextmanager
async def open_readers(writer: Pool) -> AsyncIterator[Readers]:
    """Readers that are written down for as long as this is open, and once more at its end."""
    readers = Readers(writer)
    task = asyncio.create_task(readers.work())
    try:
        yield readers
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(*AWAY):
            await readers.write_down()


def readers_of(request: Request) -> Readers:
    """The notes of the application a request came to."""
    readers: Readers = request.app.state.readers
    return readers


async def of_client(connection: AsyncConnection, client_id: UUID) -> Sequence[Any]:
    """Who read the record of a client, the latest first, the last thousand readers and hours."""
    reads = record_reads.c
    statement = select(record_reads).where(reads.client_id == client_id).order_by(reads.hour.desc(), reads.actor)
    return (await connection.execute(statement.limit(MAX_SHOWN))).all()
