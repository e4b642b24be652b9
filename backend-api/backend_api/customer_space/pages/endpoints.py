"""The pages of the customer space: a table of contents."""

from starlette.routing import BaseRoute

from backend_api.customer_space.pages import account, checkout, receipts
from backend_api.customer_space.pages.space import SPACE
from backend_api.pages import entrance
from backend_api.pages.render import assets
from backend_api.pages.route import pages_of


def routes() -> list[BaseRoute]:
    """All pages and their assets, in the order in which they are tried."""
    pages = (entrance.router, account.router, checkout.router, receipts.router, entrance.rest)
    return [assets(SPACE), *pages_of(SPACE, *pages)]
