"""Carts: what a borrower puts together before paying. No money moves, so no event is told of it.

A cart is one row and an item for each loan, changed by one guarded statement that compares the cart's version: two tabs
cannot mix what they saw. Every change prices the whole cart anew. Why carts stay outside of `http.write`:
docs/decisions/0023-carts-and-orders.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record

from backend_api.auth.principal import Principal
from backend_api.customer_space import queries
from backend_api.customer_space.schemas import MOST_LOANS
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain import cart as pricing
from backend_api.domain.cart import LIFE, InstallmentNotOwed, Item, Line, NotInCart, Owed, owed_of
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO, format_money
from backend_api.http.problems import Busy
from backend_api.http.resources import Resources
from backend_api.ledger.state import account_of
from backend_api.payments import queries as payment_queries

TRIES_BEFORE_LOCK = 3
TRIES = 6
"""How often a change that met another one is decided anew. Under the lock it meets one only while there is no cart to
lock."""


class CartGone(DomainError):
    """The cart has expired, was checked out already, or is none of this user's."""

    code = "cart_gone"
    status = 409
    message = "This cart is not open any more: start a new one."


class CartFull(DomainError):
    """A cart holds so many loans and no more."""

    code = "cart_full"
    status = 409
    message = "A cart holds 50 loans at most."


@dataclass(frozen=True, slots=True)
class Borrower:
    """A user of role client, and whose debt they pay."""

    user_id: UUID
    client_id: UUID


@dataclass(frozen=True, slots=True)
class CartItem:
    """What the cart holds of one loan, with what people call it."""

    item: Item
    folio: int
    product: str


@dataclass(frozen=True, slots=True)
class Cart:
    """An open cart as it was priced; `number` and `id` are None while there is none, and it is empty."""

    id: UUID | None
    number: int | None
    version: int
    items: tuple[CartItem, ...]
    priced_on: date | None
    commission: Decimal
    expires_at: datetime | None

    @property
    def amount(self) -> Decimal:
        """What its items cost."""
        return pricing.total([held.item for held in self.items])

    @property
    def commission_vat(self) -> Decimal:
        """The VAT on the commission."""
        return pricing.commission_vat(self.commission)

    @property
    def total(self) -> Decimal:
        """What is to be paid: nothing for an empty cart."""
        return self.amount + self.commission + self.commission_vat if self.items else ZERO


Items = dict[UUID, Item]
Change = Callable[[Items, Mapping[UUID, Owed]], None]
"""What somebody does to the items of a cart, given what is owed of each loan."""


def borrower_of(principal: Principal) -> Borrower:
    """The borrower who calls. Only role client has a client; the permission `own:account` is theirs alone."""
    assert principal.client_id is not None  # noqa: S101 - see Principal
    return Borrower(principal.user_id, principal.client_id)


async def cart_of(resources: Resources, borrower: Borrower, number: int | None = None) -> Cart:
    """The borrower's open cart, an empty one if there is none. Raises `CartGone` for a number that is not of one."""
    async with resources.databases.writer.ask() as connection:
        cart = await _find(connection, borrower, number, resources.clock())
    if cart is not None:
        return cart
    if number is not None:
        raise CartGone
    return Cart(None, None, 0, (), None, resources.settings.cart_commission, None)


async def open_cart(resources: Resources, borrower: Borrower) -> Cart:
    """The borrower's open cart with all its time before it, made if there is none."""
    return await _change(resources, borrower, None, lambda items, owed: None)


async def put_installments(
    resources: Resources, borrower: Borrower, loan_id: UUID, count: int, number: int | None = None
) -> Cart:
    """The cart with the loan's oldest `count` unpaid installments, whatever it held of the loan before.

    Raises `CartGone`, `InstallmentNotOwed`.
    """

    def change(items: Items, owed: Mapping[UUID, Owed]) -> None:
        items[loan_id] = pricing.installments(loan_id, _owed(owed, loan_id), count)

    return await _change(resources, borrower, number, change)


