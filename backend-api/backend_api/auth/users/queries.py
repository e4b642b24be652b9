"""Every statement about users, one function per question."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.http.pagination import Paging
from backend_api.models import users

TAKEN = """
SELECT (SELECT business_date FROM business_day) AS today,
       EXISTS (SELECT FROM users WHERE username = $1 AND id <> $2) AS username_taken,
       $3::uuid IS NULL OR EXISTS (SELECT FROM clients WHERE id = $3 AND deleted_at IS NULL) AS client_known
"""
FOR_CHANGE = """
SELECT u.*, (SELECT business_date FROM business_day) AS today,
       (SELECT id FROM users WHERE role = 'admin' AND status = 'ACTIVE' AND id <> u.id LIMIT 1) AS other_admin
  FROM users u WHERE u.id = $1
"""
BY_NAME = "SELECT id FROM users WHERE username = $1"
ALL = "SELECT username, role, status, created_at FROM users ORDER BY username"

SHOWN = tuple(users.c[name] for name in ("id", "username", "role", "status", "client_id", "version", "event_sequence",
                                         "password_changed_at", "created_at", "updated_at"))  # fmt: skip


async def taken(connection: Connection, username: str, but: UUID, client_id: UUID | None) -> Record:
    """Whether another user has the name, whether there is such a client, and the business date."""
    row = await connection.fetchrow(TAKEN, username, but, client_id)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row


async def for_change(connection: Connection, user_id: UUID) -> Record | None:
    """A user's row, the business date, and another administrator, if there is one."""
    return await connection.fetchrow(FOR_CHANGE, user_id)


async def id_of(connection: Connection, username: str) -> UUID | None:
    """The user of this name."""
    found: UUID | None = await connection.fetchval(BY_NAME, username)
    return found


async def everybody(connection: Connection) -> Sequence[Record]:
    """All users by name."""
    return await connection.fetch(ALL)


async def user(connection: AsyncConnection, user_id: UUID) -> Any:
    """A user; None if there is none."""
    return (await connection.execute(select(*SHOWN).where(users.c.id == user_id))).one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of users."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(*SHOWN).where(*filters)))).all()
    return rows
