"""Every statement about loans, one function per question."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.states import OPEN
from backend_api.http.pagination import Paging
from backend_api.models import clients, loan_movements, loans

CLIENT_FOR_LOAN = """
SELECT c.id, c.status, c.credit_limit, c.event_sequence, c.chain_head,
       (SELECT business_date FROM business_day) AS today,
       nextval('loan_folio') AS folio,
       coalesce(sum(CASE WHEN l.status = 'PENDING' THEN l.amount ELSE l.current_balance END)
                FILTER (WHERE l.status = ANY($2)), 0) AS used_credit,
       coalesce(bool_or(l.status IN ('DEFAULTED', 'WRITTEN_OFF')), false) AS defaulted
  FROM clients c LEFT JOIN loans l ON l.client_id = c.id
 WHERE c.id = $1 AND c.deleted_at IS NULL GROUP BY c.id
"""
FOR_CHANGE = """
SELECT l.*, c.event_sequence, c.chain_head, (SELECT business_date FROM business_day) AS today
  FROM loans l JOIN clients c ON c.id = l.client_id WHERE l.id = $1
"""


async def client_for_loan(connection: Connection, client_id: UUID) -> Record | None:
    """A live client with the credit it uses, a folio for its next loan and the business date."""
    return await connection.fetchrow(CLIENT_FOR_LOAN, client_id, [status.value for status in OPEN])


async def for_change(connection: Connection, loan_id: UUID) -> Record | None:
    """A loan with its client's sequence and the business date."""
    return await connection.fetchrow(FOR_CHANGE, loan_id)


async def loan(connection: AsyncConnection, loan_id: UUID) -> Any:
    """A loan with its client's sequence; None if there is none."""
    statement = select(loans, clients.c.event_sequence).join(clients).where(loans.c.id == loan_id)
    return (await connection.execute(statement)).one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of loans."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(loans).where(*filters)))).all()
    return rows


async def movements_page(connection: AsyncConnection, paging: Paging, loan_id: UUID) -> Sequence[Any]:
    """One page of a loan's movements."""
    rows: Sequence[Any] = (
        await connection.execute(paging.apply(select(loan_movements).where(loan_movements.c.loan_id == loan_id)))
    ).all()
    return rows