async def put_amount(
    resources: Resources, borrower: Borrower, loan_id: UUID, amount: Decimal, number: int | None = None
) -> Cart:
    """The cart with an amount for the loan, whatever it held of the loan before.

    Raises `CartGone`, `InstallmentNotOwed`, `MoneyNotPositive`, `PaymentExceedsDebt`.
    """

    def change(items: Items, owed: Mapping[UUID, Owed]) -> None:
        items[loan_id] = pricing.amount(loan_id, _owed(owed, loan_id), amount)

    return await _change(resources, borrower, number, change)


async def add_installment(
    resources: Resources, borrower: Borrower, loan_id: UUID, installment: int, number: int | None = None
) -> Cart:
    """The cart with one more installment. Raises `CartGone`, `InstallmentNotOwed`, `OlderInstallmentFirst`,
    `LoanTwiceInCart`."""

    def change(items: Items, owed: Mapping[UUID, Owed]) -> None:
        items[loan_id] = pricing.with_installment(loan_id, _owed(owed, loan_id), items.get(loan_id), installment)

    return await _change(resources, borrower, number, change)


async def remove_installment(
    resources: Resources, borrower: Borrower, loan_id: UUID, installment: int, number: int | None = None
) -> Cart:
    """The cart without a loan's newest installment. Raises `CartGone`, `NotInCart`, `NewerInstallmentFirst`."""

    def change(items: Items, _: Mapping[UUID, Owed]) -> None:
        left = pricing.without_installment(items.pop(loan_id, None), installment)
        if left is not None:
            items[loan_id] = left

    return await _change(resources, borrower, number, change)


async def remove_loan(resources: Resources, borrower: Borrower, loan_id: UUID, number: int | None = None) -> Cart:
    """The cart without anything of the loan. Raises `CartGone`, `NotInCart`."""

    def change(items: Items, _: Mapping[UUID, Owed]) -> None:
        if items.pop(loan_id, None) is None:
            raise NotInCart

    return await _change(resources, borrower, number, change)


async def replace_items(resources: Resources, borrower: Borrower, wanted: Mapping[UUID, int | Decimal]) -> Cart:
    """The cart with exactly this: of each loan so many installments (int), or an amount (Decimal).

    Raises `InstallmentNotOwed`, `MoneyNotPositive`, `PaymentExceedsDebt`, `CartFull`.
    """

    def change(items: Items, owed: Mapping[UUID, Owed]) -> None:
        items.clear()
        for loan_id, what in wanted.items():
            of_loan = _owed(owed, loan_id)
            if isinstance(what, int):
                items[loan_id] = pricing.installments(loan_id, of_loan, what)
            else:
                items[loan_id] = pricing.amount(loan_id, of_loan, what)

    return await _change(resources, borrower, None, change)


async def empty_cart(resources: Resources, borrower: Borrower) -> None:
    """Forget the open cart, if there is one."""
    async with resources.databases.writer.ask() as connection:
        await queries.empty_cart(connection, borrower.user_id, borrower.client_id)


def owed_by_loan(client: Sequence[Record], day: date) -> dict[UUID, Owed]:
    """What is owed of each loan, as `payments.queries.client_to_pay` read them; without those that moved after `day`,
    whose position on it is known by a replay only."""
    return {
        loan["id"]: owed_of(account_of(loan["terms"], loan["disbursed_on"], loan["account"]), day)
        for loan in client
        if loan["id"] is not None and loan["account_on"] <= day
    }


def reprice(items: Iterable[Item], owed: Mapping[UUID, Owed]) -> list[Item]:
    """The items as they are now, without those that are no more."""
    now = (pricing.repriced(item, owed.get(item.loan_id)) for item in items)
    return [item for item in now if item is not None]


def read_cart(rows: Sequence[Record]) -> Cart:
    """A cart from its rows."""
    first = rows[0]
    items = tuple(
        CartItem(
            Item(row["loan_id"], row["amount"], read_lines(row["lines"]), row["pays_off"]), row["folio"], row["product"]
        )
        for row in rows
        if row["loan_id"] is not None
    )
    return Cart(
        first["id"], first["number"], first["version"], items, first["priced_on"], first["commission"],
        first["expires_at"],
    )  # fmt: skip


