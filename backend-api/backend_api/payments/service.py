"""Use cases of payments. Each: read, refuse, decide; the writing is done by `http.write`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.account import MovementKind, Split
from backend_api.domain.allocation import Debt, Share, allocate_to_loan, distribute, distribute_explicit
from backend_api.domain.errors import DomainError, LoanNotActive, PaymentExceedsDebt
from backend_api.domain.states import OWING, LoanEvent, LoanStatus, PaymentStatus, transition
from backend_api.http import problems
from backend_api.http.idempotency import Answer
from backend_api.http.problems import NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.position import position_of
from backend_api.ledger.service import LoanState
from backend_api.loans.events import loan_closed
from backend_api.models import clients, payments
from backend_api.outbox.record import Fact, Origin
from backend_api.payments import events, queries
from backend_api.payments.schemas import AllocationOut, ClientPaymentIn, PaymentIn, PaymentOut


class PaidInFuture(DomainError):
    """A payment cannot be dated after the business date."""

    code = "paid_in_future"
    status = 409
    message = "The payment is dated after the current business date."


class PaidBeforeDisbursement(DomainError):
    """A payment cannot be older than the loan."""

    code = "paid_before_disbursement"
    status = 409
    message = "The payment is dated before the loan was disbursed."


class DuplicateReference(DomainError):
    """This client's payment of that reference (or external id) is registered already. Facts: `payment_id`, `field`."""

    code = "duplicate_reference"
    status = 409
    message = "A payment of this client with the same reference is registered already."


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A loan's row, as the position needs it."""

    current_balance: Decimal
    disbursed_on: date | None


def pay_loan(loan_id: UUID, body: PaymentIn) -> UseCase:
    """Register a payment on a loan. What is above the payoff is refused, and recorded as REJECTED.

    Raises `NotFound`, `LoanNotActive`, `PaidInFuture`, `PaidBeforeDisbursement`, `DuplicateReference`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await queries.loan_to_pay(connection, loan_id, body.reference, body.external_id)
        if loan is None:
            raise NotFound
        _refuse_known(loan)
        if LoanStatus(loan["status"]) not in OWING:
            raise LoanNotActive(loan_status=loan["status"])
        paid_on = _paid_on(body, loan["today"])
        _refuse_too_early(paid_on, loan)
        try:
            split = allocate_to_loan(_position(loan, paid_on), body.amount, paid_on)
        except PaymentExceedsDebt as refusal:
            return _rejected(loan, [loan_id], body, paid_on, refusal, origin)
        return _registered(loan, [(loan, split)], body, paid_on, origin)

    return use_case


def pay_client(client_id: UUID, body: ClientPaymentIn) -> UseCase:
    """Register a payment on a client's loans. Raises what `pay_loan` does, and what the details may get wrong."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        rows = await queries.client_to_pay(connection, client_id, body.reference, body.external_id)
        if not rows:
            raise NotFound
        _refuse_known(rows[0])
        paid_on = _paid_on(body, rows[0]["today"])
        loans = {row["id"]: row for row in rows if row["id"] is not None}
        debts = [_debt(row, paid_on) for row in loans.values()]
        try:
            shares = _distribute(body, debts)
        except PaymentExceedsDebt as refusal:
            return _rejected(rows[0], list(loans), body, paid_on, refusal, origin)
        for share in shares:
            _refuse_too_early(paid_on, loans[share.loan_id])
        splits = [
            (loans[share.loan_id], allocate_to_loan(_position(loans[share.loan_id], paid_on), share.amount, paid_on))
            for share in shares
        ]
        return _registered(rows[0], splits, body, paid_on, origin)

    return use_case


def _distribute(body: ClientPaymentIn, debts: Sequence[Debt]) -> list[Share]:
    if not body.payment_details:
        return distribute(body.amount, debts)
    details = [Share(detail.loan_id, detail.amount) for detail in body.payment_details]
    return distribute_explicit(body.amount, details, debts)


