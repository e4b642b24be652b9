"""Sign in, stay signed in, sign out, and who am I."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from backend_api.auth import service
from backend_api.auth.defence import SignInDelayed
from backend_api.auth.dependencies import access_of, caller_of, person, signed_in
from backend_api.auth.passwords import MAX_PASSWORD_LENGTH, PasswordRefused
from backend_api.auth.principal import Principal
from backend_api.auth.schemas import AccessToken, Me, PasswordIn, RefreshIn, ResetIn, Sessions
from backend_api.auth.service import NO_STORE
from backend_api.http import examples, write
from backend_api.http.limits import limits_of
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute, Text

router = APIRouter(prefix="/api/v1/auth", tags=["Auth"], route_class=StrictRoute)

SignedIn = Annotated[Principal, Depends(signed_in)]
Person = Annotated[Principal, Depends(person)]
WEAK = PasswordRefused("password_length", "A password has 12 to 128 characters.")


@router.post(
    "/token",
    response_model=AccessToken,
    responses=examples.refusals(service.SignInRefused(), SignInDelayed(8)),
    operation_id="signIn",
    summary="Sign in (OAuth2 password form)",
)
async def sign_in(
    request: Request,
    username: Annotated[Text, Form(min_length=1, max_length=100, examples=["admin"])],
    password: Annotated[
        str, Form(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=r"^[^\x00]*$", examples=["string"])
    ],
) -> Response:
    """Exchange name and password for an access token; send it as `Authorization: Bearer …`."""
    tokens = access_of(request).tokens
    return _pair(await service.sign_in(resources_of(request), tokens, username, password, caller_of(request)))


@router.post(
    "/refresh",
    response_model=AccessToken,
    responses=examples.refusals(service.RefreshRefused()),
    operation_id="refreshSession",
    summary="Get the next pair of tokens",
)
async def refresh(request: Request, body: RefreshIn) -> Response:
    """A refresh token is used once. Sent again within ten seconds it gets the same answer, for one that was lost; later
    than that its session ends."""
    try:
        pair = await service.refresh(resources_of(request), access_of(request).tokens, body.refresh_token)
    except service.RefreshRefused:
        limits_of(request).spend_of_address(request)
        raise
    return _pair(pair)


@router.post("/logout", status_code=204, operation_id="signOut", summary="Sign out")
async def sign_out(request: Request, principal: Person) -> Response:
    """The session of this access token ends: none of its tokens is taken any more."""
    if principal.session_id is None:
        raise NotFound
    use_case = service.end_session(principal.user_id, principal.session_id, "signed_out")
    return await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)


@router.get("/me", response_model=Me, operation_id="whoAmI", summary="Who calls")
async def who_am_i(principal: SignedIn) -> Me:
    """Whom the token or the API key names, and what it may do."""
    return Me(
        id=principal.user_id,
        username=principal.username,
        role=principal.role,
        client_id=principal.client_id,
        session_id=principal.session_id,
        api_key_id=principal.api_key_id,
        permissions=sorted(principal.permissions),
    )


@router.get("/sessions", response_model=Sessions, operation_id="listSessions", summary="Where I am signed in")
async def list_sessions(request: Request, principal: Person) -> Sessions:
    """The open sessions of the user."""
    return await service.open_sessions(resources_of(request), principal)


@router.delete("/sessions/{session_id}", status_code=204, operation_id="endSession", summary="End a session")
async def end_session(request: Request, session_id: UUID, principal: Person) -> Response:
    """Signs out wherever that session is."""
    use_case = service.end_session(principal.user_id, session_id, "ended_by_user")
    return await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)


@router.delete("/sessions", status_code=204, operation_id="endAllSessions", summary="End all sessions")
async def end_all_sessions(request: Request, principal: Person) -> Response:
    """Signs out everywhere, here too."""
    use_case = service.end_all_sessions(principal.user_id)
    return await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)


@router.post(
    "/password",
    response_model=AccessToken,
    responses=examples.refusals(service.PasswordWrong(), WEAK, SignInDelayed(8)),
    operation_id="changePassword",
    summary="Change one's password",
)
async def change_password(request: Request, body: PasswordIn, principal: Person) -> Response:
    """All sessions end; the answer is a new one."""
    tokens = access_of(request).tokens
    use_case = await service.change_password(resources_of(request), tokens, principal, body, caller_of(request))
    return await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)


@router.post(
    "/password/reset",
    status_code=204,
    responses=examples.refusals(service.ResetRefused(), WEAK, SignInDelayed(8)),
    operation_id="redeemOneTimeSecret",
    summary="Choose a password with a one-time secret",
)
async def redeem_one_time_secret(request: Request, body: ResetIn) -> Response:
    """For a new user, and for one whose password an administrator has reset. The secret works once."""
    use_case, user_id = await service.reset_password(resources_of(request), body, caller_of(request))
    return await write.run(request, f"user:{user_id}", use_case, keyless=True, turn=user_id)


def _pair(tokens: AccessToken) -> Response:
    return Response(tokens.model_dump_json(), 200, NO_STORE, "application/json")
