"""Use cases of the customer space: a cart becomes an order, the gateway's notice a payment, and back.

Each: read, refuse, decide; the writing is done by `http.write`. Whatever a gateway tells again, late or out of order,
a payment is registered once: the order's row says what came of it, and is written with the payment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from asyncpg import Record

from backend_api.approvals import service as approvals
from backend_api.customer_space import carts, events, queries
from backend_api.customer_space.carts import Borrower, Cart, CartGone
from backend_api.customer_space.gateway import Notice, NoticeStatus
from backend_api.customer_space.schemas import Outcome, OutcomeOut
from backend_api.customer_space.views import checkout_json, may_undo, read_checkout, read_items
from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain import cart as pricing
from backend_api.domain import ledger as books
from backend_api.domain.account import MovementRefused
from backend_api.domain.approvals import ApprovalKind
from backend_api.domain.cart import LIFE, CheckoutStatus, Item
from backend_api.domain.errors import DetailLoanNotOwing, DomainError, PaymentExceedsDebt
from backend_api.domain.money import MAX_MONEY, ZERO, format_money
from backend_api.domain.terms import ExcessPolicy
from backend_api.http.idempotency import Answer
from backend_api.http.problems import NotFound
from backend_api.http.write import Aggregate, Change, Moved, UseCase
from backend_api.ledger import service as ledger
from backend_api.models import carts as cart_table
from backend_api.models import checkouts, clients
from backend_api.outbox.record import Origin
from backend_api.payments import queries as payment_queries
from backend_api.payments import service as payments
from backend_api.payments.schemas import Method, PaymentIn, ReversalIn
from backend_api.payments.service import DuplicateReference, Part
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

ACTOR = "system:gateway"
"""Who registers what the gateway tells; whose order it is stands in the order."""


class CartEmpty(DomainError):
    """There is nothing to pay."""

    code = "cart_empty"
    status = 409
    message = "The cart is empty."


class CartChanged(DomainError):
    """What was quoted is not what is owed any more; nothing was charged, and the cart is priced anew.

    Facts: `changes` (of each loan `loan_id`, `folio`, what was `quoted` and what it is `now`), `commission`,
    `commission_vat` and `total` of now.
    """

    code = "cart_changed"
    status = 409
    message = "What you owe has changed since the cart was priced: nothing was charged. Look at it again."


class NotOwnPayment(DomainError):
    """A borrower takes back only what they paid from a cart of their own."""

    code = "not_own_payment"
    status = 409
    message = "You can only take back what you paid here yourself."


class OrderAlreadyPaid(DomainError):
    """The gateway took money twice for one order."""

    code = "order_already_paid"
    status = 409
    message = "The order is paid already."


class AmountDiffers(DomainError):
    """The gateway took another amount than the order's."""

    code = "amount_differs"
    status = 409
    message = "The amount is not that of the order."


class DebtChanged(DomainError):
    """What was to be paid is not owed any more as it was when the order was made."""

    code = "debt_changed"
    status = 409
    message = "What is owed has changed since the order was made."


UNAPPLIED = (DebtChanged, AmountDiffers, OrderAlreadyPaid, DuplicateReference, DetailLoanNotOwing, PaymentExceedsDebt,
             MovementRefused)  # fmt: skip
"""Why money that the gateway took is given back. The payment is recorded as REJECTED."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A cart that costs what it was quoted, and the client as it was read."""

    cart: Cart
    client: Sequence[Record]


