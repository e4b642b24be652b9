"""Every page's way out: what goes wrong becomes a page in words that people understand, and cookies are set here."""

from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from backend_api.db.pools import DatabaseUnavailableError
from backend_api.domain.errors import DomainError
from backend_api.http.edge import log_unexpected
from backend_api.http.limits import SAFE_METHODS
from backend_api.http.problems import Busy, NotFound
from backend_api.http.strict import FileRequest, StrictRequest
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import Space, space_of
from backend_api.pages.words import ANY_TITLE, TITLES, UNEXPECTED

log = structlog.get_logger(__name__)

OURS = (DataError, IntegrityError, ProgrammingError)
"""Not the database's trouble but ours: nothing gets better by trying again."""


class PageRoute(APIRoute):
    """A route that answers browsers; those of a space are made by `pages_of`."""

    space: Space
    takes_files = False

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a method that the page does not know never gets as far as its handler."""
        methods = self.methods or set()
        if scope["method"] in methods:
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.space = self.space
        refusal = explained(request, HTTPException(405))
        refusal.headers["Allow"] = ", ".join(sorted(methods))
        await refusal(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # Starlette names the result otherwise
        """Wrap the handler, as FastAPI documents it for custom requests."""
        handle = super().get_route_handler()

        async def handle_page(original: Request) -> Response:
            request = (FileRequest if self.takes_files else StrictRequest)(original.scope, original.receive)
            request.state.space = self.space
            try:
                response = await handle(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody looks at a page
                return explained(request, error)
            finally:
                await request.close()  # a file in a form lies on the disk until then
            door.set_cookies(request, response)
            return response

        return handle_page


def pages_of(space: Space, *routers: APIRouter, takes_files: bool = False) -> list[BaseRoute]:
    """The routes of these pages as pages of the space; `takes_files` is for forms that bring one."""
    route_class = type("SpaceRoute", (PageRoute,), {"space": space, "takes_files": takes_files})
    whole = APIRouter(prefix=space.base, include_in_schema=False, route_class=route_class)
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)  # noqa: S101 - pages are
            methods, name = sorted(route.methods or ()), route.operation_id
            whole.add_api_route(route.path, route.endpoint, methods=methods, operation_id=name)
    return whole.routes


def explained(request: Request, error: Exception) -> Response:
    """What went wrong as a page, with the cookies that were kept for it."""
    response = _explanation(request, error)
    door.set_cookies(request, response)
    return response


def _explanation(request: Request, error: Exception) -> Response:
    words = space_of(request).words
    match error:
        case door.SignInNeeded():
            return _to_sign_in(request)
        case DomainError():
            return _error(request, error.status, words.of_refusal(error))
        case RequestValidationError():
            # Forms are read by hand: what is left are identifiers in the address that are none.
            return _explanation(request, NotFound())
        case HTTPException():
            return _error(request, error.status_code, words.of_status(error.status_code))
        case DBAPIError() | PoolTimeoutError() | DatabaseUnavailableError() if not isinstance(error, OURS):
            log.warning("database_unavailable", error=type(error).__name__, cause=type(error.__cause__).__name__)
            return _explanation(request, Busy())
    log_unexpected(request.scope)
    return _error(request, 500, UNEXPECTED)


def _error(request: Request, status: int, sentence: str) -> Response:
    title = TITLES.get(status, ANY_TITLE)
    return page(request, "error.html", status, title=title, sentence=sentence)


def _to_sign_in(request: Request) -> Response:
    """The sign-in page, which leads back here; a form that was lost leads to where all begins."""
    query = request.url.query
    asked = f"{request.url.path}?{query}" if query else request.url.path
    space = space_of(request)
    here = asked if request.method in SAFE_METHODS else space.base
    return see_other(f"{space.base}/entrar", ir=door.safe_path(space, here))
