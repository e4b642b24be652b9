"""Use cases of loans. Each: read, refuse, decide; the writing is done by `http.write`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.account import Account, Movement, MovementKind, apply
from backend_api.domain.cat import cat
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO
from backend_api.domain.products import Product
from backend_api.domain.schedule import schedule
from backend_api.domain.states import ClientStatus, LoanEvent, LoanStatus, transition
from backend_api.domain.term_sheet import sheet, terms_of
from backend_api.domain.terms import MAX_INSTALLMENTS, FrequencyUnit, Refusal, Terms, TermsRefused
from backend_api.http import etag
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, NotFound
from backend_api.http.write import Aggregate, Change, Moved, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.service import Booking, LoanState
from backend_api.loans import events, queries
from backend_api.loans.schemas import LoanIn, LoanOut, LoanPatch
from backend_api.models import clients, loans
from backend_api.outbox.record import Fact, Origin
from backend_api.products import service as products
from backend_api.products.terms import TermsImpossible

VIEW = "loan"
STAFF = "staff"

TERM_TOO_LONG = Refusal("installments", "term_out_of_range", f"A loan lasts {MAX_INSTALLMENTS} months at most.")


class ClientUnknown(DomainError):
    """There is no such client."""

    code = "client_not_found"
    status = 404
    message = "There is no such client."

    def __init__(self) -> None:
        super().__init__()
        self.errors = [FieldError(pointer="/client_id", code=self.code, detail=self.message)]


class ClientInactive(DomainError):
    """An inactive client may pay, and gets no new loan."""

    code = "client_inactive"
    status = 409
    message = "The client is inactive and gets no new loan."


class ClientDefaulted(DomainError):
    """A client with a defaulted or written-off loan gets no new one."""

    code = "client_defaulted"
    status = 409
    message = "The client has a loan that is in default or written off and gets no new one."


class CreditLimitExceeded(DomainError):
    """The credit line does not reach."""

    code = "credit_limit_exceeded"
    status = 409
    message = "The loan is larger than what is left of the client's credit limit."


class TermsFrozen(DomainError):
    """What was agreed stays as it is once the loan is not pending any more. Facts: `loan_status`."""

    code = "terms_frozen"
    status = 409
    message = "The loan is not pending any more, so its terms stay as they are; only its notes can be changed."


class DuplicateLoanExternalId(DomainError):
    """Another loan has this external id."""

    code = "duplicate_external_id"
    status = 409
    message = "Another loan has this external id."

    def __init__(self) -> None:
        super().__init__(field="external_id")
        self.errors = [FieldError(pointer="/external_id", code="duplicate", detail=self.message)]


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"loans_external_id_key": DuplicateLoanExternalId}


def create_loan(body: LoanIn, limit: Decimal | None) -> UseCase:
    """Grant a loan; disbursed today unless PENDING is asked for or the amount is above `limit` (None: there is none),
    so that a second person has to agree to its activation.

    Raises `ClientUnknown`, `ClientInactive`, `ClientDefaulted`, `CreditLimitExceeded`, `DuplicateLoanExternalId`,
    `TermsImpossible`, `ProductUnknown`, `ProductRetired`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        client = await queries.client_for_loan(connection, body.client_id)
        if client is None:
            raise ClientUnknown
        _refuse_client(client["status"], defaulted=client["defaulted"])
        product = await products.for_new_loan(connection, body.product)
        terms = agreed(body, client["today"], product)
        if client["credit_limit"] is not None and client["used_credit"] + body.amount > client["credit_limit"]:
            raise CreditLimitExceeded
        granted = grant(body, terms, product, limit, client["folio"], client["today"], client["event_sequence"], origin)
        return Change(
            aggregate=Aggregate("client", clients, client["id"], client["event_sequence"], client["chain_head"]),
            business_date=client["today"],
            inserts=granted.inserts,
            facts=granted.facts,
            answer=answer(
                201, granted.row, client["event_sequence"] + len(granted.facts), client["today"], location=True
            ),
        )

    return use_case


def _refuse_client(status: str, *, defaulted: bool) -> None:
    if status != ClientStatus.ACTIVE:
        raise ClientInactive
    if defaulted:
        raise ClientDefaulted


@dataclass(frozen=True, slots=True)
class Granted:
    """A loan as it is granted: its row, all that is written, and what is told of it."""

    row: Mapping[str, Any]
    inserts: Sequence[Insert]
    facts: Sequence[Fact]


