"""API keys: a table of contents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backend_api.auth.api_keys import queries, service
from backend_api.auth.api_keys.schemas import (
    KEY_EXAMPLE,
    SHOWN_ONCE,
    ApiKeyIn,
    ApiKeyOut,
    KeyStatus,
    NewApiKey,
    RotationIn,
)
from backend_api.auth.dependencies import access_of, reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.http import examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import FieldRefused, NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute
from backend_api.http.views import answer_model
from backend_api.models import api_keys

router = APIRouter(prefix="/api/v1/api-keys", tags=["API keys"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.API_KEYS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.API_KEYS_WRITE))]
SORTS = {"created_at": Sort(api_keys.c.id, UUID)}
ROTATED = {"version": 2, "former_until": "2026-02-01T18:00:00.123456Z"}


@router.post(
    "",
    status_code=201,
    response_model=NewApiKey,
    responses=examples.refusals(FieldRefused("/scopes", "scope_not_held", "A key may not do more than its owner.")),
    operation_id="createApiKey",
    summary="Make an API key",
)
async def create_api_key(request: Request, body: ApiKeyIn, principal: CanWrite) -> Response:
    """The answer holds the key, shown this once. Send it as `Authorization: Api-Key …` or `X-API-Key: …`."""
    use_case = service.create_key(body, principal.user_id, access_of(request).pepper)
    return await write.run(request, principal.actor, use_case, keyless=True)


@router.get("", response_model=Page[ApiKeyOut], operation_id="listApiKeys", summary="List API keys")
async def list_api_keys(
    request: Request,
    principal: CanRead,
    page: Paged,
    status: Annotated[KeyStatus | None, Query()] = None,
    owner_id: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Keys, oldest first, revoked ones too; what is secret of them is not stored."""
    filters = {"status": status, "owner_id": owner_id}
    paging = page.of("api-keys", principal, api_keys.c.id, SORTS, filters)
    conditions = [api_keys.c[name] == value for name, value in filters.items() if value is not None]
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    return answer_model(request, paging.page(rows, lambda row: ApiKeyOut.model_validate(row, from_attributes=True)))


@router.get("/{api_key_id}", response_model=ApiKeyOut, operation_id="getApiKey", summary="An API key")
async def get_api_key(request: Request, api_key_id: UUID, principal: CanRead) -> Response:
    """One key, without anything secret."""
    row = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: queries.key(connection, api_key_id)
    )
    if row is None:
        raise NotFound
    return answer_model(request, ApiKeyOut.model_validate(row, from_attributes=True))


@router.post(
    "/{api_key_id}/rotate",
    response_model=NewApiKey,
    responses=examples.answer(200, {**KEY_EXAMPLE, **SHOWN_ONCE, **ROTATED}) | examples.refusals(service.KeyRevoked()),
    operation_id="rotateApiKey",
    summary="Give an API key a new secret",
)
async def rotate_api_key(request: Request, api_key_id: UUID, body: RotationIn, principal: CanWrite) -> Response:
    """Both secrets count for the overlap, so that nobody is locked out while the new one is brought to its program."""
    use_case = service.rotate_key(api_key_id, body, access_of(request).pepper)
    return await write.run(request, principal.actor, use_case, keyless=True, turn=api_key_id)


@router.delete("/{api_key_id}", status_code=204, operation_id="revokeApiKey", summary="Revoke an API key")
async def revoke_api_key(request: Request, api_key_id: UUID, principal: CanWrite) -> Response:
    """It is refused within a second, for good."""
    return await write.run(request, principal.actor, service.revoke_key(api_key_id), turn=api_key_id)
