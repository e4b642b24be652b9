"""The test database seen directly, beside the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from secrets import token_hex

import asyncpg
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Settings

from tests.support.processes import run_command
from tests.support.waiting import eventually

BUSINESS_TABLES = (
    "clients", "loans", "payments", "loan_movements", "ledger_entries", "postings", "events", "outbox",
    "idempotency_keys", "users", "loan_products", "loan_product_versions",
)  # fmt: skip


async def connect_as_owner(settings: Settings) -> Connection:
    """A connection as the owner of the schema."""
    return await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
    )


@asynccontextmanager
async def fresh_database(stack: Settings) -> AsyncIterator[str]:
    """The name of a new database on the stack's server, initialised as `sofipo init` does; it is gone at the end."""
    name = f"test_{token_hex(6)}"
    server = await connect_as_owner(stack)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        yield name
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def drop_databases(server: Connection, pattern: str) -> None:
    """Drop a database and its copies, whose names begin with its own.

    When no copy is made any more, and none between two tests: before it makes a file, ext4 looks at each that was
    deleted in the last half minute, and a database is 600 files on two servers. A copy takes 0.16 s of the processor;
    right after others were dropped it took 0.6 s.
    """
    for row in await server.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", pattern):
        await server.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")


async def connect_as_app(settings: Settings) -> Connection:
    """A connection as the role the application uses."""
    return await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_app_user,
        password=settings.postgres_app_password.get_secret_value(),
        database=settings.postgres_db,
    )


async def row_counts(connection: Connection) -> dict[str, int]:
    """How many rows each table of the business holds: equal before and after means nothing was stored."""
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in BUSINESS_TABLES)
    row = await connection.fetchrow(f"SELECT {counts}")
    assert row is not None
    return dict(row)


async def set_business_date(owner: Connection, resources: Resources, day: date) -> None:
    """Open this day in the books and wait until the application has noticed."""

    def is_noticed() -> bool:
        sample = resources.sampler.primary
        return sample is not None and sample.business_date == day

    await owner.execute("UPDATE business_day SET business_date = $1", day)
    await eventually(is_noticed)
