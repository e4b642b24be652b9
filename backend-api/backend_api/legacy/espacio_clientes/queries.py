"""Every statement of the adapter, one function per question."""

from uuid import UUID

from backend_api.db.pools import Connection

LOAN_OF_FOLIO = "SELECT id FROM loans WHERE folio = $1 AND client_id = $2"


async def loan_of_folio(connection: Connection, client_id: UUID, folio: int) -> UUID | None:
    """The client's loan of this folio; None if it has none."""
    loan_id: UUID | None = await connection.fetchval(LOAN_OF_FOLIO, folio, client_id)
    return loan_id
