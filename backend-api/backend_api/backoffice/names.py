"""What people call what the API names by ids: clients, loans and users."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.auth.dependencies import reader_of
from backend_api.auth.principal import Principal
from backend_api.clients.readers import readers_of
from backend_api.http.resources import resources_of
from backend_api.models import clients, loans, users


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id: of clients, of loans by their folios, of users."""

    clients: dict[str, str] = field(default_factory=dict)
    folios: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)


async def names_of(
    request: Request, principal: Principal, client_ids: Iterable[str], loan_ids: Iterable[str], user_ids: Iterable[str]
) -> Names:
    """The names of these; whoever sees a client's name has read of them, and that is noted."""
    wanted = [{UUID(one) for one in ids} for ids in (client_ids, loan_ids, user_ids)]
    if not any(wanted):
        return Names()
    asked = zip((clients.c.full_name, loans.c.folio, users.c.username), wanted, strict=True)

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        return [await _named(connection, column, ids) for column, ids in asked]

    found = Names(*await resources_of(request).reads.query(reader_of(request, principal), read))
    for client_id in found.clients:
        readers_of(request).note(principal, UUID(client_id))
    return found


async def loan_of_folio(request: Request, principal: Principal, folio: int) -> str | None:
    """The id of the loan with this folio."""

    async def read(connection: AsyncConnection) -> UUID | None:
        found: UUID | None = (
            await connection.execute(select(loans.c.id).where(loans.c.folio == folio))
        ).scalar_one_or_none()
        return found

    loan_id = await resources_of(request).reads.find(reader_of(request, principal), read)
    return str(loan_id) if loan_id else None


async def _named(connection: AsyncConnection, column: Any, ids: set[UUID]) -> dict[str, Any]:
    if not ids:
        return {}
    identity = column.table.c.id
    return {
        str(one): f"Crédito {name}" if column is loans.c.folio else name
        for one, name in await connection.execute(select(identity, column).where(identity.in_(ids)))
    }
