"""Payments as they were received, accepted or refused, and their reversals; never updated."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Table, Text, Uuid

from backend_api.models.base import Instant, Money, metadata

payments = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("amount", Money, nullable=False),
    Column("paid_on", Date, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text),
    Column("external_id", Text),
    Column("reason", Text, comment="Why a REJECTED payment was refused."),
    Column("sequence", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

payment_reversals = Table(
    "payment_reversals",
    metadata,
    Column("payment_id", Uuid, ForeignKey("payments.id"), primary_key=True, comment="A payment is reversed once."),
    Column("id", Uuid, nullable=False),
    Column("reason", Text),
    Column("posted_on", Date, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)