def grant(
    body: LoanIn,
    terms: Terms,
    product: Product,
    limit: Decimal | None,
    folio: int,
    today: date,
    sequence: int,
    origin: Origin,
) -> Granted:
    """Grant a loan to a client who may have it and whose last event is the one of `sequence`; disbursed unless it is to
    be PENDING or needs a second person. Raises `AmountTooLarge`."""
    status = LoanStatus.PENDING if limit is not None and body.amount > limit else body.status
    row: dict[str, Any] = {
        "id": uuid7(origin.at),
        "folio": folio,
        "client_id": body.client_id,
        "external_id": body.external_id,
        "status": LoanStatus.PENDING.value,
        "amount": body.amount,
        "interest_rate": terms.interest_rate,
        "term_months": months(terms),
        "product": product.code,
        "product_version": product.version,
        "terms": orjson.dumps(sheet(terms)).decode(),
        "disbursed_on": None,
        "current_balance": ZERO,
        "account": None,
        "account_on": None,
        "next_due_on": None,
        "version": 1,
        "created_at": origin.at,
        "updated_at": origin.at,
    }
    facts = [events.loan_created({**row, "status": status.value})]
    if status is LoanStatus.PENDING:
        return Granted(row, [Insert(loans, [row])], facts)
    posted = _disburse(row, today, sequence + 2, origin)
    row |= {**posted.snapshot, "version": 1}
    return Granted(row, [Insert(loans, [row]), *posted.inserts], [*facts, events.loan_activated(row)])


def activate_loan(loan_id: UUID, if_match: str | None) -> UseCase:
    """Hand the money over. Raises `NotFound`, `TransitionRefused`, `PreconditionFailed`, and for what has changed since
    the loan was asked for `ClientInactive`, `ClientDefaulted`, and `TermsImpossible`: a first due date has passed."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await for_change(connection, loan_id, if_match)
        transition(LoanStatus(loan["status"]), LoanEvent.ACTIVATE)
        _refuse_client(loan["client_status"], defaulted=loan["defaulted"])
        try:
            _refuse_impossible(terms_of(orjson.loads(loan["terms"]), loan["today"]))
        except TermsRefused as refused:
            raise TermsImpossible(refused) from refused
        sequence = loan["event_sequence"] + 1
        posted = _disburse(loan, loan["today"], sequence, origin)
        changed = {**plain(loan), **posted.snapshot}
        return Change(
            aggregate=aggregate(loan),
            business_date=loan["today"],
            inserts=posted.inserts,
            updates=[posted.update],
            facts=[events.loan_activated(changed)],
            answer=answer(200, changed, sequence, loan["today"]),
            amount=loan["amount"],
        )

    return use_case


def close_pending_loan(loan_id: UUID, event: LoanEvent, if_match: str | None) -> UseCase:
    """Reject or cancel a pending loan. Raises `NotFound`, `TransitionRefused`, `PreconditionFailed`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        return closed(await for_change(connection, loan_id, if_match), event, origin)

    return use_case


def closed(loan: Record, event: LoanEvent, origin: Origin) -> Change:
    """The change that ends a pending loan. Raises `TransitionRefused`."""
    status = transition(LoanStatus(loan["status"]), event)
    values = {"status": status.value, "version": loan["version"] + 1, "updated_at": origin.at}
    return Change(
        aggregate=aggregate(loan),
        business_date=loan["today"],
        updates=[Update(loans, loan["id"], values)],
        facts=[events.loan_closed(loan["id"], loan["client_id"], status)],
        answer=answer(200, {**plain(loan), **values}, loan["event_sequence"] + 1, loan["today"]),
    )


