"""The clients of the lender: each row is a consistency boundary, locked first by whoever changes anything below it."""

from sqlalchemy import BigInteger, Column, Date, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, Money, metadata

clients = Table(
    "clients",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("full_name", Text, nullable=False),
    Column("email", Text),
    Column("rfc", Text),
    Column("external_id", Text),
    Column("status", Text, nullable=False),
    Column("credit_limit", Money),
    Column("kind", Text),
    Column("curp", Text),
    Column("clabe", Text),
    Column("phone", Text),
    Column("birth_date", Date),
    Column("address", Text),
    Column("warnings", JSONB, nullable=False),
    Column("version", Integer, nullable=False, comment="Changes of the record itself; what If-Match compares."),
    Column("event_sequence", BigInteger, nullable=False, comment="Last event of this client, loans and payments too."),
    Column("chain_head", LargeBinary, nullable=False, comment="Hash of that event."),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("deleted_at", Instant, comment="Tombstone: personal data is blocked, RFC and e-mail are free again."),
)

record_reads = Table(
    "record_reads",
    metadata,
    Column("client_id", Uuid, primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("reads", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
)
