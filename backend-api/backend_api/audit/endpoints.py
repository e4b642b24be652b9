"""Histories: a table of contents."""

from dataclasses import astuple
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from backend_api.audit import schemas, service
from backend_api.audit.archive import ArchiveAway, archive_of
from backend_api.audit.chain import Mark
from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.http import examples
from backend_api.http.pagination import DEFAULT_LIMIT, Cursor, Limit
from backend_api.http.problems import FieldRefused
from backend_api.http.resources import resources_of
from backend_api.http.signing import SignatureInvalidError
from backend_api.http.strict import StrictRoute
from backend_api.http.views import VARY

router = APIRouter(prefix="/api/v1", route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.AUDIT_READ))]
FIELDS = tuple(name for name in schemas.EventOut.model_fields if name != "intact")
REFUSALS = examples.refusals(ArchiveAway())


@router.get(
    "/clients/{client_id}/events",
    response_model=schemas.HistoryOut,
    responses=REFUSALS,
    operation_id="listClientEvents",
    summary="A client's history",
    tags=["Clients"],
)
async def list_client_events(
    request: Request, client_id: UUID, principal: CanRead, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """Everything that happened to a client and its loans, in order, as CouchDB holds it, and whether it is whole."""
    return await _page(request, principal, service.Subject(client_id=client_id), limit, cursor)


@router.get(
    "/loans/{loan_id}/events",
    response_model=schemas.HistoryOut,
    responses=REFUSALS,
    operation_id="listLoanEvents",
    summary="A loan's history",
    tags=["Loans"],
)
async def list_loan_events(
    request: Request, loan_id: UUID, principal: CanRead, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """The events of its client that name the loan. They are numbered under the client, so `history` is about all of the
    client's. A page may hold fewer than `limit` although `has_more` is true."""
    return await _page(request, principal, service.Subject(loan_id=loan_id), limit, cursor)


async def _page(
    request: Request, principal: Principal, subject: service.Subject, limit: int, cursor: str | None
) -> Response:
    resources = resources_of(request)
    audience = orjson.dumps(["events", principal.actor, subject.client_id, subject.loan_id]).decode()
    after = None
    if cursor is not None:
        try:
            after = Mark(*orjson.loads(resources.cursor_signer.verify(cursor, audience)))
        except (SignatureInvalidError, ValueError, TypeError) as error:
            raise FieldRefused("query:cursor", "cursor_invalid", "This cursor was not issued for this list.") from error
    found = await service.history(
        resources.reads, archive_of(request), reader_of(request, principal), subject, after, limit
    )
    content = {
        # As it stands there: what somebody changed is shown, and not what a model makes of it.
        "data": [{**{name: one.event.get(name) for name in FIELDS}, "intact": one.intact} for one in found.events],
        "next_cursor": None
        if found.ended
        else resources.cursor_signer.sign(orjson.dumps(astuple(found.mark)), audience),
        "has_more": not found.ended,
        "history": {
            "sequence": found.sequence,
            "through": found.mark.sequence,
            "complete": found.mark.complete,
            "verified": found.mark.verified,
        },
    }
    headers = {"Vary": VARY, "Cache-Control": "private, no-cache"}
    return Response(orjson.dumps(content), 200, headers, "application/json")
