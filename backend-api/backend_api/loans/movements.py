"""Use cases that move something on a loan and are no payments: fees, waivers, write-off, undoing a disbursement."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain import corrections
from backend_api.domain.account import Account, Movement, MovementKind, apply
from backend_api.domain.errors import DomainError, LoanNotActive
from backend_api.domain.money import ZERO
from backend_api.domain.states import OWING, LoanEvent, LoanStatus, transition
from backend_api.domain.terms import Bucket
from backend_api.http.write import Change, Moved, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.service import Booking
from backend_api.ledger.state import account_of
from backend_api.loans import events, queries, service
from backend_api.loans.schemas import FeeIn, NoteIn, WaiverIn
from backend_api.outbox.record import Fact, Origin


class DisbursementStands(DomainError):
    """A disbursement is undone on its first day, before anything else has moved; later the loan is repaid."""

    code = "disbursement_stands"
    status = 409
    message = "The loan was disbursed on an earlier day or has moved since, so its disbursement stands."


class RecoveriesStand(DomainError):
    """What was recovered since is reversed before the write-off. Facts: `payment_ids`, oldest first."""

    code = "recoveries_stand"
    status = 409
    message = "The loan was paid on since it was written off: reverse those payments first."


def charge_fee(loan_id: UUID, body: FeeIn, if_match: str | None) -> UseCase:
    """Charge a fee, due today, with its VAT. Raises `NotFound`, `LoanNotActive`, `AmountTooLarge`,
    `PreconditionFailed`.
    """

    def fact(loan: Record, movement: ledger.Booking) -> Fact:
        return events.fee_charged(loan["id"], loan["client_id"], movement.movement.id, movement.split)

    return _moved(loan_id, if_match, MovementKind.FEE, fact, body.amount, note=body.reason)


def waive(loan_id: UUID, body: WaiverIn, if_match: str | None) -> UseCase:
    """Forgive fees, moratory interest or interest that is due, with its VAT. If nothing else is owed, the loan is paid
    off.

    Raises `NotFound`, `LoanNotActive`, `MovementRefused` (more than is due of it), `PreconditionFailed`.
    """

    def fact(loan: Record, movement: ledger.Booking) -> Fact:
        return events.fee_waived(loan["id"], loan["client_id"], movement.movement.id, movement.split)

    return _moved(loan_id, if_match, MovementKind.WAIVER, fact, body.amount, Bucket(body.concept), body.reason)


def write_off(loan_id: UUID, body: NoteIn, if_match: str | None) -> UseCase:
    """All that is owed becomes a loss; what is paid later is a recovery.

    Raises `NotFound`, `TransitionRefused`, `AmountTooLarge`, `PreconditionFailed`.
    """

    def fact(loan: Record, movement: ledger.Booking) -> Fact:
        return events.loan_written_off(loan["id"], loan["client_id"], movement.split)

    return _moved(loan_id, if_match, MovementKind.WRITE_OFF, fact, note=body.reason, event=LoanEvent.WRITE_OFF)


def undo_write_off(loan_id: UUID, body: NoteIn, if_match: str | None) -> UseCase:
    """Take a write-off back: the loan is in the state it came from, and owed as if it had never been written off.

    Raises `NotFound`, `TransitionRefused`, `RecoveriesStand`, `AmountTooLarge`, `PreconditionFailed`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await service.for_change(connection, loan_id, if_match)
        written_off = LoanStatus(loan["status"])
        before = await queries.status_before_write_off(connection, loan["client_id"], loan_id)
        defaulted = before == LoanStatus.DEFAULTED
        event = LoanEvent.UNDO_WRITE_OFF_TO_DEFAULTED if defaulted else LoanEvent.UNDO_WRITE_OFF_TO_ACTIVE
        status = transition(written_off, event)
        rows = await queries.standing_movements(connection, loan_id)
        recoveries = [row for row in rows if row["kind"] == MovementKind.RECOVERY]
        if recoveries:
            raise RecoveriesStand(payment_ids=[str(row["payment_id"]) for row in sorted(recoveries, key=_position)])
        loss = next((row for row in rows if row["kind"] == MovementKind.WRITE_OFF), None)
        if loss is None:  # taken back since the loan was read
            raise Moved(service.aggregate(loan))
        correction = await asyncio.to_thread(
            corrections.remove, _account(loan).terms, ledger.standing(rows), loss["movement_id"]
        )
        bookings = [
            replace(booking, note=body.reason)
            for booking in ledger.bookings_of(correction, {row["movement_id"]: row["payment_id"] for row in rows})
        ]
        last = max(row["value_date"] for row in rows if row is not loss)
        facts = [events.loan_changed(loan_id, loan["client_id"], written_off, status)]
        change = _change(loan, bookings, correction.account, status, facts, origin, account_on=last)
        return replace(change, amount=loss["amount"])

    return use_case


