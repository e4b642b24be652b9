"""Every statement about carts and orders, one function per question. All of it is asked of the primary."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.approvals import ApprovalKind, ApprovalStatus
from backend_api.domain.states import OWING
from backend_api.models import approvals, business_day, carts, checkouts, loan_products, loans

LAST_NUMBER = 999_999_999
"""Of a cart: the older web has nine digits for it."""
NEWEST_CART = """
SELECT c.id, c.number, c.status, c.version, c.priced_on, c.commission, c.expires_at,
       c.client_id, b.event_sequence, b.chain_head, b.deleted_at IS NOT NULL AS client_deleted,
       i.loan_id, i.lines, i.amount, i.pays_off, l.folio, l.product
  FROM carts c JOIN clients b ON b.id = c.client_id
  LEFT JOIN cart_items i ON i.cart_id = c.id LEFT JOIN loans l ON l.id = i.loan_id
 WHERE c.id = (SELECT id FROM carts WHERE user_id = $1 AND client_id = $2 AND ($3::integer IS NULL OR number = $3)
                ORDER BY number DESC LIMIT 1)
 ORDER BY l.folio
"""
# One that has expired is nobody's; one for another client is left from before the user was given that one.
DROP_STALE = "DELETE FROM carts WHERE user_id = $1 AND status = 'OPEN' AND (expires_at <= $2 OR client_id <> $3)"
OPEN_CART = """
INSERT INTO carts (id, number, user_id, client_id, status, version, priced_on, commission, created_at, expires_at)
SELECT $1, nextval('cart_number'), $2, $3, 'OPEN', 1, (SELECT business_date FROM business_day), $4, $5, $6
ON CONFLICT (user_id) WHERE status = 'OPEN' DO NOTHING
"""
LOCK_CART = "SELECT 1 FROM carts WHERE user_id = $1 AND status = 'OPEN' FOR NO KEY UPDATE"
EMPTY_CART = "DELETE FROM carts WHERE user_id = $1 AND client_id = $2 AND status = 'OPEN'"
# The update is the lock: of two tabs that read the same version one finds no row, and decides again.
WRITE_CART = """
WITH cart AS (
    UPDATE carts SET version = version + 1, priced_on = (SELECT business_date FROM business_day), commission = $5,
                     expires_at = $6
     WHERE id = $1 AND user_id = $2 AND version = $3 AND status = 'OPEN' AND expires_at > $4 RETURNING id),
     gone AS (
    DELETE FROM cart_items i USING cart WHERE i.cart_id = cart.id AND NOT i.loan_id = ANY($7)),
     kept AS (
    INSERT INTO cart_items (cart_id, loan_id, lines, amount, pays_off)
    SELECT cart.id, item.* FROM cart, unnest($7::uuid[], $8::jsonb[], $9::numeric[], $10::boolean[]) AS item
    ON CONFLICT (cart_id, loan_id)
       DO UPDATE SET lines = EXCLUDED.lines, amount = EXCLUDED.amount, pays_off = EXCLUDED.pays_off)
SELECT count(*) FROM cart
"""
FORGET_CARTS = "DELETE FROM carts WHERE status = 'OPEN' AND expires_at <= $1"

CHECKOUT_OF_CART = "SELECT o.*, c.number FROM checkouts o JOIN carts c ON c.id = o.cart_id WHERE o.cart_id = $1"
CHECKOUT = """
SELECT o.*, c.number, b.event_sequence, b.chain_head, b.deleted_at IS NOT NULL AS client_deleted,
       (SELECT business_date FROM business_day) AS today
  FROM checkouts o JOIN carts c ON c.id = o.cart_id JOIN clients b ON b.id = o.client_id WHERE o.id = $1
"""
PAID_BY_CODE = """
SELECT o.*, c.number FROM checkouts o JOIN carts c ON c.id = o.cart_id
 WHERE o.client_id = $1 AND o.transaction_code = $2 AND o.status = 'PAID'
"""
# What was refused before under this number, so that a notice that is told again is not recorded again.
REFUSED_BEFORE = """
SELECT id, reason FROM payments
 WHERE client_id = $1 AND external_id = $2 AND reference = $3 AND status = 'REJECTED' ORDER BY id LIMIT 1
"""
OWN_PAYMENT = """
SELECT p.posted_on, o.user_id AS payer, d.business_date AS today
  FROM payments p CROSS JOIN business_day d LEFT JOIN checkouts o ON o.payment_id = p.id
 WHERE p.id = $1 AND p.client_id = $2
"""


async def newest_cart(connection: Connection, user_id: UUID, client_id: UUID, number: int | None) -> Sequence[Record]:
    """The user's newest cart for this client, or the one of this number, with the client's sequence and whether it is
    deleted: a row for each item, one without if it is empty, none if there is no such cart. Status and end are the
    caller's to judge."""
    if number is not None and not 0 < number <= LAST_NUMBER:
        return []
    return await connection.fetch(NEWEST_CART, user_id, client_id, number)


