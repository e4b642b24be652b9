"""Every statement about products, one function per question."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from asyncpg import Record
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.http.pagination import Paging
from backend_api.models import loan_product_versions, loan_products

TAKEN = """
SELECT (SELECT business_date FROM business_day) AS today, EXISTS (SELECT FROM loan_products WHERE code = $1) AS taken
"""
CURRENT = """
SELECT p.*, v.terms, v.limits, (SELECT business_date FROM business_day) AS today
  FROM loan_products p JOIN loan_product_versions v ON v.product_id = p.id AND v.version = p.version
 WHERE p.code = $1
"""


async def taken(connection: Connection, code: str) -> Record:
    """Whether a product has this code, and the business date."""
    row = await connection.fetchrow(TAKEN, code)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row


async def current(connection: Connection, code: str) -> dict[str, Any] | None:
    """A product with its newest terms and limits, and the business date, for whoever is about to write."""
    row = await connection.fetchrow(CURRENT, code)
    if row is None:
        return None
    return {**row, "terms": orjson.loads(row["terms"]), "limits": orjson.loads(row["limits"])}


async def product(connection: AsyncConnection, code: str) -> Mapping[Any, Any] | None:
    """A product with its newest terms and limits; None if there is none."""
    statement = _newest().where(loan_products.c.code == code)
    row: Mapping[Any, Any] | None = (await connection.execute(statement)).mappings().one_or_none()
    return row


async def version(connection: AsyncConnection, code: str, number: int) -> Any:
    """One version of a product's terms; None if there is none."""
    statement = (
        select(loan_product_versions, loan_products.c.code)
        .join(loan_products)
        .where(loan_products.c.code == code, loan_product_versions.c.version == number)
    )
    return (await connection.execute(statement)).one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of products with their newest terms."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(_newest().where(*filters)))).all()
    return rows


def _newest() -> Select[Any]:
    versions = loan_product_versions
    newest = (versions.c.product_id == loan_products.c.id) & (versions.c.version == loan_products.c.version)
    return select(loan_products, versions.c.terms, versions.c.limits).join(versions, newest)
