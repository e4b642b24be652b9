"""What is derived from a loan's history when somebody asks: its schedule as it stands, and a payoff quote."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.domain.account import Account, MovementKind, Row, replay
from backend_api.domain.due_dates import periods
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO
from backend_api.domain.schedule import schedule
from backend_api.domain.statement import principal_effect
from backend_api.domain.states import OWING
from backend_api.domain.term_sheet import terms_of
from backend_api.http.problems import FieldRefused
from backend_api.ledger import service as ledger
from backend_api.loans import queries
from backend_api.loans.schemas import PayoffQuote, ScheduledInstallment, ScheduleOut


class NothingOwed(DomainError):
    """Only a loan that is owed has a payoff. Facts: `loan_status`."""

    code = "nothing_owed"
    status = 409
    message = "Nothing is owed of this loan."


@dataclass(frozen=True, slots=True)
class Course:
    """The principal owed after each day on which it changes: `past` ends today, `coming` begins with it and goes on as
    if every installment were paid when it falls due. `late` are the numbers of installments that are overdue."""

    past: tuple[tuple[date, Decimal], ...]
    coming: tuple[tuple[date, Decimal], ...]
    late: frozenset[int]


async def schedule_of(connection: AsyncConnection, loan_id: UUID, today: date) -> ScheduleOut | None:
    """The installments as they stand today, settled ones too; of a pending loan as if it were disbursed today."""
    rows = await queries.history(connection, loan_id)
    if not rows:
        return None
    if rows[0]["loan_disbursed_on"] is None:
        return _planned(loan_id, rows, today)
    return _schedule(loan_id, await asyncio.to_thread(_replayed, rows, today))


async def course_of(
    connection: AsyncConnection, loan_id: UUID, today: date
) -> tuple[ScheduleOut, Course | None] | None:
    """The same with the course of the balance; that is None of a loan that is not disbursed."""
    rows = await queries.history(connection, loan_id)
    if not rows:
        return None
    if rows[0]["loan_disbursed_on"] is None:
        return _planned(loan_id, rows, today), None
    account = await asyncio.to_thread(_replayed, rows, today)
    return _schedule(loan_id, account), _course(account, rows, today)


async def payoff_quote(connection: AsyncConnection, loan_id: UUID, on: date) -> PayoffQuote | None:
    """What has to be paid on a day to owe nothing, from the movements whose value date has come by then.

    Raises `NothingOwed`, `FieldRefused` for a day before the disbursement.
    """
    rows = await queries.history(connection, loan_id)
    if not rows:
        return None
    if rows[0]["loan_status"] not in OWING:
        raise NothingOwed(loan_status=rows[0]["loan_status"])
    if on < rows[0]["loan_disbursed_on"]:
        raise FieldRefused("query:on", "before_disbursement", "The day lies before the loan was disbursed.")
    position = (await asyncio.to_thread(_replayed, rows, on)).position(on)
    return PayoffQuote(
        loan_id=loan_id,
        on=on,
        principal=position.principal,
        interest=position.interest,
        vat=position.vat,
        fees=position.fees,
        moratory=position.moratory,
        payoff_amount=position.payoff_amount,
        due=position.due.total,
        days_past_due=position.days_past_due,
        next_due_on=position.next_due_on,
        next_due_total=position.next_due_total,
    )


def _planned(loan_id: UUID, rows: Sequence[Any], today: date) -> ScheduleOut:
    terms = terms_of(_plain(rows[0]["loan_terms"]), today)
    return ScheduleOut(
        loan_id=loan_id,
        installments=[
            ScheduledInstallment(
                number=row.number,
                due_on=period.due_on,
                principal=row.principal,
                interest=row.interest,
                vat=row.vat,
                fees=ZERO,
                moratory=ZERO,
                total=row.total,
                open=row.total,
            )
            for period, row in zip(periods(terms), schedule(terms), strict=True)
        ],
    )


def _schedule(loan_id: UUID, account: Account) -> ScheduleOut:
    return ScheduleOut(loan_id=loan_id, installments=[_installment(row) for row in account.rows])


def _course(account: Account, rows: Sequence[Any], today: date) -> Course:
    balance, past = ZERO, []
    standing = [row for row in rows if row["id"] is not None and row["value_date"] <= today]
    for row in sorted(standing, key=lambda row: (row["value_date"], row["position"])):
        balance += principal_effect(MovementKind(row["kind"]), undoes=False) * row["principal"]
        past.append((row["value_date"], balance))
    past.append((today, balance))
    coming = [(today, balance)]
    unpaid = [] if account.closed else [row for row in account.rows if row.principal_open > ZERO]
    for row in unpaid:
        balance -= row.principal_open
        coming.append((max(row.due_on, today), balance))
    late = frozenset(row.number for row in unpaid if account.terms.in_time_until(row.due_on) < today)
    return Course(tuple(past), tuple(coming), late)


def _replayed(rows: Sequence[Any], until: date) -> Account:
    """The account at the end of a day. A long history takes a tenth of a second: run it beside the event loop."""
    terms = terms_of(_plain(rows[0]["loan_terms"]), rows[0]["loan_disbursed_on"])
    standing = ledger.standing([row for row in rows if row["id"] is not None and row["value_date"] <= until])
    return replay(terms, [booked.movement for booked in standing])[0].on(until)


def _plain(terms: Any) -> Any:
    return orjson.loads(terms) if isinstance(terms, str) else terms


def _installment(row: Row) -> ScheduledInstallment:
    vat = row.interest.vat + row.fees.vat + row.moratory.vat
    return ScheduledInstallment(
        number=row.number,
        due_on=row.due_on,
        principal=row.principal,
        interest=row.interest.net,
        vat=vat,
        fees=row.fees.net,
        moratory=row.moratory.net,
        total=row.principal + row.interest.net + row.fees.net + row.moratory.net + vat,
        open=row.open,
    )
