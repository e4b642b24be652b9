"""Rows that are about the system itself: stored answers, the business date, the trust in the cache."""

from sqlalchemy import BigInteger, Boolean, Column, Date, LargeBinary, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("aggregate_id", Uuid, comment="The change it reports, announced again with every replay."),
    Column("sequence", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
)

business_day = Table(
    "business_day",
    metadata,
    Column("singleton", Boolean, primary_key=True, comment="Always true: there is one row."),
    Column("business_date", Date, nullable=False),
    Column("opened_at", Instant, nullable=False),
)

cache_guard = Table(
    "cache_guard",
    metadata,
    Column("singleton", Boolean, primary_key=True, comment="Always true: there is one row."),
    Column("generation", BigInteger, nullable=False, comment="Names the cache's key space; see cache.guard."),
    Column("off_since", Instant, nullable=False),
    Column("off_until", Instant, nullable=False),
)
