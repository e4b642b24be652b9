"""Payments as callers see them, whoever the caller is."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.payments import queries
from backend_api.payments.schemas import AllocationOut, PaymentOut


async def with_allocations(connection: AsyncConnection, rows: list[Any]) -> list[PaymentOut]:
    """Payments from their rows, with what they do as things stand."""
    movements: dict[UUID, list[AllocationOut]] = {row.id: [] for row in rows}
    for movement in await queries.allocations(connection, list(movements)) if rows else []:
        movements[movement.payment_id].append(AllocationOut.model_validate(movement, from_attributes=True))
    fields = [name for name in PaymentOut.model_fields if name != "allocations"]
    return [
        PaymentOut.model_validate({**{name: getattr(row, name) for name in fields}, "allocations": movements[row.id]})
        for row in rows
    ]
