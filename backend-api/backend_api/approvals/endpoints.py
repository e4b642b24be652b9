"""Approvals: a table of contents."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backend_api.approvals import queries, service
from backend_api.approvals.schemas import APPROVAL_EXAMPLE, DECIDED, ApprovalOut, DecisionIn
from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.approvals import ApprovalKind, ApprovalStatus
from backend_api.http import examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute
from backend_api.http.views import answer_model
from backend_api.http.write import Conflicts
from backend_api.models import approvals

CanRead = Annotated[Principal, Depends(require(Permission.APPROVALS_READ))]
CanDecide = Annotated[Principal, Depends(require(Permission.APPROVALS_DECIDE))]
SORTS = {
    "requested_at": Sort(approvals.c.id, UUID),
    "amount": Sort(approvals.c.amount, Decimal),
}
UNDECIDABLE = (
    service.MakerIsChecker(),
    service.ApprovalDecided(approval_status="REJECTED"),
    service.ApprovalExpired(),
)


def router_for(use_cases: service.UseCases, conflicts: Conflicts) -> APIRouter:
    """The calls, for approvals that are carried out by these use cases, which may run into these conflicts."""
    router = APIRouter(prefix="/api/v1/approvals", tags=["Approvals"], route_class=StrictRoute)

    @router.get("", response_model=Page[ApprovalOut], operation_id="listApprovals", summary="List approvals")
    async def list_approvals(
        request: Request,
        principal: CanRead,
        page: Paged,
        status: Annotated[ApprovalStatus | None, Query()] = None,
        kind: Annotated[ApprovalKind | None, Query()] = None,
        client_id: Annotated[UUID | None, Query()] = None,
    ) -> Response:
        """Approvals, oldest first. Sort by `requested_at` or `amount`."""
        at = resources_of(request).clock()
        filters: dict[str, Any] = {"status": status, "kind": kind, "client_id": client_id}
        paging = page.of("approvals", principal, approvals.c.id, SORTS, filters, "requested_at")
        conditions = [queries.with_status(status, at)] if status else []
        conditions += [approvals.c[name] == filters[name] for name in ("kind", "client_id") if filters[name]]
        rows = await resources_of(request).reads.query(
            reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions, at)
        )
        return answer_model(request, paging.page(rows, _out))

    @router.get("/{approval_id}", response_model=ApprovalOut, operation_id="getApproval", summary="An approval")
    async def get_approval(request: Request, approval_id: UUID, principal: CanRead) -> Response:
        """What was asked for, by whom, and what became of it."""
        at = resources_of(request).clock()
        row = await resources_of(request).reads.find(
            reader_of(request, principal), lambda connection: queries.approval(connection, approval_id, at)
        )
        if row is None:
            raise NotFound
        return answer_model(request, _out(row))

    @router.post(
        "/{approval_id}/approve",
        response_model=ApprovalOut,
        responses=examples.answer(200, {**APPROVAL_EXAMPLE, **DECIDED, "status": "APPROVED"})
        | examples.refusals(*UNDECIDABLE, service.AmountGrown(amount="50000.00")),
        operation_id="grantApproval",
        summary="Agree to what was asked for",
    )
    async def approve(request: Request, approval_id: UUID, body: DecisionIn, principal: CanDecide) -> Response:
        """It is done now, with all checks made anew. If one of them refuses, the approval stays PENDING."""
        use_case = service.approve(approval_id, body, principal.user_id, use_cases)
        return await write.run(request, principal.actor, use_case, body=body, conflicts=conflicts, turn=approval_id)

    @router.post(
        "/{approval_id}/reject",
        response_model=ApprovalOut,
        responses=examples.answer(200, {**APPROVAL_EXAMPLE, **DECIDED, "status": "REJECTED"})
        | examples.refusals(*UNDECIDABLE),
        operation_id="refuseApproval",
        summary="Decline what was asked for",
    )
    async def reject(request: Request, approval_id: UUID, body: DecisionIn, principal: CanDecide) -> Response:
        """It is not done, and can be asked for again."""
        use_case = service.reject(approval_id, body, principal.user_id)
        return await write.run(request, principal.actor, use_case, body=body, turn=approval_id)

    return router


def _out(row: Any) -> ApprovalOut:
    return ApprovalOut.model_validate(row, from_attributes=True)
