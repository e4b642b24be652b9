"""The pages of the back office: a table of contents."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from backend_api.backoffice import (
    api_keys,
    approvals,
    clients,
    dashboard,
    decoys,
    events,
    history,
    imports,
    loans,
    payments,
    portfolio,
    products,
    users,
)
from backend_api.backoffice.pages import Declared, FormPage
from backend_api.backoffice.space import office
from backend_api.pages import entrance
from backend_api.pages.render import assets
from backend_api.pages.route import pages_of

DECLARED: tuple[Declared, ...] = (
    *clients.PAGES,
    *loans.PAGES,
    *portfolio.PAGES,
    *payments.PAGES,
    *approvals.PAGES,
    *imports.PAGES,
    *products.PAGES,
    *users.PAGES,
    *api_keys.PAGES,
    *decoys.PAGES,
    *history.PAGES,
)
OLD_PATH = "/grappelli"
"""Where the office of the system before this one was."""


def routes(base: str) -> list[BaseRoute]:
    """All pages and their assets, in the order in which they are tried, below this path."""
    space = office(base)
    uploads = pages_of(space, imports.router, takes_files=True)
    rest = pages_of(space, entrance.router, dashboard.router, events.router, _declared(), entrance.rest)

    async def lead_on(_: Request) -> Response:
        return RedirectResponse(base, 307)

    return [Route(OLD_PATH, lead_on), assets(space), *uploads, *rest]


def _declared() -> APIRouter:
    """Lists, details, files and forms. Paths without ids come first: `nuevo` is no id."""
    router = APIRouter()
    for page in sorted(DECLARED, key=lambda page: page.path.count("{")):
        name = "office" + page.path.title().translate(_NO_SIGNS)
        router.add_api_route(page.path, page.show, methods=["GET"], operation_id=name)
        if isinstance(page, FormPage):
            router.add_api_route(page.path, page.send, methods=["POST"], operation_id=f"{name}Send")
    return router


_NO_SIGNS = str.maketrans("", "", "/{}_-.")