def check_out(settings: Settings, borrower: Borrower, cart_number: int | None, total: Decimal | None) -> UseCase:
    """Make the cart (the newest one without a number) an order for the gateway. Sent again it gets the same answer.

    `total` is what the borrower saw, if they say. Raises `CartEmpty`, `CartGone`, `CartChanged`, `AmountTooLarge`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        rows = await queries.newest_cart(connection, borrower.user_id, borrower.client_id, cart_number)
        if rows and rows[0]["status"] != "OPEN":
            known = await queries.checkout_of_cart(connection, rows[0]["id"])
            assert known is not None  # noqa: S101 - it is written together with the cart's status
            # Without a number it is the second click of a moment ago, or somebody whose last cart is long paid.
            if cart_number is not None or known["expires_at"] > origin.at:
                return _checkout_answer(settings, known, origin.at)
            rows = []
        ready = await _ready(connection, settings, borrower, rows, cart_number, origin.at, total=total)
        row = _checkout_row(ready, borrower, origin)
        loan_ids = [held.item.loan_id for held in ready.cart.items]
        return Change(
            aggregate=_aggregate(rows[0]),
            business_date=row["priced_on"],
            inserts=[Insert(checkouts, [row])],
            updates=[_ordered(ready.cart)],
            facts=[events.cart_checked_out(row, loan_ids)],
            answer=_checkout_answer(settings, {**row, "number": ready.cart.number}, origin.at),
        )

    return use_case


def pay_at_once(settings: Settings, borrower: Borrower, cart_number: int, transaction_code: str) -> UseCase:
    """Register what the gateway took for a cart before anybody asked us: the cart becomes a paid order in one commit.

    The same cart under the same number again gets the same answer. Raises `DuplicateReference` for another cart,
    `CartEmpty`, `CartGone`, `CartChanged`, `AmountTooLarge`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        rows = await queries.newest_cart(connection, borrower.user_id, borrower.client_id, cart_number)
        if rows and rows[0]["status"] != "OPEN":
            known = await queries.checkout_of_cart(connection, rows[0]["id"])
            if known is None or (known["status"], known["transaction_code"]) != (CheckoutStatus.PAID, transaction_code):
                raise CartGone
            return _checkout_answer(settings, known, origin.at)
        ready = await _ready(connection, settings, borrower, rows, cart_number, origin.at, code=transaction_code)
        row = _checkout_row(ready, borrower, origin)
        change = await _registered(connection, ready.client, row, transaction_code, origin)
        loan_ids = [held.item.loan_id for held in ready.cart.items]
        paid = {**row, **_decision(CheckoutStatus.PAID, transaction_code, origin, payment_id=_payment_id(change))}
        return replace(
            change,
            inserts=[*change.inserts, Insert(checkouts, [paid])],
            updates=[*change.updates, _ordered(ready.cart)],
            # The same events as when order and notice come one after the other.
            facts=[*change.facts[:-1], events.cart_checked_out(row, loan_ids), change.facts[-1]],
            answer=_checkout_answer(settings, {**paid, "number": cart_number}, origin.at),
        )

    return use_case


