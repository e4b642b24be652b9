"""Double-entry ledger: an entry is one movement's balanced set of postings, inserted at once and never changed."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, SmallInteger, Table, Text, Uuid

from backend_api.models.base import Instant, Money, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("movement_id", Uuid, ForeignKey("loan_movements.id")),
    Column("kind", Text, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("entry_id", Uuid, ForeignKey("ledger_entries.id"), primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    # No foreign key: it would lock the same few account rows in every payment. A statement trigger checks instead.
    Column("account", Text, nullable=False),
    Column("amount", Money, nullable=False, comment="Debit positive, credit negative."),
)