def change_loan(loan_id: UUID, body: LoanPatch, if_match: str | None) -> UseCase:
    """Change the terms of a pending loan, or the notes of any.

    Raises `NotFound`, `TermsFrozen`, `TermsImpossible`, `CreditLimitExceeded`, `PreconditionFailed`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        loan = await for_change(connection, loan_id, if_match)
        values: dict[str, Any] = {"notes": body.notes} if "notes" in body.model_fields_set else {}
        if body.changes_terms:
            if loan["status"] != LoanStatus.PENDING:
                raise TermsFrozen(loan_status=loan["status"])
            terms = await _changed_terms(connection, loan, body)
            values |= {
                "amount": terms.amount,
                "interest_rate": terms.interest_rate,
                "term_months": months(terms),
                "terms": orjson.dumps(sheet(terms)).decode(),
            }
        changed = {name: value for name, value in values.items() if not _same(loan[name], value)}
        if not changed:
            return answer(200, plain(loan), loan["event_sequence"], loan["today"])
        changed |= {"version": loan["version"] + 1, "updated_at": origin.at}
        return Change(
            aggregate=aggregate(loan),
            business_date=loan["today"],
            updates=[Update(loans, loan_id, changed)],
            facts=[events.loan_updated(loan_id, loan["client_id"], list(changed.keys() - {"version", "updated_at"}))],
            answer=answer(200, {**plain(loan), **changed}, loan["event_sequence"] + 1, loan["today"]),
        )

    return use_case


async def _changed_terms(connection: Connection, loan: Record, body: LoanPatch) -> Terms:
    """The terms with what was sent of them. Raises TermsImpossible, CreditLimitExceeded."""
    try:
        terms = body.terms(terms_of(orjson.loads(loan["terms"]), loan["today"]))
        _refuse_impossible(terms)
    except TermsRefused as refused:
        raise TermsImpossible(refused, sent=body.model_fields_set) from refused
    client = await queries.client_for_loan(connection, loan["client_id"])
    if client is None or client["event_sequence"] != loan["event_sequence"]:  # maybe the amount that is taken off
        raise Moved(aggregate(loan))
    used = client["used_credit"] - loan["amount"] + terms.amount
    if client["credit_limit"] is not None and used > client["credit_limit"]:
        raise CreditLimitExceeded
    return terms


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, str) and isinstance(new, str) and old.startswith("{"):
        found: bool = orjson.loads(old) == orjson.loads(new)
        return found
    return bool(old == new)


async def for_change(connection: Connection, loan_id: UUID, if_match: str | None) -> Record:
    """A loan as it is to be changed. Raises `NotFound`, `PreconditionFailed`."""
    loan = await queries.for_change(connection, loan_id)
    if loan is None:
        raise NotFound
    etag.check_if_match(if_match, loan["version"])
    return loan


def agreed(body: LoanIn, today: date, product: Product, **fixed: Any) -> Terms:
    """What is agreed, with some terms `fixed`. Raises TermsImpossible, for a pending loan as if disbursed today."""
    try:
        terms = replace(body.terms(today, product), **fixed)
        _refuse_impossible(terms)
    except TermsRefused as refused:
        raise TermsImpossible(refused, sent=body.model_fields_set) from refused
    return terms


def _refuse_impossible(terms: Terms) -> None:
    """Raises TermsRefused for terms of which there is no schedule or no CAT, as a preview does."""
    schedule(terms)
    cat(terms)


def months(terms: Terms) -> int | None:
    """The term in months; None when the frequency is another. Raises TermsImpossible for more than 600."""
    if terms.frequency.unit is not FrequencyUnit.MONTH:
        return None
    term = terms.installments * terms.frequency.every
    if term > MAX_INSTALLMENTS:
        raise TermsImpossible(TermsRefused(TERM_TOO_LONG))
    return term


def _disburse(loan: Mapping[str, Any] | Record, today: date, sequence: int, origin: Origin) -> ledger.Posted:
    account = Account.opened(terms_of(orjson.loads(loan["terms"]), today))
    movement = Movement(uuid7(origin.at), MovementKind.DISBURSEMENT, today, sequence)
    account, split = apply(account, movement)
    return ledger.post(
        LoanState(loan["id"], loan["version"], loan["product"]),
        [Booking(movement, split)],
        account,
        status=LoanStatus.ACTIVE.value,
        account_on=today,
        posted_on=today,
        sequence=sequence,
        origin=origin,
        also={"disbursed_on": today},
    )


def aggregate(loan: Record) -> Aggregate:
    """The loan's client, as it was read with the loan."""
    return Aggregate("client", clients, loan["client_id"], loan["event_sequence"], loan["chain_head"])


def plain(loan: Record) -> dict[str, Any]:
    """The columns that callers see."""
    return {name: loan[name] for name in LoanOut.model_fields}


def answer(status: int, row: Mapping[str, Any], sequence: int, today: Any, *, location: bool = False) -> Answer:
    """The loan after a change, with the ETag that goes with it."""
    loan = LoanOut.model_validate(row)
    headers = {"ETag": etag.make(loan.version, sequence, today, VIEW, STAFF)}
    if location:
        headers["Location"] = f"/api/v1/loans/{loan.id}"
    return Answer(status, loan.model_dump_json().encode(), headers)
