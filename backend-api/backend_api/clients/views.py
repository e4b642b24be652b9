"""What is read of a client: record, anonymous look-up, balance, account statement. The first three are cached."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.clients import queries
from backend_api.clients.schemas import (
    AccountStatement,
    Balance,
    ClientLookup,
    ClientOut,
    CommissionOut,
    LoanBalance,
    StatementLineOut,
)
from backend_api.clients.service import RECORD_VIEW, STAFF
from backend_api.clients.statement.gather import Gathered, statement_line
from backend_api.domain.account import MovementKind
from backend_api.domain.errors import DomainError
from backend_api.domain.identifiers import initials, mask_rfc
from backend_api.domain.money import ZERO
from backend_api.domain.statement import principal_effect, statement
from backend_api.domain.states import OPEN, OWING, LoanStatus
from backend_api.http import etag
from backend_api.http.problems import FieldRefused
from backend_api.ledger.state import account_of
from backend_api.reads import Build, Built
from backend_api.settings import AnonymousLookup

ANYBODY = "anybody"
BALANCE_VIEW = "balance"
MAX_STATEMENT_DAYS = 366
MAX_STATEMENT_LINES = 2000


def client_out(row: Any) -> ClientOut:
    """A row as the record that staff sees."""
    values = {name: getattr(row, name) for name in ClientOut.model_fields}
    warnings = values["warnings"]
    return ClientOut.model_validate(
        {**values, "warnings": orjson.loads(warnings) if isinstance(warnings, str) else warnings}
    )


def record_view(client_id: UUID | None, rfc: str | None) -> Build:
    """Builds the full record, by id or by RFC."""

    async def build(connection: AsyncConnection, today: date) -> Built | None:
        row = await queries.record(connection, client_id=client_id, rfc=rfc)
        if row is None:
            return None
        tag = etag.make(row.version, row.event_sequence, today, RECORD_VIEW, STAFF)
        return Built(row.id, row.event_sequence, row.rfc, tag, client_out(row).model_dump_json().encode())

    return build


def lookup_view_name(lookup: AnonymousLookup) -> str:
    """The cached view anonymous callers get; a changed setting must not find the other one's entries."""
    return f"lookup-{lookup.value}"


def lookup_view(rfc: str, lookup: AnonymousLookup) -> Build:
    """Builds what anybody may know, by RFC only."""

    async def build(connection: AsyncConnection, today: date) -> Built | None:
        row = await queries.record(connection, rfc=rfc)
        if row is None:
            return None
        full = lookup is AnonymousLookup.FULL
        found = ClientLookup(
            id=row.id,
            rfc=row.rfc if full else mask_rfc(row.rfc),
            full_name=row.full_name if full else initials(row.full_name),
            status=row.status,
        )
        tag = etag.make(row.version, row.event_sequence, today, lookup_view_name(lookup), ANYBODY)
        return Built(row.id, row.event_sequence, row.rfc, tag, found.model_dump_json().encode())

    return build


def balance_view(client_id: UUID) -> Build:
    """Builds what the client owes today."""

    async def build(connection: AsyncConnection, today: date) -> Built | None:
        rows = await queries.debts(connection, client_id)
        if not rows:
            return None
        client = rows[0]
        tag = etag.make(client.version, client.event_sequence, today, BALANCE_VIEW, STAFF)
        body = _balance(client_id, rows, today).model_dump_json().encode()
        return Built(client_id, client.event_sequence, client.rfc, tag, body)

    return build


def _balance(client_id: UUID, rows: Any, today: date) -> Balance:
    loans = [row for row in rows if row.id is not None and LoanStatus(row.status) in OPEN]
    total = ZERO
    parts = []
    for row in loans:
        owing = LoanStatus(row.status) in OWING
        payoff = _payoff(row, today) if owing else ZERO
        total += payoff
        parts.append(
            LoanBalance(
                loan_id=row.id,
                folio=row.folio,
                status=row.status,
                current_balance=row.current_balance,
                payoff_amount=payoff,
            )
        )
    limit: Decimal | None = rows[0].credit_limit
    used = sum((row.amount if row.status == LoanStatus.PENDING else row.current_balance for row in loans), ZERO)
    return Balance(
        client_id=client_id,
        business_date=today,
        total_debt=total,
        credit_limit=limit,
        available_credit=None if limit is None else max(ZERO, limit - used),
        loans=parts,
    )


def _payoff(loan: Any, today: date) -> Decimal:
    return account_of(loan.terms, loan.disbursed_on, loan.account).position(today).payoff_amount


class PeriodTooLong(DomainError):
    """The period holds more movements than one statement lists."""

    code = "period_too_long"
    status = 422
    message = f"The period holds more than {MAX_STATEMENT_LINES} movements: ask for a shorter one."


def period(period_from: date | None, period_to: date | None, today: date) -> tuple[date, date]:
    """The period asked for; by default this month so far. Raises `FieldRefused`."""
    end = period_to or today
    start = period_from or end.replace(day=1)
    if start > end:
        raise FieldRefused("query:from", "period_reversed", "The period ends before it begins.")
    if end - start > timedelta(days=MAX_STATEMENT_DAYS):
        raise FieldRefused("query:from", "period_too_long", f"A statement covers at most {MAX_STATEMENT_DAYS} days.")
    return start, end


async def account_statement(
    connection: AsyncConnection, client_id: UUID, start: date, end: date
) -> AccountStatement | None:
    """The statement of a period; None for an unknown client. Raises `PeriodTooLong`."""
    if await queries.record(connection, client_id=client_id) is None:
        return None
    opening = sum(
        (
            principal_effect(MovementKind(row.kind), undoes=row.undoes) * row.principal
            for row in await queries.opening_movements(connection, client_id, start)
        ),
        ZERO,
    )
    rows = await queries.statement_movements(connection, client_id, start, end, MAX_STATEMENT_LINES + 1)
    if len(rows) > MAX_STATEMENT_LINES:
        raise PeriodTooLong
    result = statement(opening, [statement_line(row) for row in rows], start, end)
    return AccountStatement(
        client_id=client_id,
        period_from=start,
        period_to=end,
        opening_balance=result.opening,
        charges=result.charges,
        credits=result.credits,
        closing_balance=result.closing,
        lines=[
            StatementLineOut(
                posted_on=running.line.posted_on,
                value_date=running.line.value_date,
                loan_id=running.line.loan_id,
                kind=running.line.kind.value,
                reference=running.line.reference,
                charge=running.line.charge,
                credit=running.line.credit,
                balance=running.balance,
            )
            for running in result.lines
        ],
        commissions=[
            CommissionOut(
                posted_on=row.posted_on,
                payment_id=row.payment_id,
                reference=row.reference,
                amount=row.net,
                vat=row.vat,
                total=row.net + row.vat,
            )
            for row in await queries.commissions(connection, client_id, start, end)
        ],
    )


async def statement_rows(connection: AsyncConnection, client_id: UUID, start: date, end: date) -> Gathered | None:
    """What the printed statement of a period is made of; None for an unknown client."""
    client = await queries.record(connection, client_id=client_id)
    if client is None:
        return None
    found = await queries.statement_loans(connection, client_id, end)
    return Gathered(
        client,
        found,
        await queries.known_movements(connection, client_id, end),
        await queries.commissions(connection, client_id, start, end),
    )
