"""The portfolio: a table of contents."""

from datetime import date, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain import delinquency
from backend_api.domain.delinquency import AgeBucket
from backend_api.http import examples
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.resources import resources_of
from backend_api.http.strict import Day, StrictRoute
from backend_api.http.views import answer_model
from backend_api.ledger.periods import DayNotClosed
from backend_api.models import loans
from backend_api.portfolio import queries
from backend_api.portfolio.dashboard import dashboard
from backend_api.portfolio.schemas import AgedLoanOut, DashboardOut, SummaryOut, summary_out
from backend_api.products.terms import CODE

router = APIRouter(prefix="/api/v1/portfolio", tags=["Portfolio"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.PORTFOLIO_READ))]
SORTS = {
    "next_due_on": Sort(loans.c.next_due_on, date.fromisoformat),
    "folio": Sort(loans.c.folio, int),
}


@router.get(
    "/summary",
    response_model=SummaryOut,
    responses=examples.refusals(DayNotClosed()),
    operation_id="getPortfolioSummary",
    summary="The portfolio at the end of a day",
)
async def get_summary(
    request: Request, principal: CanRead, on: Annotated[Day | None, Query(examples=["2026-03-02"])] = None
) -> Response:
    """Balance, lateness, stages, IMOR and provisions, of all loans and by product, as of the last closed day or of any
    other that is closed. `GET /portfolio/aging` lists the loans."""
    row = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.close(connection, on)
    )
    if row is None:
        raise DayNotClosed
    totals = orjson.loads(row.totals) if isinstance(row.totals, str) else row.totals
    return answer_model(request, summary_out(row.business_date, totals))


@router.get(
    "/dashboard",
    response_model=DashboardOut,
    operation_id="getDashboard",
    summary="Where the lender stands this morning",
)
async def get_dashboard(request: Request, principal: CanRead) -> Response:
    """The portfolio over time, money in and out by day, what is late and due, and what waits for somebody."""
    resources = resources_of(request)
    today, at = await resources.reads.business_date(), resources.clock()
    found = await resources.reads.query(
        reader_of(request, principal), lambda connection: dashboard(connection, today, at)
    )
    return answer_model(request, found)


@router.get(
    "/aging",
    response_model=Page[AgedLoanOut],
    operation_id="listAgedLoans",
    summary="Loans by how late they are",
)
async def list_aged_loans(
    request: Request,
    principal: CanRead,
    page: Paged,
    bucket: Annotated[AgeBucket | None, Query()] = None,
    stage: Annotated[int | None, Query(ge=1, le=3)] = None,
    product: Annotated[str | None, Query(pattern=CODE)] = None,
    days_from: Annotated[int | None, Query(ge=0, le=100_000)] = None,
    days_to: Annotated[int | None, Query(ge=0, le=100_000)] = None,
    next_due_on: Annotated[Day | None, Query()] = None,
) -> Response:
    """Loans that are owed now, with the days they were past due at the end of the last business date. Sort by `folio`
    or `next_due_on`, the oldest unpaid installment; a loan of which only fees are owed has none and is left out then.
    """
    equal: dict[str, Any] = {"stage": stage, "product": product, "next_due_on": next_due_on}
    filters: dict[str, Any] = {"bucket": bucket, **equal, "days_from": days_from, "days_to": days_to}
    paging = page.of("aging", principal, loans.c.id, SORTS, filters, default="folio")
    reads = resources_of(request).reads
    reader = reader_of(request, principal)
    today = await reads.business_date()
    fewest, most = bucket.days if bucket else (0, None)
    yesterday = today - timedelta(days=1)
    conditions = queries.late_between(yesterday, fewest, most)
    conditions += queries.late_between(yesterday, days_from or 0, days_to)
    conditions += [loans.c[name] == value for name, value in equal.items() if value is not None]
    if paging.sort is SORTS["next_due_on"]:
        conditions.append(loans.c.next_due_on.is_not(None))
    rows = await reads.query(reader, lambda connection: queries.aging_page(connection, paging, conditions))
    return answer_model(request, paging.page(rows, lambda row: _aged(row, yesterday)))


def _aged(row: Any, on: date) -> AgedLoanOut:
    days = delinquency.days_past_due(row.in_time_until, on)
    values = {name: getattr(row, name) for name in AgedLoanOut.model_fields if hasattr(row, name)}
    return AgedLoanOut(**values, days_past_due=days, bucket=delinquency.age_bucket(days))
