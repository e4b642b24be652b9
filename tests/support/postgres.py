"""The test database seen directly, beside the application."""

import asyncpg
from backend_api.db.pools import Connection
from backend_api.settings import Settings

BUSINESS_TABLES = (
    "clients", "loans", "payments", "loan_movements", "ledger_entries", "postings", "events", "outbox",
    "idempotency_keys", "users",
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
