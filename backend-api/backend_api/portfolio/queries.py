"""Every statement about the portfolio, one function per question."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from asyncpg import Record
from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.approvals import queries as approval_queries
from backend_api.db.pools import Connection
from backend_api.domain.approvals import ApprovalStatus
from backend_api.domain.ledger import BANK
from backend_api.domain.money import ZERO
from backend_api.domain.states import OWING, LoanStatus
from backend_api.http.pagination import Paging
from backend_api.models import approvals, daily_totals, day_closes, ledger_entries, loans, postings

LONG_SECONDS = 600.0
"""For statements over a whole day or portfolio, which no request waits for."""
SESSION = {"statement_timeout": "600s", "lock_timeout": "60s"}

END_OF_DAY_LOCK = 7301003
"""Held by the one process that closes days. 7301001 is the business day's lock, 7301002 the relay's."""

OWED = [status.value for status in OWING]

FIRST_OPEN_DAY = """
SELECT coalesce((SELECT max(business_date) + 1 FROM day_closes), (SELECT min(posted_on) FROM ledger_entries),
                business_date) AS first, business_date AS today
  FROM business_day
"""
CLIENTS_TO_LOOK_AT = """
SELECT DISTINCT client_id FROM loans WHERE next_change_on <= $1 AND status IN ('ACTIVE', 'DEFAULTED')
"""
LOANS_TO_LOOK_AT = """
SELECT l.id, l.client_id, l.status, l.version, l.closed_through, l.disbursed_on, l.terms,
       l.account,
       c.event_sequence, c.chain_head, d.business_date AS today
  FROM loans l JOIN clients c ON c.id = l.client_id CROSS JOIN business_day d
 WHERE l.client_id = ANY($2) AND l.next_change_on <= $1 AND l.status IN ('ACTIVE', 'DEFAULTED')
 ORDER BY l.client_id, l.id
"""
# A movement that came between bumped the version, and has put the columns right itself.
LOOKED_AT = """
UPDATE loans l SET stage = v.stage, next_change_on = v.next_change_on, closed_through = v.closed_through
  FROM unnest($1::uuid[], $2::int[], $3::smallint[], $4::date[], $5::date[])
       AS v (id, version, stage, next_change_on, closed_through)
 WHERE l.id = v.id AND l.version = v.version
"""
OWED_LOANS = "SELECT count(*) FROM loans WHERE status IN ('ACTIVE', 'DEFAULTED')"
# In the order of the primary key, so that each loan is read once, as one version of its row. One that moved after the
# day is worked out from its movements instead, and may not be owed any more.
PORTFOLIO = """
SELECT id, product, terms, disbursed_on, account, moved_on > $1 AS moved_since
  FROM loans
 WHERE id > $2 AND (status IN ('ACTIVE', 'DEFAULTED') OR moved_on > $1) ORDER BY id LIMIT $3
"""
MOVEMENTS_THROUGH = """
SELECT m.id, m.loan_id, m.movement_id, m.kind, m.value_date, m.position, m.concept, m.excess,
       m.amount, m.principal, m.interest, m.vat, m.fees, m.moratory
  FROM loan_movements m
 WHERE m.loan_id = ANY($1) AND m.posted_on <= $2 AND m.undoes_id IS NULL
   AND NOT EXISTS (SELECT FROM loan_movements u WHERE u.undoes_id = m.id AND u.posted_on <= $2)
"""
DAY_TOTALS = """
SELECT p.account, e.product, coalesce(sum(p.amount) FILTER (WHERE p.amount > 0), 0) AS debit,
       coalesce(-sum(p.amount) FILTER (WHERE p.amount < 0), 0) AS credit
  FROM ledger_entries e JOIN postings p ON p.entry_id = e.id
 WHERE e.posted_on = $1 GROUP BY p.account, e.product
"""
BALANCES_BEFORE = """
SELECT account, product, sum(debit - credit) AS balance FROM daily_totals
 WHERE posted_on < $1 AND account = ANY($2) GROUP BY account, product
