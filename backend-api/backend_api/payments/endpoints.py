"""Payments: a table of contents."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from backend_api.approvals import service as approvals
from backend_api.approvals.schemas import SECOND_PERSON
from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.account import MovementRefused
from backend_api.domain.approvals import ApprovalKind
from backend_api.domain.errors import (
    DetailLoanNotOwing,
    DetailRepeated,
    DetailsExceedAmount,
    LoanNotActive,
    PaymentExceedsDebt,
)
from backend_api.domain.states import PaymentStatus
from backend_api.http import examples, write
from backend_api.http.lists import Paged, PageRequest
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute, Text
from backend_api.http.views import answer_model
from backend_api.models import payments
from backend_api.payments import queries, service
from backend_api.payments.schemas import (
    REGISTRATION_EXAMPLE,
    REVERSED_EXAMPLE,
    ClientPaymentIn,
    PaymentIn,
    PaymentOut,
    ReversalIn,
)
from backend_api.payments.views import with_allocations

router = APIRouter(prefix="/api/v1", tags=["Payments"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.PAYMENTS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.PAYMENTS_WRITE))]
SORTS = {
    "created_at": Sort(payments.c.id, UUID),
    "paid_on": Sort(payments.c.paid_on, date.fromisoformat),
    "amount": Sort(payments.c.amount, Decimal),
}
REGISTERED = examples.answer(201, REGISTRATION_EXAMPLE)
REFUSALS = (
    PaymentExceedsDebt(payoff_amount="47500.00", payment_id=examples.PAYMENT_ID),
    service.PaidInFuture(business_date=examples.TODAY),
    service.PaidBeforeDisbursement(disbursed_on=examples.TODAY),
    service.PaidTooLongAgo(earliest="2025-11-02"),
    MovementRefused(payment_id=examples.PAYMENT_ID),
    service.DuplicateReference(payment_id=examples.PAYMENT_ID, field="reference"),
)


@router.post(
    "/loans/{loan_id}/payments",
    status_code=201,
    response_model=PaymentOut,
    responses=REGISTERED | examples.refusals(LoanNotActive(loan_status="PENDING"), *REFUSALS),
    operation_id="payLoan",
    summary="Pay a loan",
)
async def pay_loan(request: Request, loan_id: UUID, body: PaymentIn, principal: CanWrite) -> Response:
    """Register a payment. More than the payoff is refused with 409 and recorded as REJECTED."""
    use_case = service.pay_loan(loan_id, body, resources_of(request).settings.backdating_days)
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.post(
    "/clients/{client_id}/payments",
    status_code=201,
    response_model=PaymentOut,
    responses=REGISTERED
    | examples.refusals(
        *REFUSALS,
        DetailLoanNotOwing(loan_id=examples.LOAN_ID),
        DetailRepeated(loan_id=examples.LOAN_ID),
        DetailsExceedAmount(details_total="3000.00"),
    ),
    operation_id="payClient",
    summary="Pay a client's loans",
)
async def pay_client(request: Request, client_id: UUID, body: ClientPaymentIn, principal: CanWrite) -> Response:
    """Spread over the client's loans, owed longest first; `payment_details` come first if given."""
    use_case = service.pay_client(client_id, body, resources_of(request).settings.backdating_days)
    return await write.run(request, principal.actor, use_case, body=body, turn=client_id)


@router.post(
    "/payments/{payment_id}/reverse",
    response_model=PaymentOut,
    responses=examples.answer(200, REVERSED_EXAMPLE)
    | SECOND_PERSON
    | examples.refusals(
        approvals.ApprovalPending(approval_id=examples.APPROVAL_ID),
        service.PaymentAlreadyReversed(reversal_id=examples.PAYMENT_ID),
        service.PaymentNotRegistered(),
        service.LoanFrozen(loan_id=examples.LOAN_ID, loan_status="RESTRUCTURED"),
        MovementRefused(),
    ),
    operation_id="reversePayment",
    summary="Take a payment back",
)
async def reverse_payment(request: Request, payment_id: UUID, body: ReversalIn, principal: CanWrite) -> Response:
    """Contra rows are posted today; what came after the payment is split anew where that changes it."""
    use_case = approvals.with_second_person(
        ApprovalKind.REVERSAL,
        service.reverse_payment(payment_id, body),
        approvals.asked(payment_id, body),
        principal.user_id,
        resources_of(request).settings.approve_reversal_above,
    )
    return await write.run(request, principal.actor, use_case, body=body)


@router.get("/payments", response_model=Page[PaymentOut], operation_id="listPayments", summary="List payments")
async def list_payments(
    request: Request,
    principal: CanRead,
    page: Paged,
    status: Annotated[PaymentStatus | None, Query()] = None,
    client_id: Annotated[UUID | None, Query()] = None,
    reference: Annotated[Text | None, Query(max_length=60)] = None,
) -> Response:
    """Payments, oldest first. Sort by `created_at`, `paid_on` or `amount`."""
    filters = {"status": status, "client_id": client_id, "reference": reference}
    return await _page(request, principal, page, "payments", filters, [])


@router.get(
    "/loans/{loan_id}/payments",
    response_model=Page[PaymentOut],
    operation_id="listLoanPayments",
    summary="A loan's payments",
)
async def list_loan_payments(request: Request, loan_id: UUID, principal: CanRead, page: Paged) -> Response:
    """The payments that reached a loan."""
    paging_filters = {"loan_id": loan_id}
    return await _page(request, principal, page, "loan-payments", paging_filters, [queries.of_loan(loan_id)])


@router.get(
    "/clients/{client_id}/payments",
    response_model=Page[PaymentOut],
    operation_id="listClientPayments",
    summary="A client's payments",
)
async def list_client_payments(request: Request, client_id: UUID, principal: CanRead, page: Paged) -> Response:
    """The payments of one client, refused ones too."""
    return await _page(request, principal, page, "client-payments", {"client_id": client_id}, [])


@router.get("/payments/{payment_id}", response_model=PaymentOut, operation_id="getPayment", summary="A payment")
async def get_payment(request: Request, payment_id: UUID, principal: CanRead) -> Response:
    """One payment and what it did."""

    async def read(connection: AsyncConnection) -> PaymentOut | None:
        row = await queries.payment(connection, payment_id)
        return (await with_allocations(connection, [row]))[0] if row else None

    payment = await resources_of(request).reads.find(reader_of(request, principal), read)
    if payment is None:
        raise NotFound
    return answer_model(request, payment)


async def _page(
    request: Request,
    principal: Principal,
    page: PageRequest,
    name: str,
    filters: dict[str, Any],
    conditions: list[Any],
) -> Response:
    paging = page.of(name, principal, payments.c.id, SORTS, filters, of_client=lambda own: payments.c.client_id == own)
    columns = queries.matching(filters)

    async def read(connection: AsyncConnection) -> tuple[list[Any], list[PaymentOut]]:
        rows = list(await queries.page(connection, paging, [*columns, *conditions]))
        return rows, await with_allocations(connection, rows)

    rows, built = await resources_of(request).reads.query(reader_of(request, principal), read)
    by_id = {payment.id: payment for payment in built}
    return answer_model(request, paging.page(rows, lambda row: by_id[row.id]))
