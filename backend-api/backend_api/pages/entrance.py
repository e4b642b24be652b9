"""Sign in, sign out, choose a password with the code of an invitation, and change one's own."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import Response

from backend_api.auth import service
from backend_api.auth.defence import SignInDelayed
from backend_api.auth.dependencies import access_of, caller_of
from backend_api.auth.passwords import MAX_PASSWORD_LENGTH, PasswordRefused, check_password
from backend_api.auth.principal import Principal
from backend_api.auth.schemas import AccessToken, PasswordIn, ResetIn
from backend_api.clients.statement.spanish import plain
from backend_api.domain.errors import DomainError
from backend_api.http import context, write
from backend_api.http.limits import limits_of
from backend_api.http.problems import Busy, NotFound
from backend_api.http.resources import resources_of
from backend_api.outbox.record import Origin
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import space_of

router = APIRouter()
rest = APIRouter()
"""What is tried last."""

SignedIn = Annotated[Principal, Depends(door.page_for(None))]

SHOWN_AGAIN = (
    service.SignInRefused, service.ResetRefused, service.PasswordWrong, PasswordRefused, SignInDelayed, Busy,
)  # fmt: skip
"""Refusals that the form itself tells, with what was typed still in it."""
LONGEST_NAME = 100


class PasswordsDiffer(DomainError):
    """The new password was typed in two ways."""

    code = "passwords_differ"
    message = "The two passwords differ."


@router.get("/entrar", operation_id="pageSignIn")
async def show_sign_in(request: Request) -> Response:
    """The form; who is signed in already goes on."""
    target = _target(request, request.query_params)
    try:
        await door.signed_in(request)
    except door.SignInNeeded:
        return page(request, "sign_in.html", username="", target=target, problem=None)
    return see_other(target)


@router.post("/entrar", operation_id="pageSignInSend")
async def sign_in(request: Request) -> Response:
    """A new session in two cookies."""
    await door.check_visit(request)
    fields = await door.fields_of(request)
    username, password = fields.get("usuario", ""), fields.get("contrasena", "")
    target = _target(request, fields)
    try:
        await _sign_in(request, username, password)
    except (*SHOWN_AGAIN, space_of(request).stranger) as refusal:
        problem, status = space_of(request).words.of_refusal(refusal), _status(refusal)
        return page(request, "sign_in.html", status, username=username[:LONGEST_NAME], target=target, problem=problem)
    return see_other(target)


@router.post("/salir", operation_id="pageSignOut")
async def sign_out(request: Request, principal: SignedIn) -> Response:
    """The session ends, here and wherever its tokens are."""
    assert principal.session_id is not None  # noqa: S101 - who came in by cookies has one
    use_case = service.end_session(principal.user_id, principal.session_id, "signed_out")
    await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)
    door.keep(request, None)
    return see_other(f"{space_of(request).base}/entrar", aviso="adios")


@router.get("/invitacion", operation_id="pageInvitation")
async def show_invitation(request: Request) -> Response:
    """The form for a code that somebody was given; its link may name the user, and never the code."""
    username = request.query_params.get("usuario", "")[:LONGEST_NAME]
    return page(request, "invitation.html", username=username, problem=None)


@router.post("/invitacion", operation_id="pageInvitationSend")
async def accept_invitation(request: Request) -> Response:
    """The code is used up, the password is the one chosen."""
    await door.check_visit(request)
    fields = await door.fields_of(request)
    username = fields.get("usuario", "")
    try:
        await _choose_password(request, username, fields)
    except (*SHOWN_AGAIN, PasswordsDiffer) as refusal:
        problem = space_of(request).words.of_refusal(refusal)
        return page(request, "invitation.html", _status(refusal), username=username[:LONGEST_NAME], problem=problem)
    return see_other(f"{space_of(request).base}/entrar", aviso="contrasena")


@router.get("/contrasena", operation_id="pagePassword")
async def show_password(request: Request, principal: SignedIn) -> Response:
    """The form for another password of one's own."""
    return page(request, "password.html", username=principal.username, problem=None)


@router.post("/contrasena", operation_id="pagePasswordSend")
async def change_password(request: Request, principal: SignedIn) -> Response:
    """The password is the new one; all sessions end, and this one goes on as a new one."""
    fields = await door.fields_of(request)
    try:
        await _change_password(request, principal, fields)
    except (*SHOWN_AGAIN, PasswordsDiffer) as refusal:
        problem = space_of(request).words.of_refusal(refusal)
        return page(request, "password.html", _status(refusal), username=principal.username, problem=problem)
    return see_other(space_of(request).base, aviso="cambiada")


@rest.get("/{anything:path}", operation_id="pageUnknown")
async def unknown(request: Request) -> Response:
    """What is no page of ours is told so as a page."""
    limits_of(request).spend_of_address(request)
    raise NotFound


def _target(request: Request, asked: Mapping[str, str]) -> str:
    """Where the one who signs in wanted to go."""
    space = space_of(request)
    return door.safe_path(space, asked.get("ir", space.base))


async def _sign_in(request: Request, username: str, password: str) -> None:
    """Raises `SHOWN_AGAIN`, and what the space tells strangers."""
    resources, access = resources_of(request), access_of(request)
    name = plain(username)
    if not 0 < len(name) <= LONGEST_NAME or not 0 < len(password) <= MAX_PASSWORD_LENGTH or "\x00" in password:
        raise service.SignInRefused
    pair = await service.sign_in(resources, access.tokens, name, password, caller_of(request))
    principal = access.tokens.verify(pair.access_token, resources.clock())
    assert principal is not None  # noqa: S101 - it was made a moment ago
    if not space_of(request).admits(principal) and principal.session_id is not None:
        use_case = service.end_session(principal.user_id, principal.session_id, "signed_out")
        await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)
        raise space_of(request).stranger
    door.keep(request, pair)


async def _choose_password(request: Request, username: str, fields: door.Fields) -> None:
    """Raises `SHOWN_AGAIN`, `PasswordsDiffer`."""
    password = fields.get("contrasena", "")
    if password != fields.get("repetida", ""):
        raise PasswordsDiffer
    try:
        body = ResetIn(username=username, one_time_secret=fields.get("codigo", "").strip(), new_password=password)
    except ValidationError as error:
        raise service.ResetRefused from error
    resources, current = resources_of(request), context.current()
    use_case, user_id = await service.reset_password(resources, body, caller_of(request))
    origin = Origin(f"user:{user_id}", current.request_id, current.traceparent, resources.clock())
    await write.carry_out(resources, origin, use_case)


async def _change_password(request: Request, principal: Principal, fields: door.Fields) -> None:
    """Raises `SHOWN_AGAIN`, `PasswordsDiffer`."""
    password = fields.get("contrasena", "")
    if password != fields.get("repetida", ""):
        raise PasswordsDiffer
    check_password(password, principal.username)
    try:
        body = PasswordIn(current_password=fields.get("actual", ""), new_password=password)
    except ValidationError as error:
        raise service.PasswordWrong from error
    tokens = access_of(request).tokens
    use_case = await service.change_password(resources_of(request), tokens, principal, body, caller_of(request))
    answer = await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)
    door.keep(request, AccessToken.model_validate_json(bytes(answer.body)))


def _status(refusal: DomainError) -> int:
    """401 would ask the browser to sign in by itself."""
    return 422 if refusal.status == 401 else refusal.status
