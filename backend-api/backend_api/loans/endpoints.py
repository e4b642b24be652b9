"""Loans: a table of contents."""

import asyncio
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from backend_api.approvals import service as approvals
from backend_api.approvals.schemas import SECOND_PERSON
from backend_api.auth.dependencies import reader_of, require, signed_in
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.account import MovementRefused
from backend_api.domain.approvals import ApprovalKind
from backend_api.domain.errors import LoanNotActive, TransitionRefused
from backend_api.domain.states import LoanEvent, LoanStatus
from backend_api.http import etag, examples, write
from backend_api.http.lists import Paged, PageRequest
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import Day, StrictRoute, Text
from backend_api.http.views import answer_model
from backend_api.ledger.service import AmountTooLarge
from backend_api.loans import movements, preview, queries, restructure, service, views
from backend_api.loans.schemas import (
    LOAN_EXAMPLE,
    FeeIn,
    LoanIn,
    LoanOut,
    LoanPatch,
    MovementOut,
    NoteIn,
    PayoffQuote,
    RestructureIn,
    ScheduleOut,
    WaiverIn,
)
from backend_api.models import loan_movements, loans
from backend_api.products import service as products

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
CLOSED_LOAN = {**CHANGED_LOAN, "disbursed_on": None, "next_due_on": None, "current_balance": "0.00"}
NEW_LOAN = {**LOAN_EXAMPLE, "id": examples.NEW_LOAN_ID, "folio": examples.FOLIO + 1}
OF_TERMS = preview.EXAMPLE_REFUSAL, products.ProductUnknown(), products.ProductRetired()
ASKED_ALREADY = approvals.ApprovalPending(approval_id=examples.APPROVAL_ID)


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
        *OF_TERMS,
    ),
    operation_id="createLoan",
    summary="Grant a loan",
)
async def create_loan(request: Request, body: LoanIn, principal: CanWrite) -> Response:
    """Disbursed today, unless `"status": "PENDING"` is asked for or a second person has to agree to the amount."""
    return await write.run(
        request,
        principal.actor,
        service.create_loan(body, resources_of(request).settings.approve_activation_above),
        body=body,
        conflicts=service.CONFLICTS,
        turn=body.client_id,
    )


