"""The ledger: a table of contents."""

from datetime import date
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.money import ZERO
from backend_api.http import examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.resources import resources_of
from backend_api.http.strict import Day, StrictRoute, Text
from backend_api.http.views import answer_model
from backend_api.ledger import periods, queries
from backend_api.ledger.schemas import (
    AccountBalanceOut,
    EntryOut,
    PeriodOut,
    PeriodsOut,
    PostingOut,
    TrialBalanceOut,
)
from backend_api.models import ledger_entries

router = APIRouter(prefix="/api/v1/ledger", tags=["Ledger"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.LEDGER_READ))]
CanClose = Annotated[Principal, Depends(require(Permission.LEDGER_CLOSE))]
Month = Annotated[str, Path(pattern="^(19[7-9][0-9]|20[0-9]{2}|21[0-9]{2})-(0[1-9]|1[0-2])$", examples=["2026-01"])]
SORTS = {"posted_on": Sort(ledger_entries.c.posted_on, date.fromisoformat)}


@router.get(
    "/trial-balance",
    response_model=TrialBalanceOut,
    operation_id="getTrialBalance",
    summary="The balance of every account",
)
async def get_trial_balance(
    request: Request, principal: CanRead, on: Annotated[Day | None, Query(examples=[examples.TODAY])] = None
) -> Response:
    """Debit, credit and balance of every account at the end of a day; by default so far. `GET /ledger/entries` lists
    the entries behind them."""

    async def read(connection: AsyncConnection) -> tuple[date, Any]:
        day = on or await queries.business_date(connection)
        return day, await queries.trial_balance(connection, day)

    day, rows = await resources_of(request).reads.query(reader_of(request, principal), read)
    accounts = [
        AccountBalanceOut(
            account=row.code,
            name=row.name,
            kind=row.kind,
            debit=row.debit,
            credit=row.credit,
            balance=row.debit - row.credit,
        )
        for row in rows
    ]
    debit = sum((account.debit for account in accounts), ZERO)
    credit = sum((account.credit for account in accounts), ZERO)
    return answer_model(request, TrialBalanceOut(on=day, accounts=accounts, debit=debit, credit=credit))


@router.get("/entries", response_model=Page[EntryOut], operation_id="listLedgerEntries", summary="List ledger entries")
async def list_entries(
    request: Request,
    principal: CanRead,
    page: Paged,
    account: Annotated[Text | None, Query(pattern="^[0-9]{4}$", examples=["1302"])] = None,
    product: Annotated[Text | None, Query(max_length=40)] = None,
    kind: Annotated[Text | None, Query(max_length=40, examples=["PAYMENT"])] = None,
    posted_from: Annotated[Day | None, Query(alias="from")] = None,
    posted_to: Annotated[Day | None, Query(alias="to")] = None,
) -> Response:
    """Entries with their postings, in the order of their posting dates; `-posted_on` turns it."""
    filters = {"account": account, "product": product, "kind": kind, "from": posted_from, "to": posted_to}
    paging = page.of("entries", principal, ledger_entries.c.id, SORTS, filters, default="posted_on")

    async def read(connection: AsyncConnection) -> tuple[Any, dict[UUID, list[Any]]]:
        rows = await queries.entries_page(connection, paging, filters)
        lines = await queries.lines(connection, [row.id for row in rows])
        return rows, {entry: list(of_entry) for entry, of_entry in groupby(lines, key=lambda line: line.entry_id)}

    rows, lines = await resources_of(request).reads.query(reader_of(request, principal), read)
    return answer_model(request, paging.page(rows, lambda row: _entry_out(row, lines[row.id])))


@router.get("/periods", response_model=PeriodsOut, operation_id="listLedgerPeriods", summary="Months that are closed")
async def list_periods(request: Request, principal: CanRead) -> Response:
    """The closed months, in their order."""
    rows = await resources_of(request).reads.query(reader_of(request, principal), queries.periods)
    return answer_model(request, PeriodsOut(data=[PeriodOut.model_validate(row, from_attributes=True) for row in rows]))


@router.post(
    "/periods/{period}/close",
    status_code=201,
    response_model=PeriodOut,
    responses=examples.refusals(periods.DayNotClosed(day="2026-01-31"), periods.PeriodAlreadyClosed()),
    operation_id="closeLedgerPeriod",
    summary="Close a month",
)
async def close_period(request: Request, period: Month, principal: CanClose) -> Response:
    """Nothing can be posted in the month, or before it, any more. All its days have to be closed."""
    use_case = periods.close_period(period)
    return await write.run(request, principal.actor, use_case, conflicts=periods.CONFLICTS)


def _entry_out(row: Any, lines: list[Any]) -> EntryOut:
    return EntryOut(
        id=row.id,
        movement_id=row.movement_id,
        payment_id=row.payment_id,
        kind=row.kind,
        product=row.product,
        posted_on=row.posted_on,
        created_at=row.created_at,
        postings=[PostingOut(account=line.account, amount=line.amount) for line in lines],
    )
