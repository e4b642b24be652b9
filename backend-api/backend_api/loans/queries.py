"""Every statement about loans, one function per question."""

from collections.abc import Mapping, Sequence
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
SELECT l.*, c.event_sequence, c.chain_head, (SELECT business_date FROM business_day) AS today,
       c.status AS client_status,
       EXISTS (SELECT FROM loans o WHERE o.client_id = c.id AND o.status IN ('DEFAULTED', 'WRITTEN_OFF')) AS defaulted
  FROM loans l JOIN clients c ON c.id = l.client_id WHERE l.id = $1
"""
STANDING_MOVEMENTS = """
SELECT m.id, m.movement_id, m.payment_id, m.kind, m.value_date, m.position, m.concept, m.excess,
       m.amount, m.principal, m.interest, m.vat, m.fees, m.moratory
  FROM loan_movements m
 WHERE m.loan_id = $1 AND m.undoes_id IS NULL
   AND NOT EXISTS (SELECT FROM loan_movements u WHERE u.undoes_id = m.id)
"""

# Every event that takes a loan to a state says which one.
STATUS_BEFORE_WRITE_OFF = """
SELECT payload->>'status' FROM events
 WHERE aggregate_id = $1 AND entity_id = $2 AND event_type <> 'loan_written_off' AND payload ? 'status'
 ORDER BY sequence DESC LIMIT 1
"""


async def client_for_loan(connection: Connection, client_id: UUID) -> Record | None:
    """A live client with the credit it uses, a folio for its next loan and the business date."""
    return await connection.fetchrow(CLIENT_FOR_LOAN, client_id, [status.value for status in OPEN])


async def next_folio(connection: Connection) -> int:
    """A running number for one more loan; one that is not used is a gap."""
    return int(await connection.fetchval("SELECT nextval('loan_folio')"))


async def for_change(connection: Connection, loan_id: UUID) -> Record | None:
    """A loan with its client's sequence and the business date."""
    return await connection.fetchrow(FOR_CHANGE, loan_id)


async def standing_movements(connection: Connection, loan_id: UUID) -> Sequence[Record]:
    """A loan's movements that were not taken back."""
    return await connection.fetch(STANDING_MOVEMENTS, loan_id)


async def status_before_write_off(connection: Connection, client_id: UUID, loan_id: UUID) -> str:
    """The state of a written-off loan before that, as its events tell it."""
    status: str = await connection.fetchval(STATUS_BEFORE_WRITE_OFF, client_id, loan_id)
    return status


async def loan(connection: AsyncConnection, loan_id: UUID) -> Any:
    """A loan with its client's sequence; None if there is none."""
    statement = select(loans, clients.c.event_sequence).join(clients).where(loans.c.id == loan_id)
    return (await connection.execute(statement)).one_or_none()


async def history(connection: AsyncConnection, loan_id: UUID) -> Sequence[Any]:
    """A loan with each of its movements that stand, one row a movement (or one without), in one statement so that they
    are of the same moment; empty for an unknown loan. The loan's columns begin with `loan_`."""
    taken_back = loan_movements.alias()
    stands = (
        loan_movements.c.undoes_id.is_(None)
        & ~select(taken_back.c.id).where(taken_back.c.undoes_id == loan_movements.c.id).exists()
    )
    of_loan = [loans.c[name].label(f"loan_{name}") for name in ("status", "terms", "disbursed_on")]
    statement = (
        select(loan_movements, *of_loan)
        .select_from(loans.outerjoin(loan_movements, (loan_movements.c.loan_id == loans.c.id) & stands))
        .where(loans.c.id == loan_id)
    )
    return (await connection.execute(statement)).mappings().all()


def matching(filters: Mapping[str, Any]) -> list[Any]:
    """The conditions of a list with these filters, of which those that are None do not count."""
    return [loans.c[field] == value for field, value in filters.items() if value is not None]


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
