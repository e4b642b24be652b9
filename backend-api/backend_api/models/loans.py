"""Loans and their movements."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Integer, Table, Text, Uuid

from backend_api.models.base import Instant, Money, Rate, metadata

loans = Table(
    "loans",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("folio", BigInteger, nullable=False, comment="Running number for people."),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False),
    Column("external_id", Text),
    Column("status", Text, nullable=False),
    Column("amount", Money, nullable=False),
    Column("interest_rate", Rate, nullable=False),
    Column("term_months", Integer, nullable=False),
    Column("disbursed_on", Date),
    Column("current_balance", Money, nullable=False, comment="Snapshot of the outstanding principal."),
    Column("version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

loan_movements = Table(
    "loan_movements",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("loan_id", Uuid, ForeignKey("loans.id"), nullable=False),
    Column("payment_id", Uuid, ForeignKey("payments.id")),
    Column("kind", Text, nullable=False),
    Column("value_date", Date, nullable=False, comment="Drives the position; order: value date, then sequence."),
    Column("posted_on", Date, nullable=False, comment="Business date of recording; drives ledger and statement."),
    Column("sequence", BigInteger, nullable=False, comment="The client's sequence of the event that reports it."),
    Column("amount", Money, nullable=False),
    Column("principal", Money, nullable=False),
    Column("interest", Money, nullable=False),
    Column("vat", Money, nullable=False),
    Column("fees", Money, nullable=False),
    Column("moratory", Money, nullable=False),
    Column("created_at", Instant, nullable=False),
)
