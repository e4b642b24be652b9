"""Everything that is stored about one person, for the person (LFPDPPP 2025, right of access)."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.clients import events, queries, readers, service, views
from backend_api.clients.schemas import RECORD_EXAMPLE, ClientOut
from backend_api.db.pools import Connection
from backend_api.domain.states import LoanStatus
from backend_api.http import examples
from backend_api.http.idempotency import Answer
from backend_api.http.strict import MoneyOut
from backend_api.http.write import Change, UseCase
from backend_api.models import checkouts, loans, payments, sessions, users
from backend_api.models import events as all_events
from backend_api.outbox.record import Origin

READ_EXAMPLE: dict[str, Any] = {
    "actor": f"user:{examples.OFFICER_ID}",
    "hour": "2026-01-31T18:00:00Z",
    "reads": 3,
    "last_at": examples.PAID_AT,
}
EXAMPLE: dict[str, Any] = {
    "client": RECORD_EXAMPLE,
    "loans": [
        {
            "id": examples.LOAN_ID,
            "folio": examples.FOLIO,
            "external_id": None,
            "status": "ACTIVE",
            "amount": "50000.00",
            "current_balance": "47500.00",
            "disbursed_on": examples.TODAY,
            "notes": None,
            "created_at": examples.GRANTED_AT,
        }
    ],
    "payments": [
        {
            "id": examples.PAYMENT_ID,
            "external_id": None,
            "status": "REGISTERED",
            "amount": "2500.00",
            "paid_on": examples.TODAY,
            "method": "CASH",
            "reference": None,
            "reason": None,
            "created_at": examples.PAID_AT,
        }
    ],
    "orders": [],
    "accounts": [],
    "sessions": [],
    "history": [{"event_type": "client_created", "occurred_at": examples.REGISTERED_AT}],
    "readers": [READ_EXAMPLE],
}


class RecordRead(BaseModel):
    """Who read the full record in one hour, and how often."""

    model_config = ConfigDict(json_schema_extra={"examples": [READ_EXAMPLE]})

    actor: str = Field(description="`user:` or `api_key:` and the id.")
    hour: datetime
    reads: int
    last_at: datetime


class Readers(BaseModel):
    """Who read a client's record, the latest first."""

    model_config = ConfigDict(title="RecordReaders", json_schema_extra={"examples": [{"data": [READ_EXAMPLE]}]})

    data: list[RecordRead]


class LoanOfPerson(BaseModel):
    """A loan; its movements stand in the account statements."""

    id: UUID
    folio: int
    external_id: str | None
    status: LoanStatus
    amount: MoneyOut
    current_balance: MoneyOut
    disbursed_on: date | None
    notes: str | None
    created_at: datetime


class PaymentOfPerson(BaseModel):
    """A payment."""

    id: UUID
    external_id: str | None
    status: str
    amount: MoneyOut
    paid_on: date
    method: str
    reference: str | None
    reason: str | None
    created_at: datetime


class OrderOfPerson(BaseModel):
    """What the person asked to pay at the payment gateway, and what came of it."""

    id: UUID
    status: str
    total: MoneyOut
    transaction_code: str | None
    created_at: datetime


class AccountOfPerson(BaseModel):
    """A name under which the person signs in."""

    id: UUID
    username: str
    status: str
    created_at: datetime


class SessionOfPerson(BaseModel):
    """From where the person signed in."""

    address: str
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime


class HappenedToPerson(BaseModel):
    """Something that was recorded."""

    event_type: str
    occurred_at: datetime


class PersonalData(BaseModel):
    """Everything that is stored about one person."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    client: ClientOut
    loans: list[LoanOfPerson]
    payments: list[PaymentOfPerson]
    orders: list[OrderOfPerson]
    accounts: list[AccountOfPerson]
    sessions: list[SessionOfPerson]
    history: list[HappenedToPerson]
    readers: list[RecordRead]


async def collect(connection: AsyncConnection, client_id: UUID) -> PersonalData | None:
    """All of it; None for an unknown client, and for one whose data is blocked."""
    client = await queries.record(connection, client_id=client_id)
    if client is None:
        return None
    accounts = await _rows(connection, users, users.c.client_id == client_id)
    of_accounts = sessions.c.user_id.in_([account.id for account in accounts])
    return PersonalData.model_validate(
        {
            "client": views.client_out(client),
            "loans": await _rows(connection, loans, loans.c.client_id == client_id),
            "payments": await _rows(connection, payments, payments.c.client_id == client_id),
            "orders": await _rows(connection, checkouts, checkouts.c.client_id == client_id),
            "accounts": accounts,
            "sessions": await _rows(connection, sessions, of_accounts),
            "history": await _rows(connection, all_events, all_events.c.aggregate_id == client_id),
            "readers": await readers.of_client(connection, client_id),
        },
        from_attributes=True,
    )


def exported(client_id: UUID) -> UseCase:
    """Record that the data left. Raises `NotFound`."""

    async def use_case(connection: Connection, _: Origin) -> Change | Answer:
        row = await service.for_change(connection, client_id, None)
        return Change(
            aggregate=service.aggregate(row),
            business_date=row["today"],
            facts=[events.person_data_exported(client_id)],
            answer=Answer(204, b"", {}),
        )

    return use_case


async def _rows(connection: AsyncConnection, table: Table, condition: Any) -> Sequence[Any]:
    order = table.c.sequence if table is all_events else table.c.id
    return (await connection.execute(select(table).where(condition).order_by(order))).all()
