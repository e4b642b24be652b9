"""What borrowers put together to pay, and the orders that a payment gateway has of them.

A cart is no money: its rows are changed freely. What it asks the gateway for is copied into the order.
"""

from sqlalchemy import Boolean, Column, Date, ForeignKey, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, Money, metadata

carts = Table(
    "carts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Integer, nullable=False, comment="Running number, up to nine digits: the older idsession."),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False, comment="Whose it is; a user has one OPEN one."),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False, comment="Whose debt it is about."),
    Column("status", Text, nullable=False, comment="OPEN or CHECKED_OUT; OPEN past expires_at is nobody's any more."),
    Column("version", Integer, nullable=False, comment="Compared by every change, so that two tabs do not mix."),
    Column("priced_on", Date, nullable=False, comment="Business date of the quote."),
    Column("commission", Money, nullable=False, comment="Quoted, without its VAT."),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

cart_items = Table(
    "cart_items",
    metadata,
    Column("cart_id", Uuid, ForeignKey("carts.id", ondelete="CASCADE"), primary_key=True),
    Column("loan_id", Uuid, ForeignKey("loans.id"), primary_key=True),
    Column("lines", JSONB, nullable=False, comment="Installments as quoted: number, due_on, amount; none: an amount."),
    Column("amount", Money, nullable=False, comment="The price as quoted."),
    Column("pays_off", Boolean, nullable=False, comment="The price is the payoff of the loan."),
)

checkouts = Table(
    "checkouts",
    metadata,
    Column("id", Uuid, primary_key=True, comment="The order as the gateway knows it."),
    Column("cart_id", Uuid, ForeignKey("carts.id"), nullable=False, comment="A cart is checked out once."),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False),
    Column("status", Text, nullable=False, comment="WAITING, PAID or REFUSED; WAITING past expires_at is EXPIRED."),
    Column("items", JSONB, nullable=False, comment="What is paid of which loan, at which price."),
    Column("priced_on", Date, nullable=False, comment="Business date of the prices: value date of the payment."),
    Column("amount", Money, nullable=False, comment="What the items cost."),
    Column("commission", Money, nullable=False),
    Column("commission_vat", Money, nullable=False),
    Column("total", Money, nullable=False, comment="What the gateway asks for."),
    Column("transaction_code", Text, comment="The gateway's number of the try that decided it."),
    Column("payment_id", Uuid, ForeignKey("payments.id"), comment="Of a PAID order."),
    Column("reason", Text, comment="Why a REFUSED order was refused."),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, comment="The gateway takes no payment later than this."),
    Column("decided_at", Instant),
)