def take_notice(notice: Notice) -> UseCase:
    """What a notice of the gateway says, done: once, whatever it repeats. Raises `NotFound` for an unknown order.

    Money that cannot be booked as it was ordered is recorded as a REJECTED payment, and the answer tells the gateway to
    give it back.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        checkout = await queries.checkout(connection, notice.order_id)
        if checkout is None:
            raise NotFound
        if notice.status is NoticeStatus.REFUSED:
            return _take_refusal(checkout, notice, origin)
        if checkout["status"] == CheckoutStatus.PAID and checkout["transaction_code"] == notice.transaction_code:
            return _outcome(Outcome.REGISTERED, checkout["payment_id"])
        before = await queries.refused_before(
            connection, checkout["client_id"], checkout["id"], notice.transaction_code
        )
        if before is not None:
            return _outcome(Outcome.REFUND, before["id"], before["reason"])
        return await _take_payment(connection, checkout, notice, origin)

    return use_case


def reverse_own(settings: Settings, borrower: Borrower, payment_id: UUID, reason: str | None) -> UseCase:
    """Take back what the borrower paid from a cart of theirs: at once within the window, else staff are asked.

    Raises `NotFound`, `NotOwnPayment`, `ApprovalPending`, and what `payments.service.reverse_payment` does.
    """
    body = ReversalIn(reason=reason)

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        own = await queries.own_payment(connection, payment_id, borrower.client_id)
        if own is None:
            raise NotFound
        if own["payer"] != borrower.user_id:
            raise NotOwnPayment
        in_time = may_undo(settings, own["posted_on"], own["today"])
        decided = approvals.with_second_person(
            ApprovalKind.REVERSAL,
            payments.reverse_payment(payment_id, body),
            approvals.asked(payment_id, body),
            borrower.user_id,
            settings.approve_reversal_above if in_time else ZERO,
        )
        change = await decided(connection, origin)
        # The window was looked at on this day: if it has ended since, it is looked at again.
        return replace(change, business_date=own["today"]) if isinstance(change, Change) else change

    return use_case


async def payment_of_code(connection: Connection, borrower: Borrower, transaction_code: str) -> UUID | None:
    """The payment that the borrower made from a cart of theirs under this number of the gateway."""
    found = await queries.paid_by_code(connection, borrower.client_id, transaction_code)
    return found["payment_id"] if found is not None and found["user_id"] == borrower.user_id else None


async def _ready(
    connection: Connection,
    settings: Settings,
    borrower: Borrower,
    rows: Sequence[Record],
    cart_number: int | None,
    at: datetime,
    *,
    total: Decimal | None = None,
    code: str | None = None,
) -> _Ready:
    """The cart, if it still costs what it was quoted, and the client with what was paid under this `code` before.
    Raises `CartEmpty`, `CartGone`, `AmountTooLarge`, `CartChanged`: then it is priced anew, so that the next try goes
    through."""
    if not rows or rows[0]["expires_at"] <= at:
        raise CartEmpty if cart_number is None else CartGone
    cart = carts.read_cart(rows)
    if not cart.items:
        raise CartEmpty
    if rows[0]["client_deleted"]:
        raise NotFound
    client = await payment_queries.client_to_pay(connection, borrower.client_id, code, None)
    if not client or client[0]["event_sequence"] != rows[0]["event_sequence"]:  # maybe a twin, and this cart is paid
        raise Moved(_aggregate(rows[0]))
    owed = carts.owed_by_loan(client, client[0]["today"])
    now = carts.reprice((held.item for held in cart.items), owed)
    asked = replace(cart, commission=settings.cart_commission)
    if now != [held.item for held in cart.items] or asked != cart:
        if not await carts.write(connection, borrower, cart, now, settings.cart_commission, at):
            raise Moved(_aggregate(rows[0]))
        raise _changed(cart, now, settings.cart_commission)
    if total is not None and total != cart.total:
        raise _changed(cart, now, settings.cart_commission)
    if cart.total > MAX_MONEY:
        raise ledger.AmountTooLarge
    return _Ready(cart, client)


def _changed(cart: Cart, now: Sequence[Item], commission: Decimal) -> CartChanged:
    prices = {item.loan_id: item for item in now}
    vat = pricing.commission_vat(commission)
    changes = [
        {
            "loan_id": str(held.item.loan_id),
            "folio": held.folio,
            "quoted": _quote(held.item),
            "now": _quote(prices.get(held.item.loan_id)),
        }
        for held in cart.items
        if prices.get(held.item.loan_id) != held.item
    ]
    return CartChanged(
        changes=changes,
        commission=format_money(commission),
        commission_vat=format_money(vat),
        total=format_money(pricing.total(now) + commission + vat if now else ZERO),
    )


def _quote(item: Item | None) -> dict[str, Any] | None:
    """None: nothing of it is owed any more."""
    if item is None:
        return None
    return {"amount": format_money(item.amount), "pays_off": item.pays_off, "lines": carts.lines_of(item)}


def _checkout_row(ready: _Ready, borrower: Borrower, origin: Origin) -> dict[str, Any]:
    cart = ready.cart
    return {
        "id": uuid7(origin.at),
        "cart_id": cart.id,
        "user_id": borrower.user_id,
        "client_id": borrower.client_id,
        "status": CheckoutStatus.WAITING.value,
        "items": checkout_json(cart.items),
        "priced_on": ready.client[0]["today"],
        "amount": cart.amount,
        "commission": cart.commission,
        "commission_vat": cart.commission_vat,
        "total": cart.total,
        "transaction_code": None,
        "payment_id": None,
        "reason": None,
        "created_at": origin.at,
        "expires_at": origin.at + LIFE,
        "decided_at": None,
    }


def _ordered(cart: Cart) -> Update:
    """The end of a cart. What another tab puts into it meanwhile makes this one read it again."""
    assert cart.id is not None  # noqa: S101 - only a cart that exists is ordered
    return Update(cart_table, cart.id, {"status": "CHECKED_OUT"}, guard={"version": cart.version})


def _checkout_answer(settings: Settings, row: Mapping[str, Any], at: datetime) -> Answer:
    checkout = read_checkout(settings, row, at)
    return Answer(201, checkout.out().model_dump_json().encode(), {"Location": f"/api/v1/me/checkouts/{checkout.id}"})


def _take_refusal(checkout: Mapping[str, Any], notice: Notice, origin: Origin) -> Change | Answer:
    """A try that failed is news only while nothing else is known: after a payment it comes late."""
    if checkout["status"] != CheckoutStatus.WAITING:
        return _outcome(Outcome.NOTED)
    reason = "gateway_refused"
    decision = _decision(CheckoutStatus.REFUSED, notice.transaction_code, origin, reason=reason)
    return Change(
        aggregate=_aggregate(checkout),
        business_date=checkout["today"],
        updates=[Update(checkouts, checkout["id"], decision)],
        facts=[events.cart_refused(checkout, reason)],
        answer=_outcome(Outcome.NOTED),
    )


async def _take_payment(
    connection: Connection, checkout: Mapping[str, Any], notice: Notice, origin: Origin
) -> Change | Answer:
    code = notice.transaction_code
    if checkout["client_deleted"]:  # nothing is owed, and there is nobody to whom a payment could be recorded
        log.warning("gateway_refund", checkout_id=str(checkout["id"]), reason=DebtChanged.code)
        return _outcome(Outcome.REFUND, reason=DebtChanged.code)
    client = await payment_queries.client_to_pay(connection, checkout["client_id"], code, str(checkout["id"]))
    if not client or client[0]["event_sequence"] != checkout["event_sequence"]:  # maybe a twin, and this one is paid
        raise Moved(_aggregate(checkout))
    try:
        if checkout["status"] == CheckoutStatus.PAID:
            raise OrderAlreadyPaid
        if notice.amount != checkout["total"]:
            raise AmountDiffers
        _refuse_changed(checkout, client)
        change = await _registered(connection, client, checkout, code, origin)
    except UNAPPLIED as refusal:
        return _rejected(client[0], checkout, notice, refusal, origin)
    payment_id = _payment_id(change)
    decision = _decision(CheckoutStatus.PAID, code, origin, payment_id=payment_id)
    return replace(
        change,
        updates=[*change.updates, Update(checkouts, checkout["id"], decision)],
        answer=_outcome(Outcome.REGISTERED, payment_id),
    )


def _refuse_changed(checkout: Mapping[str, Any], client: Sequence[Record]) -> None:
    """Raises `DebtChanged` unless the order pays exactly what it was made for, as of its own day.

    An amount of the borrower's choice fits as long as it is owed, which its booking tells.
    """
    owed = carts.owed_by_loan(client, checkout["priced_on"])
    for held in read_items(checkout["items"]):
        if held.item.lines and pricing.repriced(held.item, owed.get(held.item.loan_id)) != held.item:
            raise DebtChanged


async def _registered(
    connection: Connection, client: Sequence[Record], checkout: Mapping[str, Any], code: str, origin: Origin
) -> Change:
    """The change that books an order: one payment for all its loans, dated as the order, and the commission."""
    body = _payment(checkout, checkout["amount"], code)
    payment_id = uuid7(origin.at)
    items = read_items(checkout["items"])
    parts = [
        Part(held.item.loan_id, held.item.amount, ExcessPolicy.ADVANCE if held.item.lines else None) for held in items
    ]
    change = await payments.pay_parts(connection, client, parts, body, payment_id, checkout["priced_on"], origin)
    commission = ledger.book_commission(
        payment_id,
        items[0].product,
        books.commission(checkout["commission"], checkout["commission_vat"]),
        posted_on=client[0]["today"],
        sequence=client[0]["event_sequence"] + 1,
        origin=origin,
    )
    return replace(
        change,
        inserts=[*change.inserts, *commission],
        # Last: what was booked names the sequence of the first event.
        facts=[*change.facts, events.cart_paid(checkout, payment_id, code)],
    )


def _rejected(
    client: Record, checkout: Mapping[str, Any], notice: Notice, refusal: DomainError, origin: Origin
) -> Change:
    """The payment is kept as REJECTED; an order that is paid already stays so."""
    body = _payment(checkout, notice.amount, notice.transaction_code)
    payment_id = uuid7(origin.at)
    loan_ids = [held.item.loan_id for held in read_items(checkout["items"])]
    change = payments.reject(client, payment_id, loan_ids, body, checkout["priced_on"], refusal, origin)
    change = replace(change, answer=_outcome(Outcome.REFUND, payment_id, refusal.code))
    log.warning("gateway_refund", checkout_id=str(checkout["id"]), reason=refusal.code)
    if checkout["status"] == CheckoutStatus.PAID:
        return change
    decision = _decision(CheckoutStatus.REFUSED, notice.transaction_code, origin, reason=refusal.code)
    return replace(
        change,
        updates=[*change.updates, Update(checkouts, checkout["id"], decision)],
        facts=[*change.facts, events.cart_refused(checkout, refusal.code)],
    )


def _payment(checkout: Mapping[str, Any], amount: Decimal, code: str) -> PaymentIn:
    """The order's payment: its reference is the gateway's number, and the order's id counts once for a client too."""
    return PaymentIn(amount=amount, method=Method.CARD, reference=code, external_id=str(checkout["id"]))


def _payment_id(change: Change) -> UUID:
    """The payment that a change registers: its first fact is about it."""
    return change.facts[0].entity_id


def _decision(
    status: CheckoutStatus, code: str, origin: Origin, *, payment_id: UUID | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {
        "status": status.value,
        "transaction_code": code,
        "payment_id": payment_id,
        "reason": reason,
        "decided_at": origin.at,
    }


def _outcome(outcome: Outcome, payment_id: UUID | None = None, reason: str | None = None) -> Answer:
    answer = OutcomeOut(outcome=outcome, payment_id=payment_id, reason=reason)
    return Answer(200, answer.model_dump_json().encode(), {})


def _aggregate(client: Record | Mapping[str, Any]) -> Aggregate:
    return Aggregate("client", clients, client["client_id"], client["event_sequence"], client["chain_head"])
