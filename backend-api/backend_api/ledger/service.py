"""The only way money moves: what one movement of a loan writes, in all tables that must agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.uuid7 import uuid7
from backend_api.domain.account import MovementKind, Split, effect
from backend_api.domain.ledger import entry_for
from backend_api.models import ledger_entries, loan_movements, loans, postings
from backend_api.outbox.record import Origin


@dataclass(frozen=True, slots=True)
class LoanState:
    """A loan as it was read under the client's sequence, as far as a movement changes it."""

    id: UUID
    status: str
    version: int
    current_balance: Any


@dataclass(frozen=True, slots=True)
class Posted:
    """Rows to write, and the loan's snapshot after them."""

    inserts: tuple[Insert, ...]
    update: Update
    snapshot: Mapping[str, Any]


def post(
    kind: MovementKind,
    loan: LoanState,
    split: Split,
    *,
    status: str,
    value_date: date,
    posted_on: date,
    sequence: int,
    payment_id: UUID | None,
    origin: Origin,
    also: Mapping[str, Any] | None = None,
) -> Posted:
    """Movement, entry, postings and snapshot of one movement; the loan goes to `status`.

    `sequence` is the client's event that will report it; `also` are other columns of the loan that change with it.
    """
    movement_id, entry_id = uuid7(origin.at), uuid7(origin.at)
    snapshot = {
        "status": status,
        "current_balance": loan.current_balance + effect(kind) * split.principal,
        "version": loan.version + 1,
        "updated_at": origin.at,
        **(also or {}),
    }
    movement = {
        "id": movement_id,
        "loan_id": loan.id,
        "payment_id": payment_id,
        "kind": kind.value,
        "value_date": value_date,
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
    entry = {
        "id": entry_id,
        "movement_id": movement_id,
        "kind": kind.value,
        "posted_on": posted_on,
        "sequence": sequence,
        "created_at": origin.at,
    }
    lines = [
        {"entry_id": entry_id, "line": number, "account": posting.account, "amount": posting.amount}
        for number, posting in enumerate(entry_for(kind, split), start=1)
    ]
    return Posted(
        (Insert(loan_movements, [movement]), Insert(ledger_entries, [entry]), Insert(postings, lines)),
        Update(loans, loan.id, snapshot),
        snapshot,
    )
