"""Loans and their movements."""

from sqlalchemy import JSON, BigInteger, Column, Date, ForeignKey, Integer, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

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
    Column("term_months", Integer, comment="Null when the frequency is not in months."),
    Column("product", Text, ForeignKey("loan_products.code"), nullable=False, comment="Whose terms were copied."),
    Column("product_version", Integer, nullable=False),
    Column("terms", JSONB, nullable=False, comment="All terms, frozen; see ledger.state."),
    Column("disbursed_on", Date),
    Column("current_balance", Money, nullable=False, comment="Snapshot of the outstanding principal."),
    Column("account", JSON, comment="Snapshot of the account after the last movement; see ledger.state."),
    Column("account_on", Date, comment="Value date of the last movement that stands."),
    Column("next_due_on", Date, comment="Oldest unpaid installment; null when nothing falls due any more."),
    Column("in_time_until", Date, comment="Last day on which that one is paid in time; lateness counts from it."),
    Column("next_change_on", Date, comment="The end of this day finds it overdue, or later in another stage."),
    Column("stage", SmallInteger, comment="Credit risk stage, 1 to 3, as last looked at; null before disbursement."),
    Column("closed_through", Date, comment="What was overdue at the end of this day has been told."),
    Column("moved_on", Date, comment="Posting date of the last movement."),
    Column("notes", Text),
    Column("restructured_from", Uuid, ForeignKey("loans.id"), comment="The loan whose place this one takes."),
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
    Column("undoes_id", Uuid, ForeignKey("loan_movements.id"), comment="The row that this one takes back."),
    Column("movement_id", Uuid, nullable=False, comment="The same for a movement booked again after a correction."),
    Column("position", BigInteger, nullable=False, comment="Sequence it was first booked under; orders a value date."),
    Column("concept", Text, comment="What a waiver forgives."),
    Column("excess", Text, comment="Of a payment that asked for another excess policy than the loan's: which."),
    Column("note", Text, comment="Why, in the words of whoever did it."),
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
