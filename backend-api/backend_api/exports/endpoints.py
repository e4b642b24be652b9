"""Exports: a table of contents."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.clients.readers import readers_of
from backend_api.domain.states import ClientStatus, LoanStatus, PaymentStatus
from backend_api.exports.tables import CLIENTS, LOANS, PAYMENTS, Export, Filters
from backend_api.http import examples
from backend_api.http.resources import resources_of
from backend_api.http.sheets import Rows, SheetFormat, download
from backend_api.http.strict import StrictRoute, Text

router = APIRouter(prefix="/api/v1/exports", tags=["Exports"], route_class=StrictRoute)

ReadsClients = Annotated[Principal, Depends(require(Permission.CLIENTS_READ))]
ReadsLoans = Annotated[Principal, Depends(require(Permission.LOANS_READ))]
ReadsPayments = Annotated[Principal, Depends(require(Permission.PAYMENTS_READ))]
Form = Annotated[SheetFormat, Query(alias="format")]
Order = Annotated[str, Query(max_length=40, description="A field to sort by; a leading - turns the order.")]


def _file(export: Export) -> examples.Responses:
    return {
        200: {
            "description": "The table, as it is read.",
            "content": {
                "text/csv": {"schema": {"type": "string"}, "example": ",".join(export.columns)},
                SheetFormat.XLSX.media_type: {"schema": {"type": "string", "format": "binary"}, "example": "PK…"},
            },
        }
    }


@router.get(
    "/clients",
    response_class=Response,
    responses=_file(CLIENTS),
    operation_id="exportClients",
    summary="Clients as a file",
)
async def export_clients(
    request: Request,
    principal: ReadsClients,
    form: Form = SheetFormat.CSV,
    sort: Order = "created_at",
    status: Annotated[ClientStatus | None, Query()] = None,
    external_id: Annotated[Text | None, Query(max_length=60)] = None,
    email: Annotated[Text | None, Query(max_length=254)] = None,
    name: Annotated[Text | None, Query(max_length=200, description="Names that begin with this.")] = None,
) -> Response:
    """What `GET /api/v1/clients` lists with these filters, all of it. Whose record is in it is noted as read."""
    filters = {"status": status, "external_id": external_id, "email": email, "name": name}
    return await _export(request, principal, CLIENTS, form, sort, filters)


@router.get(
    "/loans", response_class=Response, responses=_file(LOANS), operation_id="exportLoans", summary="Loans as a file"
)
async def export_loans(
    request: Request,
    principal: ReadsLoans,
    form: Form = SheetFormat.CSV,
    sort: Order = "created_at",
    status: Annotated[LoanStatus | None, Query()] = None,
    client_id: Annotated[UUID | None, Query()] = None,
    external_id: Annotated[Text | None, Query(max_length=60)] = None,
) -> Response:
    """What `GET /api/v1/loans` lists with these filters, all of it."""
    filters = {"status": status, "client_id": client_id, "external_id": external_id}
    return await _export(request, principal, LOANS, form, sort, filters)


@router.get(
    "/payments",
    response_class=Response,
    responses=_file(PAYMENTS),
    operation_id="exportPayments",
    summary="Payments as a file",
)
async def export_payments(
    request: Request,
    principal: ReadsPayments,
    form: Form = SheetFormat.CSV,
    sort: Order = "created_at",
    status: Annotated[PaymentStatus | None, Query()] = None,
    client_id: Annotated[UUID | None, Query()] = None,
    reference: Annotated[Text | None, Query(max_length=60)] = None,
) -> Response:
    """What `GET /api/v1/payments` lists with these filters, all of it."""
    filters = {"status": status, "client_id": client_id, "reference": reference}
    return await _export(request, principal, PAYMENTS, form, sort, filters)


async def _export(
    request: Request, principal: Principal, export: Export, form: SheetFormat, sort: str, filters: Filters
) -> Response:
    resources = resources_of(request)
    paging = export.paging(resources.cursor_signer, principal, sort, filters)
    pages = export.pages(resources.reads, reader_of(request, principal), paging, filters)
    first = await anext(pages)  # what can go wrong goes wrong before the answer has begun

    async def rows() -> AsyncIterator[Rows]:
        yield shown(first)
        async for page in pages:
            yield shown(page)

    def shown(page: Sequence[Any]) -> Rows:
        if export is CLIENTS:
            for row in page:
                readers_of(request).note(principal, row.id)
        return [[getattr(row, column) for column in export.columns] for row in page]

    return download(export.name, form, export.columns, rows())
