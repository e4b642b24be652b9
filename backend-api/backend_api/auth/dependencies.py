"""The one place where a request gets its principal and its right to go on."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from backend_api.auth.permissions import PERMISSIONS, Permission
from backend_api.auth.tokens import Principal, Tokens
from backend_api.http import consistency
from backend_api.http.resources import resources_of
from backend_api.reads import Reader


def principal_of(request: Request) -> Principal | None:
    """Who calls; None without credentials. Raises 401 for bad credentials: a wrong token is not nobody."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    resources = resources_of(request)
    tokens: Tokens = request.app.state.tokens
    principal = tokens.verify(token.strip(), resources.clock()) if scheme.lower() == "bearer" else None
    if principal is None:
        raise _unauthenticated("invalid_token")
    return principal


def require(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that lets only those through who hold the permission, and names them."""

    async def check(request: Request) -> Principal:
        principal = principal_of(request)
        if principal is None:
            raise _unauthenticated(None)
        check_permission(principal, permission)
        return principal

    return check


async def signed_in(request: Request) -> Principal:
    """A dependency for calls that every signed-in person may make."""
    principal = principal_of(request)
    if principal is None:
        raise _unauthenticated(None)
    return principal


def check_permission(principal: Principal, permission: Permission) -> None:
    """Raises 403 unless the principal's role holds the permission."""
    if permission not in PERMISSIONS[principal.role]:
        raise HTTPException(403)


def reader_of(request: Request, principal: Principal | None) -> Reader:
    """What this caller may not miss when it reads."""
    actor = principal.actor if principal else None
    value = request.headers.get(consistency.HEADER)
    if value is None:
        return Reader(actor)
    resources = resources_of(request)
    token = consistency.read_token(value, resources.token_signer)
    return Reader(actor, token.timeline, token.lsn, token.aggregate, token.sequence) if token else Reader(actor)


def _unauthenticated(error: str | None) -> HTTPException:
    challenge = 'Bearer realm="sofipo"' + (f', error="{error}"' if error else "")
    return HTTPException(401, headers={"WWW-Authenticate": challenge})
