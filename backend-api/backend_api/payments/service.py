"""Use cases of payments. Each: read, refuse, decide; the writing is done by `http.write`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain import corrections
from backend_api.domain.account import Account, Movement, MovementKind, MovementRefused, Split, apply
from backend_api.domain.allocation import Debt, Share, distribute, distribute_explicit
from backend_api.domain.errors import (
    DetailLoanNotOwing,
    DomainError,
    LoanNotActive,
    MoneyNotPositive,
    PaymentExceedsDebt,
)
from backend_api.domain.ledger import Posting, undone
from backend_api.domain.money import format_money
from backend_api.domain.states import OWING, PAYABLE, LoanEvent, LoanStatus, PaymentStatus, transition
from backend_api.domain.terms import ExcessPolicy
from backend_api.http import problems
from backend_api.http.idempotency import Answer
from backend_api.http.problems import NotFound
from backend_api.http.write import Aggregate, Change, Moved, UseCase
from backend_api.ledger import service as ledger
from backend_api.ledger.service import Booking
from backend_api.ledger.state import account_of
from backend_api.loans import queries as loan_queries
from backend_api.loans.events import loan_changed, loan_recovered
from backend_api.models import clients, payment_reversals, payments
from backend_api.outbox.record import Fact, Origin
from backend_api.payments import events, queries
from backend_api.payments.schemas import AllocationOut, ClientPaymentIn, PaymentIn, PaymentOut, ReversalIn


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


class PaidTooLongAgo(DomainError):
    """A payment is dated back further than the setting allows. Facts: `earliest`."""

    code = "paid_too_long_ago"
    status = 409
    message = "The payment is dated back further than is allowed."


class PaymentNotRegistered(DomainError):
    """A refused payment moved nothing, so there is nothing to reverse."""

    code = "payment_not_registered"
    status = 409
    message = "The payment was refused when it came, so there is nothing to reverse."


class PaymentAlreadyReversed(DomainError):
    """A payment is reversed once. Facts: `reversal_id` of the first."""

    code = "payment_already_reversed"
    status = 409
    message = "The payment is reversed already."


class LoanFrozen(DomainError):
    """What happened before a loan was restructured stays as it is. Facts: `loan_id`, `loan_status`."""

    code = "loan_frozen"
    status = 409
    message = "The loan was restructured, so that its earlier movements stay as they are."


class DuplicateReference(DomainError):
    """This client's payment of that reference (or external id) is registered already. Facts: `payment_id`, `field`."""

    code = "duplicate_reference"
    status = 409
    message = "A payment of this client with the same reference is registered already."


@dataclass(frozen=True, slots=True)
class Part:
    """What of a payment goes to one loan; `excess` is the policy that was asked for, None for that of the loan."""

    loan_id: UUID
    amount: Decimal
    excess: ExcessPolicy | None = None


@dataclass(frozen=True, slots=True)
class _Paid:
    """What a payment does to one loan."""

    loan: Record
    bookings: list[Booking]
    split: Split
    account: Account
    account_on: date


