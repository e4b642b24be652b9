"""Every statement of the MO App, one function per question.

A customer here is a client with an external id. A loan that the office granted without one is named by its own id.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.auth.users.queries import SHOWN
from backend_api.db.pools import Connection
from backend_api.models import clients, loans, users

CUSTOMER = "SELECT id, event_sequence FROM clients WHERE external_id = $1 AND deleted_at IS NULL"
PRODUCT_OF_KEY = "SELECT product FROM api_keys WHERE id = $1"
# The given name counts: a loan's own id may be the name that somebody gave to another one.
LOANS_NAMED = """
SELECT id, external_id AS name, true AS given FROM loans WHERE external_id = ANY($1::text[])
 UNION ALL SELECT id, id::text, false FROM loans WHERE id = ANY($2::uuid[]) AND external_id IS NULL
 ORDER BY given
"""
NAMES_OF_LOANS = "SELECT id, coalesce(external_id, id::text) AS name FROM loans WHERE id = ANY($1::uuid[])"

Rows = Sequence[Any]

_IS_CUSTOMER = and_(clients.c.external_id.is_not(None), clients.c.deleted_at.is_(None))
_LOANS = select(
    loans.c.id,
    func.coalesce(loans.c.external_id, cast(loans.c.id, Text)).label("external_id"),
    loans.c.client_id,
    clients.c.external_id.label("customer_external_id"),
    loans.c.amount,
    loans.c.current_balance,
    loans.c.status,
).join(clients, clients.c.id == loans.c.client_id)


async def customer_to_serve(connection: Connection, external_id: str) -> Record | None:
    """Id and sequence of the client whom the partner calls so, for whoever is about to write."""
    return await connection.fetchrow(CUSTOMER, external_id)


async def product_of_key(connection: Connection, api_key_id: UUID | None) -> str | None:
    """The product that an API key is bound to, if it is."""
    found: str | None = await connection.fetchval(PRODUCT_OF_KEY, api_key_id) if api_key_id else None
    return found


async def loans_named(connection: Connection, names: Sequence[str]) -> Mapping[str, UUID]:
    """The loans of these names, whosever they are; those that there are not are left out."""
    ids = [found for name in names if (found := _uuid(name)) is not None]
    return {row["name"]: row["id"] for row in await connection.fetch(LOANS_NAMED, names, ids)}


async def names_of_loans(connection: Connection, loan_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """How the partner calls these loans."""
    return {row["id"]: row["name"] for row in await connection.fetch(NAMES_OF_LOANS, loan_ids)}


async def customer(connection: AsyncConnection, external_id: str) -> Any:
    """A customer; None if there is none."""
    statement = select(clients).where(clients.c.external_id == external_id, clients.c.deleted_at.is_(None))
    return (await connection.execute(statement)).one_or_none()


async def loan(connection: AsyncConnection, name: str) -> Any:
    """A loan by its name; None if there is none."""
    own = _uuid(name)
    named: ColumnElement[bool] = loans.c.external_id == name
    if own is not None:
        named = or_(named, and_(loans.c.id == own, loans.c.external_id.is_(None)))
    # As in LOANS_NAMED.
    statement = _LOANS.where(_IS_CUSTOMER, named).order_by(loans.c.external_id.is_(None)).limit(1)
    return (await connection.execute(statement)).one_or_none()


async def customers_after(connection: AsyncConnection, after: UUID | None, own: UUID | None, limit: int) -> Rows:
    """The next customers in the order of their registration; for a borrower, their own record only."""
    statement = select(clients).where(_IS_CUSTOMER)
    if own is not None:
        statement = statement.where(clients.c.id == own)
    return await _next(connection, statement, clients.c.id, after, limit)


async def loans_after(connection: AsyncConnection, after: UUID | None, client_id: UUID | None, limit: int) -> Rows:
    """The next loans of customers, or of one, in the order in which they were made."""
    statement = _LOANS.where(_IS_CUSTOMER)
    if client_id is not None:
        statement = statement.where(loans.c.client_id == client_id)
    return await _next(connection, statement, loans.c.id, after, limit)


async def users_after(connection: AsyncConnection, after: UUID | None, limit: int) -> Rows:
    """The next users, without what is secret of them."""
    return await _next(connection, select(*SHOWN), users.c.id, after, limit)


async def _next(
    connection: AsyncConnection, statement: Select[Any], order: ColumnElement[UUID], after: UUID | None, limit: int
) -> Rows:
    if after is not None:
        statement = statement.where(order > after)
    rows: Rows = (await connection.execute(statement.order_by(order).limit(limit))).all()
    return rows


def _uuid(name: str) -> UUID | None:
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None
