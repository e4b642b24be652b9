"""Every statement about decoys, one function per question."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.http.pagination import Paging
from backend_api.models import decoy_attempts, decoys

KNOWN = """
SELECT (SELECT id FROM decoys WHERE address = $1 AND hour = $2) AS id,
       (SELECT business_date FROM business_day) AS today
"""
COUNT = """
UPDATE decoys SET touches = touches + $2, attempts = attempts + $3, last_at = greatest(last_at, $4)
 WHERE id = $1 RETURNING attempts - $3
"""
KEEP = """
INSERT INTO decoy_attempts (id, decoy_id, at, path, username, user_agent)
SELECT id, $1, at, path, username, user_agent
  FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
       AS a (id, at, path, username, user_agent)
"""
FORGET = "DELETE FROM decoys WHERE last_at < $1"


async def known(connection: Connection, address: str, hour: datetime) -> tuple[UUID | None, date]:
    """The decoy of this address and hour, if there is one, and the business date."""
    row = await connection.fetchrow(KNOWN, address, hour)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row["id"], row["today"]


async def count(connection: Connection, decoy_id: UUID, touches: int, attempts: int, last_at: datetime) -> int:
    """Count touches and attempts; how many attempts there were before."""
    before: int = await connection.fetchval(COUNT, decoy_id, touches, attempts, last_at)
    return before


async def keep(connection: Connection, decoy_id: UUID, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store attempts: id, time, path, name, agent of each."""
    await connection.execute(KEEP, decoy_id, *map(list, zip(*rows, strict=True)))


async def forget(connection: Connection, before: datetime) -> None:
    """Delete what was not touched since, with its attempts."""
    await connection.execute(FORGET, before)


async def page(connection: AsyncConnection, paging: Paging) -> Sequence[Any]:
    """A page of decoys, and one more."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(decoys)))).all()
    return rows


async def one(connection: AsyncConnection, decoy_id: UUID) -> tuple[Any, Sequence[Any]] | None:
    """A decoy with its attempts, oldest first; None if there is none."""
    row = (await connection.execute(select(decoys).where(decoys.c.id == decoy_id))).one_or_none()
    if row is None:
        return None
    tried = decoy_attempts.c
    attempts = select(decoy_attempts).where(tried.decoy_id == decoy_id).order_by(tried.at, tried.id)
    return row, (await connection.execute(attempts)).all()
