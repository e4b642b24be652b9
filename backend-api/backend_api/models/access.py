"""Who may sign in, with what, and what of that no longer counts."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

from backend_api.models.base import Instant, metadata

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False),
    Column("password_hash", Text, comment="None until the one-time secret was used."),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("client_id", Uuid, ForeignKey("clients.id"), comment="Whose objects a user of role client sees."),
    Column("epoch", Integer, nullable=False, server_default="1", comment="Tokens of an earlier one do not count."),
    Column("password_changed_at", Instant),
    Column("reset_hash", LargeBinary, comment="SHA-256 of the one-time secret."),
    Column("reset_expires_at", Instant),
    Column("version", Integer, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("epoch", Integer, nullable=False, comment="The user's when they signed in; another one ends it."),
    Column("address", Text, nullable=False),
    Column("user_agent", Text),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of the token."),
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("salt", LargeBinary, nullable=False, comment="Token and salt together make the successor."),
    Column("issued_at", Instant, nullable=False),
    Column("used_at", Instant),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("public_id", Text, nullable=False, comment="The part of the key by which it is found."),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, comment="HMAC-SHA256 of the secret under API_KEY_PEPPER."),
    Column("former_hash", LargeBinary, comment="The same of the secret before, which counts until former_until."),
    Column("former_until", Instant),
    Column("status", Text, nullable=False),
    Column("product", Text, ForeignKey("loan_products.code"), comment="Of the loans that the MO App's calls make."),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("version", Integer, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    Column("subject", Uuid, primary_key=True, comment="A user, a session or an API key."),
    Column("epoch", Integer, primary_key=True, comment="What is older than this does not count."),
    Column("at", Instant, nullable=False, server_default=func.clock_timestamp()),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("salt", LargeBinary, primary_key=True),
    Column("signs_from", Instant, nullable=False),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("subject", Text, primary_key=True, comment="An account, an address or a network."),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("blocked_until", Instant, nullable=False),
)