"""
IS_CLOSED = "SELECT EXISTS (SELECT FROM day_closes WHERE business_date = $1)"
LAST_CLOSED = "SELECT max(business_date) FROM day_closes"
FAILED = """
INSERT INTO day_close_failures (business_date, loan_id, error, failed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (business_date, loan_id)
DO UPDATE SET error = excluded.error, failed_at = excluded.failed_at, resolved_at = NULL
"""
OPEN_FAILURES = "SELECT DISTINCT loan_id FROM day_close_failures WHERE resolved_at IS NULL"
RESOLVED = "UPDATE day_close_failures SET resolved_at = $1 WHERE resolved_at IS NULL AND loan_id <> ALL($2)"


async def take_turn(connection: Connection) -> bool:
    """Whether this process may close days now: no other one does."""
    taken: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", END_OF_DAY_LOCK)
    return taken


async def first_open_day(connection: Connection) -> tuple[date, date]:
    """The first day that is not closed, and the business date."""
    row = await connection.fetchrow(FIRST_OPEN_DAY)
    assert row is not None  # noqa: S101 - there is one business day
    return row["first"], row["today"]


async def end_business_date(connection: Connection, day: date) -> date:
    """Let the next day begin, unless it has; the business date now."""
    today: date = await connection.fetchval("SELECT end_business_date($1)", day, timeout=LONG_SECONDS)
    return today


async def clients_to_look_at(connection: Connection, day: date) -> list[UUID]:
    """Clients with loans to which the end of the day may have done something."""
    return [row["client_id"] for row in await connection.fetch(CLIENTS_TO_LOOK_AT, day, timeout=LONG_SECONDS)]


async def loans_to_look_at(connection: Connection, day: date, client_ids: Sequence[UUID]) -> Sequence[Record]:
    """Those loans of these clients, with the client's sequence and the business date."""
    return await connection.fetch(LOANS_TO_LOOK_AT, day, client_ids)


async def looked_at(connection: Connection, changes: Sequence[tuple[UUID, int, Mapping[str, Any]]]) -> None:
    """Loans, as of their versions, of which there was nothing to tell. Whoever pays several of them may hold what this
    waits for, and the other way round: it gives way then, and does it again."""
    values = [change for _, _, change in changes]
    columns = (
        [loan_id for loan_id, _, _ in changes],
        [version for _, version, _ in changes],
        *([each[name] for each in values] for name in ("stage", "next_change_on", "closed_through")),
    )
    while True:  # not for ever: with each round one of those that pay has gone on
        try:
            await connection.execute(LOOKED_AT, *columns)
        except asyncpg.DeadlockDetectedError:
            continue
        return


async def owed_loans(connection: Connection) -> int:
    """How many loans are owed now."""
    count: int = await connection.fetchval(OWED_LOANS, timeout=LONG_SECONDS)
    return count


async def portfolio(connection: Connection, day: date, after: UUID, limit: int) -> Sequence[Record]:
    """The next loans that are owed now, or have moved after the day."""
    return await connection.fetch(PORTFOLIO, day, after, limit, timeout=LONG_SECONDS)


async def movements_through(connection: Connection, loan_ids: Sequence[UUID], day: date) -> Sequence[Record]:
    """The movements of these loans that stood at the end of the day."""
    return await connection.fetch(MOVEMENTS_THROUGH, loan_ids, day, timeout=LONG_SECONDS)


async def day_totals(connection: Connection, day: date) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Debit and credit that movements posted on the day, by account and product."""
    rows = await connection.fetch(DAY_TOTALS, day, timeout=LONG_SECONDS)
    return {(row["account"], row["product"]): (row["debit"], row["credit"]) for row in rows}


async def balances_before(connection: Connection, day: date, accounts: Sequence[str]) -> dict[tuple[str, str], Decimal]:
    """The balances of these accounts by product at the end of the day before, debit positive."""
    rows = await connection.fetch(BALANCES_BEFORE, day, accounts, timeout=LONG_SECONDS)
    return {(row["account"], row["product"]): row["balance"] for row in rows}


async def is_closed(connection: Connection, day: date) -> bool:
    """Whether the day is closed."""
    closed: bool = await connection.fetchval(IS_CLOSED, day)
    return closed


async def last_closed(connection: Connection) -> date | None:
    """The last day that is closed."""
    day: date | None = await connection.fetchval(LAST_CLOSED)
    return day


async def failed(connection: Connection, day: date, loan_id: UUID, error: str, at: Any) -> None:
    """A loan could not be looked at."""
    await connection.execute(FAILED, day, loan_id, error, at)


async def open_failures(connection: Connection) -> set[UUID]:
    """Loans that could not be looked at the last time."""
    return {row["loan_id"] for row in await connection.fetch(OPEN_FAILURES)}


async def resolved(connection: Connection, failing: Sequence[UUID], at: Any) -> None:
    """All failures but those of these loans are past."""
    await connection.execute(RESOLVED, at, failing)


async def close(connection: AsyncConnection, on: date | None) -> Any:
    """A closed day, by default the last one; None if there is none."""
    statement: Select[Any] = select(day_closes)
    if on is None:
        statement = statement.order_by(day_closes.c.business_date.desc()).limit(1)
    else:
        statement = statement.where(day_closes.c.business_date == on)
    return (await connection.execute(statement)).one_or_none()


def late_between(as_of: date, fewest: int, most: int | None) -> list[Any]:
    """The condition that an owed loan was so many days past due at the end of a day."""
    conditions: list[Any] = [loans.c.status.in_(OWED)]
    if fewest:
        conditions.append(loans.c.in_time_until <= as_of - timedelta(days=fewest))
    if most is not None:
        not_later = loans.c.in_time_until >= as_of - timedelta(days=most)
        conditions.append(not_later if fewest else or_(not_later, loans.c.in_time_until.is_(None)))
    return conditions


async def aging_page(connection: AsyncConnection, paging: Paging, conditions: Sequence[Any]) -> Sequence[Any]:
    """One page of owed loans."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(loans).where(*conditions)))).all()
    return rows


# The dashboard.


async def last_closed_day(connection: AsyncConnection) -> date | None:
    """The last day that is closed."""
    day: date | None = (await connection.execute(select(func.max(day_closes.c.business_date)))).scalar_one()
    return day


async def trend(connection: AsyncConnection, last: date, days: int, most: int) -> Sequence[Any]:
    """The portfolio at the end of closed days up to `last`, over so many days: evenly, `most` of them or a few less."""
    total, day = day_closes.c.totals["total"], day_closes.c.business_date
    first_day = (await connection.execute(select(func.min(day)).where(day > last - timedelta(days=days)))).scalar_one()
    step = -(-((last - first_day).days + 1) // most)
    statement = (
        select(
            day,
            total["loans"].as_integer().label("loans"),
            total["balance"].as_string().label("balance"),
            total["stages"]["3"]["balance"].as_string().label("non_performing"),
            total["provisions"].as_string().label("provisions"),
        )
        .where(day >= first_day, (last - day) % step == 0)
        .order_by(day)
    )
    return (await connection.execute(statement)).all()


async def bank_flow(connection: AsyncConnection, first: date, closed_through: date | None) -> Sequence[Any]:
    """Debit and credit of the bank account from a day on: of closed days their totals, then what was posted since."""
    totals = (
        select(
            daily_totals.c.posted_on,
            func.sum(daily_totals.c.debit).label("debit"),
            func.sum(daily_totals.c.credit).label("credit"),
        )
        .where(daily_totals.c.posted_on >= first, daily_totals.c.account == BANK.code)
        .group_by(daily_totals.c.posted_on)
    )
    amount = postings.c.amount
    since = (
        select(
            ledger_entries.c.posted_on,
            func.sum(case((amount > 0, amount), else_=ZERO)).label("debit"),
            func.sum(case((amount < 0, -amount), else_=ZERO)).label("credit"),
        )
        .join(postings, postings.c.entry_id == ledger_entries.c.id)
        .where(ledger_entries.c.posted_on >= first, postings.c.account == BANK.code)
        .group_by(ledger_entries.c.posted_on)
    )
    if closed_through is not None:
        since = since.where(ledger_entries.c.posted_on > closed_through)
    return (await connection.execute(totals.union_all(since))).all()


async def late(
    connection: AsyncConnection, as_of: date, ages: Sequence[tuple[int, int | None]]
) -> list[tuple[int, Decimal]]:
    """For each span of days past due at the end of a day: how many owed loans were so late, and their principal."""
    of_ages = [and_(*late_between(as_of, fewest, most)) for fewest, most in ages]
    counts = [func.count().filter(of_age) for of_age in of_ages]
    sums = [func.coalesce(func.sum(loans.c.current_balance).filter(of_age), ZERO) for of_age in of_ages]
    row: Any = (await connection.execute(select(*counts, *sums).where(loans.c.status.in_(OWED)))).one()
    return list(zip(row[: len(ages)], row[len(ages) :], strict=True))


async def due_on(connection: AsyncConnection, day: date, limit: int) -> tuple[int, Sequence[Any]]:
    """How many owed loans have their oldest unpaid installment due on a day, and the first of them."""
    due = (loans.c.next_due_on == day) & loans.c.status.in_(OWED)
    columns = (loans.c[name] for name in ("id", "folio", "client_id", "terms", "disbursed_on", "account"))
    count = (await connection.execute(select(func.count()).select_from(loans).where(due))).scalar_one()
    return count, (await connection.execute(select(*columns).where(due).order_by(loans.c.id).limit(limit))).all()


async def pending(connection: AsyncConnection) -> Any:
    """How many loans wait to be disbursed, and their amounts."""
    return await _waiting(connection, loans.c.amount, loans.c.status == LoanStatus.PENDING.value)


async def approvals_waiting(connection: AsyncConnection, at: datetime) -> Any:
    """How many approvals wait for a second person, and what they are about."""
    waiting = approval_queries.with_status(ApprovalStatus.PENDING, at)
    return await _waiting(connection, approvals.c.amount, waiting)


async def _waiting(connection: AsyncConnection, amount: Any, condition: Any) -> Any:
    statement = select(func.count().label("count"), func.coalesce(func.sum(amount), ZERO).label("amount"))
    return (await connection.execute(statement.where(condition))).one()