def _position(row: Record) -> Any:
    return row["value_date"], row["position"]


def undo_disbursement(loan_id: UUID, if_match: str | None) -> UseCase:
    """Delete a loan: a pending one is cancelled, one of today without movements is taken back.

    Raises `NotFound`, `TransitionRefused`, `DisbursementStands`, `PreconditionFailed`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await service.for_change(connection, loan_id, if_match)
        if loan["status"] == LoanStatus.PENDING:
            return service.closed(loan, LoanEvent.CANCEL, origin)
        status = transition(LoanStatus(loan["status"]), LoanEvent.UNDO_DISBURSEMENT)
        rows = ledger.standing(await queries.standing_movements(connection, loan_id))
        if loan["disbursed_on"] != loan["today"] or len(rows) != 1:
            raise DisbursementStands
        account = replace(_account(loan), rows=())
        bookings = [Booking(booked.movement, booked.split, undoes=booked.row_id) for booked in rows]
        facts = [
            events.disbursement_undone(loan_id, loan["client_id"]),
            events.loan_closed(loan_id, loan["client_id"], status),
        ]
        return _change(loan, bookings, account, status, facts, origin)

    return use_case


def _moved(
    loan_id: UUID,
    if_match: str | None,
    kind: MovementKind,
    fact: Any,
    amount: Decimal = ZERO,
    concept: Bucket | None = None,
    note: str | None = None,
    event: LoanEvent | None = None,
) -> UseCase:
    """One movement of today; the loan keeps its state unless an event changes it or nothing is owed any more."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await service.for_change(connection, loan_id, if_match)
        status = LoanStatus(loan["status"])
        if event is not None:
            status = transition(status, event)
        elif status not in OWING:
            raise LoanNotActive(loan_status=status.value)
        movement = Movement(uuid7(origin.at), kind, loan["today"], loan["event_sequence"] + 1, amount, concept)
        account, split = apply(_account(loan), movement)
        booking = Booking(movement, split, note=note)
        facts = [fact(loan, booking)]
        if status in OWING and not account.position(loan["today"]).payoff_amount:
            facts.append(events.loan_changed(loan_id, loan["client_id"], status, LoanStatus.PAID_OFF))
            status = transition(status, LoanEvent.PAY_OFF)
        change = _change(loan, [booking], account, status, facts, origin)
        return replace(change, amount=split.total)

    return use_case


def _change(
    loan: Record,
    bookings: Sequence[Booking],
    account: Account,
    status: LoanStatus,
    facts: Sequence[Fact],
    origin: Origin,
    account_on: date | None = None,
) -> Change:
    """The write of movements of today; `account_on` is the value date of the last one that stands, if not today."""
    sequence = loan["event_sequence"] + 1
    posted = ledger.post(
        ledger.loan_state(loan),
        bookings,
        account,
        status=status.value,
        account_on=account_on or loan["today"],
        posted_on=loan["today"],
        sequence=sequence,
        origin=origin,
    )
    changed = {**service.plain(loan), **posted.snapshot}
    return Change(
        aggregate=service.aggregate(loan),
        business_date=loan["today"],
        inserts=posted.inserts,
        updates=[posted.update],
        facts=facts,
        answer=service.answer(200, changed, sequence + len(facts) - 1, loan["today"]),
    )


def _account(loan: Record) -> Account:
    return account_of(loan["terms"], loan["disbursed_on"], loan["account"])
