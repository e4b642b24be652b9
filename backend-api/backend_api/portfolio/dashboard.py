"""Where the lender stands this morning: the portfolio over time, money in and out, what is late, due, and waiting.

Past days are read from what their closing has stored, one row a day however many loans there are. What is late now is
counted over the loans that are owed, as the list behind the figure is.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.domain.delinquency import SECOND_STAGE_DAYS, THIRD_STAGE_DAYS, imor
from backend_api.domain.money import ZERO
from backend_api.ledger.state import account_of
from backend_api.portfolio import queries
from backend_api.portfolio.schemas import DashboardOut, DayOut, DueLoanOut, DueOut, FlowOut, LateOut, WaitingOut

TREND_DAYS = 548
"""Eighteen months."""
MOST_POINTS = 140
FLOW_DAYS = 30
LATENESS: tuple[tuple[int, int | None], ...] = (
    (0, 0), (1, SECOND_STAGE_DAYS - 1), (SECOND_STAGE_DAYS, THIRD_STAGE_DAYS - 1), (THIRD_STAGE_DAYS, None),
)  # fmt: skip
"""By days past due: in time, and the buckets of the portfolio without what is in time."""
MOST_DUE = 100
"""So many loans that are due today are reckoned up; of more, the sum is that of the first ones."""


async def dashboard(connection: AsyncConnection, today: date, at: datetime) -> DashboardOut:
    """All figures, as of the business date `today`; approvals that wait at `at`."""
    last = await queries.last_closed_day(connection)
    days = await queries.trend(connection, last, TREND_DAYS, MOST_POINTS) if last else ()
    flow = await queries.bank_flow(connection, today - timedelta(days=FLOW_DAYS), last)
    as_of = today - timedelta(days=1)
    late = await queries.late(connection, as_of, LATENESS)
    due_count, due_loans = await queries.due_on(connection, today, MOST_DUE)
    waiting, approvals = await queries.pending(connection), await queries.approvals_waiting(connection, at)
    return DashboardOut(
        on=today,
        closed_through=last,
        trend=[_day(row) for row in days],
        flow=_flow(flow, today),
        late=[LateOut(days_from=fewest, days_to=most, loans=count, principal=principal)
              for (fewest, most), (count, principal) in zip(LATENESS, late, strict=True)],
        due_today=await asyncio.to_thread(_due, today, due_count, due_loans),
        loans_pending=WaitingOut(count=waiting.count, amount=waiting.amount),
        approvals=WaitingOut(count=approvals.count, amount=approvals.amount),
    )  # fmt: skip


def _day(row: Any) -> DayOut:
    balance, non_performing = Decimal(row.balance), Decimal(row.non_performing)
    ratio = imor(non_performing, balance)
    return DayOut(
        on=row.business_date,
        loans=row.loans,
        balance=balance,
        non_performing=non_performing,
        provisions=Decimal(row.provisions),
        imor=None if ratio is None else f"{ratio:f}",
    )


def _flow(rows: Sequence[Any], today: date) -> list[FlowOut]:
    """Every day, also those on which nothing moved."""
    moved = {row.posted_on: row for row in rows}
    days = [today - timedelta(days=before) for before in range(FLOW_DAYS, -1, -1)]
    return [
        FlowOut(on=day, received=moved[day].debit, paid_out=moved[day].credit)
        if day in moved
        else FlowOut(on=day, received=ZERO, paid_out=ZERO)
        for day in days
    ]


def _due(today: date, count: int, rows: Sequence[Any]) -> DueOut:
    loans = [
        DueLoanOut(
            id=row.id,
            folio=row.folio,
            client_id=row.client_id,
            amount=account_of(row.terms, row.disbursed_on, row.account).position(today).due.total,
        )
        for row in rows
    ]
    total = sum((loan.amount for loan in loans), ZERO)
    return DueOut(count=count, amount=total, loans=sorted(loans, key=lambda loan: -loan.amount))
