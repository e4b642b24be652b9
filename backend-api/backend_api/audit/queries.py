"""Every statement about what the books know of a history, one function per question."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.models import clients, events, loans


async def client(connection: AsyncConnection, client_id: UUID) -> Any | None:
    """Id, number of the last event and its hash of a client, of a deleted one too; None if there never was one."""
    statement = select(clients.c.id, clients.c.event_sequence, clients.c.chain_head).where(clients.c.id == client_id)
    return (await connection.execute(statement)).one_or_none()


async def borrower(connection: AsyncConnection, loan_id: UUID) -> Any | None:
    """The same of the client of a loan; None if there is no such loan."""
    statement = (
        select(clients.c.id, clients.c.event_sequence, clients.c.chain_head)
        .join(loans, loans.c.client_id == clients.c.id)
        .where(loans.c.id == loan_id)
    )
    return (await connection.execute(statement)).one_or_none()


async def hash_of(connection: AsyncConnection, aggregate_id: UUID, sequence: int) -> bytes | None:
    """The hash of one event, as the books have it."""
    statement = select(events.c.hash).where(events.c.aggregate_id == aggregate_id, events.c.sequence == sequence)
    found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
    return found
