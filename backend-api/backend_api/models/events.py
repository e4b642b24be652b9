"""The truth (events), the thin queue to the broker (outbox) and who may empty it (relay_lease)."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, metadata

events = Table(
    "events",
    metadata,
    Column("aggregate_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("aggregate_type", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("entity_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("traceparent", Text),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("aggregate_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("lane", SmallInteger, nullable=False),
    Column("enqueued_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("parked_at", Instant),
    Column("parked_reason", Text),
)

relay_lease = Table(
    "relay_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("heartbeat_at", Instant),
)