def pay_loan(loan_id: UUID, body: PaymentIn, back_dating_days: int) -> UseCase:
    """Register a payment on a loan. What is above the payoff is refused, and recorded as REJECTED.

    Raises `NotFound`, `LoanNotActive`, `DuplicateReference`, `PaidInFuture`, `PaidBeforeDisbursement`,
    `PaidTooLongAgo`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        loan = await queries.loan_to_pay(connection, loan_id, body.reference, body.external_id)
        if loan is None:
            raise NotFound
        _refuse_known(loan)
        if LoanStatus(loan["status"]) not in PAYABLE:
            raise LoanNotActive(loan_status=loan["status"])
        paid_on = _paid_on(body, loan["today"], back_dating_days)
        _refuse_too_early(paid_on, loan)
        payment_id = uuid7(origin.at)
        try:
            paid = await _pay(connection, loan, body.amount, paid_on, payment_id)
        except (PaymentExceedsDebt, MovementRefused) as refusal:
            return reject(loan, payment_id, [loan_id], body, paid_on, refusal, origin)
        return _registered(loan, payment_id, [paid], body, paid_on, origin)

    return use_case


STORED: tuple[type[DomainError], ...] = (PaymentExceedsDebt, MovementRefused)
"""Refusals of money that was really offered: the payment is kept as REJECTED."""


def pay_client(
    client_id: UUID, body: ClientPaymentIn, back_dating_days: int, stored: tuple[type[DomainError], ...] = STORED
) -> UseCase:
    """Register a payment on a client's loans. Raises what `pay_loan` does, and what the details may get wrong, unless
    it is among the refusals that are `stored` with the payment."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        rows = await queries.client_to_pay(connection, client_id, body.reference, body.external_id)
        if not rows:
            raise NotFound
        _refuse_known(rows[0])
        paid_on = _paid_on(body, rows[0]["today"], back_dating_days)
        loans = {row["id"]: row for row in rows if row["id"] is not None}
        payment_id = uuid7(origin.at)
        try:
            shares = _distribute(body, [_debt(row, paid_on) for row in loans.values()])
            for share in shares:
                _refuse_too_early(paid_on, loans[share.loan_id])
            paid = [await _pay(connection, loans[share.loan_id], share.amount, paid_on, payment_id) for share in shares]
        except stored as refusal:
            return reject(rows[0], payment_id, list(loans), body, paid_on, refusal, origin)
        return _registered(rows[0], payment_id, paid, body, paid_on, origin)

    return use_case


