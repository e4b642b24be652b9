"""The cart, the confirmation, and what came of it."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from backend_api.auth.principal import Principal
from backend_api.customer_space import carts, service, views
from backend_api.customer_space.carts import Borrower as Payer
from backend_api.customer_space.pages import words
from backend_api.customer_space.pages.account import debts_page
from backend_api.customer_space.pages.frame import Borrower, shown
from backend_api.customer_space.pages.space import BASE
from backend_api.customer_space.pages.words import WORDS
from backend_api.db.pools import LOST_CONNECTION, DatabaseUnavailableError
from backend_api.domain.cart import CheckoutStatus, InstallmentNotOwed
from backend_api.domain.errors import DomainError, MoneyMalformed
from backend_api.domain.money import parse_money, parse_positive_money
from backend_api.http import write
from backend_api.http.problems import Busy, NotFound
from backend_api.http.resources import Resources, resources_of
from backend_api.ledger.service import AmountTooLarge
from backend_api.pages import door
from backend_api.pages.door import Fields
from backend_api.pages.render import see_other

router = APIRouter()

TOO_LATE = (Busy, NotFound)
"""What no form can tell better than a page of its own."""


@router.get("/carrito", operation_id="pageCart")
async def show_cart(request: Request, principal: Borrower) -> Response:
    """What is in the cart and what it costs."""
    return await _cart_page(request, principal)


@router.post("/carrito/agregar", operation_id="pageCartAdd")
async def add_to_cart(request: Request, principal: Borrower) -> Response:
    """Installments or an amount of a loan, instead of what the cart held of it."""
    fields, payer = await door.fields_of(request), carts.borrower_of(principal)
    loan_id = _loan_id(fields)
    try:
        await _put(resources_of(request), payer, loan_id, fields)
    except DomainError as refusal:
        if isinstance(refusal, TOO_LATE):
            raise
        return await debts_page(request, principal, refusal, (loan_id, fields.get("importe")))
    folio = fields.get("folio", "")
    return see_other(BASE, f"credito-{folio}" if folio.isascii() and folio.isdecimal() else "", aviso="agregado")


@router.post("/carrito/quitar", operation_id="pageCartRemove")
async def remove_from_cart(request: Request, principal: Borrower) -> Response:
    """Nothing of the loan stays in the cart."""
    fields = await door.fields_of(request)
    try:
        await carts.remove_loan(resources_of(request), carts.borrower_of(principal), _loan_id(fields))
    except DomainError as refusal:
        if isinstance(refusal, TOO_LATE):
            raise
        return await _cart_page(request, principal, refusal)
    return see_other(f"{BASE}/carrito", aviso="quitado")


@router.post("/carrito/vaciar", operation_id="pageCartEmpty")
async def empty_cart(request: Request, principal: Borrower) -> Response:
    """Nothing stays in the cart."""
    await carts.empty_cart(resources_of(request), carts.borrower_of(principal))
    return see_other(f"{BASE}/carrito", aviso="vaciado")


@router.get("/pagar", operation_id="pagePay")
async def show_confirmation(request: Request, principal: Borrower) -> Response:
    """What will be paid, before anything is."""
    return await _confirmation(request, principal)


@router.post("/pagar", operation_id="pagePaySend")
async def pay(request: Request, principal: Borrower) -> Response:
    """The cart becomes an order, which is paid at the gateway. When something changed, nothing is charged."""
    fields, payer, resources = await door.fields_of(request), carts.borrower_of(principal), resources_of(request)
    try:
        use_case = service.check_out(
            resources.settings,
            payer,
            _number(fields.get("carrito", "")),
            parse_money(fields.get("total", "")),
        )
        answer = await write.run(request, principal.actor, use_case, turn=principal.client_id)
    except service.CartChanged as refusal:
        changes = [words.of_change(change) for change in refusal.facts["changes"]]  # type: ignore[attr-defined]  # facts are anything
        return await _confirmation(request, principal, 409, changes=changes)
    except (carts.CartGone, service.CartEmpty, AmountTooLarge, MoneyMalformed) as refusal:
        return await _cart_page(request, principal, refusal)
    order = orjson.loads(answer.body)
    return see_other(order["pay_url"] or f"{BASE}/pagar/{order['id']}")


@router.get("/pagar/{checkout_id}", operation_id="pageOutcome")
async def show_outcome(request: Request, checkout_id: UUID, principal: Borrower) -> Response:
    """Where the gateway sends people back to; it may be faster than its own notice to us."""
    checkout = await views.checkout_of(resources_of(request), carts.borrower_of(principal), checkout_id)
    if checkout is None:
        raise NotFound
    if checkout.status is CheckoutStatus.PAID:
        await _catch_up(request, principal)
    title, sentence = words.OUTCOMES[checkout.status.value]
    sentence = words.GIVEN_BACK.get(checkout.reason or "", sentence)
    return await shown(
        request, principal, "outcome.html", checkout=checkout, state=checkout.status.value, title=title,
        sentence=sentence,
    )  # fmt: skip


async def _put(resources: Resources, payer: Payer, loan_id: UUID, fields: Fields) -> None:
    """Raises `DomainError` for what cannot be paid."""
    if "importe" in fields:
        # People write thousands and the sign as they read them.
        typed = fields["importe"].strip().removeprefix("$").strip().replace(",", "")
        await carts.put_amount(resources, payer, loan_id, parse_positive_money(typed))
        return
    number = _number(fields.get("pagos", ""))
    if number is None:
        raise InstallmentNotOwed
    await carts.put_installments(resources, payer, loan_id, number)


async def _cart_page(request: Request, principal: Principal, refusal: DomainError | None = None) -> Response:
    resources = resources_of(request)
    cart = await carts.cart_of(resources, carts.borrower_of(principal))
    until = f"{cart.expires_at.astimezone(resources.settings.zone):%H:%M}" if cart.expires_at else None
    problem, status = (WORDS.of_refusal(refusal), refusal.status) if refusal else (None, 200)
    return await shown(request, principal, "cart.html", status, cart=cart, until=until, problem=problem)


async def _confirmation(
    request: Request, principal: Principal, status: int = 200, changes: Sequence[str] | None = None
) -> Response:
    leads_to = resources_of(request).settings.gateway_url
    return await shown(request, principal, "pay.html", status, leads_to=leads_to, changes=changes)


async def _catch_up(request: Request, principal: Principal) -> None:
    """From now on the borrower reads nothing older than the payment, which it was the gateway that told us of."""
    resources = resources_of(request)
    _, lsn = await resources.commit_position.after_commit()
    with suppress(*LOST_CONNECTION, asyncpg.PostgresError, DatabaseUnavailableError):
        await resources.cache.announce({}, principal=principal.actor, lsn=lsn)


def _loan_id(fields: Fields) -> UUID:
    """Raises `NotFound` for what is no loan's id."""
    try:
        return UUID(fields.get("credito", ""))
    except ValueError as error:
        raise NotFound from error


def _number(text: str) -> int | None:
    """A number of at most nine digits, else None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
