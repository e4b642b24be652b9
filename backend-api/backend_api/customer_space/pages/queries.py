"""What pages ask beside what other packages answer, one function per question."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.models import loan_products, loans, payments
from backend_api.payments.queries import STATUS

MAX_PAYMENTS = 200


async def loan(connection: AsyncConnection, loan_id: UUID) -> Any:
    """A loan as its page shows it, with the name of its product; None if there is none."""
    shown = [
        loans.c[name] for name in ("folio", "status", "amount", "interest_rate", "disbursed_on", "current_balance")
    ]
    statement = (
        select(*shown, loan_products.c.name.label("product_name"))
        .join(loan_products, loan_products.c.code == loans.c.product)
        .where(loans.c.id == loan_id)
    )
    return (await connection.execute(statement)).one_or_none()


async def folios(connection: AsyncConnection, client_id: UUID) -> dict[UUID, int]:
    """The folios of a client's loans."""
    rows = await connection.execute(select(loans.c.id, loans.c.folio).where(loans.c.client_id == client_id))
    return {row.id: row.folio for row in rows}


async def payments_of(connection: AsyncConnection, client_id: UUID, start: date, end: date) -> Sequence[Any]:
    """A client's payments that were booked in a period, the newest first, `MAX_PAYMENTS` at most."""
    shown = [payments.c[name] for name in ("id", "paid_on", "amount", "method")]
    statement = (
        select(*shown, STATUS.label("status"))
        .where(payments.c.client_id == client_id, payments.c.posted_on.between(start, end))
        .order_by(payments.c.id.desc())
        .limit(MAX_PAYMENTS)
    )
    return (await connection.execute(statement)).all()
