"""The customer space over JSON, and where the payment gateway sends its notices: a table of contents."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_api.approvals import service as approvals
from backend_api.approvals.schemas import SECOND_PERSON
from backend_api.auth.dependencies import require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.customer_space import carts, service, views
from backend_api.customer_space.carts import borrower_of
from backend_api.customer_space.gateway import (
    NOTICE_EXAMPLE,
    SIGNATURE,
    Notice,
    NoticeMalformed,
    NoticeRefused,
    gateway_of,
)
from backend_api.customer_space.schemas import (
    CART_EXAMPLE,
    CHECKOUT_EXAMPLE,
    EMPTY_CART_EXAMPLE,
    CartIn,
    CartOut,
    CheckOutIn,
    CheckoutOut,
    DebtsOut,
    ItemIn,
    OutcomeOut,
    OwnPaymentOut,
    UndoIn,
)
from backend_api.domain.cart import InstallmentNotOwed, NewerInstallmentFirst, NotInCart
from backend_api.domain.errors import PaymentExceedsDebt
from backend_api.http import examples, write
from backend_api.http.limits import limits_of
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRequest, StrictRoute
from backend_api.http.views import answer_model
from backend_api.ledger.service import AmountTooLarge
from backend_api.models import payments
from backend_api.payments import queries as payment_queries
from backend_api.payments import service as paying
from backend_api.payments.schemas import REVERSED_EXAMPLE, PaymentOut

router = APIRouter(prefix="/api/v1/me", tags=["Customer space"], route_class=StrictRoute)
notices = APIRouter(prefix="/api/v1/gateway", tags=["Customer space"])

Own = Annotated[Principal, Depends(require(Permission.OWN_ACCOUNT))]
SORTS = {
    "created_at": Sort(payments.c.id, UUID),
    "paid_on": Sort(payments.c.paid_on, date.fromisoformat),
    "amount": Sort(payments.c.amount, Decimal),
}
MOST_NOTICE_BYTES = 16 * 1024
UNPRICED = (
    InstallmentNotOwed(),
    PaymentExceedsDebt(payoff_amount="50000.00", loan_id=examples.LOAN_ID),
    carts.CartFull(),
)
NOTICE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": Notice.model_json_schema(), "example": NOTICE_EXAMPLE}},
    },
    "parameters": [
        {
            "name": SIGNATURE,
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "`t=<unix time>,v1=<hex HMAC-SHA256 of time, a point and the body>`",
        }
    ],
}


@router.get("/debts", response_model=DebtsOut, operation_id="getOwnDebts", summary="What I owe")
async def get_debts(request: Request, principal: Own) -> Response:
    """Of each loan the unpaid installments with what lateness added, what is due, and what would end it today."""
    found = await views.debts(resources_of(request), borrower_of(principal).client_id)
    return answer_model(request, views.debts_out(found))


@router.get("/cart", response_model=CartOut, operation_id="getCart", summary="My cart")
async def get_cart(request: Request, principal: Own) -> Response:
    """The open cart at the prices of its last change; an empty one if there is none. It lives 30 minutes."""
    return _cart(request, await carts.cart_of(resources_of(request), borrower_of(principal)))


@router.put(
    "/cart",
    response_model=CartOut,
    responses=examples.refusals(*UNPRICED),
    operation_id="replaceCart",
    summary="Fill my cart anew",
)
async def replace_cart(request: Request, body: CartIn, principal: Own) -> Response:
    """It holds exactly this afterwards."""
    wanted = {item.loan_id: item.wanted for item in body.items}
    return _cart(request, await carts.replace_items(resources_of(request), borrower_of(principal), wanted))


@router.delete("/cart", status_code=204, operation_id="emptyCart", summary="Forget my cart")
async def empty_cart(request: Request, principal: Own) -> Response:
    """What was in it stays owed."""
    await carts.empty_cart(resources_of(request), borrower_of(principal))
    return Response(None, 204)


@router.post(
    "/cart/items",
    response_model=CartOut,
    responses=examples.refusals(*UNPRICED),
    operation_id="putIntoCart",
    summary="Put something into my cart",
)
async def put_into_cart(request: Request, body: ItemIn, principal: Own) -> Response:
    """Installments are the loan's oldest unpaid ones. What the cart held of this loan before is replaced."""
    resources, borrower, wanted = resources_of(request), borrower_of(principal), body.wanted
    if isinstance(wanted, int):
        return _cart(request, await carts.put_installments(resources, borrower, body.loan_id, wanted))
    return _cart(request, await carts.put_amount(resources, borrower, body.loan_id, wanted))


@router.delete(
    "/cart/items/{loan_id}",
    response_model=CartOut,
    responses=examples.answer(200, EMPTY_CART_EXAMPLE | {"number": CART_EXAMPLE["number"]})
    | examples.refusals(NotInCart(), NewerInstallmentFirst(number=3)),
    operation_id="takeFromCart",
    summary="Take something out of my cart",
)
async def take_from_cart(
    request: Request,
    loan_id: UUID,
    principal: Own,
    installment: Annotated[int | None, Query(ge=1, le=100_000, description="Only this one, the newest in it.")] = None,
) -> Response:
    """All that it holds of the loan, or one installment."""
    resources, borrower = resources_of(request), borrower_of(principal)
    if installment is not None:
        return _cart(request, await carts.remove_installment(resources, borrower, loan_id, installment))
    return _cart(request, await carts.remove_loan(resources, borrower, loan_id))


