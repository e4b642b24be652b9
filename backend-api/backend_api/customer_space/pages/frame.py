"""What every page of somebody who is signed in has in common."""

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.customer_space import carts
from backend_api.customer_space.carts import Cart
from backend_api.http.resources import resources_of
from backend_api.pages import door
from backend_api.pages.render import page

Borrower = Annotated[Principal, Depends(door.page_for(Permission.OWN_ACCOUNT))]


async def shown(
    request: Request,
    principal: Principal,
    template: str,
    status: int = 200,
    *,
    cart: Cart | None = None,
    leads_to: str | None = None,
    **context: Any,
) -> Response:
    """A page, with the borrower's cart; it is read unless it is given."""
    if cart is None:
        cart = await carts.cart_of(resources_of(request), carts.borrower_of(principal))
    in_cart = len(cart.items)
    return page(request, template, status, leads_to=leads_to, cart=cart, in_cart=in_cart, **context)
