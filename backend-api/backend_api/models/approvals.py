"""What somebody asked for and somebody else has to decide."""

from sqlalchemy import Column, ForeignKey, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, Money, metadata

approvals = Table(
    "approvals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, comment="PENDING past expires_at is EXPIRED to everybody who looks."),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False),
    Column("target_id", Uuid, nullable=False, comment="The loan, or the payment of a REVERSAL."),
    Column("amount", Money, nullable=False, comment="What it was about when it was asked for."),
    Column("request", JSONB, nullable=False, comment="The body that came with it."),
    Column("if_match", Text, comment="The versions of the target that the maker named."),
    Column("maker", Uuid, ForeignKey("users.id"), nullable=False, comment="Who asked."),
    Column("checker", Uuid, ForeignKey("users.id"), comment="Who decided; never the maker."),
    Column("requested_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("reason", Text, comment="What the checker says about it."),
)
