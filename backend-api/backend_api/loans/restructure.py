"""Restructuring: a loan is closed by a transfer and another one takes its place, in one commit."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record

from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.account import Account, Movement, MovementKind, MovementRefused, Split, apply
from backend_api.domain.delinquency import Stage
from backend_api.domain.money import ZERO
from backend_api.domain.states import LoanEvent, LoanStatus, transition
from backend_api.domain.term_sheet import sheet
from backend_api.domain.terms import NO_FEE, Terms
from backend_api.http.write import Change, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.service import Booking, LoanState
from backend_api.ledger.state import account_of
from backend_api.loans import events, queries, service
from backend_api.loans.schemas import LoanIn, RestructureIn
from backend_api.models import loans
from backend_api.outbox.record import Origin
from backend_api.products import service as products


def restructure(loan_id: UUID, body: RestructureIn, if_match: str | None) -> UseCase:
    """Close a loan and open one of new terms for the principal that is owed; the answer is the new loan.

    What is owed besides principal is carried apart and bears no interest. The new loan is non-performing until its
    payments have been sustained (general provisions for popular savings and credit entities, stage 3). Interest that
    was paid before it arose is taken off the principal.
    Raises `NotFound`, `TransitionRefused`, `MovementRefused`, `TermsImpossible`, `ProductUnknown`, `ProductRetired`,
    `PreconditionFailed`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        old = await service.for_change(connection, loan_id, if_match)
        status = transition(LoanStatus(old["status"]), LoanEvent.RESTRUCTURE)
        today, sequence = old["today"], old["event_sequence"] + 1
        movement = Movement(uuid7(origin.at), MovementKind.RESTRUCTURE, today, sequence)
        emptied, owed = apply(account_of(old["terms"], old["disbursed_on"], old["account"]), movement)
        closed = ledger.post(
            ledger.loan_state(old),
            [Booking(movement, owed, note=body.reason)],
            emptied,
            status=status.value,
            account_on=today,
            posted_on=today,
            sequence=sequence,
            origin=origin,
        )
        moved = _moved(owed)
        if moved.principal <= ZERO:
            raise MovementRefused
        terms, row = await _new_loan(connection, old, moved.principal, body, origin)
        posted = _transfer(terms, row, moved, sequence + 2, origin)
        row |= {**posted.snapshot, "version": 1}
        facts = [
            events.loan_restructured(loan_id, old["client_id"], row["id"]),
            events.loan_created(row),
            events.loan_activated(row),
        ]
        return Change(
            aggregate=service.aggregate(old),
            business_date=today,
            inserts=[Insert(loans, [row]), *closed.inserts, *posted.inserts],
            updates=[closed.update],
            facts=facts,
            answer=service.answer(201, row, sequence + 2, today, location=True),
            amount=owed.total,
        )

    return use_case


def _moved(owed: Split) -> Split:
    """What the new loan takes over: interest and VAT that are less than nothing pay principal."""
    interest, vat = max(owed.interest, ZERO), max(owed.vat, ZERO)
    principal = owed.principal + owed.interest - interest + owed.vat - vat
    return replace(owed, principal=principal, interest=interest, vat=vat)


async def _new_loan(
    connection: Connection, old: Record, principal: Decimal, body: RestructureIn, origin: Origin
) -> tuple[Terms, dict[str, Any]]:
    said = LoanIn(client_id=old["client_id"], amount=principal, **body.own_terms())
    product = await products.for_new_loan(connection, body.product)
    terms = service.agreed(said, old["today"], product, opening_fee=NO_FEE)
    row = {
        "id": uuid7(origin.at),
        "folio": await queries.next_folio(connection),
        "client_id": old["client_id"],
        "external_id": body.external_id,
        "status": LoanStatus.PENDING.value,
        "amount": principal,
        "interest_rate": terms.interest_rate,
        "term_months": service.months(terms),
        "product": product.code,
        "product_version": product.version,
        "terms": orjson.dumps(sheet(terms)).decode(),
        "disbursed_on": None,
        "current_balance": ZERO,
        "restructured_from": old["id"],
        "version": 1,
        "created_at": origin.at,
        "updated_at": origin.at,
    }
    return terms, row


def _transfer(terms: Terms, row: dict[str, Any], moved: Split, sequence: int, origin: Origin) -> ledger.Posted:
    today = terms.disbursed_on
    carried = replace(moved, principal=ZERO)
    movement = Movement(uuid7(origin.at), MovementKind.TRANSFER, today, sequence, carried=carried)
    account, split = apply(Account.opened(terms), movement)
    return ledger.post(
        LoanState(row["id"], row["version"], row["product"], Stage.NON_PERFORMING),
        [Booking(movement, split)],
        account,
        status=LoanStatus.ACTIVE.value,
        account_on=today,
        posted_on=today,
        sequence=sequence,
        origin=origin,
        also={"disbursed_on": today},
    )
