"""Decoys: the pages, which stand in no document, and the calls for whoever looks after them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.decoys import pages, queries
from backend_api.decoys.schemas import AttemptOut, DecoyDetail, DecoyOut
from backend_api.decoys.service import Recorder, Touch
from backend_api.http.limits import limits_of
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute
from backend_api.http.views import answer_model
from backend_api.models import decoys

router = APIRouter(prefix="/api/v1/decoys", tags=["Decoys"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.AUDIT_READ))]
SORTS = {"created_at": Sort(decoys.c.id, UUID), "last_at": Sort(decoys.c.last_at)}
MAX_FORM_BYTES = 8192
FIELDS = tuple(name for name in DecoyOut.model_fields)


@router.get("", response_model=Page[DecoyOut], operation_id="listDecoys", summary="Who touched decoys")
async def list_decoys(request: Request, principal: CanRead, page: Paged) -> Response:
    """One row for each address and hour, oldest first; `-created_at` turns it."""
    paging = page.of("decoys", principal, decoys.c.id, SORTS, {})
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging)
    )
    return answer_model(request, paging.page(rows, lambda row: DecoyOut.model_validate(row, from_attributes=True)))


@router.get("/{decoy_id}", response_model=DecoyDetail, operation_id="getDecoy", summary="What one address tried")
async def get_decoy(request: Request, decoy_id: UUID, principal: CanRead) -> Response:
    """The counters of an address and hour, and its first hundred attempts to sign in."""
    found = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: queries.one(connection, decoy_id)
    )
    if found is None:
        raise NotFound
    row, attempts = found
    kept = [AttemptOut.model_validate(attempt, from_attributes=True) for attempt in attempts]
    known = {name: getattr(row, name) for name in FIELDS}
    return answer_model(request, DecoyDetail(**known, attempts_kept=kept))


def routes() -> list[Route]:
    """The decoys themselves."""
    logins = [Route(path, _login, methods=["GET", "POST"]) for path in pages.LOGINS]
    return logins + [Route(path, _missing, methods=["GET", "POST"]) for path in pages.MISSING]


async def _login(request: Request) -> Response:
    limits_of(request).spend_of_address(request)
    is_attempt = request.method == "POST"
    _take(request, pages.name_in(await _form(request)) if is_attempt else None, is_attempt=is_attempt)
    headers = {"Content-Security-Policy": pages.POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(pages.login(request.url.path, wrong=is_attempt), headers=headers)


async def _missing(request: Request) -> Response:
    limits_of(request).spend_of_address(request)
    _take(request, None, is_attempt=False)
    raise NotFound


async def _form(request: Request) -> bytes:
    """The beginning of the body; nobody needs the rest."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                break
    except ClientDisconnect:
        pass
    return bytes(body[:MAX_FORM_BYTES])


def _take(request: Request, username: str | None, *, is_attempt: bool) -> None:
    recorder: Recorder = request.app.state.decoys
    touch = Touch(
        at=resources_of(request).clock(),
        address=(request.client.host if request.client else "unknown")[:64],
        path=request.url.path,
        username=_printable(username, 100),
        user_agent=_printable(request.headers.get("user-agent"), 200),
        is_attempt=is_attempt,
    )
    recorder.take(touch)


def _printable(text: str | None, length: int) -> str | None:
    """Text of a stranger as it may be stored and shown."""
    return "".join(character for character in text if character.isprintable())[:length] if text else None