@router.post(
    "/loans/preview",
    response_model=preview.PreviewOut,
    responses=examples.answer(200, preview.EXAMPLE_ANSWER) | examples.refusals(*OF_TERMS),
    operation_id="previewLoan",
    summary="What a loan would be like",
)
async def preview_loan(
    request: Request, body: preview.PreviewIn, principal: Annotated[Principal, Depends(signed_in)]
) -> Response:
    """Schedule, totals and CAT of these terms, for everybody with a token. Stores nothing."""
    reads = resources_of(request).reads
    today = body.disbursed_on or await reads.business_date()
    reader = reader_of(request, principal)
    product = await products.for_preview(reads, reader, body.product) if body.product else None
    # In a thread: the arithmetic of a long loan would hold up every other request of this process.
    content = await asyncio.to_thread(preview.preview, body, product, today)
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
    | SECOND_PERSON
    | examples.refusals(
        TransitionRefused(loan_status="ACTIVE", event="activate"),
        ASKED_ALREADY,
        service.ClientInactive(),
        service.ClientDefaulted(),
    ),
    operation_id="activateLoan",
    summary="Disburse a loan",
)
async def activate_loan(request: Request, loan_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """PENDING → ACTIVE: the money is handed over today."""
    use_case = approvals.with_second_person(
        ApprovalKind.ACTIVATION,
        service.activate_loan(loan_id, if_match),
        approvals.asked(loan_id, if_match=if_match),
        principal.user_id,
        resources_of(request).settings.approve_activation_above,
    )
    return await write.run(request, principal.actor, use_case, turn=loan_id)


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


@router.patch(
    "/loans/{loan_id}",
    response_model=LoanOut,
    responses=examples.answer(200, {**CHANGED_LOAN, "notes": "Asks for the money on a Monday."})
    | examples.refusals(
        service.TermsFrozen(loan_status="ACTIVE"), service.CreditLimitExceeded(), preview.EXAMPLE_REFUSAL
    ),
    operation_id="updateLoan",
    summary="Change a loan",
)
async def update_loan(
    request: Request, loan_id: UUID, body: LoanPatch, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Terms while it is pending; later its notes only."""
    use_case = service.change_loan(loan_id, body, if_match)
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.delete(
    "/loans/{loan_id}",
    response_model=LoanOut,
    responses=examples.answer(200, {**CLOSED_LOAN, "status": "CANCELLED"})
    | examples.refusals(movements.DisbursementStands(), TransitionRefused(loan_status="PAID_OFF", event="undo")),
    operation_id="deleteLoan",
    summary="Undo a loan",
)
async def delete_loan(request: Request, loan_id: UUID, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """A pending loan is cancelled; one of today, without payments, is taken back."""
    use_case = movements.undo_disbursement(loan_id, if_match)
    return await write.run(request, principal.actor, use_case, turn=loan_id)


@router.post(
    "/loans/{loan_id}/fees",
    response_model=LoanOut,
    responses=examples.answer(200, CHANGED_LOAN)
    | examples.refusals(LoanNotActive(loan_status="PENDING"), AmountTooLarge()),
    operation_id="chargeFee",
    summary="Charge a fee",
)
async def charge_fee(
    request: Request, loan_id: UUID, body: FeeIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Due today, with its VAT."""
    use_case = movements.charge_fee(loan_id, body, if_match)
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.post(
    "/loans/{loan_id}/waivers",
    response_model=LoanOut,
    responses=examples.answer(200, CHANGED_LOAN)
    | SECOND_PERSON
    | examples.refusals(MovementRefused(), LoanNotActive(loan_status="PENDING"), ASKED_ALREADY),
    operation_id="waive",
    summary="Forgive a part of what is due",
)
async def waive(
    request: Request, loan_id: UUID, body: WaiverIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Fees, moratory interest or interest, with VAT; oldest first."""
    use_case = approvals.with_second_person(
        ApprovalKind.WAIVER,
        movements.waive(loan_id, body, if_match),
        approvals.asked(loan_id, body, if_match),
        principal.user_id,
        resources_of(request).settings.approve_waiver_above,
    )
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.post(
    "/loans/{loan_id}/write-off",
    response_model=LoanOut,
    responses=examples.answer(200, {**CLOSED_LOAN, "disbursed_on": examples.TODAY, "status": "WRITTEN_OFF"})
    | SECOND_PERSON
    | examples.refusals(TransitionRefused(loan_status="PAID_OFF", event="write_off"), AmountTooLarge(), ASKED_ALREADY),
    operation_id="writeOffLoan",
    summary="Write a loan off",
)
async def write_off(
    request: Request, loan_id: UUID, body: NoteIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """All that is owed becomes a loss; what is paid later is a recovery."""
    use_case = approvals.with_second_person(
        ApprovalKind.WRITE_OFF,
        movements.write_off(loan_id, body, if_match),
        approvals.asked(loan_id, body, if_match),
        principal.user_id,
        resources_of(request).settings.approve_write_off_above,
    )
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.post(
    "/loans/{loan_id}/write-off/reverse",
    response_model=LoanOut,
    responses=examples.answer(200, CHANGED_LOAN)
    | SECOND_PERSON
    | examples.refusals(
        movements.RecoveriesStand(payment_ids=[examples.PAYMENT_ID]),
        TransitionRefused(loan_status="ACTIVE", event="undo_write_off_to_active"),
        AmountTooLarge(),
        ASKED_ALREADY,
    ),
    operation_id="reverseWriteOff",
    summary="Take a write-off back",
)
async def reverse_write_off(
    request: Request, loan_id: UUID, body: NoteIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """WRITTEN_OFF → the state before; what was recovered since has to be reversed first."""
    use_case = approvals.with_second_person(
        ApprovalKind.WRITE_OFF_REVERSAL,
        movements.undo_write_off(loan_id, body, if_match),
        approvals.asked(loan_id, body, if_match),
        principal.user_id,
        resources_of(request).settings.approve_write_off_above,
    )
    return await write.run(request, principal.actor, use_case, body=body, turn=loan_id)


@router.post(
    "/loans/{loan_id}/restructure",
    status_code=201,
    response_model=LoanOut,
    responses=examples.answer(201, {**NEW_LOAN, "restructured_from": examples.LOAN_ID})
    | SECOND_PERSON
    | examples.refusals(
        MovementRefused(),
        TransitionRefused(loan_status="PAID_OFF", event="restructure"),
        service.DuplicateLoanExternalId(),
        AmountTooLarge(),
        ASKED_ALREADY,
        *OF_TERMS,
    ),
    operation_id="restructureLoan",
    summary="Restructure a loan",
)
async def restructure_loan(
    request: Request, loan_id: UUID, body: RestructureIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """The loan is closed by a transfer, and a new one of these terms takes its place."""
    use_case = approvals.with_second_person(
        ApprovalKind.RESTRUCTURE,
        restructure.restructure(loan_id, body, if_match),
        approvals.asked(loan_id, body, if_match),
        principal.user_id,
        resources_of(request).settings.approve_restructure_above,
    )
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS, turn=loan_id)


@router.get(
    "/loans/{loan_id}/schedule", response_model=ScheduleOut, operation_id="getSchedule", summary="A loan's schedule"
)
async def get_schedule(request: Request, loan_id: UUID, principal: CanRead) -> Response:
    """The installments as they stand today, settled ones too."""
    reads = resources_of(request).reads
    today = await reads.business_date()
    found = await reads.find(
        reader_of(request, principal), lambda connection: views.schedule_of(connection, loan_id, today)
    )
    if found is None:
        raise NotFound
    return answer_model(request, found)


@router.get(
    "/loans/{loan_id}/payoff-quote",
    response_model=PayoffQuote,
    responses=examples.refusals(views.NothingOwed(loan_status="PAID_OFF")),
    operation_id="getPayoffQuote",
    summary="What pays a loan off",
)
async def get_payoff_quote(
    request: Request, loan_id: UUID, principal: CanRead, on: Annotated[Day | None, Query()] = None
) -> Response:
    """On a day, today by default: everything that has to be paid to owe nothing."""
    reads = resources_of(request).reads
    day = on or await reads.business_date()
    found = await reads.find(
        reader_of(request, principal), lambda connection: views.payoff_quote(connection, loan_id, day)
    )
    if found is None:
        raise NotFound
    return answer_model(request, found)


@router.get(
    "/loans/{loan_id}/movements",
    response_model=Page[MovementOut],
    operation_id="listMovements",
    summary="A loan's movements",
)
async def list_movements(request: Request, loan_id: UUID, principal: CanRead, page: Paged) -> Response:
    """What moved on the loan, oldest first."""
    paging = page.of(
        "movements",
        principal,
        loan_movements.c.id,
        MOVEMENT_SORTS,
        {"loan_id": loan_id},
        of_client=lambda client_id: loan_movements.c.loan_id.in_(
            select(loans.c.id).where(loans.c.client_id == client_id)
        ),
    )
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
    paging = page.of(name, principal, loans.c.id, SORTS, filters, of_client=lambda own: loans.c.client_id == own)
    conditions = queries.matching(filters)
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    return answer_model(request, paging.page(rows, _loan_out))


def _loan_out(row: Any) -> LoanOut:
    return LoanOut.model_validate(row, from_attributes=True)
