"""Every statement about clients, one function per question."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.ledger import COMMISSION, FEE_INCOME, VAT_PAYABLE, Account
from backend_api.domain.states import OPEN
from backend_api.http.pagination import Paging
from backend_api.models import clients, ledger_entries, loan_movements, loan_products, loans, payments, postings

TAKEN = """
SELECT (SELECT business_date FROM business_day) AS today,
       EXISTS (SELECT FROM clients WHERE rfc = $1 AND deleted_at IS NULL AND id <> $4) AS rfc_taken,
       EXISTS (SELECT FROM clients WHERE email = $2 AND deleted_at IS NULL AND id <> $4) AS email_taken,
       EXISTS (SELECT FROM clients WHERE external_id = $3 AND deleted_at IS NULL AND id <> $4) AS external_id_taken
"""
FOR_CHANGE = """
SELECT c.*, (SELECT business_date FROM business_day) AS today,
       (SELECT count(*) FROM loans l WHERE l.client_id = c.id AND l.status = ANY($2)) AS open_loans
  FROM clients c WHERE c.id = $1 AND c.deleted_at IS NULL
"""

LIVE = clients.c.deleted_at.is_(None)


async def taken(
    connection: Connection, rfc: str | None, email: str | None, external_id: str | None, but: UUID
) -> Record:
    """Which of a record's unique fields another live client has, and the business date."""
    row = await connection.fetchrow(TAKEN, rfc, email, external_id, but)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    return row


async def for_change(connection: Connection, client_id: UUID) -> Record | None:
    """A live client's row, the business date and how many loans are open."""
    return await connection.fetchrow(FOR_CHANGE, client_id, [status.value for status in OPEN])


async def record(connection: AsyncConnection, *, client_id: UUID | None = None, rfc: str | None = None) -> Any:
    """A live client by id or by RFC; None if there is none."""
    condition = clients.c.id == client_id if client_id is not None else clients.c.rfc == rfc
    return (await connection.execute(select(clients).where(condition, LIVE))).one_or_none()


def matching(filters: Mapping[str, Any]) -> list[Any]:
    """The conditions of a list with these filters, of which those that are None or empty do not count."""
    given = {name: value for name, value in filters.items() if value}
    name = given.pop("name", None)
    conditions = [clients.c[field] == (value.lower() if field == "email" else value) for field, value in given.items()]
    return [*conditions, clients.c.full_name.startswith(name, autoescape=True)] if name else conditions


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of live clients."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(clients).where(LIVE, *filters)))).all()
    return rows


async def debts(connection: AsyncConnection, client_id: UUID) -> Sequence[Any]:
    """The client with each of its loans, one row a loan (or one without), in one statement so that the figures and the
    client's sequence are of the same moment."""
    statement = (
        select(
            clients.c.event_sequence,
            clients.c.rfc,
            clients.c.version,
            clients.c.credit_limit,
            loans.c.id,
            loans.c.folio,
            loans.c.status,
            loans.c.amount,
            loans.c.interest_rate,
            loans.c.term_months,
            loans.c.disbursed_on,
            loans.c.current_balance,
            loans.c.terms,
            loans.c.account,
        )
        .select_from(clients.outerjoin(loans, loans.c.client_id == clients.c.id))
        .where(clients.c.id == client_id, LIVE)
        .order_by(loans.c.folio)
    )
    return (await connection.execute(statement)).all()


async def opening_movements(connection: AsyncConnection, client_id: UUID, before: date) -> Sequence[Any]:
    """The principal that each kind of movement, done and undone, moved before a day."""
    undoes = loan_movements.c.undoes_id.is_not(None).label("undoes")
    statement = (
        select(loan_movements.c.kind, undoes, func.sum(loan_movements.c.principal).label("principal"))
        .join(loans, loans.c.id == loan_movements.c.loan_id)
        .where(loans.c.client_id == client_id, loan_movements.c.posted_on < before)
        .group_by(loan_movements.c.kind, undoes)
    )
    return (await connection.execute(statement)).all()


async def statement_movements(
    connection: AsyncConnection, client_id: UUID, period_from: date, period_to: date, limit: int
) -> Sequence[Any]:
    """The movements posted in a period, with their payments' references."""
    statement = (
        select(loan_movements, payments.c.reference)
        .join(loans, loans.c.id == loan_movements.c.loan_id)
        .outerjoin(payments, payments.c.id == loan_movements.c.payment_id)
        .where(loans.c.client_id == client_id, loan_movements.c.posted_on.between(period_from, period_to))
        .order_by(loan_movements.c.posted_on, loan_movements.c.sequence, loan_movements.c.loan_id)
        .limit(limit)
    )
    return (await connection.execute(statement)).all()


async def statement_loans(connection: AsyncConnection, client_id: UUID, until: date) -> Sequence[Any]:
    """The loans that were disbursed by a day, with the names of their products."""
    statement = (
        select(
            loans.c.id, loans.c.folio, loans.c.terms, loans.c.disbursed_on, loan_products.c.name.label("product_name")
        )
        .join(loan_products, loan_products.c.code == loans.c.product)
        .where(loans.c.client_id == client_id, loans.c.disbursed_on <= until)
        .order_by(loans.c.folio)
    )
    return (await connection.execute(statement)).all()


async def known_movements(connection: AsyncConnection, client_id: UUID, until: date) -> Sequence[Any]:
    """All movements of a client's loans posted by a day, with their payments' references, in one statement."""
    statement = (
        select(loan_movements, payments.c.reference)
        .join(loans, loans.c.id == loan_movements.c.loan_id)
        .outerjoin(payments, payments.c.id == loan_movements.c.payment_id)
        .where(loans.c.client_id == client_id, loan_movements.c.posted_on <= until)
    )
    return (await connection.execute(statement)).all()


async def commissions(
    connection: AsyncConnection, client_id: UUID, period_from: date, period_to: date
) -> Sequence[Any]:
    """What a client's payments cost besides what they pay, as it was posted in a period: charged, or given back."""
    statement = (
        select(
            ledger_entries.c.posted_on,
            ledger_entries.c.payment_id,
            payments.c.reference,
            _earned(FEE_INCOME).label("net"),
            _earned(VAT_PAYABLE).label("vat"),
        )
        .join(payments, payments.c.id == ledger_entries.c.payment_id)
        .join(postings, postings.c.entry_id == ledger_entries.c.id)
        .where(
            payments.c.client_id == client_id,
            ledger_entries.c.kind == COMMISSION,
            ledger_entries.c.posted_on.between(period_from, period_to),
        )
        .group_by(ledger_entries.c.id, payments.c.id)
        .order_by(ledger_entries.c.posted_on, ledger_entries.c.sequence, ledger_entries.c.id)
    )
    return (await connection.execute(statement)).all()


def _earned(account: Account) -> ColumnElement[Any]:
    """What an entry credits an account with."""
    return -func.coalesce(func.sum(postings.c.amount).filter(postings.c.account == account.code), 0)
