"""Every statement about the ledger, one function per question."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import case, exists, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.money import ZERO
from backend_api.http.pagination import Paging
from backend_api.models import (
    accounts,
    business_day,
    daily_totals,
    day_closes,
    ledger_entries,
    ledger_periods,
    postings,
)

PERIOD_TO_CLOSE = """
SELECT d.id, d.event_sequence, d.chain_head, b.business_date AS today,
       (SELECT closed_at FROM ledger_periods WHERE ends_on >= $1 LIMIT 1) AS closed_at
  FROM business_day b LEFT JOIN day_closes d ON d.business_date = $1
"""
NEVER = date(1970, 1, 1)
"""No business date is before it."""
_LAST_CLOSED = select(func.max(day_closes.c.business_date)).scalar_subquery()


async def period_to_close(connection: Connection, ends_on: date) -> Record:
    """The close of a period's last day, with nulls if there is none, and when the period was closed, if it was."""
    row = await connection.fetchrow(PERIOD_TO_CLOSE, ends_on)
    assert row is not None  # noqa: S101 - there is one business day
    return row


async def business_date(connection: AsyncConnection) -> date:
    """The business date."""
    day: date = (await connection.execute(select(business_day.c.business_date))).scalar_one()
    return day


async def trial_balance(connection: AsyncConnection, on: date) -> Sequence[Any]:
    """Debit and credit of every account up to the end of a day: of closed days their totals, and what came after."""
    before = select(daily_totals.c.account, daily_totals.c.debit, daily_totals.c.credit).where(
        daily_totals.c.posted_on <= on
    )
    amount = postings.c.amount
    nothing = literal(ZERO, amount.type)
    since = (
        select(
            postings.c.account,
            case((amount > 0, amount), else_=nothing).label("debit"),
            case((amount < 0, -amount), else_=nothing).label("credit"),
        )
        .join(ledger_entries, ledger_entries.c.id == postings.c.entry_id)
        .where(
            ledger_entries.c.posted_on <= on,
            ledger_entries.c.posted_on > func.coalesce(_LAST_CLOSED, NEVER),
        )
    )
    lines = union_all(before, since).subquery()
    statement = (
        select(
            accounts.c.code,
            accounts.c.name,
            accounts.c.kind,
            func.coalesce(func.sum(lines.c.debit), ZERO).label("debit"),
            func.coalesce(func.sum(lines.c.credit), ZERO).label("credit"),
        )
        .join(lines, lines.c.account == accounts.c.code, isouter=True)
        .group_by(accounts.c.code)
        .order_by(accounts.c.code)
    )
    return (await connection.execute(statement)).all()


async def entries_page(connection: AsyncConnection, paging: Paging, filters: Mapping[str, Any]) -> Sequence[Any]:
    """One page of entries."""
    conditions = [ledger_entries.c[name] == filters[name] for name in ("product", "kind") if filters[name] is not None]
    if filters["from"] is not None:
        conditions.append(ledger_entries.c.posted_on >= filters["from"])
    if filters["to"] is not None:
        conditions.append(ledger_entries.c.posted_on <= filters["to"])
    if filters["account"] is not None:
        conditions += _on_account(filters["account"])
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(ledger_entries).where(*conditions)))).all()
    return rows


async def lines(connection: AsyncConnection, entry_ids: Sequence[UUID]) -> Sequence[Any]:
    """The postings of these entries, in their order."""
    statement = (
        select(postings).where(postings.c.entry_id.in_(entry_ids)).order_by(postings.c.entry_id, postings.c.line)
    )
    return (await connection.execute(statement)).all()


async def periods(connection: AsyncConnection) -> Sequence[Any]:
    """The periods that are closed, in their order."""
    return (await connection.execute(select(ledger_periods).order_by(ledger_periods.c.ends_on))).all()


def _on_account(account: str) -> list[Any]:
    """Entries with a posting on an account. An index by account would cost every payment a write for each line: the
    totals say on which of the closed days there is anything to find."""
    on_account = (postings.c.entry_id == ledger_entries.c.id) & (postings.c.account == account)
    days = select(daily_totals.c.posted_on).where(daily_totals.c.account == account)
    open_since = ledger_entries.c.posted_on > func.coalesce(_LAST_CLOSED, NEVER)
    return [ledger_entries.c.posted_on.in_(days) | open_since, exists().where(on_account)]
