"""Where a read goes: Redis, the replica or the primary, so that nobody reads older than their own write.

The rule: a reader needs everything up to an LSN (its token's, or the mark of its newest write). The replica answers if
it has replayed that far and is known to; the primary answers in every other case. When Redis is lost, emptied or off,
the marks are too, so everybody reads from the primary for as long as a mark lives.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.cache.clients import ClientCache, Standing
from backend_api.cache.entries import Entry
from backend_api.db.pools import LOST_CONNECTION, Databases, DatabaseUnavailableError
from backend_api.db.sampler import Sampler

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
Query = Callable[[AsyncConnection], Awaitable[Result]]

REMEMBERED_IDS = 10_000
RECHECKS_PER_SECOND = 200
"""How many "not found" of the replica are asked of the primary per second and process; more are probing."""


class Reader(NamedTuple):
    """Who reads, and what it may not miss: `principal` is None for anonymous callers; the rest from its token."""

    principal: str | None = None
    timeline: int | None = None
    lsn: int | None = None
    aggregate: UUID | None = None
    sequence: int = 0

    def needs(self, client_id: UUID) -> int:
        """The lowest version of this client's views that is not older than the reader's token."""
        return self.sequence if self.aggregate == client_id else 0


class View(NamedTuple):
    """A view as it was built or cached. `source` is what `X-Cache` says: hit, miss or bypass."""

    body: bytes
    etag: str
    source: str


@dataclass(frozen=True, slots=True)
class Built:
    """A view fresh from one statement, so `version` and body are of the same moment; `subject` is the client's RFC."""

    client_id: UUID
    version: int
    subject: str | None
    etag: str
    body: bytes


Build = Callable[[AsyncConnection, date], Awaitable[Built | None]]


class _ReplicaFailedError(Exception):
    """The replica could not be read; the primary answers instead."""


class Reads:
    """The read path of one process."""

    def __init__(self, databases: Databases, sampler: Sampler, cache: ClientCache) -> None:
        self._databases = databases
        self._sampler = sampler
        self._cache = cache
        self._flights: dict[tuple[object, ...], asyncio.Task[View | None]] = {}
        self._ids: dict[str, UUID] = {}
        self._rechecks = 0
        self._recheck_window = 0.0

    async def query(self, reader: Reader, run: Query[Result]) -> Result:
        """Run a query (a list, a statement) where this reader sees all it may not miss."""
        standing = await self._cache.standing(reader.principal)
        if self._replica_serves(reader, standing):
            with suppress(_ReplicaFailedError):
                return await self._on_replica(run)
        return await self.on_primary(run)

    async def find(self, reader: Reader, run: Query[Result | None]) -> Result | None:
        """The same for one thing by its name: what the replica does not know is asked of the primary."""
        standing = await self._cache.standing(reader.principal)
        if self._replica_serves(reader, standing):
            with suppress(_ReplicaFailedError):
                result = await self._on_replica(run)
                if result is not None or not self._may_recheck():
                    return result
        return await self.on_primary(run)

    async def client_view(
        self, reader: Reader, client_id: UUID, view: str, subject: str | None, build: Build
    ) -> View | None:
        """A view of one client: from Redis if it is of today, not expired and not older than what was announced or this
        reader needs; else built. `subject`: the view only counts if it is about this RFC."""
        announced, entry = await self._cache.get(client_id, view)
        sample = self._sampler.fresh_primary()
        if subject is not None and entry is not None and subject == entry.subject and subject not in self._ids:
            self._remember(subject, client_id)
        if (
            entry is not None
            and sample is not None
            and entry.business_date == sample.business_date
            and entry.version >= reader.needs(client_id)
            and subject in (None, entry.subject)
        ):
            return View(entry.body, entry.etag, "hit")
        if not announced:
            return await self.build_view(reader, view, build)
        # Only readers who know of the same announced version share a query: it cannot be older than their own write.
        key = (client_id, view, subject, announced, reader.needs(client_id))
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self.build_view(reader, view, build))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def id_of(self, rfc: str) -> UUID | None:
        """The client last seen under this RFC, as this process or Redis remembers it; a hint only."""
        known = self._ids.get(rfc)
        if known is None:
            known = await self._cache.find(rfc)
        return known

    async def on_primary(self, run: Query[Result]) -> Result:
        """Run a query on the primary; what must be true now is read here."""
        try:
            async with self._databases.primary.connect() as connection:
                return await run(connection)
        except (DBAPIError, *LOST_CONNECTION) as error:
            if isinstance(error, DBAPIError) and not error.connection_invalidated:
                raise
            log.warning("primary_read_tried_again", error=type(error).__name__)
        # A connection of the pool was dead, of a server that may have been back for long: a new one tells.
        try:
            async with self._databases.primary.connect() as connection:
                return await run(connection)
        except LOST_CONNECTION as error:
            # What SQLAlchemy does not wrap, a refused connection for example.
            raise DatabaseUnavailableError from error

    async def business_date(self) -> date:
        """Today, as the books say."""
        sample = self._sampler.fresh_primary() or self._sampler.primary
        if sample is None:
            raise PoolTimeoutError("the primary has not answered yet")
        return sample.business_date

    async def build_view(self, reader: Reader, view: str, build: Build) -> View | None:
        """The view from a database, and into Redis. None: there is no such client."""
        standing = await self._cache.standing(reader.principal)
        today = await self.business_date()

        async def run(connection: AsyncConnection) -> Built | None:
            return await build(connection, today)

        built: Built | None = None
        if self._replica_serves(reader, standing):
            with suppress(_ReplicaFailedError):
                built = await self._on_replica(run)
                if built is None and not self._may_recheck():
                    return None
            if built is not None:
                announced, _ = await self._cache.get(built.client_id, view)
                if built.version < max(announced, reader.needs(built.client_id)):
                    built = None
        if built is None:
            built = await self.on_primary(run)
        if built is None:
            return None
        if built.subject is not None:
            self._remember(built.subject, built.client_id)
        if standing is not None:
            entry = Entry(built.version, today, self._cache.expiry(), built.subject or "-", built.etag, built.body)
            await self._cache.fill(built.client_id, view, entry, built.subject, standing)
        return View(built.body, built.etag, "miss" if standing else "bypass")

    def _remember(self, rfc: str, client_id: UUID) -> None:
        if len(self._ids) >= REMEMBERED_IDS:
            self._ids.clear()
        self._ids[rfc] = client_id

    def _replica_serves(self, reader: Reader, standing: Standing | None) -> bool:
        sample = self._sampler.fresh_primary()
        if sample is None or standing is None or not standing.trusted:
            return False
        if reader.timeline not in (None, sample.timeline):
            return False
        return self._sampler.replica_has(max(reader.lsn or 0, standing.mark))

    async def _on_replica(self, run: Query[Result]) -> Result:
        """Raises `_ReplicaFailedError`: a replica that fails is not one that does not know."""
        try:
            async with self._databases.replica.connect() as connection:
                return await run(connection)
        except (DBAPIError, PoolTimeoutError, *LOST_CONNECTION) as error:
            log.warning("replica_read_failed", error=type(error).__name__)
            raise _ReplicaFailedError from error

    def _may_recheck(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._recheck_window >= 1:
            self._recheck_window, self._rechecks = now, 0
        self._rechecks += 1
        return self._rechecks <= RECHECKS_PER_SECOND