async def write(
    connection: Connection, borrower: Borrower, cart: Cart, items: Sequence[Item], commission: Decimal, at: datetime
) -> bool:
    """Make this the contents of the cart as it was read. False: it was changed since, or is open no more."""
    assert cart.id is not None  # noqa: S101 - only a cart that exists is changed
    rows = [(item.loan_id, lines_json(item), item.amount, item.pays_off) for item in items]
    return await queries.write_cart(
        connection, cart.id, borrower.user_id, cart.version, at, commission, at + LIFE, rows
    )


def lines_json(item: Item) -> str:
    """The lines of an item as they are stored."""
    return orjson.dumps(lines_of(item)).decode()


def lines_of(item: Item) -> list[dict[str, Any]]:
    """The lines of an item as plain values."""
    return [
        {"number": line.number, "due_on": line.due_on.isoformat(), "amount": format_money(line.amount)}
        for line in item.lines
    ]


def read_lines(kept: Any) -> tuple[Line, ...]:
    """The lines that were stored, however the column was read."""
    found = orjson.loads(kept) if isinstance(kept, str) else kept
    return tuple(Line(line["number"], date.fromisoformat(line["due_on"]), Decimal(line["amount"])) for line in found)


async def _change(resources: Resources, borrower: Borrower, number: int | None, change: Change) -> Cart:
    """Read, decide, write, and again if another tab was faster; then with the cart locked, so that none starves."""
    for collisions in range(TRIES):
        now = resources.clock()
        async with resources.databases.writer.ask() as connection:
            if collisions < TRIES_BEFORE_LOCK:
                changed = await _changed(connection, resources, borrower, number, change, now)
            else:
                async with connection.transaction():
                    await queries.lock_cart(connection, borrower.user_id)
                    changed = await _changed(connection, resources, borrower, number, change, now)
            if changed is not None:
                return changed
    raise Busy


async def _changed(
    connection: Connection, resources: Resources, borrower: Borrower, number: int | None, change: Change, now: datetime
) -> Cart | None:
    """The cart after the change; None if another tab was faster."""
    commission = resources.settings.cart_commission
    cart = await _find(connection, borrower, number, now)
    if cart is None and number is not None:
        raise CartGone
    if cart is None:
        await queries.open_cart(
            connection, uuid7(now), borrower.user_id, borrower.client_id, commission, now, now + LIFE
        )
        cart = await _find(connection, borrower, number, now)
        if cart is None:
            return None
    client = await payment_queries.client_to_pay(connection, borrower.client_id, None, None)
    owed = owed_by_loan(client, client[0]["today"]) if client else {}
    items = {held.item.loan_id: held.item for held in cart.items}
    change(items, owed)
    if len(items) > MOST_LOANS:
        raise CartFull
    priced = reprice(items.values(), owed)
    if not await write(connection, borrower, cart, priced, commission, now):
        return None
    # Not read again: what another tab does to it from now on is no reason to decide anew.
    return replace(
        cart,
        version=cart.version + 1,
        items=_named(priced, client),
        priced_on=client[0]["today"] if client else cart.priced_on,
        commission=commission,
        expires_at=now + LIFE,
    )


def _named(items: Sequence[Item], client: Sequence[Record]) -> tuple[CartItem, ...]:
    """The items in the order of their loans' folios, with what people call those."""
    by_loan = {item.loan_id: item for item in items}
    return tuple(
        CartItem(by_loan[loan["id"]], loan["folio"], loan["product"]) for loan in client if loan["id"] in by_loan
    )


async def _find(connection: Connection, borrower: Borrower, number: int | None, at: datetime) -> Cart | None:
    """The borrower's cart, of this number or the newest, if it is open and in time."""
    rows = await queries.newest_cart(connection, borrower.user_id, borrower.client_id, number)
    if not rows or rows[0]["status"] != "OPEN" or rows[0]["expires_at"] <= at:
        return None
    return read_cart(rows)


def _owed(owed: Mapping[UUID, Owed], loan_id: UUID) -> Owed:
    """Raises `InstallmentNotOwed` for a loan that is not owed, not known or somebody else's, alike."""
    if loan_id not in owed:
        raise InstallmentNotOwed
    return owed[loan_id]
