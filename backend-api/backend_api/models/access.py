"""Who may sign in."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text, Uuid

from backend_api.models.base import Instant, metadata

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("client_id", Uuid, ForeignKey("clients.id")),
    Column("version", Integer, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)
