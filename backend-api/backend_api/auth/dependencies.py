"""The one place where a request gets its principal, its right to go on, and the bounds of what it sees.

Every route says what it needs by one of the dependencies here, or stands in `OPEN`; else the application does not
start. A principal of role client is held to its own objects here, by the ids in the path, and in lists by `http.lists`.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from backend_api.auth.access import Access
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.auth.service import Caller
from backend_api.domain.identifiers import normalise_rfc
from backend_api.http import consistency
from backend_api.http.limits import limits_of
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.models import checkouts, clients, loans, payments
from backend_api.reads import Reader

OPEN = frozenset(
    {
        "signIn",
        "refreshSession",
        "redeemOneTimeSecret",
        "espacioSignIn",
        "getClient",  # asks by hand what a token allows, and answers without one too
        "pageSignIn",
        "pageSignInSend",
        "pageInvitation",
        "pageInvitationSend",
        "pageUnknown",
        "welcome",
        "takeGatewayNotice",  # its signature is its credential
        "isAlive",
        "isReady",
        "health",
    }
)
"""Operations that need no credentials; whoever adds one says here that nobody has to sign in for it."""


class UndeclaredPermission(Exception):
    """A route does not say who may call it."""


def access_of(request: Request) -> Access:
    """What tells who calls."""
    access: Access = request.app.state.access
    return access


async def principal_of(request: Request) -> Principal | None:
    """Who calls; None without credentials. Raises 401 for bad credentials: a wrong token is not nobody."""
    headers = request.headers
    authorization = headers.get("authorization")
    key = None if authorization is not None else headers.get("x-api-key")
    if authorization is None and key is None:
        limits_of(request).spend_of_address(request)
        return None
    access, now = access_of(request), resources_of(request).clock()
    scheme, _, value = (f"Api-Key {key}" if authorization is None else authorization).partition(" ")
    principal = None
    match scheme.lower():
        case "bearer":
            principal = await access.of_token(value.strip(), now)
        case "api-key":
            principal = await access.of_api_key(value.strip(), now)
    if principal is None:
        limits_of(request).spend_of_address(request)
        raise unauthenticated("invalid_token")
    limits_of(request).spend_of(request, principal.actor)
    return principal


class Requirement:
    """A dependency that lets only those through who may make the call, and names them."""

    def __init__(self, permission: Permission | None, *, people_only: bool = False) -> None:
        self.permission = permission
        self.people_only = people_only

    async def __call__(self, request: Request) -> Principal:
        """The principal. Raises 401, 403, and `NotFound` for an object of somebody else's."""
        principal = await principal_of(request)
        if principal is None:
            raise unauthenticated(None)
        if self.people_only and principal.api_key_id is not None:
            raise HTTPException(403)
        if self.permission is not None:
            check_permission(principal, self.permission)
            if principal.client_id is not None:
                await check_own(request, principal)
        return principal


def require(permission: Permission) -> Requirement:
    """For calls that need this permission."""
    return Requirement(permission)


signed_in = Requirement(None)
"""For calls that everybody with credentials may make, and that show nobody's objects."""
person = Requirement(None, people_only=True)
"""For calls about one's own password and sessions: not for API keys."""


def check_permission(principal: Principal, permission: Permission) -> None:
    """Raises 403 unless the principal holds the permission."""
    if permission not in principal.permissions:
        raise HTTPException(403)


async def check_own(request: Request, principal: Principal) -> None:
    """Raises `NotFound` unless everything in the path belongs to the client of the principal.

    What is not known here belongs to nobody: a new path is closed to borrowers until somebody says whose it is.
    """
    for name, value in request.path_params.items():
        question = _owner_of(name, str(value))
        if question is None:
            raise NotFound

        async def owner(connection: AsyncConnection, question: Select[Any] = question) -> UUID | None:
            found: UUID | None = (await connection.execute(question)).scalar_one_or_none()
            return found

        found = await resources_of(request).reads.find(reader_of(request, principal), owner)
        if found != principal.client_id:
            raise NotFound


def _owner_of(name: str, value: str) -> Select[Any] | None:
    """Which client a part of a path belongs to; None when it cannot be told."""
    if name == "key" and len(value) < 32:
        return select(clients.c.id).where(clients.c.rfc == normalise_rfc(value), clients.c.deleted_at.is_(None))
    try:
        object_id = UUID(value)
    except ValueError:
        return None
    match name:
        case "client_id" | "key":
            return select(clients.c.id).where(clients.c.id == object_id)
        case "loan_id":
            return select(loans.c.client_id).where(loans.c.id == object_id)
        case "payment_id":
            return select(payments.c.client_id).where(payments.c.id == object_id)
        case "checkout_id":
            return select(checkouts.c.client_id).where(checkouts.c.id == object_id)
    return None


def reader_of(request: Request, principal: Principal | None) -> Reader:
    """What this caller may not miss when it reads.

    A borrower reads from the primary: what the gateway told of their payment is no write of theirs, so that no mark
    tells of it, and they look for it right away.
    """
    actor = principal.actor if principal else None
    value = request.headers.get(consistency.HEADER)
    token = consistency.read_token(value, resources_of(request).token_signer)
    reader = Reader(actor, token.timeline, token.lsn, token.aggregate, token.sequence) if token else Reader(actor)
    of_borrower = principal is not None and principal.client_id is not None
    return reader._replace(lsn=consistency.FAR_LSN) if of_borrower else reader


def caller_of(request: Request) -> Caller:
    """From where somebody signs in, as sessions store it."""
    agent = request.headers.get("user-agent", "")
    printable = "".join(sign for sign in agent if sign.isprintable())[:200]
    return Caller(request.client.host[:64] if request.client else "unknown", printable or None)


def check_declared(routes: Iterable[BaseRoute]) -> None:
    """Raises `UndeclaredPermission` for a route that does not say who may call it, with its name."""
    for route in routes:
        if isinstance(route, APIRoute) and route.operation_id not in OPEN and not _requires(route.dependant):
            name = route.operation_id or route.name
            raise UndeclaredPermission(
                f"{name} ({route.path}) declares no permission: let it depend on `require(...)`, `signed_in` or "
                "`person`, or name it in `auth.dependencies.OPEN`"
            )


def unauthenticated(error: str | None) -> HTTPException:
    """The 401 with its challenge."""
    challenge = 'Bearer realm="sofipo"' + (f', error="{error}"' if error else "")
    return HTTPException(401, headers={"WWW-Authenticate": challenge})


def _requires(dependant: Dependant) -> bool:
    return any(isinstance(each.call, Requirement) or _requires(each) for each in dependant.dependencies)
