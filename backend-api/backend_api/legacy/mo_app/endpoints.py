"""MO App: a table of contents. Paths stand at the root of the server, as the partner calls them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response, StreamingResponse

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.auth.users.queries import user
from backend_api.auth.users.schemas import UserOut
from backend_api.clients.views import BALANCE_VIEW, balance_view
from backend_api.domain.states import LoanStatus
from backend_api.http import examples, write
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import Label
from backend_api.http.views import VARY, answer_model
from backend_api.legacy.mo_app import queries, service
from backend_api.legacy.mo_app.refusals import OF_CODE, OF_STATUS, DetailRoute
from backend_api.legacy.mo_app.schemas import (
    LOAN_STATES,
    Detail,
    MoBalance,
    MoCustomer,
    MoCustomerIn,
    MoLoan,
    MoLoanIn,
    MoPayment,
    MoPaymentIn,
)

AT_ONCE = 500
"""Rows of one part of a list: lists have no pages here, and are neither held in memory nor read in one go."""

CanReadClients = Annotated[Principal, Depends(require(Permission.CLIENTS_READ))]
CanReadLoans = Annotated[Principal, Depends(require(Permission.LOANS_READ))]
CanReadUsers = Annotated[Principal, Depends(require(Permission.USERS_READ))]
Page = Callable[[AsyncConnection, UUID | None], Awaitable[Sequence[Any]]]


def _refusals(texts: Mapping[int, str]) -> examples.Responses:
    return {
        status: {"model": Detail, "description": text, "content": {"application/json": {"example": {"detail": text}}}}
        for status, text in texts.items()
    }


UNKNOWN = _refusals({404: OF_STATUS[404]})
WRITE_REFUSALS = _refusals({409: OF_CODE["request_in_progress"]})
ANY_REFUSALS = _refusals({status: OF_STATUS[status] for status in (400, 401, 403, 429, 503)})

router = APIRouter(tags=["MO App"], route_class=DetailRoute, responses=ANY_REFUSALS)


@router.post(
    "/customers/create_customer",
    status_code=201,
    response_model=MoCustomer,
    responses=WRITE_REFUSALS,
    operation_id="moCreateCustomer",
    summary="Register a customer",
)
async def create_customer(
    request: Request, body: MoCustomerIn, principal: Annotated[Principal, Depends(require(Permission.CLIENTS_WRITE))]
) -> Response:
    """A client with a credit line. RFC, e-mail and name are added with the calls of `/api/v1/clients`."""
    use_case = service.create_customer(body)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.conflicts(body.external_id))


@router.get(
    "/customers/list_customer",
    response_model=list[MoCustomer],
    operation_id="moListCustomers",
    summary="All customers",
)
async def list_customers(request: Request, principal: CanReadClients) -> Response:
    """All of them, oldest first, in one array that is sent as it is read."""

    async def page(connection: AsyncConnection, after: UUID | None) -> Sequence[Any]:
        return await queries.customers_after(connection, after, principal.client_id, AT_ONCE)

    return await _array(request, principal, page, _customer)


@router.get(
    "/customers/get_balance",
    response_model=MoBalance,
    responses=UNKNOWN,
    operation_id="moGetBalance",
    summary="What a customer owes",
)
async def get_balance(request: Request, principal: CanReadClients, customer: Annotated[Label, Query()]) -> Response:
    """`total_debt` pays everything off today; `available_amount` is the score less what is outstanding or pending."""
    found = await _customer_row(request, principal, customer)
    view = await resources_of(request).reads.client_view(
        reader_of(request, principal), found.id, BALANCE_VIEW, None, balance_view(found.id)
    )
    if view is None:
        raise NotFound
    balance = orjson.loads(view.body)
    return answer_model(
        request,
        MoBalance(
            external_id=found.external_id,
            score=balance["credit_limit"],
            available_amount=balance["available_credit"],
            total_debt=balance["total_debt"],
        ),
    )


@router.post(
    "/loans/create_loan",
    status_code=201,
    response_model=MoLoan,
    responses=WRITE_REFUSALS,
    operation_id="moCreateLoan",
    summary="Grant a customer a loan",
)
async def create_loan(
    request: Request, body: MoLoanIn, principal: Annotated[Principal, Depends(require(Permission.LOANS_WRITE))]
) -> Response:
    """Within the score. Of the product `MO_ZERO`, without interest, unless the API key is bound to another."""
    limit = resources_of(request).settings.approve_activation_above
    return await write.run(
        request,
        principal.actor,
        service.create_loan(body, principal.api_key_id, limit),
        body=body,
        conflicts=service.conflicts(body.external_id),
        turn=service.turn_of(body.customer),
    )


@router.get("/loans/list_loans", response_model=list[MoLoan], operation_id="moListLoans", summary="All loans")
async def list_loans(request: Request, principal: CanReadLoans) -> Response:
    """The loans of all customers, oldest first, in one array that is sent as it is read."""
    return await _loans(request, principal, principal.client_id)


@router.get("/loans/loan_by_id", response_model=MoLoan, responses=UNKNOWN, operation_id="moGetLoan", summary="One loan")
async def loan_by_id(request: Request, principal: CanReadLoans, external_id: Annotated[Label, Query()]) -> Response:
    """A loan by its `external_id`."""
    row = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: queries.loan(connection, external_id)
    )
    if row is None or principal.client_id not in (None, row.client_id):
        raise NotFound
    return answer_model(request, _loan(row))


@router.get(
    "/loans/customer_loans",
    response_model=list[MoLoan],
    responses=UNKNOWN,
    operation_id="moListCustomerLoans",
    summary="A customer's loans",
)
async def customer_loans(request: Request, principal: CanReadLoans, customer: Annotated[Label, Query()]) -> Response:
    """Closed ones too, oldest first."""
    found = await _customer_row(request, principal, customer)
    return await _loans(request, principal, found.id)


@router.post(
    "/payments/register_payment",
    status_code=201,
    response_model=MoPayment,
    responses=WRITE_REFUSALS,
    operation_id="moRegisterPayment",
    summary="Register a payment",
)
async def register_payment(
    request: Request, body: MoPaymentIn, principal: Annotated[Principal, Depends(require(Permission.PAYMENTS_WRITE))]
) -> Response:
    """The details first, what is left over the active loans. More than is owed: 400, and kept as rejected."""
    use_case = service.register_payment(body)
    return await write.run(request, principal.actor, use_case, body=body, turn=service.turn_of(body.customer))


@router.get("/api/user/list", response_model=list[UserOut], operation_id="moListUsers", summary="All users")
async def list_users(request: Request, principal: CanReadUsers) -> Response:
    """Without anything secret."""

    async def page(connection: AsyncConnection, after: UUID | None) -> Sequence[Any]:
        return await queries.users_after(connection, after, AT_ONCE)

    return await _array(request, principal, page, _user)


@router.get(
    "/api/user/detail/{user_id}",
    response_model=UserOut,
    responses=UNKNOWN,
    operation_id="moGetUser",
    summary="One user",
)
async def get_user(request: Request, user_id: UUID, principal: CanReadUsers) -> Response:
    """Without anything secret."""
    row = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: user(connection, user_id)
    )
    if row is None:
        raise NotFound
    return answer_model(request, _user(row))


async def _customer_row(request: Request, principal: Principal, external_id: str) -> Any:
    """The customer of this name. Raises `NotFound`, for a borrower also when it is somebody else."""
    row = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: queries.customer(connection, external_id)
    )
    if row is None or principal.client_id not in (None, row.id):
        raise NotFound
    return row


async def _loans(request: Request, principal: Principal, client_id: UUID | None) -> Response:
    async def page(connection: AsyncConnection, after: UUID | None) -> Sequence[Any]:
        return await queries.loans_after(connection, after, client_id, AT_ONCE)

    return await _array(request, principal, page, _loan)


async def _array(request: Request, principal: Principal, page: Page, shown: Callable[[Any], BaseModel]) -> Response:
    """All rows as one array, sent part by part. One that breaks off was cut, not finished: it is no valid JSON."""
    reads, reader = resources_of(request).reads, reader_of(request, principal)
    # Read before the answer begins, so that a database that is away is answered with 503.
    first = await reads.query(reader, lambda connection: page(connection, None))

    async def parts() -> AsyncIterator[bytes]:
        rows, opening = first, b"["
        while rows:
            yield opening + b",".join(shown(row).model_dump_json().encode() for row in rows)
            opening = b","
            last: UUID = rows[-1].id
            rows = await reads.query(reader, _after(page, last)) if len(rows) == AT_ONCE else []
        yield b"]" if opening == b"," else b"[]"

    headers = {"Vary": VARY, "Cache-Control": "private, no-cache"}
    return StreamingResponse(parts(), headers=headers, media_type="application/json")


def _after(page: Page, last: UUID) -> Callable[[AsyncConnection], Awaitable[Sequence[Any]]]:
    return lambda connection: page(connection, last)


def _customer(row: Any) -> MoCustomer:
    return MoCustomer(
        external_id=row.external_id,
        score=row.credit_limit,
        status=service.status_of_customer(row.status),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _loan(row: Any) -> MoLoan:
    status = LoanStatus(row.status)
    return MoLoan(
        external_id=row.external_id,
        customer_external_id=row.customer_external_id,
        amount=row.amount,
        outstanding=service.outstanding(status, row.amount, row.current_balance),
        status=LOAN_STATES[status],
    )


def _user(row: Any) -> UserOut:
    return UserOut.model_validate(row, from_attributes=True)
