"""Who gets in: a session in two cookies, renewed without a word, and forms that only our own pages can send.

The cookies hold the access token and the refresh token of an ordinary session (`auth.service`); no script can read
them. A form carries a token made for its session, or before anybody has signed in for the visit, and is refused when
the browser says that another site sent it.
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_api.auth import service
from backend_api.auth.dependencies import Requirement, access_of, check_own, check_permission
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.auth.schemas import AccessToken
from backend_api.domain.errors import DomainError
from backend_api.http.limits import SAFE_METHODS, limits_of
from backend_api.http.resources import resources_of
from backend_api.http.signing import SignatureInvalidError, Signer
from backend_api.http.strict import FileRequest
from backend_api.pages.space import Space, space_of
from backend_api.settings import Settings

FORM = "application/x-www-form-urlencoded"
FORM_WITH_FILE = "multipart/form-data"
TOKEN_FIELD = "csrf"  # noqa: S105 - the name of a form's field
MAX_FIELDS = 50
OWN_SITE = frozenset({"same-origin", "none"})
"""What a browser says in Sec-Fetch-Site of what our own page or its user asked for."""


Fields = Mapping[str, str]
"""What a form sent, by the names of its fields."""


class SignInNeeded(Exception):
    """Nobody is signed in: the sign-in page comes first."""


class FormRefused(DomainError):
    """A form that was not sent from our page in this session."""

    code = "form_refused"
    status = 403
    message = "The form was not sent from this page, or its session has ended."


class PageRequirement(Requirement):
    """Lets those through who are signed in by cookies and may see the page; whatever they send has to be our form."""

    async def __call__(self, request: Request) -> Principal:
        """The principal. Raises `SignInNeeded`, `FormRefused`, 403, and `NotFound` for an object of somebody else's."""
        principal = await signed_in(request)
        limits_of(request).spend_of(request, principal.actor)
        if not space_of(request).admits(principal):
            raise HTTPException(403)
        if self.permission is not None:
            check_permission(principal, self.permission)
        if request.method not in SAFE_METHODS:
            await check_form(request, str(principal.session_id))
        if principal.client_id is not None:
            await check_own(request, principal)
        request.state.principal = principal
        return principal


def page_for(permission: Permission | None) -> PageRequirement:
    """For pages that need this permission, or only that somebody is signed in."""
    return PageRequirement(permission)


async def signed_in(request: Request) -> Principal:
    """Whom the cookies name; an access token that has run out is renewed. Raises `SignInNeeded`."""
    resources, access = resources_of(request), access_of(request)
    token = cookie(request, space_of(request).access)
    principal = await access.of_token(token, resources.clock()) if token else None
    if principal is None:
        token = cookie(request, space_of(request).refresh)
        if token is None:
            limits_of(request).spend_of_address(request)
            raise SignInNeeded
        try:
            pair = await service.refresh(resources, access.tokens, token)
        except service.RefreshRefused:
            limits_of(request).spend_of_address(request)
            keep(request, None)
            raise SignInNeeded from None
        keep(request, pair)
        principal = await access.of_token(pair.access_token, resources.clock())
    if principal is None or principal.session_id is None:
        raise SignInNeeded
    return principal


def access_token(request: Request) -> str:
    """The token of who is signed in: a new one if it was renewed for this page."""
    pair: AccessToken | None = getattr(request.state, "pair", None)
    return (pair.access_token if pair else cookie(request, space_of(request).access)) or ""


async def check_form(request: Request, audience: str) -> None:
    """Raises `FormRefused` for what was not sent from a page that was made for this audience, 415 for no form."""
    wanted = FORM_WITH_FILE if isinstance(request, FileRequest) else FORM
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise HTTPException(415)
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # Browsers send "null" where a page tells no referrer, as ours do.
    foreign = origin not in (None, "null") and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or (site is not None and site not in OWN_SITE):
        raise FormRefused
    try:
        _signer(request).verify((await fields_of(request)).get(TOKEN_FIELD, ""), audience)
    except SignatureInvalidError as error:
        raise FormRefused from error


async def check_visit(request: Request) -> None:
    """The same for forms of who has not signed in. Raises the same."""
    limits_of(request).spend_of_address(request)
    visit = cookie(request, space_of(request).visit)
    if visit is None:
        raise FormRefused
    await check_form(request, f"visit:{visit}")


def form_token(request: Request) -> str:
    """What forms of the page in hand have to carry. One for a visit is made when there is none yet."""
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is not None:
        return _signer(request).sign(b"", str(principal.session_id))
    visit = cookie(request, space_of(request).visit)
    if visit is None or len(visit) > 64:
        visit = request.state.visit = secrets.token_urlsafe(18)
    return _signer(request).sign(b"", f"visit:{visit}")


async def fields_of(request: Request) -> Fields:
    """What a form sent, of fields with the same name the last one."""
    form = await request.form(max_files=isinstance(request, FileRequest), max_fields=MAX_FIELDS)
    return {name: value for name, value in form.items() if isinstance(value, str)}


def keep(request: Request, pair: AccessToken | None) -> None:
    """Let the answer set the cookies of this pair; None takes them away."""
    request.state.pair = pair


def set_cookies(request: Request, response: Response) -> None:
    """Put into the answer what was kept for it."""
    state, settings, space = request.state, resources_of(request).settings, space_of(request)
    if hasattr(state, "pair"):
        pair: AccessToken | None = state.pair
        access, refresh = (pair.access_token, pair.refresh_token) if pair else (None, None)
        _set(response, settings, space.access, access, pair.expires_in if pair else 0)
        _set(response, settings, space.refresh, refresh, pair.refresh_expires_in if pair else 0)
    if hasattr(state, "visit"):
        _set(response, settings, space.visit, state.visit, None)


def cookie(request: Request, name: str) -> str | None:
    """A cookie of ours."""
    return request.cookies.get(_name(resources_of(request).settings, name))


def safe_path(space: Space, path: str) -> str:
    """Where to go after the sign-in: a page of the space, whatever was asked for."""
    base = space.base
    allowed = path.isascii() and path.isprintable() and not {"\\", " "} & set(path) and "//" not in path
    inside = path == base or path.startswith((f"{base}/", f"{base}?"))
    return path if allowed and inside and ".." not in path else base


def _set(response: Response, settings: Settings, name: str, value: str | None, seconds: int | None) -> None:
    options: dict[str, Any] = {"secure": not settings.is_development, "httponly": True, "samesite": "lax", "path": "/"}
    response.set_cookie(_name(settings, name), value or "", max_age=seconds, **options)


def _name(settings: Settings, name: str) -> str:
    """With this prefix browsers take a cookie only over TLS, for this host alone and all of its paths."""
    return name if settings.is_development else f"__Host-{name}"


def _signer(request: Request) -> Signer:
    return Signer(resources_of(request).settings.secrets, "form")
