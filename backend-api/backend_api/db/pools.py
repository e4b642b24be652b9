"""The connections of one process: a pool that writes, and engines that read from the primary and the replica.

Decisions are read and written through the asyncpg pool (two round trips, measured twice as fast as through an engine);
views and lists are SQLAlchemy selects on the engines. No request holds two connections of one pool.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from backend_api.settings import Settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOST_CONNECTION = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # "Another operation is in progress": the server's farewell came in while the connection was idle.
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    OSError,
    TimeoutError,
)
"""All the ways in which a server is away or a connection broken. What was asked last may have been done."""
GIVEN_UP = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""What the server would not wait for any longer."""
LOST_SERVER = (*LOST_CONNECTION, asyncpg.PostgresError)
"""What makes a background task connect anew, whatever the server said."""

WRITER_SESSION = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
"""One plan for every call: planning anew each time was a seventh of what PostgreSQL spent on a payment. All that these
statements look for has an index, and a plan made while a table was small must not outlive that."""

CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 5.0
POOL_WAIT_SECONDS = 1.0
"""Longer than this in the queue for a connection means overload: the caller answers 503."""


@dataclass(frozen=True, slots=True)
class Databases:
    """What the lifespan opens and closes."""

    writer: "Pool"
    primary: AsyncEngine
    replica: AsyncEngine


async def connect(
    settings: Settings, *, replica: bool = False, name: str = "sofipo", session: Mapping[str, str] | None = None
) -> Connection:
    """One connection (sampler, listener, leader) as the application's role, with settings of its session."""
    return await asyncpg.connect(
        host=settings.postgres_replica_host if replica else settings.postgres_host,
        port=settings.postgres_replica_port if replica else settings.postgres_port,
        user=settings.postgres_app_user,
        password=settings.postgres_app_password.get_secret_value(),
        database=settings.postgres_db,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings={"application_name": name, **(session or {})},
    )


@asynccontextmanager
async def open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """Open the pools; fails when the primary is away, and does not mind a missing replica."""
    writer = Pool(settings)
    async with writer.acquire():
        pass
    primary = _reading_engine(settings, settings.postgres_host, settings.postgres_port, "sofipo-reader")
    replica = _reading_engine(
        settings, settings.postgres_replica_host, settings.postgres_replica_port, "sofipo-replica-reader"
    )
    try:
        yield Databases(writer, primary, replica)
    finally:
        await replica.dispose()
        await primary.dispose()
        await writer.close()


class DatabaseUnavailableError(Exception):
    """The server is away or too busy to be asked."""


class PoolExhaustedError(DatabaseUnavailableError):
    """No connection came free in time: the process is overloaded or the server away."""


class Pool:
    """Connections to the primary for writes, the last used first.

    The driver's own pool wraps every call on a connection and makes tasks of acquiring and releasing: 50 µs for each
    use, of which a payment has two (measured). Here a connection is simply held. What broke in use is thrown away,
    together with all idle ones: they broke at the same time.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.writer_connections)
        self._idle: list[Connection] = []
        self._used: set[Connection] = set()

    async def close(self) -> None:
        """Close all; what is in use is cut off."""
        for connection in (*self._idle, *self._used):
            connection.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection. Raises `PoolExhaustedError` when none comes free in `POOL_WAIT_SECONDS`."""
        await self._wait()
        try:
            connection = await self._take()
            try:
                yield connection
            except (*LOST_CONNECTION, asyncio.CancelledError):
                for broken in (connection, *self._idle):
                    broken.terminate()
                raise
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    @asynccontextmanager
    async def ask(self) -> AsyncIterator[Connection]:
        """The same for statements that nobody tries again. Raises `DatabaseUnavailableError` if the server is away."""
        try:
            async with self.acquire() as connection:
                yield connection
        except (*LOST_CONNECTION, *GIVEN_UP) as error:
            raise DatabaseUnavailableError from error

    async def _wait(self) -> None:
        if not self._free.locked():
            # The usual case, and needs no timer.
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise PoolExhaustedError from error

    async def _take(self) -> Connection:
        connection = None
        while self._idle and (connection is None or connection.is_closed()):
            connection = self._idle.pop()
        if connection is None or connection.is_closed():
            connection = await connect(self._settings, name="sofipo-writer", session=WRITER_SESSION)
        self._used.add(connection)
        return connection

    def _give_back(self, connection: Connection) -> None:
        self._used.discard(connection)
        if connection.is_closed():
            return
        if connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append(connection)


def _reading_engine(settings: Settings, host: str, port: int, name: str) -> AsyncEngine:
    return create_async_engine(
        URL.create(
            "postgresql+asyncpg",
            settings.postgres_app_user,
            settings.postgres_app_password.get_secret_value(),
            host,
            port,
            settings.postgres_db,
        ),
        isolation_level="AUTOCOMMIT",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=settings.reader_connections,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_reset_on_return=None,
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": {"application_name": name, "default_transaction_read_only": "on"},
        },
    )
