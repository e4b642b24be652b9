"""Loans of the version before get their terms and accounts, worked out from the movements that it booked.

That version took every payment for principal: it made no schedule, charged no interest and called nothing due. What was
agreed is kept from here on, and nothing is made of the past that nobody was told of. So the time up to the first due
date after today is one period without interest, and the installments after it are those that are left of the term: a
client owes on this day what they owed on the day before, and nobody becomes late. Replayed on these terms, the
movements split as they were booked, to the cent; a loan of which that is not true is left as it is, and named.

Nothing is told of it: no fact is added, the columns follow from what the books hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record
from sqlalchemy.dialects import postgresql

from backend_api.db.pools import Connection
from backend_api.domain.account import replay
from backend_api.domain.due_dates import periods
from backend_api.domain.errors import DomainError
from backend_api.domain.schedule import schedule
from backend_api.domain.term_sheet import sheet
from backend_api.domain.terms import Amortization, Terms, TermsRefused
from backend_api.ledger import service as ledger
from backend_api.ledger.service import LoanState
from backend_api.models import loans

LOANS_AT_ONCE = 500
"""So few that the guard of the movements is off, in a transaction of its own, for a moment only."""
NOBODY = UUID(int=0)
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped

DEMANDED = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'loans'::regclass AND attname = 'terms'"
WAITING = "SELECT count(*) FROM loans WHERE terms IS NULL"
NEXT = """
SELECT id, status, version, amount, interest_rate, term_months, disbursed_on, current_balance, product
  FROM loans WHERE id > $1 AND terms IS NULL ORDER BY id LIMIT $2
"""
MOVEMENTS = """
SELECT id, loan_id, coalesce(payment_id, id) AS movement_id, payment_id, kind, value_date, posted_on,
       sequence AS position, concept, NULL AS excess,
       amount, principal, interest, vat, fees, moratory
  FROM loan_movements WHERE loan_id = ANY($1) ORDER BY loan_id, sequence
"""
# Every row of that version is the first one of its movement, and nothing was taken back. What a payment does to a loan
# bears the payment's id, by which it is taken back.
NAME_MOVEMENTS = """
UPDATE loan_movements SET movement_id = coalesce(payment_id, id), position = sequence
 WHERE loan_id = ANY($1) AND movement_id IS NULL
