"""The only way money moves: what a movement of a loan writes, in all tables that must agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.uuid7 import uuid7
from backend_api.domain import delinquency
from backend_api.domain.account import NOTHING, Account, Movement, MovementKind, Split
from backend_api.domain.corrections import Booked, Correction
from backend_api.domain.delinquency import Stage
from backend_api.domain.errors import DomainError
from backend_api.domain.ledger import COMMISSION, Posting, disbursement, entry_for, undone
from backend_api.domain.money import MAX_MONEY, ZERO
from backend_api.domain.terms import Bucket, ExcessPolicy, Terms
from backend_api.ledger import state
from backend_api.models import ledger_entries, loan_movements, loans, postings
from backend_api.outbox.record import Origin


class AmountTooLarge(DomainError):
    """What moves, with its VAT and whatever else belongs to it, is more than an amount can be."""

    code = "amount_too_large"
    status = 409
    message = "With its VAT and what is owed besides, this is more than an amount can be."


@dataclass(frozen=True, slots=True)
class Booking:
    """A row to write: a movement as it is split now, or, with `undoes`, the taking back of an earlier row of it."""

    movement: Movement
    split: Split
    payment_id: UUID | None = None
    undoes: UUID | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LoanState:
    """A loan as it was read under the client's sequence, as far as a movement changes it."""

    id: UUID
    version: int
    product: str
    stage: int = Stage.PERFORMING


@dataclass(frozen=True, slots=True)
class Posted:
    """Rows to write, and the loan's snapshot after them."""

    inserts: tuple[Insert, ...]
    update: Update
    snapshot: Mapping[str, Any]


def post(
    loan: LoanState,
    bookings: Sequence[Booking],
    account: Account,
    *,
    status: str,
    account_on: date,
    posted_on: date,
    sequence: int,
    origin: Origin,
    also: Mapping[str, Any] | None = None,
) -> Posted:
    """Movements, entries, postings and snapshot; the loan goes to `status` and its account is `account` from now on.
    Raises AmountTooLarge.

    `account_on` is the value date of the last movement that stands, `sequence` the client's event that will report it
    all, `also` are other columns of the loan that change with it.
    """
    snapshot = {
        "status": status,
        **columns_of(loan, bookings, account, account_on, posted_on),
        "version": loan.version + 1,
        "updated_at": origin.at,
        **(also or {}),
    }
    movements, entries, lines = [], [], []
    for booking in bookings:
        row = _movement_row(loan.id, booking, posted_on, sequence, origin)
        movements.append(row)
        entry = _entry_of(booking, account.terms, suspended=loan.stage == Stage.NON_PERFORMING)
        if entry:
            entry_id = uuid7(origin.at)
            entries.append(
                {
                    "id": entry_id,
                    "movement_id": row["id"],
                    "kind": row["kind"],
                    "product": loan.product,
                    "posted_on": posted_on,
                    "sequence": sequence,
                    "created_at": origin.at,
                }
            )
            lines += _lines(entry_id, entry)
    return Posted(
        (Insert(loan_movements, movements), Insert(ledger_entries, entries), Insert(postings, lines)),
        Update(loans, loan.id, snapshot),
        snapshot,
    )


def book_commission(
    payment_id: UUID, product: str, entry: Sequence[Posting], *, posted_on: date, sequence: int, origin: Origin
) -> tuple[Insert, ...]:
    """The rows of a payment's commission, or of its undoing; none for an empty entry."""
    if not entry:
        return ()
    entry_id = uuid7(origin.at)
    row = {
        "id": entry_id,
        "movement_id": None,
        "payment_id": payment_id,
        "kind": COMMISSION,
        "product": product,
        "posted_on": posted_on,
        "sequence": sequence,
        "created_at": origin.at,
    }
    return Insert(ledger_entries, [row]), Insert(postings, _lines(entry_id, entry))


def columns_of(
    loan: LoanState, bookings: Sequence[Booking], account: Account, account_on: date, posted_on: date
) -> Mapping[str, Any]:
    """The columns of a loan's row that follow from its account, after the bookings of `posted_on`."""
    return {
        "current_balance": account.principal,
        "account": state.encode(state.compact(account, account_on)),
        "account_on": account_on,
        **_delinquency(loan, bookings, account, posted_on),
    }


