"""Every statement about API keys, one function per question."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.http.pagination import Paging
from backend_api.models import api_keys

# A key counts as long as its owner may sign in, and a client's user as long as the client's record is there.
BY_PUBLIC_ID = """
SELECT k.id, k.owner_id, k.scopes, k.secret_hash, k.former_hash, k.former_until, k.expires_at, k.version,
       u.username, u.role, u.epoch, u.client_id
  FROM api_keys k JOIN users u ON u.id = k.owner_id LEFT JOIN clients c ON c.id = u.client_id AND c.deleted_at IS NULL
 WHERE k.public_id = $1 AND k.status = 'ACTIVE' AND u.status = 'ACTIVE' AND (u.role <> 'client' OR c.id IS NOT NULL)
"""
OWNER = """
SELECT (SELECT business_date FROM business_day) AS today,
       (SELECT role FROM users WHERE id = $1 AND status = 'ACTIVE') AS role,
       $2::text IS NULL OR EXISTS (SELECT FROM loan_products WHERE code = $2) AS product_known
"""
FOR_CHANGE = "SELECT k.*, (SELECT business_date FROM business_day) AS today FROM api_keys k WHERE k.id = $1"
USED = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)"
BY_ID_OR_PUBLIC_ID = "SELECT id FROM api_keys WHERE id::text = $1 OR public_id = $1"
ALL = """
SELECT k.public_id, k.name, k.scopes, k.status, k.expires_at, k.last_used_at, u.username AS owner
  FROM api_keys k JOIN users u ON u.id = k.owner_id ORDER BY k.id
"""
SHOWN = tuple(api_keys.c[name] for name in ("id", "public_id", "owner_id", "name", "scopes", "status", "product",
                                            "expires_at", "former_until", "last_used_at", "version", "event_sequence",
                                            "created_at", "updated_at"))  # fmt: skip


async def by_public_id(connection: Connection, public_id: str) -> Record | None:
    """A key that may be used, with its owner; None if there is none."""
    return await connection.fetchrow(BY_PUBLIC_ID, public_id)


async def owner(connection: Connection, user_id: UUID, product: str | None) -> Record:
    """The role of a user who may own keys (None if there is none), whether there is such a product, and the business
    date."""
    row = await connection.fetchrow(OWNER, user_id, product)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row


async def for_change(connection: Connection, key_id: UUID) -> Record | None:
    """A key's row and the business date."""
    return await connection.fetchrow(FOR_CHANGE, key_id)


async def used(connection: Connection, key_id: UUID, at: datetime, unless_since: datetime) -> None:
    """Note that a key was used, unless that was noted a moment ago."""
    await connection.execute(USED, key_id, at, unless_since)


async def id_of(connection: Connection, name: str) -> UUID | None:
    """The key with this id or public id."""
    found: UUID | None = await connection.fetchval(BY_ID_OR_PUBLIC_ID, name)
    return found


async def everything(connection: Connection) -> Sequence[Record]:
    """All keys with their owners, oldest first."""
    return await connection.fetch(ALL)


async def key(connection: AsyncConnection, key_id: UUID) -> Any:
    """A key; None if there is none."""
    return (await connection.execute(select(*SHOWN).where(api_keys.c.id == key_id))).one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of keys."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(*SHOWN).where(*filters)))).all()
    return rows