"""

Progress = Callable[[int, int], None]
"""Called with how many loans are done, and how many there are to do."""


class BooksDiffer(DomainError):
    """The movements, replayed, are not what the books hold."""

    code = "books_differ"
    message = "its movements do not add up to what the books hold"


class NotAllAdopted(DomainError):
    """Some loans could not be worked out: the schema can not demand their accounts yet."""

    code = "loans_not_adopted"
    message = "These loans could not be worked out; all others are done: "

    def __init__(self, failed: Mapping[UUID, str]) -> None:
        super().__init__()
        named = [f"{loan_id} ({why})" for loan_id, why in list(failed.items())[:10]]
        self.message += "; ".join(named) + (f"; and {len(failed) - 10} more" if len(failed) > 10 else "")


@dataclass(slots=True)
class Adopted:
    """How many loans got their accounts, and those that could not, with the reason."""

    done: int = 0
    failed: dict[UUID, str] = field(default_factory=dict)


async def adopt(owner: Connection, today: date, progress: Progress) -> Adopted:
    """Give every loan without terms its own, as of `today`; as the owner of the schema.

    A batch is one transaction: what is cut off is taken up again by the next call, and a second call does nothing.
    """
    adopted, last = Adopted(), NOBODY
    if await owner.fetchval(DEMANDED):  # nothing is looked for in a table without such loans
        return adopted
    waiting = await owner.fetchval(WAITING)
    while rows := await owner.fetch(NEXT, last, LOANS_AT_ONCE):
        last = rows[-1]["id"]
        movements = _by_loan(await owner.fetch(MOVEMENTS, [row["id"] for row in rows]))
        changes: list[dict[str, Any]] = []
        for row in rows:
            try:
                changes.append(_columns(row, movements.get(row["id"], []), today))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one loan must not stop the others
                adopted.failed[row["id"]] = str(error) or type(error).__name__
        await _write(owner, changes)
        adopted.done += len(changes)
        progress(adopted.done + len(adopted.failed), waiting)
    return adopted


def _by_loan(rows: Sequence[Record]) -> Mapping[UUID, list[Record]]:
    return {loan_id: list(of_loan) for loan_id, of_loan in groupby(rows, key=lambda row: row["loan_id"])}


def _columns(loan: Record, rows: Sequence[Record], today: date) -> dict[str, Any]:
    """What is to stand in the loan's row. Raises what a replay does, and BooksDiffer.

    That version asked no schedule of a loan; where no level installment repays one, equal parts of it do.
    """
    terms = terms_as_of(loan, today)
    try:
        return _on_terms(terms, loan, rows)
    except TermsRefused:
        return _on_terms(replace(terms, amortization=Amortization.EQUAL_PRINCIPAL), loan, rows)


def _on_terms(terms: Terms, loan: Record, rows: Sequence[Record]) -> dict[str, Any]:
    columns = {"id": loan["id"], "terms": orjson.dumps(sheet(terms)).decode()}
    if not rows:
        schedule(terms)
        return columns
    booked = ledger.standing(rows)
    account, splits = replay(terms, [one.movement for one in booked])
    same = splits == {one.movement.id: one.split for one in booked}
    if not same or account.principal != loan["current_balance"] or loan["disbursed_on"] is None:
        raise BooksDiffer
    state = LoanState(loan["id"], loan["version"], loan["product"])
    account_on = max(row["value_date"] for row in rows)
    return columns | dict(
        ledger.columns_of(state, (), account, account_on, posted_on=max(row["posted_on"] for row in rows))
    )


def terms_as_of(loan: Record, today: date) -> Terms:
    """The terms of a loan of the version before, which charged nothing until today."""
    agreed = Terms(
        amount=loan["amount"],
        interest_rate=loan["interest_rate"].normalize(),
        installments=loan["term_months"],
        disbursed_on=loan["disbursed_on"] or today,
    )
    if loan["disbursed_on"] is None or loan["disbursed_on"] == today:
        return agreed
    passed = (today.year - agreed.disbursed_on.year) * 12 + today.month - agreed.disbursed_on.month
    # One due date more than have passed, for loans that should have been repaid by now.
    whole = periods(replace(agreed, installments=max(agreed.installments, passed + 1)))
    coming = [period.due_on for period in whole if period.due_on > today]
    left = max(len(coming) - (len(whole) - agreed.installments), 1)
    return replace(agreed, first_due_on=coming[0], installments=left, interest_free_periods=1)


async def _write(owner: Connection, changes: Sequence[Mapping[str, Any]]) -> None:
    by_columns = sorted(changes, key=lambda change: sorted(change))
    async with owner.transaction():
        await owner.execute("SET LOCAL lock_timeout = '2s'")
        await owner.execute("ALTER TABLE loan_movements DISABLE TRIGGER insert_only")
        await owner.execute(NAME_MOVEMENTS, [change["id"] for change in changes])
        await owner.execute("ALTER TABLE loan_movements ENABLE TRIGGER insert_only")
        for _, alike in groupby(by_columns, key=lambda change: sorted(change)):
            await _update(owner, list(alike))


async def _update(owner: Connection, changes: Sequence[Mapping[str, Any]]) -> None:
    """The same columns of several loans."""
    names = list(changes[0])  # from here and from the ledger, as are the types from the metadata
    types = [str(loans.c[name].type.compile(dialect=_DIALECT)) for name in names]
    values = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start=1))
    columns = ", ".join(f"{name} = v.{name}" for name in names if name != "id")
    update = f"UPDATE loans l SET {columns} FROM unnest({values}) AS v ({', '.join(names)}) WHERE l.id = v.id"  # noqa: S608 - see names
    await owner.execute(update, *([change[name] for change in changes] for name in names))
