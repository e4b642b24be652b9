"""Use cases of loans. Each: read, refuse, decide; the writing is done by `http.write`."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.account import MovementKind, Split
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO
from backend_api.domain.states import ClientStatus, LoanEvent, LoanStatus, transition
from backend_api.http import etag
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.service import LoanState
from backend_api.loans import events, queries
from backend_api.loans.schemas import LoanIn, LoanOut
from backend_api.models import clients, loans
from backend_api.outbox.record import Origin

VIEW = "loan"
STAFF = "staff"


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


class DuplicateLoanExternalId(DomainError):
    """Another loan has this external id."""

    code = "duplicate_external_id"
    status = 409
    message = "Another loan has this external id."

    def __init__(self) -> None:
        super().__init__(field="external_id")
        self.errors = [FieldError(pointer="/external_id", code="duplicate", detail=self.message)]


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"loans_external_id_key": DuplicateLoanExternalId}


def create_loan(body: LoanIn) -> UseCase:
    """Grant a loan; disbursed today unless PENDING is asked for.

    Raises `ClientUnknown`, `ClientInactive`, `ClientDefaulted`, `CreditLimitExceeded`, `DuplicateLoanExternalId`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        client = await queries.client_for_loan(connection, body.client_id)
        if client is None:
            raise ClientUnknown
        if client["status"] != ClientStatus.ACTIVE:
            raise ClientInactive
        if client["defaulted"]:
            raise ClientDefaulted
        if client["credit_limit"] is not None and client["used_credit"] + body.amount > client["credit_limit"]:
            raise CreditLimitExceeded
        row: dict[str, Any] = {
            "id": uuid7(origin.at),
            "folio": client["folio"],
            "client_id": body.client_id,
            "external_id": body.external_id,
            "status": LoanStatus.PENDING.value,
            "amount": body.amount,
            "interest_rate": body.interest_rate,
            "term_months": body.term_months,
            "disbursed_on": None,
            "current_balance": ZERO,
            "version": 1,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        inserts: list[Insert] = []
        facts = [events.loan_created({**row, "status": body.status.value})]
        if body.status is LoanStatus.ACTIVE:
            posted = _disburse(row, client["today"], client["event_sequence"] + 2, origin)
            row |= {**posted.snapshot, "version": 1}
            inserts = list(posted.inserts)
            facts.append(events.loan_activated(row))
        return Change(
            aggregate=Aggregate("client", clients, client["id"], client["event_sequence"], client["chain_head"]),
            business_date=client["today"],
            inserts=[Insert(loans, [row]), *inserts],
            facts=facts,
            answer=_answer(201, row, client["event_sequence"] + len(facts), client["today"], location=True),
        )

    return use_case


def activate_loan(loan_id: UUID, if_match: str | None) -> UseCase:
    """Hand the money over. Raises `NotFound`, `TransitionRefused`, `PreconditionFailed`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await _for_change(connection, loan_id, if_match)
        transition(LoanStatus(loan["status"]), LoanEvent.ACTIVATE)
        sequence = loan["event_sequence"] + 1
        posted = _disburse(loan, loan["today"], sequence, origin)
        changed = {**_plain(loan), **posted.snapshot}
        return Change(
            aggregate=_aggregate(loan),
            business_date=loan["today"],
            inserts=posted.inserts,
            updates=[posted.update],
            facts=[events.loan_activated(changed)],
            answer=_answer(200, changed, sequence, loan["today"]),
        )

    return use_case


def close_pending_loan(loan_id: UUID, event: LoanEvent, if_match: str | None) -> UseCase:
    """Reject or cancel a pending loan. Raises `NotFound`, `TransitionRefused`, `PreconditionFailed`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await _for_change(connection, loan_id, if_match)
        status = transition(LoanStatus(loan["status"]), event)
        values = {"status": status.value, "version": loan["version"] + 1, "updated_at": origin.at}
        return Change(
            aggregate=_aggregate(loan),
            business_date=loan["today"],
            updates=[Update(loans, loan_id, values)],
            facts=[events.loan_closed(loan_id, loan["client_id"], status)],
            answer=_answer(200, {**_plain(loan), **values}, loan["event_sequence"] + 1, loan["today"]),
        )

    return use_case


async def _for_change(connection: Connection, loan_id: UUID, if_match: str | None) -> Record:
    loan = await queries.for_change(connection, loan_id)
    if loan is None:
        raise NotFound
    etag.check_if_match(if_match, loan["version"])
    return loan


def _disburse(loan: Mapping[str, Any] | Record, today: Any, sequence: int, origin: Origin) -> ledger.Posted:
    state = LoanState(loan["id"], loan["status"], loan["version"], loan["current_balance"])
    return ledger.post(
        MovementKind.DISBURSEMENT,
        state,
        Split(principal=loan["amount"]),
        status=LoanStatus.ACTIVE.value,
        value_date=today,
        posted_on=today,
        sequence=sequence,
        payment_id=None,
        origin=origin,
        also={"disbursed_on": today},
    )


def _aggregate(loan: Record) -> Aggregate:
    return Aggregate("client", clients, loan["client_id"], loan["event_sequence"], loan["chain_head"])


def _plain(loan: Record) -> dict[str, Any]:
    return {name: loan[name] for name in LoanOut.model_fields}


def _answer(status: int, row: Mapping[str, Any], sequence: int, today: Any, *, location: bool = False) -> Answer:
    loan = LoanOut.model_validate(row)
    headers = {"ETag": etag.make(loan.version, sequence, today, VIEW, STAFF)}
    if location:
        headers["Location"] = f"/api/v1/loans/{loan.id}"
    return Answer(status, loan.model_dump_json().encode(), headers)
