"""The days that were closed, with what the portfolio was at their end, and the loans that could not be looked at."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, metadata

day_closes = Table(
    "day_closes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("business_date", Date, nullable=False, comment="Unique; its row says that the day is closed."),
    Column("totals", JSONB, nullable=False, comment="The figures by product; see domain.portfolio."),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
)

day_close_failures = Table(
    "day_close_failures",
    metadata,
    Column("business_date", Date, primary_key=True),
    Column("loan_id", Uuid, ForeignKey("loans.id"), primary_key=True),
    Column("error", Text, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("resolved_at", Instant),
)
