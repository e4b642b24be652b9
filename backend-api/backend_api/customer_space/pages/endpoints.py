"""The pages of the customer space: a table of contents."""

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from backend_api.customer_space.pages import account, checkout, entrance, receipts
from backend_api.customer_space.pages.door import BASE
from backend_api.customer_space.pages.render import assets
from backend_api.customer_space.pages.route import PageRoute
from backend_api.http.limits import limits_of
from backend_api.http.problems import NotFound

rest = APIRouter(prefix=BASE, route_class=PageRoute, include_in_schema=False)


@rest.get("/{anything:path}", operation_id="pageUnknown")
async def unknown(request: Request) -> Response:
    """What is no page of ours is told so as a page."""
    limits_of(request).spend_of_address(request)
    raise NotFound


def routes() -> list[BaseRoute]:
    """All pages and their assets, in the order in which they are tried."""
    pages = (entrance.router, account.router, checkout.router, receipts.router)
    return [assets(), *(route for router in pages for route in router.routes), *rest.routes]
