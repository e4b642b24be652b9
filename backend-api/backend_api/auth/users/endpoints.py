"""Users: a table of contents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission, Role
from backend_api.auth.principal import Principal
from backend_api.auth.service import one_time_secret
from backend_api.auth.users import queries, service
from backend_api.auth.users.schemas import (
    USER_EXAMPLE,
    NewUser,
    ResetOut,
    UserIn,
    UserOut,
    UserPatch,
    UserStatus,
)
from backend_api.http import etag, examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import FieldRefused, NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute
from backend_api.http.views import answer_model
from backend_api.models import users

router = APIRouter(prefix="/api/v1/users", tags=["Users"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.USERS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.USERS_WRITE))]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]
SORTS = {
    "created_at": Sort(users.c.id, UUID),
    "username": Sort(users.c.username),
}
NO_CLIENT = FieldRefused("/client_id", "client_of_role", "A user of role client has a client, and no other has.")
REFUSALS = examples.refusals(service.UsernameTaken(), NO_CLIENT)


@router.post(
    "",
    status_code=201,
    response_model=NewUser,
    responses=REFUSALS,
    operation_id="createUser",
    summary="Let somebody sign in",
)
async def create_user(request: Request, body: UserIn, principal: CanWrite) -> Response:
    """The answer holds a one-time secret, shown this once, with which the user chooses a password
    (`POST /auth/password/reset`)."""
    use_case = service.create_user(body, one_time_secret(resources_of(request).clock()))
    return await write.run(request, principal.actor, use_case, conflicts=service.CONFLICTS, keyless=True)


@router.get("", response_model=Page[UserOut], operation_id="listUsers", summary="List users")
async def list_users(
    request: Request,
    principal: CanRead,
    page: Paged,
    role: Annotated[Role | None, Query()] = None,
    status: Annotated[UserStatus | None, Query()] = None,
    client_id: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Users, oldest first. Sort by `created_at` or `username`."""
    filters = {"role": role, "status": status, "client_id": client_id}
    paging = page.of("users", principal, users.c.id, SORTS, filters)
    conditions = [users.c[name] == value for name, value in filters.items() if value is not None]
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    return answer_model(request, paging.page(rows, lambda row: UserOut.model_validate(row, from_attributes=True)))


@router.get("/{user_id}", response_model=UserOut, operation_id="getUser", summary="A user")
async def get_user(request: Request, user_id: UUID, principal: CanRead) -> Response:
    """One user, without anything secret."""
    reads = resources_of(request).reads
    row = await reads.find(reader_of(request, principal), lambda connection: queries.user(connection, user_id))
    if row is None:
        raise NotFound
    tag = etag.make(row.version, row.event_sequence, await reads.business_date(), service.VIEW, service.STAFF)
    return answer_model(request, UserOut.model_validate(row, from_attributes=True), tag)


@router.patch(
    "/{user_id}",
    response_model=UserOut,
    responses=REFUSALS
    | examples.refusals(service.UsernameTaken(), service.LastAdministrator())
    | examples.answer(200, {**USER_EXAMPLE, "status": "DISABLED", "version": 2}),
    operation_id="updateUser",
    summary="Change a user",
)
async def update_user(
    request: Request, user_id: UUID, body: UserPatch, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Another role, status or client ends the user's sessions: their tokens are refused within a second."""
    use_case = service.update_user(user_id, body, if_match)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS, turn=user_id)


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=examples.refusals(service.LastAdministrator()),
    operation_id="disableUser",
    summary="Disable a user",
)
async def disable_user(request: Request, user_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """The user gets nowhere from now on, nor do their API keys. The name stays taken: what they did stays told."""
    return await write.run(request, principal.actor, service.disable_user(user_id, if_match), turn=user_id)


@router.post(
    "/{user_id}/reset-password",
    response_model=ResetOut,
    operation_id="resetPassword",
    summary="Reset a user's password",
)
async def reset_password(request: Request, user_id: UUID, principal: CanWrite) -> Response:
    """The old one counts no more and all sessions end; the answer holds a one-time secret, shown this once."""
    use_case = service.reset_password(user_id, one_time_secret(resources_of(request).clock()))
    return await write.run(request, principal.actor, use_case, keyless=True, turn=user_id)