def _registered(
    client: Record, splits: Sequence[tuple[Record, Split]], body: PaymentIn, paid_on: date, origin: Origin
) -> Change:
    sequence = client["event_sequence"] + 1
    payment = _payment_row(client, body, paid_on, PaymentStatus.REGISTERED, None, origin)
    inserts = [Insert(payments, [payment])]
    updates: list[Update] = []
    allocations: list[AllocationOut] = []
    facts: list[Fact] = [
        events.payment_registered(payment["id"], [loan["id"] for loan, _ in splits], body.amount, paid_on)
    ]
    for loan, split in splits:
        status = LoanStatus(loan["status"])
        if split.principal == loan["current_balance"]:
            status = transition(status, LoanEvent.PAY_OFF)
            facts.append(loan_closed(loan["id"], client["client_id"], status))
        posted = ledger.post(
            MovementKind.PAYMENT,
            LoanState(loan["id"], loan["status"], loan["version"], loan["current_balance"]),
            split,
            status=status.value,
            value_date=paid_on,
            posted_on=client["today"],
            sequence=sequence,
            payment_id=payment["id"],
            origin=origin,
        )
        inserts.extend(posted.inserts)
        updates.append(posted.update)
        allocations.append(_allocation(loan["id"], split, posted.snapshot["current_balance"], status))
    return Change(
        aggregate=_aggregate(client),
        business_date=client["today"],
        inserts=inserts,
        updates=updates,
        facts=facts,
        answer=Answer(
            201,
            PaymentOut.model_validate({**payment, "allocations": allocations}).model_dump_json().encode(),
            {"Location": f"/api/v1/payments/{payment['id']}"},
        ),
    )


def _rejected(
    client: Record,
    loan_ids: Sequence[UUID],
    body: PaymentIn,
    paid_on: date,
    refusal: PaymentExceedsDebt,
    origin: Origin,
) -> Change:
    """Nothing is booked, but that somebody offered too much is a fact worth keeping."""
    payment = _payment_row(client, body, paid_on, PaymentStatus.REJECTED, refusal.code, origin)
    refusal.facts["payment_id"] = str(payment["id"])
    return Change(
        aggregate=_aggregate(client),
        business_date=client["today"],
        inserts=[Insert(payments, [payment])],
        facts=[events.payment_rejected(payment["id"], loan_ids, body.amount, paid_on, refusal.code)],
        answer=Answer(refusal.status, problems.of_refusal(refusal), {}, problems.MEDIA_TYPE),
    )


def _payment_row(
    client: Record, body: PaymentIn, paid_on: date, status: PaymentStatus, reason: str | None, origin: Origin
) -> dict[str, Any]:
    return {
        "id": uuid7(origin.at),
        "client_id": client["client_id"],
        "status": status.value,
        "amount": body.amount,
        "paid_on": paid_on,
        "posted_on": client["today"],
        "method": body.method.value,
        "reference": body.reference,
        "external_id": body.external_id,
        "reason": reason,
        "sequence": client["event_sequence"] + 1,
        "actor": origin.actor,
        "created_at": origin.at,
    }


def _refuse_known(row: Record) -> None:
    for field in ("reference", "external_id"):
        first = row[f"same_{field}"]
        if first is not None:
            raise DuplicateReference(payment_id=str(first), field=field)


def _paid_on(body: PaymentIn, today: date) -> date:
    if body.paid_on is not None and body.paid_on > today:
        raise PaidInFuture(business_date=today.isoformat())
    return body.paid_on or today


def _refuse_too_early(paid_on: date, loan: Record) -> None:
    if paid_on < loan["disbursed_on"]:
        raise PaidBeforeDisbursement(loan_id=str(loan["id"]), disbursed_on=loan["disbursed_on"].isoformat())


def _position(loan: Record, on: date) -> Any:
    return position_of(_Snapshot(loan["current_balance"], loan["disbursed_on"]), on)


def _debt(loan: Record, on: date) -> Debt:
    return Debt(loan["id"], _position(loan, on).payoff_amount, loan["disbursed_on"], loan["folio"])


def _aggregate(client: Record) -> Aggregate:
    return Aggregate("client", clients, client["client_id"], client["event_sequence"], client["chain_head"])


def _allocation(loan_id: UUID, split: Split, balance: Decimal, status: LoanStatus) -> AllocationOut:
    return AllocationOut(
        loan_id=loan_id,
        amount=split.total,
        principal=split.principal,
        interest=split.interest,
        vat=split.vat,
        fees=split.fees,
        moratory=split.moratory,
        current_balance=balance,
        loan_status=status,
    )