def reverse_payment(payment_id: UUID, body: ReversalIn) -> UseCase:
    """Take a payment back: contra rows today, and what came after it is split anew where that changes it. A commission
    that came with it is given back too.

    Raises `NotFound`, `PaymentNotRegistered`, `PaymentAlreadyReversed`, `LoanFrozen`, `MovementRefused`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        payment = await queries.payment_to_reverse(connection, payment_id)
        if payment is None:
            raise NotFound
        if payment["status"] != PaymentStatus.REGISTERED:
            raise PaymentNotRegistered
        if payment["reversal_id"] is not None:
            raise PaymentAlreadyReversed(reversal_id=str(payment["reversal_id"]))
        loans = await queries.loans_of_payment(connection, payment_id)
        changed = [await _undo(connection, loan, payment) for loan in loans]
        sequence = payment["event_sequence"] + 1
        reversal = {
            "payment_id": payment_id,
            "id": uuid7(origin.at),
            "reason": body.reason,
            "posted_on": payment["today"],
            "sequence": sequence,
            "actor": origin.actor,
            "created_at": origin.at,
        }
        facts = [
            events.payment_reversed(payment_id, [loan["id"] for loan in loans], payment["amount"], payment["paid_on"])
        ]
        commission = await queries.commission(connection, payment_id)
        inserts, updates = [Insert(payment_reversals, [reversal]), *_given_back(commission, reversal, origin)], []
        for paid in changed:
            posted, fact, _ = _post(paid, payment["client_id"], payment["today"], sequence, origin)
            inserts.extend(posted.inserts)
            updates.append(posted.update)
            facts.extend(fact)
        answer = PaymentOut.model_validate({**payment, "status": PaymentStatus.REVERSED, "allocations": []})
        return Change(
            aggregate=_aggregate(payment),
            business_date=payment["today"],
            inserts=inserts,
            updates=updates,
            facts=facts,
            answer=Answer(200, answer.model_dump_json().encode(), {}),
            amount=payment["amount"],
        )

    return use_case


async def pay_parts(
    connection: Connection,
    client: Sequence[Record],
    parts: Sequence[Part],
    body: PaymentIn,
    payment_id: UUID,
    paid_on: date,
    origin: Origin,
) -> Change:
    """The change that registers a payment of exactly these parts on a client's loans, read by `queries.client_to_pay`.

    Raises `DuplicateReference`, `DetailLoanNotOwing`, `PaymentExceedsDebt`, `MovementRefused`.
    """
    _refuse_known(client[0])
    loans = {row["id"]: row for row in client}
    paid = []
    for part in parts:
        if part.loan_id not in loans:
            raise DetailLoanNotOwing(loan_id=str(part.loan_id))
        paid.append(await _pay(connection, loans[part.loan_id], part.amount, paid_on, payment_id, part.excess))
    return _registered(client[0], payment_id, paid, body, paid_on, origin)


async def _pay(
    connection: Connection,
    loan: Record,
    amount: Decimal,
    paid_on: date,
    payment_id: UUID,
    excess: ExcessPolicy | None = None,
) -> _Paid:
    """Raises MoneyNotPositive, PaymentExceedsDebt, and MovementRefused when a later movement cannot stand beside it."""
    if not amount:
        raise MoneyNotPositive
    account = _account(loan)
    written_off = loan["status"] == LoanStatus.WRITTEN_OFF
    kind = MovementKind.RECOVERY if written_off else MovementKind.PAYMENT
    movement = Movement(payment_id, kind, paid_on, loan["event_sequence"] + 1, amount, excess=excess)
    if paid_on < loan["account_on"]:
        return await _pay_back_dated(connection, loan, movement)
    try:
        after, split = apply(account, movement)
    except MovementRefused as refusal:
        most = account.largest_payment(paid_on)
        if amount > most:
            raise PaymentExceedsDebt(payoff_amount=format_money(most), loan_id=str(loan["id"])) from refusal
        raise
    return _Paid(loan, [Booking(movement, split, payment_id)], split, after, paid_on)


async def _pay_back_dated(connection: Connection, loan: Record, movement: Movement) -> _Paid:
    """A payment dated before the last movement: what came after its day is split anew where that changes it."""
    rows = await loan_queries.standing_movements(connection, loan["id"])
    correction = await asyncio.to_thread(corrections.add, _account(loan).terms, ledger.standing(rows), movement)
    of_payments = {row["movement_id"]: row["payment_id"] for row in rows} | {movement.id: movement.id}
    split = next(split for booked, split in correction.booked if booked.id == movement.id)
    bookings = ledger.bookings_of(correction, of_payments)
    return _Paid(loan, bookings, split, correction.account, loan["account_on"])


async def _undo(connection: Connection, loan: Record, payment: Record) -> _Paid:
    if loan["status"] == LoanStatus.RESTRUCTURED:
        raise LoanFrozen(loan_id=str(loan["id"]), loan_status=loan["status"])
    rows = await loan_queries.standing_movements(connection, loan["id"])
    left = [row["value_date"] for row in rows if row["movement_id"] != payment["id"]]
    if len(left) == len(rows):  # taken back since it was read, and maybe the disbursement too
        raise Moved(_aggregate(payment))
    correction = await asyncio.to_thread(corrections.remove, _account(loan).terms, ledger.standing(rows), payment["id"])
    of_payments = {row["movement_id"]: row["payment_id"] for row in rows}
    return _Paid(loan, ledger.bookings_of(correction, of_payments), Split(), correction.account, max(left))


def _distribute(body: ClientPaymentIn, debts: Sequence[Debt]) -> list[Share]:
    if not body.payment_details:
        return distribute(body.amount, debts)
    details = [Share(detail.loan_id, detail.amount) for detail in body.payment_details]
    return distribute_explicit(body.amount, details, debts)


def _registered(
    client: Record, payment_id: UUID, loans: Sequence[_Paid], body: PaymentIn, paid_on: date, origin: Origin
) -> Change:
    sequence = client["event_sequence"] + 1
    payment = _payment_row(client, payment_id, body, paid_on, PaymentStatus.REGISTERED, None, origin)
    inserts = [Insert(payments, [payment])]
    updates: list[Update] = []
    allocations: list[AllocationOut] = []
    facts: list[Fact] = [
        events.payment_registered(payment_id, [paid.loan["id"] for paid in loans], body.amount, paid_on)
    ]
    for paid in loans:
        posted, fact, status = _post(paid, client["client_id"], client["today"], sequence, origin)
        inserts.extend(posted.inserts)
        updates.append(posted.update)
        facts.extend(fact)
        allocations.append(_allocation(paid.loan["id"], paid.split, posted.snapshot["current_balance"], status))
    return Change(
        aggregate=_aggregate(client),
        business_date=client["today"],
        inserts=inserts,
        updates=updates,
        facts=facts,
        answer=Answer(
            201,
            PaymentOut.model_validate({**payment, "allocations": allocations}).model_dump_json().encode(),
            {"Location": f"/api/v1/payments/{payment_id}"},
        ),
    )


def _post(
    paid: _Paid, client_id: UUID, today: date, sequence: int, origin: Origin
) -> tuple[ledger.Posted, list[Fact], LoanStatus]:
    """The rows of what happened to a loan, and the facts that its state changed by it."""
    before = LoanStatus(paid.loan["status"])
    status = _status_after(before, paid.account, today)
    posted = ledger.post(
        ledger.loan_state(paid.loan),
        paid.bookings,
        paid.account,
        status=status.value,
        account_on=paid.account_on,
        posted_on=today,
        sequence=sequence,
        origin=origin,
    )
    facts = [] if status is before else [loan_changed(paid.loan["id"], client_id, before, status)]
    if any(booking.movement.kind is MovementKind.RECOVERY and not booking.undoes for booking in paid.bookings):
        facts.append(loan_recovered(paid.loan["id"], client_id, paid.split))
    return posted, facts, status


def _status_after(status: LoanStatus, account: Account, today: date) -> LoanStatus:
    """The state that what is owed now calls for; a loan becomes overdue or in default by the passing of days only."""
    if status not in OWING | {LoanStatus.PAID_OFF}:
        return status
    if status is LoanStatus.ACTIVE and account.least_owed(today) > 0:
        return status
    position = account.position(today)
    if not position.payoff_amount:
        return status if status is LoanStatus.PAID_OFF else transition(status, LoanEvent.PAY_OFF)
    if status is LoanStatus.PAID_OFF:
        return transition(status, LoanEvent.REOPEN)
    if status is LoanStatus.DEFAULTED and not position.days_past_due:
        return transition(status, LoanEvent.CURE)
    return status


def _given_back(lines: Sequence[Record], reversal: Mapping[str, Any], origin: Origin) -> tuple[Insert, ...]:
    if not lines:
        return ()
    return ledger.book_commission(
        reversal["payment_id"],
        lines[0]["product"],
        undone(tuple(Posting(line["account"], line["amount"]) for line in lines)),
        posted_on=reversal["posted_on"],
        sequence=reversal["sequence"],
        origin=origin,
    )


def reject(
    client: Record,
    payment_id: UUID,
    loan_ids: Sequence[UUID],
    body: PaymentIn,
    paid_on: date,
    refusal: DomainError,
    origin: Origin,
) -> Change:
    """The change that records a payment as REJECTED: nothing is booked, but that somebody offered it is a fact worth
    keeping."""
    payment = _payment_row(client, payment_id, body, paid_on, PaymentStatus.REJECTED, refusal.code, origin)
    refusal.facts["payment_id"] = str(payment_id)
    return Change(
        aggregate=_aggregate(client),
        business_date=client["today"],
        inserts=[Insert(payments, [payment])],
        facts=[events.payment_rejected(payment_id, loan_ids, body.amount, paid_on, refusal.code)],
        answer=Answer(refusal.status, problems.of_refusal(refusal), {}, problems.MEDIA_TYPE),
    )


def _payment_row(
    client: Record,
    payment_id: UUID,
    body: PaymentIn,
    paid_on: date,
    status: PaymentStatus,
    reason: str | None,
    origin: Origin,
) -> dict[str, Any]:
    return {
        "id": payment_id,
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


def _paid_on(body: PaymentIn, today: date, back_dating_days: int) -> date:
    paid_on = body.paid_on or today
    if paid_on > today:
        raise PaidInFuture(business_date=today.isoformat())
    earliest = today - timedelta(days=back_dating_days)
    if paid_on < earliest:
        raise PaidTooLongAgo(earliest=earliest.isoformat())
    return paid_on


def _refuse_too_early(paid_on: date, loan: Record) -> None:
    if paid_on < loan["disbursed_on"]:
        raise PaidBeforeDisbursement(loan_id=str(loan["id"]), disbursed_on=loan["disbursed_on"].isoformat())


def _account(loan: Record) -> Account:
    return account_of(loan["terms"], loan["disbursed_on"], loan["account"])


def _debt(loan: Record, on: date) -> Debt:
    account = _account(loan)
    day = max(on, loan["account_on"])  # a payment dated back is measured when it is replayed
    return Debt(
        loan["id"],
        account.position(day).due.total,
        account.largest_payment(day),
        loan["next_due_on"] or loan["disbursed_on"],
        loan["folio"],
    )


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