def loan_state(row: Record) -> LoanState:
    """A disbursed loan from its row."""
    return LoanState(row["id"], row["version"], row["product"], row["stage"])


def bookings_of(correction: Correction, payments: Mapping[UUID, UUID | None]) -> list[Booking]:
    """The rows that a correction writes; `payments` says which payment a movement belongs to."""
    return [
        Booking(booked.movement, booked.split, payments[booked.movement.id], undoes=booked.row_id)
        for booked in correction.undone
    ] + [Booking(movement, split, payments[movement.id]) for movement, split in correction.booked]


def standing(rows: Sequence[Record]) -> list[Booked]:
    """Movements that stand, as the table of movements holds them, for a replay."""
    return [
        Booked(
            row["id"],
            _movement(row),
            _split(row),
        )
        for row in rows
    ]


def _delinquency(loan: LoanState, bookings: Sequence[Booking], account: Account, posted_on: date) -> Mapping[str, Any]:
    """What the end of the day goes by, see `portfolio.overdue`.

    It looks again at a loan that is overdue, today, and at any other when its next installment is; what is overdue
    after a correction is told anew, because it may have been paid when its day came.
    """
    unpaid = delinquency.oldest_unpaid(account)
    in_time_until = delinquency.in_time_until(account)
    again = {"closed_through": None} if any(booking.undoes for booking in bookings) else {}
    return {
        "next_due_on": unpaid.due_on if unpaid else None,
        "in_time_until": in_time_until,
        "next_change_on": None if in_time_until is None else max(posted_on, in_time_until + timedelta(days=1)),
        # A loan that was closed by a loss keeps its stage: taking the loss back must find the books as it left them.
        "stage": loan.stage if account.closed else int(delinquency.stage_of(account, posted_on)),
        "moved_on": posted_on,
        **again,
    }


def _split(row: Record) -> Split:
    return Split(row["principal"], row["interest"], row["vat"], row["fees"], row["moratory"])


def _movement(row: Record) -> Movement:
    """A row as what somebody did, without how it is split."""
    kind = MovementKind(row["kind"])
    concept = None if row["concept"] is None else Bucket(row["concept"])
    amount, carried = row["amount"], NOTHING
    match kind:
        case MovementKind.FEE:
            amount = row["fees"]
        case MovementKind.TRANSFER:
            amount, carried = ZERO, replace(_split(row), principal=ZERO)
        case MovementKind.DISBURSEMENT | MovementKind.WRITE_OFF | MovementKind.RESTRUCTURE:
            amount = ZERO
    excess = None if row["excess"] is None else ExcessPolicy(row["excess"])
    return Movement(row["movement_id"], kind, row["value_date"], row["position"], amount, concept, carried, excess)


def _movement_row(loan_id: UUID, booking: Booking, posted_on: date, sequence: int, origin: Origin) -> dict[str, Any]:
    movement, split = booking.movement, booking.split
    if split.total > MAX_MONEY:
        raise AmountTooLarge
    return {
        "id": uuid7(origin.at),
        "loan_id": loan_id,
        "payment_id": booking.payment_id,
        "kind": movement.kind.value,
        "undoes_id": booking.undoes,
        "movement_id": movement.id,
        "position": movement.sequence,
        "concept": movement.concept,
        "excess": movement.excess,
        "note": booking.note,
        "value_date": movement.value_date,
        "posted_on": posted_on,
        "sequence": sequence,
        "amount": split.total,
        "principal": split.principal,
        "interest": split.interest,
        "vat": split.vat,
        "fees": split.fees,
        "moratory": split.moratory,
        "created_at": origin.at,
    }


def _lines(entry_id: UUID, entry: Sequence[Posting]) -> list[dict[str, Any]]:
    return [
        {"entry_id": entry_id, "line": number, "account": posting.account, "amount": posting.amount}
        for number, posting in enumerate(entry, start=1)
    ]


def _entry_of(booking: Booking, terms: Terms, *, suspended: bool) -> tuple[Posting, ...]:
    kind = booking.movement.kind
    if kind is MovementKind.DISBURSEMENT:
        entry = disbursement(terms)
    else:
        entry = entry_for(kind, booking.split, suspended=suspended)
    return undone(entry) if booking.undoes else entry
