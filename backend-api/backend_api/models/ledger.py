"""Double-entry ledger: an entry is a balanced set of postings, inserted at once and never changed.

It is that of a movement, the commission of a payment, or one of those that the end of a day books for all loans of a
product together.
"""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, SmallInteger, Table, Text, Uuid

from backend_api.models.base import Instant, Money, MoneyTotal, metadata

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
    Column("payment_id", Uuid, ForeignKey("payments.id"), comment="Of a commission, which is of no loan."),
    Column("kind", Text, nullable=False),
    Column("product", Text, nullable=False, comment="Code of the product of the loans it is about."),
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

daily_totals = Table(
    "daily_totals",
    metadata,
    Column("posted_on", Date, primary_key=True, comment="A day that is closed."),
    Column("account", Text, ForeignKey("accounts.code"), primary_key=True),
    Column("product", Text, primary_key=True),
    Column("debit", MoneyTotal, nullable=False),
    Column("credit", MoneyTotal, nullable=False),
)

ledger_periods = Table(
    "ledger_periods",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("period", Text, nullable=False, comment="The month, YYYY-MM."),
    Column("ends_on", Date, nullable=False, comment="No entry is posted on or before this day any more."),
    Column("actor", Text, nullable=False),
    Column("closed_at", Instant, nullable=False),
)