@router.post(
    "/cart/checkout",
    status_code=201,
    response_model=CheckoutOut,
    responses=examples.answer(201, CHECKOUT_EXAMPLE)
    | examples.refusals(
        service.CartEmpty(),
        carts.CartGone(),
        service.CartChanged(
            changes=[
                {
                    "loan_id": examples.LOAN_ID,
                    "folio": examples.FOLIO,
                    "quoted": {"amount": "2525.23", "pays_off": False, "lines": []},
                    "now": None,
                }
            ],
            commission="0.00",
            commission_vat="0.00",
            total="0.00",
        ),
        AmountTooLarge(),
    ),
    operation_id="checkOutCart",
    summary="Pay my cart",
)
async def check_out(request: Request, body: CheckOutIn, principal: Own) -> Response:
    """The answer's `pay_url` is the gateway's page. Nothing is charged if a debt changed since the cart was priced; the
    cart is then priced anew."""
    use_case = service.check_out(resources_of(request).settings, borrower_of(principal), body.cart_number, body.total)
    return await write.run(request, principal.actor, use_case, body=body, turn=principal.client_id)


@router.get(
    "/checkouts/{checkout_id}", response_model=CheckoutOut, operation_id="getCheckout", summary="An order of mine"
)
async def get_checkout(request: Request, checkout_id: UUID, principal: Own) -> Response:
    """What came of it: WAITING until the gateway tells."""
    found = await views.checkout_of(resources_of(request), borrower_of(principal), checkout_id)
    if found is None:
        raise NotFound
    return answer_model(request, found.out())


@router.get("/payments", response_model=Page[OwnPaymentOut], operation_id="listOwnPayments", summary="My payments")
async def list_payments(request: Request, principal: Own, page: Paged) -> Response:
    """All payments, whoever registered them, oldest first. Sort by `created_at`, `paid_on` or `amount`."""
    resources, borrower = resources_of(request), borrower_of(principal)
    paging = page.of(
        "own-payments", principal, payments.c.id, SORTS, {}, of_client=lambda own: payments.c.client_id == own
    )

    async def read(connection: AsyncConnection) -> tuple[list[Any], list[OwnPaymentOut]]:
        rows = list(await payment_queries.page(connection, paging, []))
        return rows, await views.own_payments(resources, borrower, connection, rows)

    rows, built = await resources.reads.on_primary(read)
    by_id = {payment.id: payment for payment in built}
    return answer_model(request, paging.page(rows, lambda row: by_id[row.id]))


@router.get(
    "/payments/{payment_id}", response_model=OwnPaymentOut, operation_id="getOwnPayment", summary="A payment of mine"
)
async def get_payment(request: Request, payment_id: UUID, principal: Own) -> Response:
    """The payment, and the order it paid."""
    found = await views.own_payment(resources_of(request), borrower_of(principal), payment_id)
    if found is None:
        raise NotFound
    return answer_model(request, found)


@router.post(
    "/payments/{payment_id}/reverse",
    response_model=PaymentOut,
    responses=examples.answer(200, REVERSED_EXAMPLE)
    | SECOND_PERSON
    | examples.refusals(
        service.NotOwnPayment(),
        approvals.ApprovalPending(approval_id=examples.APPROVAL_ID),
        paying.PaymentAlreadyReversed(reversal_id=examples.PAYMENT_ID),
    ),
    operation_id="reverseOwnPayment",
    summary="Take my payment back",
)
async def reverse_payment(request: Request, payment_id: UUID, body: UndoIn, principal: Own) -> Response:
    """At once on the day of the payment (or as many days after it as the lender allows); later staff are asked."""
    use_case = service.reverse_own(resources_of(request).settings, borrower_of(principal), payment_id, body.reason)
    return await write.run(request, principal.actor, use_case, body=body, turn=principal.client_id)


@notices.post(
    "/notices",
    response_model=OutcomeOut,
    responses=examples.refusals(NoticeRefused(), NoticeMalformed(), NotFound()),
    operation_id="takeGatewayNotice",
    summary="What the payment gateway tells",
    openapi_extra=NOTICE,
)
async def take_notice(request: Request) -> Response:
    """Signed by the gateway. The same notice again gets the same answer, and does nothing twice."""
    resources = resources_of(request)
    body = await _bounded_body(request)
    try:
        notice = gateway_of(resources.settings).read_notice(request.headers, body, resources.clock())
    except NoticeRefused:
        limits_of(request).spend_of_address(request)
        raise
    return await write.run(request, service.ACTOR, service.take_notice(notice), keyless=True, turn=notice.order_id)


async def _bounded_body(request: Request) -> bytes:
    """The body as it was signed. Raises 413 for more than any notice holds."""
    received = b""
    async for part in StrictRequest(request.scope, request.receive).stream():
        received += part
        if len(received) > MOST_NOTICE_BYTES:
            raise HTTPException(413)
    return received


def _cart(request: Request, cart: carts.Cart) -> Response:
    return answer_model(request, views.cart_out(cart))
