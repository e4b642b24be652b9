"""Runs migrations as the owner of the schema; the application's role owns nothing."""

import asyncio

import sqlalchemy as sa
from alembic import context
from backend_api.models import metadata
from backend_api.settings import Settings
from sqlalchemy.ext.asyncio import create_async_engine


def _run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        opts={"app_role": Settings().postgres_app_user},
    )
    with context.begin_transaction():
        context.run_migrations()


async def _migrate() -> None:
    settings = Settings()
    url = sa.URL.create(
        "postgresql+asyncpg",
        settings.postgres_user,
        settings.postgres_password.get_secret_value(),
        settings.postgres_host,
        settings.postgres_port,
        settings.postgres_db,
    )
    engine = create_async_engine(url, poolclass=sa.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


asyncio.run(_migrate())
