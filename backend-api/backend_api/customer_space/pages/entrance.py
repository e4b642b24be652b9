"""Sign in, sign out, and choose a password with the code of an invitation."""

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from backend_api.auth import service
from backend_api.auth.defence import SignInDelayed
from backend_api.auth.dependencies import access_of, caller_of
from backend_api.auth.passwords import MAX_PASSWORD_LENGTH, PasswordRefused
from backend_api.auth.permissions import Permission
from backend_api.auth.schemas import ResetIn
from backend_api.clients.statement.spanish import plain
from backend_api.customer_space.pages import door, words
from backend_api.customer_space.pages.door import BASE
from backend_api.customer_space.pages.frame import Borrower
from backend_api.customer_space.pages.render import page, see_other
from backend_api.customer_space.pages.route import PageRoute
from backend_api.domain.errors import DomainError
from backend_api.http import context, write
from backend_api.http.problems import Busy
from backend_api.http.resources import resources_of
from backend_api.outbox.record import Origin

router = APIRouter(prefix=BASE, route_class=PageRoute, include_in_schema=False)

SHOWN_AGAIN = (service.SignInRefused, service.ResetRefused, PasswordRefused, SignInDelayed, Busy)
"""Refusals that the form itself tells, with what was typed still in it."""
LONGEST_NAME = 100


class NotForStaff(DomainError):
    """Somebody signed in who is no client."""

    code = "not_for_staff"
    status = 403
    message = "This space is for clients."


class PasswordsDiffer(DomainError):
    """The new password was typed in two ways."""

    code = "passwords_differ"
    message = "The two passwords differ."


@router.get("/entrar", operation_id="pageSignIn")
async def show_sign_in(request: Request) -> Response:
    """The form; who is signed in already goes on."""
    target = door.safe_path(request.query_params.get("ir", BASE))
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
    target = door.safe_path(fields.get("ir", BASE))
    try:
        await _sign_in(request, username, password)
    except (*SHOWN_AGAIN, NotForStaff) as refusal:
        problem, status = words.of_refusal(refusal), _status(refusal)
        return page(request, "sign_in.html", status, username=username[:LONGEST_NAME], target=target, problem=problem)
    return see_other(target)


@router.post("/salir", operation_id="pageSignOut")
async def sign_out(request: Request, principal: Borrower) -> Response:
    """The session ends, here and wherever its tokens are."""
    assert principal.session_id is not None  # noqa: S101 - who came in by cookies has one
    use_case = service.end_session(principal.user_id, principal.session_id, "signed_out")
    await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)
    door.keep(request, None)
    return see_other(f"{BASE}/entrar", aviso="adios")


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
        problem = words.of_refusal(refusal)
        return page(request, "invitation.html", _status(refusal), username=username[:LONGEST_NAME], problem=problem)
    return see_other(f"{BASE}/entrar", aviso="contrasena")


async def _sign_in(request: Request, username: str, password: str) -> None:
    """Raises `SHOWN_AGAIN`, `NotForStaff`."""
    resources, access = resources_of(request), access_of(request)
    name = plain(username)
    if not 0 < len(name) <= LONGEST_NAME or not 0 < len(password) <= MAX_PASSWORD_LENGTH or "\x00" in password:
        raise service.SignInRefused
    pair = await service.sign_in(resources, access.tokens, name, password, caller_of(request))
    principal = access.tokens.verify(pair.access_token, resources.clock())
    assert principal is not None  # noqa: S101 - it was made a moment ago
    if Permission.OWN_ACCOUNT not in principal.permissions and principal.session_id is not None:
        use_case = service.end_session(principal.user_id, principal.session_id, "signed_out")
        await write.run(request, principal.actor, use_case, keyless=True, turn=principal.user_id)
        raise NotForStaff
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


def _status(refusal: DomainError) -> int:
    """401 would ask the browser to sign in by itself."""
    return 422 if refusal.status == 401 else refusal.status
