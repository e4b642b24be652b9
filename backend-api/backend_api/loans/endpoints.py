"""Loans: a table of contents."""

import asyncio
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require, signed_in
from backend_api.auth.permissions import Permission
from backend_api.auth.tokens import Principal
from backend_api.domain.errors import TransitionRefused
from backend_api.domain.states import LoanEvent, LoanStatus
from backend_api.http import etag, examples, write
from backend_api.http.lists import Paged, PageRequest
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute, Text
from backend_api.http.views import answer_model
from backend_api.loans import preview, queries, service
from backend_api.loans.schemas import LOAN_EXAMPLE, LoanIn, LoanOut, MovementOut
from backend_api.models import loan_movements, loans

router = APIRouter(prefix="/api/v1", tags=["Loans"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.LOANS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.LOANS_WRITE))]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]
SORTS = {
    "created_at": Sort(loans.c.id, UUID),
    "folio": Sort(loans.c.folio, int),
    "amount": Sort(loans.c.amount, Decimal),
}
MOVEMENT_SORTS = {"created_at": Sort(loan_movements.c.id, UUID)}
CHANGED_LOAN = {**LOAN_EXAMPLE, "version": 2}
CLOSED_LOAN = {**CHANGED_LOAN, "disbursed_on": None, "current_balance": "0.00"}


@router.post(
    "/loans",
    status_code=201,
    response_model=LoanOut,
    responses=examples.refusals(
        service.ClientUnknown(),
        service.ClientInactive(),
        service.ClientDefaulted(),
        service.CreditLimitExceeded(),
        service.DuplicateLoanExternalId(),
    ),
    operation_id="createLoan",
    summary="Grant a loan",
)
async def create_loan(request: Request, body: LoanIn, principal: CanWrite) -> Response:
    """Disbursed today, unless `"status": "PENDING"` is asked for."""
    return await write.run(
        request,
        principal.actor,
        service.create_loan(body),
        body=body,
        conflicts=service.CONFLICTS,
        turn=body.client_id,
    )


@router.post(
    "/loans/preview",
    response_model=preview.PreviewOut,
    responses=examples.answer(200, preview.EXAMPLE_ANSWER) | examples.refusals(preview.EXAMPLE_REFUSAL),
    operation_id="previewLoan",
    summary="What a loan would be like",
    dependencies=[Depends(signed_in)],
)
async def preview_loan(request: Request, body: preview.PreviewIn) -> Response:
    """Schedule, totals and CAT of these terms, for everybody with a token. Stores nothing."""
    today = body.disbursed_on or await resources_of(request).reads.business_date()
    # In a thread: the arithmetic of a long loan would hold up every other request of this process.
    content = await asyncio.to_thread(preview.preview, body, today)
    return Response(content, 200, {"Cache-Control": "no-store"}, "application/json")


@router.get("/loans", response_model=Page[LoanOut], operation_id="listLoans", summary="List loans")
async def list_loans(
    request: Request,
    principal: CanRead,
    page: Paged,
    status: Annotated[LoanStatus | None, Query()] = None,
    client_id: Annotated[UUID | None, Query()] = None,
    external_id: Annotated[Text | None, Query(max_length=60)] = None,
) -> Response:
    """Loans, oldest first. Sort by `created_at`, `folio` or `amount`."""
    return await _page(request, principal, page, "loans", status, client_id, external_id)


@router.get(
    "/clients/{client_id}/loans",
    response_model=Page[LoanOut],
    operation_id="listClientLoans",
    summary="A client's loans",
)
async def list_client_loans(
    request: Request,
    client_id: UUID,
    principal: CanRead,
    page: Paged,
    status: Annotated[LoanStatus | None, Query()] = None,
) -> Response:
    """The loans of one client."""
    return await _page(request, principal, page, "client-loans", status, client_id, None)


@router.get(
    "/loans/{loan_id}",
    response_model=LoanOut,
    responses=examples.answer(200, {**CHANGED_LOAN, "current_balance": "47500.00", "updated_at": examples.PAID_AT}),
    operation_id="getLoan",
    summary="A loan",
)
async def get_loan(request: Request, loan_id: UUID, principal: CanRead) -> Response:
    """One loan."""
    reads = resources_of(request).reads
    row = await reads.find(reader_of(request, principal), lambda connection: queries.loan(connection, loan_id))
    if row is None:
        raise NotFound
    today = await reads.business_date()
    tag = etag.make(row.version, row.event_sequence, today, service.VIEW, service.STAFF)
    return answer_model(request, _loan_out(row), tag)


@router.post(
    "/loans/{loan_id}/activate",
    response_model=LoanOut,
    responses=examples.answer(200, CHANGED_LOAN)
    | examples.refusals(TransitionRefused(loan_status="ACTIVE", event="activate")),
    operation_id="activateLoan",
    summary="Disburse a loan",
)
async def activate_loan(request: Request, loan_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """PENDING → ACTIVE: the money is handed over today."""
    return await write.run(request, principal.actor, service.activate_loan(loan_id, if_match), turn=loan_id)


@router.post(
    "/loans/{loan_id}/reject",
    response_model=LoanOut,
    responses=examples.answer(200, {**CLOSED_LOAN, "status": "REJECTED"})
    | examples.refusals(TransitionRefused(loan_status="ACTIVE", event="reject")),
    operation_id="rejectLoan",
    summary="Reject a loan",
)
async def reject_loan(request: Request, loan_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """PENDING → REJECTED."""
    use_case = service.close_pending_loan(loan_id, LoanEvent.REJECT, if_match)
    return await write.run(request, principal.actor, use_case, turn=loan_id)


@router.post(
    "/loans/{loan_id}/cancel",
    response_model=LoanOut,
    responses=examples.answer(200, {**CLOSED_LOAN, "status": "CANCELLED"})
    | examples.refusals(TransitionRefused(loan_status="ACTIVE", event="cancel")),
    operation_id="cancelLoan",
    summary="Cancel a loan",
)
async def cancel_loan(request: Request, loan_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """PENDING → CANCELLED."""
    use_case = service.close_pending_loan(loan_id, LoanEvent.CANCEL, if_match)
    return await write.run(request, principal.actor, use_case, turn=loan_id)


@router.get(
    "/loans/{loan_id}/movements",
    response_model=Page[MovementOut],
    operation_id="listMovements",
    summary="A loan's movements",
)
async def list_movements(request: Request, loan_id: UUID, principal: CanRead, page: Paged) -> Response:
    """What moved on the loan, oldest first."""
    paging = page.of("movements", principal.actor, loan_movements.c.id, MOVEMENT_SORTS, {"loan_id": loan_id})
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.movements_page(connection, paging, loan_id)
    )
    return answer_model(request, paging.page(rows, lambda row: MovementOut.model_validate(row, from_attributes=True)))


async def _page(
    request: Request,
    principal: Principal,
    page: PageRequest,
    name: str,
    status: LoanStatus | None,
    client_id: UUID | None,
    external_id: str | None,
) -> Response:
    filters: dict[str, Any] = {"status": status, "client_id": client_id, "external_id": external_id}
    paging = page.of(name, principal.actor, loans.c.id, SORTS, filters)
    conditions = [loans.c[field] == value for field, value in filters.items() if value is not None]
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    return answer_model(request, paging.page(rows, _loan_out))


def _loan_out(row: Any) -> LoanOut:
    return LoanOut.model_validate(row, from_attributes=True)
