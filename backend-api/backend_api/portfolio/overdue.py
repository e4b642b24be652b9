"""What the passing of a day does to a loan: installments become overdue, the stage changes, a loan is in default.

A loan is looked at when `next_change_on` says so. A day that only changes the stage is no fact of its own: the stage
follows from the oldest unpaid installment, and is kept in the row for whoever searches by it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.conditional_write import Update
from backend_api.db.pools import Connection
from backend_api.domain import delinquency
from backend_api.domain.delinquency import THIRD_STAGE_DAYS
from backend_api.domain.states import LoanEvent, LoanStatus, transition
from backend_api.http.idempotency import Answer
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.ledger.state import account_of
from backend_api.loans.events import loan_changed
from backend_api.models import clients, loans
from backend_api.outbox.record import Fact, Origin
from backend_api.portfolio import events, queries

NOTHING_TO_TELL = Answer(204, b"", {})


@dataclass(frozen=True, slots=True)
class Passed:
    """What a day has done to a loan: columns of its row, and what is to be told of it."""

    values: Mapping[str, Any]
    facts: Sequence[Fact]


def passed(loan: Record, day: date) -> Passed:
    """What there is to say of a loan at the end of `day`, going by its account as it stands now."""
    account = account_of(loan["terms"], loan["disbursed_on"], loan["account"])
    unpaid = [(row, account.terms.in_time_until(row.due_on)) for row in delinquency.unpaid(account)]
    days = delinquency.days_past_due(unpaid[0][1] if unpaid else None, day)
    before = LoanStatus(loan["status"])
    status = _status_after(before, days)
    told = loan["closed_through"] or date.min
    facts = [
        events.installment_overdue(loan["id"], loan["client_id"], row.number, row.due_on)
        for row, in_time_until in unpaid
        if told <= in_time_until < day
    ]
    if status is not before:
        facts.append(loan_changed(loan["id"], loan["client_id"], before, status))
    values = {
        "status": status.value,
        "stage": int(delinquency.stage_of(account, day)),
        "next_change_on": delinquency.next_change([in_time_until for _, in_time_until in unpaid], day),
        "closed_through": day,
    }
    return Passed(values, facts)


def tell(client_id: UUID, day: date, left_out: Collection[UUID]) -> UseCase:
    """Tell what the day has done to a client's loans, but for those that cannot be looked at."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        found = await queries.loans_to_look_at(connection, day, [client_id])
        changes = [(loan, passed(loan, day)) for loan in found if loan["id"] not in left_out]
        changes = [(loan, change) for loan, change in changes if change.facts]
        if not changes:
            return NOTHING_TO_TELL
        client = changes[0][0]
        return Change(
            aggregate=Aggregate("client", clients, client_id, client["event_sequence"], client["chain_head"]),
            business_date=client["today"],
            updates=[
                Update(
                    loans,
                    loan["id"],
                    {**change.values, "version": loan["version"] + 1, "updated_at": origin.at},
                )
                for loan, change in changes
            ],
            facts=[fact for _, change in changes for fact in change.facts],
            answer=NOTHING_TO_TELL,
        )

    return use_case


def _status_after(status: LoanStatus, days: int) -> LoanStatus:
    """In default from the third stage on. A payment cures by itself; if one did not, the day does."""
    if status is LoanStatus.ACTIVE and days >= THIRD_STAGE_DAYS:
        return transition(status, LoanEvent.DEFAULT)
    if status is LoanStatus.DEFAULTED and not days:
        return transition(status, LoanEvent.CURE)
    return status
