"""Every statement about payments, one function per question."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.states import OWING
from backend_api.http.pagination import Paging
from backend_api.models import loan_movements, payments

LOAN_TO_PAY = """
SELECT l.id, l.folio, l.client_id, l.status, l.version, l.disbursed_on, l.current_balance,
       c.event_sequence, c.chain_head, d.business_date AS today,
       CASE WHEN $2::text IS NULL THEN NULL ELSE
           (SELECT p.id FROM payments p WHERE p.client_id = c.id AND p.reference = $2 AND p.status = 'REGISTERED')
       END AS same_reference,
       CASE WHEN $3::text IS NULL THEN NULL ELSE
           (SELECT p.id FROM payments p WHERE p.client_id = c.id AND p.external_id = $3 AND p.status = 'REGISTERED')
       END AS same_external_id
  FROM loans l JOIN clients c ON c.id = l.client_id CROSS JOIN business_day d WHERE l.id = $1
"""
CLIENT_TO_PAY = """
SELECT c.id AS client_id, c.event_sequence, c.chain_head, d.business_date AS today,
       (SELECT p.id FROM payments p WHERE p.client_id = c.id AND p.reference = $2 AND p.status = 'REGISTERED')
           AS same_reference,
       (SELECT p.id FROM payments p WHERE p.client_id = c.id AND p.external_id = $3 AND p.status = 'REGISTERED')
           AS same_external_id,
       l.id, l.folio, l.status, l.version, l.disbursed_on, l.current_balance
  FROM clients c CROSS JOIN business_day d LEFT JOIN loans l ON l.client_id = c.id AND l.status = ANY($4)
 WHERE c.id = $1 AND c.deleted_at IS NULL ORDER BY l.folio
"""


async def loan_to_pay(
    connection: Connection, loan_id: UUID, reference: str | None, external_id: str | None
) -> Record | None:
    """A loan with its client's sequence, the business date, and earlier payments of the same name."""
    return await connection.fetchrow(LOAN_TO_PAY, loan_id, reference, external_id)


async def client_to_pay(
    connection: Connection, client_id: UUID, reference: str | None, external_id: str | None
) -> Sequence[Record]:
    """The same for a client: one row per owed loan, or one without; none for an unknown client."""
    owing = [status.value for status in OWING]
    return await connection.fetch(CLIENT_TO_PAY, client_id, reference, external_id, owing)


async def payment(connection: AsyncConnection, payment_id: UUID) -> Any:
    """A payment; None if there is none."""
    return (await connection.execute(select(payments).where(payments.c.id == payment_id))).one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of payments."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(payments).where(*filters)))).all()
    return rows


def of_loan(loan_id: UUID) -> Any:
    """The filter for payments that reached a loan."""
    return payments.c.id.in_(select(loan_movements.c.payment_id).where(loan_movements.c.loan_id == loan_id))


async def allocations(connection: AsyncConnection, payment_ids: Sequence[UUID]) -> Sequence[Any]:
    """What these payments did, in one statement for a whole page."""
    statement = (
        select(loan_movements)
        .where(loan_movements.c.payment_id.in_(payment_ids), loan_movements.c.kind == "PAYMENT")
        .order_by(loan_movements.c.payment_id, loan_movements.c.id)
    )
    return (await connection.execute(statement)).all()
