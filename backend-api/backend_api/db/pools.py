"""The connections of one process: a pool that writes, and engines that read from the primary and the replica.

Decisions are read and written through the asyncpg pool (two round trips, measured twice as fast as through an engine);
views and lists are SQLAlchemy selects on the engines. No request holds two connections of one pool.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import asyncpg
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from backend_api.settings import Settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

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
LOST_SERVER = (*LOST_CONNECTION, asyncpg.PostgresError)
"""What makes a background task connect anew, whatever the server said."""

CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 5.0
POOL_WAIT_SECONDS = 1.0
"""Longer than this in the queue for a connection means overload: the caller answers 503."""


@dataclass(frozen=True, slots=True)
class Databases:
    """What the lifespan opens and closes."""

    writer: Pool
    primary: AsyncEngine
    replica: AsyncEngine


async def connect(settings: Settings, *, replica: bool = False, name: str = "sofipo") -> Connection:
    """One connection of its own (sampler, listener, leader), as the application's role."""
    return await asyncpg.connect(
        host=settings.postgres_replica_host if replica else settings.postgres_host,
        port=settings.postgres_replica_port if replica else settings.postgres_port,
        user=settings.postgres_app_user,
        password=settings.postgres_app_password.get_secret_value(),
        database=settings.postgres_db,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings={"application_name": name},
    )


@asynccontextmanager
async def open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """Open the pools; fails when the primary is away, and does not mind a missing replica."""
    writer = await asyncpg.create_pool(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_app_user,
        password=settings.postgres_app_password.get_secret_value(),
        database=settings.postgres_db,
        min_size=1,
        max_size=settings.writer_connections,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        # Every use is a closed transaction, so the reset query of each release would be a round trip for nothing.
        reset=_keep,
        server_settings={"application_name": "sofipo-writer"},
    )
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


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool. Raises `PoolExhaustedError` after `POOL_WAIT_SECONDS`.

    A connection that broke in use is thrown away, so that nobody else gets it.
    """
    try:
        connection = await pool.acquire(timeout=POOL_WAIT_SECONDS)
    except TimeoutError as error:
        raise PoolExhaustedError from error
    try:
        yield cast(Connection, connection)
    except LOST_CONNECTION:
        connection.terminate()
        raise
    finally:
        await pool.release(connection)


async def _keep(connection: Connection) -> None:
    """Leave the session as it is."""


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
