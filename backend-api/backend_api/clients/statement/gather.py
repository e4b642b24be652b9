"""From rows to the document: what was known of a client's loans at the end of a period, and what happened in it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson

from backend_api.clients.statement.document import Client, Lender, LoanPart, StatementDocument
from backend_api.domain.account import MovementKind, Split, replay
from backend_api.domain.cat import Cat, cat
from backend_api.domain.identifiers import mask_rfc
from backend_api.domain.money import ZERO
from backend_api.domain.statement import Commission, StatementLine, statement
from backend_api.domain.term_sheet import terms_of
from backend_api.domain.terms import Terms, TermsRefused
from backend_api.ledger import service as ledger


@dataclass(frozen=True, slots=True)
class Gathered:
    """The rows of a statement: the client, its disbursed loans, their movements posted by the end of the period, and
    the commissions posted in it."""

    client: Any
    loans: Sequence[Any]
    movements: Sequence[Any]
    commissions: Sequence[Any]


def document(gathered: Gathered, start: date, end: date, lender: Lender) -> StatementDocument:
    """The statement of [start, end]. Pure and not short: run it beside the event loop. Raises `StatementTooLong`."""
    of_loan: dict[UUID, list[Any]] = defaultdict(list)
    for row in gathered.movements:
        of_loan[row.loan_id].append(row)
    parts = [_part(loan, of_loan[loan.id], start, end) for loan in gathered.loans]
    client = gathered.client
    return StatementDocument(
        lender=lender,
        client=Client(client.full_name, mask_rfc(client.rfc) if client.rfc else None, client.address),
        period_from=start,
        period_to=end,
        loans=tuple(part for part in parts if part is not None and _belongs(part)),
        commissions=tuple(commission(row) for row in gathered.commissions),
    )


def _part(loan: Any, rows: Sequence[Any], start: date, end: date) -> LoanPart | None:
    """None for a loan of which nothing stood at the end: not disbursed yet, or taken back on its first day."""
    terms = terms_of(orjson.loads(loan.terms) if isinstance(loan.terms, str) else loan.terms, loan.disbursed_on)
    # What was known at the cut-off: rows that a later day took back still stood then.
    taken_back = {row.undoes_id for row in rows}
    stood = [row._mapping for row in rows if row.undoes_id is None and row.id not in taken_back]  # noqa: SLF001 - SQLAlchemy's own name for it
    if not stood:
        return None
    account, _ = replay(terms, [booked.movement for booked in ledger.standing(stood)])
    activity = statement(ZERO, [statement_line(row) for row in rows], start, end)
    return LoanPart.of(loan.folio, loan.product_name, account, activity, _cat(terms), loan.disbursed_on)


def statement_line(row: Any) -> StatementLine:
    """A movement as a line of a statement."""
    return StatementLine(
        posted_on=row.posted_on,
        value_date=row.value_date,
        sequence=row.sequence,
        loan_id=row.loan_id,
        kind=MovementKind(row.kind),
        split=Split(row.principal, row.interest, row.vat, row.fees, row.moratory),
        undoes=row.undoes_id is not None,
        reference=row.reference,
    )


def commission(row: Any) -> Commission:
    """A commission as a line of a statement."""
    return Commission(row.posted_on, row.reference, row.net, row.vat)


def _cat(terms: Terms) -> Cat | None:
    try:
        return cat(terms)
    except TermsRefused:  # a loan of before that rule
        return None


def _belongs(part: LoanPart) -> bool:
    """Whether the loan is of interest: something moved in the period, or something is or was owed at its ends."""
    return bool(part.activity.lines or part.activity.opening or part.owed)
