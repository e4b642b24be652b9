"""Clients: a table of contents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import check_own, check_permission, principal_of, reader_of, require, unauthenticated
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.clients import personal_data, queries, readers, service, views
from backend_api.clients.printed import StatementForm, printed
from backend_api.clients.schemas import (
    LOOKUP_EXAMPLE,
    RECORD_EXAMPLE,
    AccountStatement,
    Balance,
    ClientIn,
    ClientLookup,
    ClientOut,
    ClientPatch,
)
from backend_api.clients.statement.document import StatementTooLong
from backend_api.clients.statement.printing import PrintingFailed
from backend_api.domain.errors import RfcInvalid
from backend_api.domain.identifiers import normalise_rfc
from backend_api.domain.states import ClientStatus
from backend_api.http import context, examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import FieldRefused, NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import Day, StrictRoute, Text
from backend_api.http.views import answer, answer_model
from backend_api.models import clients
from backend_api.outbox.record import Origin
from backend_api.settings import AnonymousLookup

router = APIRouter(prefix="/api/v1/clients", tags=["Clients"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.CLIENTS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.CLIENTS_WRITE))]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]
SORTS = {
    "created_at": Sort(clients.c.id, UUID),
    "full_name": Sort(clients.c.full_name),
}
RECORD_REFUSALS = examples.refusals(
    service.DuplicateRfc(),
    service.DuplicateEmail(),
    service.DuplicateExternalId(),
    FieldRefused("/rfc", "rfc_date", RfcInvalid.reasons["rfc_date"]),
)
PRINTED: examples.Responses = {
    200: {
        "content": {
            "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"},
            "application/pdf": {"schema": {"type": "string", "format": "binary"}, "example": "%PDF-1.7…"},
        }
    }
}
CHANGED_RECORD = {**RECORD_EXAMPLE, "phone": "+52 55 1234 5678", "version": 2}


@router.post(
    "",
    status_code=201,
    response_model=ClientOut,
    responses=RECORD_REFUSALS,
    operation_id="createClient",
    summary="Register a client",
)
async def create_client(request: Request, body: ClientIn, principal: CanWrite) -> Response:
    """A new client. An RFC whose check digit cannot be right is accepted with a warning, unless RFC_STRICT=true."""
    strict = resources_of(request).settings.rfc_strict
    use_case = service.create_client(body, rfc_strict=strict)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS)


@router.get("", response_model=Page[ClientOut], operation_id="listClients", summary="List clients")
async def list_clients(
    request: Request,
    principal: CanRead,
    page: Paged,
    status: Annotated[ClientStatus | None, Query()] = None,
    external_id: Annotated[Text | None, Query(max_length=60)] = None,
    email: Annotated[Text | None, Query(max_length=254)] = None,
    name: Annotated[Text | None, Query(max_length=200, description="Names that begin with this.")] = None,
) -> Response:
    """Clients, oldest first. Sort by `created_at` or `full_name`."""
    filters = {"status": status, "external_id": external_id, "email": email, "name": name}
    paging = page.of(
        "clients", principal, clients.c.id, SORTS, filters, of_client=lambda client_id: clients.c.id == client_id
    )
    conditions = queries.matching(filters)
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    shown = paging.page(rows, views.client_out)
    for client in shown.data:
        readers.readers_of(request).note(principal, client.id)
    return answer_model(request, shown)


@router.get(
    "/{key}",
    response_model=ClientOut | ClientLookup,
    responses=examples.answers(200, {"With a token": RECORD_EXAMPLE, "Without one": LOOKUP_EXAMPLE}),
    operation_id="getClient",
    summary="A client by RFC or id",
    # Read by hand: validating this one string costs a sixth of a cached read (measured).
    openapi_extra={
        "parameters": [
            {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}, "example": "PEPJ800101HNE"}
        ]
    },
)
async def get_client(request: Request) -> Response:
    """The record for those who may read clients. Without a token, by RFC only: id, masked RFC, initials and status."""
    key: str = request.path_params["key"]
    resources = resources_of(request)
    principal = await principal_of(request)
    reader = reader_of(request, principal)
    client_id = _uuid(key)
    if principal is None:
        lookup = resources.settings.anonymous_client_lookup
        if client_id is not None or lookup is AnonymousLookup.OFF:
            raise unauthenticated(None)
        rfc: str | None = _rfc(key)
        view, build = views.lookup_view_name(lookup), views.lookup_view(_rfc(key), lookup)
    else:
        check_permission(principal, Permission.CLIENTS_READ)
        if principal.client_id is not None:
            await check_own(request, principal)
        rfc = None if client_id else _rfc(key)
        view, build = service.RECORD_VIEW, views.record_view(client_id, rfc)
    if client_id is None and rfc is not None:
        client_id = await resources.reads.id_of(rfc)
    if client_id is None:
        found = await resources.reads.build_view(reader, view, build)
        client_id = await resources.reads.id_of(rfc) if principal is not None and rfc is not None else None
    else:
        found = await resources.reads.client_view(reader, client_id, view, rfc, build)
    if principal is not None and found is not None and client_id is not None:
        readers.readers_of(request).note(principal, client_id)
    return answer(request, found)


@router.put(
    "/{client_id}",
    response_model=ClientOut,
    responses=RECORD_REFUSALS | examples.answer(200, {**RECORD_EXAMPLE, "version": 2}),
    operation_id="replaceClient",
    summary="Replace a client's record",
)
async def replace_client(
    request: Request, client_id: UUID, body: ClientIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """The whole record anew; optional fields that are left out are emptied."""
    strict = resources_of(request).settings.rfc_strict
    use_case = service.replace_client(client_id, body, if_match, rfc_strict=strict)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS, turn=client_id)


@router.patch(
    "/{client_id}",
    response_model=ClientOut,
    responses=RECORD_REFUSALS | examples.answer(200, CHANGED_RECORD),
    operation_id="updateClient",
    summary="Change fields of a client",
)
async def update_client(
    request: Request, client_id: UUID, body: ClientPatch, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Only the fields that are sent; null empties an optional one."""
    strict = resources_of(request).settings.rfc_strict
    use_case = service.update_client(client_id, body, if_match, rfc_strict=strict)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS, turn=client_id)


