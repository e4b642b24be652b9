"""Who touched a decoy, by address and hour, and what they tried to sign in as."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text, Uuid

from backend_api.models.base import Instant, metadata

decoys = Table(
    "decoys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("address", Text, nullable=False),
    Column("hour", Instant, nullable=False),
    Column("touches", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, comment="Touches that tried to sign in."),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
)

decoy_attempts = Table(
    "decoy_attempts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("decoy_id", Uuid, ForeignKey("decoys.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("path", Text, nullable=False),
    Column("username", Text, comment="As it was typed; never the password."),
    Column("user_agent", Text),
)
