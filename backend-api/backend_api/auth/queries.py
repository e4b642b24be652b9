"""Every statement of auth, one function per question."""

from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.models import users


async def user_for_login(connection: AsyncConnection, username: str) -> Any:
    """Id, name, hash and role of an active user; None if there is none."""
    statement = select(users.c.id, users.c.username, users.c.password_hash, users.c.role).where(
        users.c.username == username, users.c.status == "ACTIVE"
    )
    return (await connection.execute(statement)).one_or_none()


async def username_taken(connection: Connection, username: str) -> tuple[bool, date]:
    """Whether the name is in use, and the business date."""
    row = await connection.fetchrow(
        "SELECT EXISTS (SELECT FROM users WHERE username = $1) AS taken, "
        "(SELECT business_date FROM business_day) AS today",
        username,
    )
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row["taken"], row["today"]