async def open_cart(
    connection: Connection,
    cart_id: UUID,
    user_id: UUID,
    client_id: UUID,
    commission: Decimal,
    at: datetime,
    expires_at: datetime,
) -> None:
    """An empty cart for the user, unless they have one."""
    await connection.execute(DROP_STALE, user_id, at, client_id)
    await connection.execute(OPEN_CART, cart_id, user_id, client_id, commission, at, expires_at)


async def lock_cart(connection: Connection, user_id: UUID) -> None:
    """Wait for whoever changes the user's open cart, and let nobody else until the transaction ends."""
    await connection.execute(LOCK_CART, user_id)


async def write_cart(
    connection: Connection,
    cart_id: UUID,
    user_id: UUID,
    version: int,
    at: datetime,
    commission: Decimal,
    expires_at: datetime,
    items: Sequence[tuple[UUID, str, Decimal, bool]],
) -> bool:
    """Make these the contents of a cart: loan, lines as JSON, price, and whether it pays the loan off.

    False: the cart is another one's, is not open any more or was changed since it was read in this version.
    """
    columns: list[list[Any]] = [list(column) for column in zip(*items, strict=True)] or [[], [], [], []]
    return bool(await connection.fetchval(WRITE_CART, cart_id, user_id, version, at, commission, expires_at, *columns))


async def empty_cart(connection: Connection, user_id: UUID, client_id: UUID) -> None:
    """Forget the user's open cart."""
    await connection.execute(EMPTY_CART, user_id, client_id)


async def forget_carts(connection: Connection, before: datetime) -> None:
    """Delete the carts that were left open until their end; what was checked out is kept."""
    await connection.execute(FORGET_CARTS, before)


async def checkout_of_cart(connection: Connection, cart_id: UUID) -> dict[str, Any] | None:
    """The order that a cart was made into, with the cart's number."""
    row = await connection.fetchrow(CHECKOUT_OF_CART, cart_id)
    return dict(row) if row else None


async def checkout(connection: Connection, checkout_id: UUID) -> dict[str, Any] | None:
    """An order with its cart's number, its client's sequence, whether that client is deleted, and the business date."""
    row = await connection.fetchrow(CHECKOUT, checkout_id)
    return dict(row) if row else None


async def paid_by_code(connection: Connection, client_id: UUID, code: str) -> Record | None:
    """The client's order that was paid under this number of the gateway."""
    return await connection.fetchrow(PAID_BY_CODE, client_id, code)


async def refused_before(connection: Connection, client_id: UUID, checkout_id: UUID, code: str) -> Record | None:
    """The payment that was refused for this order under this number of the gateway."""
    return await connection.fetchrow(REFUSED_BEFORE, client_id, str(checkout_id), code)


async def own_payment(connection: Connection, payment_id: UUID, client_id: UUID) -> Record | None:
    """When a client's payment was posted, who paid it from a cart (None: nobody did), and the business date."""
    return await connection.fetchrow(OWN_PAYMENT, payment_id, client_id)


async def owed_loans(connection: AsyncConnection, client_id: UUID) -> Sequence[Any]:
    """The loans that a client owes, by folio, with the names of their products and the business date."""
    statement = (
        select(
            *(loans.c[name] for name in ("id", "folio", "product", "status", "amount", "disbursed_on", "terms",
                                         "account", "current_balance")),
            loan_products.c.name.label("product_name"),
            select(business_day.c.business_date).scalar_subquery().label("today"),
        )
        .join(loan_products, loan_products.c.code == loans.c.product)
        .where(loans.c.client_id == client_id, loans.c.status.in_([status.value for status in OWING]))
        .order_by(loans.c.folio)
    )  # fmt: skip
    return (await connection.execute(statement)).all()


async def business_date(connection: AsyncConnection) -> Any:
    """The business date."""
    return (await connection.execute(select(business_day.c.business_date))).scalar_one()


async def user_checkout(connection: AsyncConnection, user_id: UUID, client_id: UUID, checkout_id: UUID) -> Any:
    """A user's own order with its cart's number; None if there is none."""
    statement = (
        select(checkouts, carts.c.number)
        .join(carts, carts.c.id == checkouts.c.cart_id)
        .where(checkouts.c.id == checkout_id, checkouts.c.user_id == user_id, checkouts.c.client_id == client_id)
    )
    return (await connection.execute(statement)).one_or_none()


async def checkouts_of(connection: AsyncConnection, payment_ids: Sequence[UUID]) -> Sequence[Any]:
    """The orders that these payments paid, with their carts' numbers."""
    statement = (
        select(checkouts, carts.c.number)
        .join(carts, carts.c.id == checkouts.c.cart_id)
        .where(checkouts.c.payment_id.in_(payment_ids))
    )
    return (await connection.execute(statement)).all()


async def asked_back(connection: AsyncConnection, payment_ids: Sequence[UUID], at: datetime) -> set[UUID]:
    """Those of these payments whose reversal waits for a decision."""
    statement = select(approvals.c.target_id).where(
        approvals.c.target_id.in_(payment_ids),
        approvals.c.kind == ApprovalKind.REVERSAL.value,
        approvals.c.status == ApprovalStatus.PENDING.value,
        approvals.c.expires_at > at,
    )
    return set((await connection.execute(statement)).scalars())