@router.delete(
    "/{client_id}",
    status_code=204,
    responses=examples.refusals(service.ClientHasOpenLoans()),
    operation_id="deleteClient",
    summary="Delete a client",
)
async def delete_client(request: Request, client_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """Personal data is blocked, RFC and e-mail are free again. Refused while loans are open."""
    return await write.run(request, principal.actor, service.delete_client(client_id, if_match), turn=client_id)


@router.get(
    "/{client_id}/personal-data",
    response_model=personal_data.PersonalData,
    operation_id="exportPersonalData",
    summary="Everything stored about a client",
)
async def export_personal_data(request: Request, client_id: UUID, principal: CanRead) -> Response:
    """Record, loans, payments, sign-ins, history, and who read the record. That it was asked for is recorded too."""
    resources = resources_of(request)
    current = context.current()
    origin = Origin(principal.actor, current.request_id, current.traceparent, resources.clock())
    await write.carry_out(resources, origin, personal_data.exported(client_id))
    readers.readers_of(request).note(principal, client_id)
    found = await resources.reads.on_primary(lambda connection: personal_data.collect(connection, client_id))
    if found is None:
        raise NotFound
    headers = {"Cache-Control": "private, no-store", "Vary": "Authorization, X-API-Key"}
    return Response(found.model_dump_json(), 200, headers, "application/json")


@router.get(
    "/{client_id}/readers",
    response_model=personal_data.Readers,
    operation_id="listRecordReaders",
    summary="Who read a client's record",
)
async def list_readers(
    request: Request, client_id: UUID, principal: Annotated[Principal, Depends(require(Permission.AUDIT_READ))]
) -> Response:
    """Users and API keys by the hour, the latest first, the last thousand. It is a second or two behind."""
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: readers.of_client(connection, client_id)
    )
    return answer_model(request, personal_data.Readers.model_validate({"data": rows}, from_attributes=True))


@router.get("/{client_id}/balance", response_model=Balance, operation_id="getBalance", summary="What a client owes")
async def get_balance(request: Request, client_id: UUID, principal: CanRead) -> Response:
    """Total debt, open loans and available credit as of the current business date."""
    view = await resources_of(request).reads.client_view(
        reader_of(request, principal), client_id, views.BALANCE_VIEW, None, views.balance_view(client_id)
    )
    return answer(request, view)


@router.get(
    "/{client_id}/account-statement",
    response_model=AccountStatement,
    responses=examples.refusals(
        FieldRefused("query:from", "period_reversed", "The period ends before it begins."),
        views.PeriodTooLong(),
        StatementTooLong(),
        PrintingFailed(),
    )
    | PRINTED,
    operation_id="getAccountStatement",
    summary="Account statement of a period",
)
async def get_account_statement(
    request: Request,
    client_id: UUID,
    principal: CanRead,
    period_from: Annotated[
        Day | None, Query(alias="from", description="First day; the month's first by default.")
    ] = None,
    period_to: Annotated[Day | None, Query(alias="to", description="Last day; today by default.")] = None,
    form: Annotated[StatementForm | None, Query(alias="format", description="What `Accept` says by default.")] = None,
) -> Response:
    """Movements by posting date with running principal; opening + charges - credits = closing.

    As JSON, or as the statement for the client, in Spanish: HTML or PDF.
    """
    reads = resources_of(request).reads
    start, end = views.period(period_from, period_to, await reads.business_date())
    form = form or _accepted(request.headers.get("accept", ""))
    if form is not StatementForm.JSON:
        return await printed(request, principal, client_id, (start, end), form)
    result = await reads.find(
        reader_of(request, principal),
        lambda connection: views.account_statement(connection, client_id, start, end),
    )
    if result is None:
        raise NotFound
    return answer_model(request, result)


def _accepted(accept: str) -> StatementForm:
    """The form that `Accept` names first; JSON unless it names another."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        for form in StatementForm:
            if media_type == form.media_type:
                return form
    return StatementForm.JSON


def _uuid(text: str) -> UUID | None:
    # The usual case is an RFC, and an exception costs more than the rest of this.
    if len(text) < 32:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def _rfc(text: str) -> str:
    """The RFC in a path, normalised; whatever cannot be one names nobody."""
    rfc = normalise_rfc(text)
    if not 12 <= len(rfc) <= 13 or not rfc.replace("&", "").isalnum():
        raise NotFound
    return rfc
