"""Every statement about payments, one function per question."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.states import OWING, PaymentStatus
from backend_api.http.pagination import Paging
from backend_api.models import loan_movements, payment_reversals, payments

LOAN_TO_PAY = """
SELECT l.id, l.folio, l.client_id, l.status, l.version, l.product, l.stage,
       l.disbursed_on, l.next_due_on, l.terms, l.account, l.account_on,
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
       l.id, l.folio, l.status, l.version, l.product, l.stage,
       l.disbursed_on, l.next_due_on, l.terms, l.account, l.account_on
  FROM clients c CROSS JOIN business_day d LEFT JOIN loans l ON l.client_id = c.id AND l.status = ANY($4)
 WHERE c.id = $1 AND c.deleted_at IS NULL ORDER BY l.folio
"""
PAYMENT_TO_REVERSE = """
SELECT p.*, r.id AS reversal_id, c.event_sequence, c.chain_head, d.business_date AS today
  FROM payments p JOIN clients c ON c.id = p.client_id CROSS JOIN business_day d
  LEFT JOIN payment_reversals r ON r.payment_id = p.id WHERE p.id = $1
"""
LOANS_OF_PAYMENT = """
SELECT l.id, l.status, l.version, l.product, l.stage, l.disbursed_on, l.terms,
       l.account, l.account_on
  FROM loans l WHERE l.id IN (SELECT loan_id FROM loan_movements WHERE payment_id = $1) ORDER BY l.id
"""

# What was booked with it, and no row of the taking back: a payment is taken back once.
COMMISSION = """
SELECT e.product, p.account, p.amount FROM ledger_entries e JOIN postings p ON p.entry_id = e.id
 WHERE e.payment_id = $1 ORDER BY e.id, p.line
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


async def payment_to_reverse(connection: Connection, payment_id: UUID) -> Record | None:
    """A payment with its client's sequence, the business date, and the reversal that it may have."""
    return await connection.fetchrow(PAYMENT_TO_REVERSE, payment_id)


async def loans_of_payment(connection: Connection, payment_id: UUID) -> Sequence[Record]:
    """The loans that a payment reached."""
    return await connection.fetch(LOANS_OF_PAYMENT, payment_id)


async def commission(connection: Connection, payment_id: UUID) -> Sequence[Record]:
    """The lines of the commission that came with a payment, with the product they are booked for; mostly none."""
    return await connection.fetch(COMMISSION, payment_id)


# A payment's row never changes: that it was taken back is another row.
_REVERSED = select(payment_reversals.c.payment_id).where(payment_reversals.c.payment_id == payments.c.id).exists()
STATUS = case((_REVERSED, PaymentStatus.REVERSED.value), else_=payments.c.status)
_AS_IT_STANDS = select(*(column for column in payments.c if column.name != "status"), STATUS.label("status"))


async def payment(connection: AsyncConnection, payment_id: UUID) -> Any:
    """A payment; None if there is none."""
    return (await connection.execute(_AS_IT_STANDS.where(payments.c.id == payment_id))).one_or_none()


def matching(filters: Mapping[str, Any]) -> list[Any]:
    """The conditions of a list with these filters, of which those that are None, or of other tables, do not count."""
    return [
        (STATUS if field == "status" else payments.c[field]) == value
        for field, value in filters.items()
        if value is not None and field in payments.c
    ]


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of payments."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(_AS_IT_STANDS.where(*filters)))).all()
    return rows


def of_loan(loan_id: UUID) -> Any:
    """The filter for payments that reached a loan."""
    return payments.c.id.in_(select(loan_movements.c.payment_id).where(loan_movements.c.loan_id == loan_id))


async def allocations(connection: AsyncConnection, payment_ids: Sequence[UUID]) -> Sequence[Any]:
    """What these payments do as things stand, in one statement for a whole page."""
    taken_back = loan_movements.alias()
    statement = (
        select(loan_movements)
        .where(
            loan_movements.c.payment_id.in_(payment_ids),
            loan_movements.c.undoes_id.is_(None),
            ~select(taken_back.c.id).where(taken_back.c.undoes_id == loan_movements.c.id).exists(),
        )
        .order_by(loan_movements.c.payment_id, loan_movements.c.id)
    )
    return (await connection.execute(statement)).all()
