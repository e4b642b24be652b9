"""Access: sessions, refresh tokens, API keys, signing keys, what was revoked, and who guesses passwords."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_access"
down_revision = "20261121_required"
branch_labels = None
depends_on = None

# The tokens of a user count as long as they carry the user's epoch. Plain integers, no domains: a column of a domain
# with a check would rewrite the table. Users without a password are those whose one-time secret waits to be used.
# There are few users, and until now nobody could make one of role client: the checks look at every row at once.
USERS = """
ALTER TABLE users ADD epoch integer NOT NULL DEFAULT 1;
ALTER TABLE users ADD password_changed_at timestamptz;
ALTER TABLE users ADD reset_hash bytea;
ALTER TABLE users ADD reset_expires_at timestamptz;
ALTER TABLE users ALTER password_hash DROP NOT NULL;
ALTER TABLE users ADD CONSTRAINT users_borrower CHECK ((role = 'client') = (client_id IS NOT NULL));
ALTER TABLE users ADD CONSTRAINT users_reset CHECK ((reset_hash IS NULL) = (reset_expires_at IS NULL));
CREATE INDEX users_role ON users (role, id);
"""

SESSIONS = """
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    epoch integer NOT NULL CHECK (epoch > 0),
    address text NOT NULL CHECK (length(address) BETWEEN 1 AND 64),
    user_agent text CHECK (length(user_agent) <= 200),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CHECK (expires_at > created_at)
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
CREATE TABLE refresh_tokens (
    hash digest PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    salt digest NOT NULL,
    issued_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
"""

API_KEYS = """
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    public_id text NOT NULL CHECK (public_id ~ '^[0-9a-f]{12}$'),
    owner_id uuid NOT NULL REFERENCES users,
    name label NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 100),
    secret_hash digest NOT NULL,
    former_hash digest,
    former_until timestamptz,
    status text NOT NULL CHECK (status IN ('ACTIVE', 'REVOKED')),
    expires_at timestamptz,
    last_used_at timestamptz,
    version revision NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT api_keys_former CHECK ((former_hash IS NULL) = (former_until IS NULL))
);
CREATE UNIQUE INDEX api_keys_public_id_key ON api_keys (public_id);
CREATE INDEX api_keys_owner ON api_keys (owner_id, id);
"""

# `at` is the server's clock: every process reads what is newer than what it knows, with some overlap for commits that
# were late. The salt of a signing key is no secret; the key is derived from it and API_SECRET_KEY.
FEED = """
CREATE TABLE revocations (
    subject uuid NOT NULL,
    epoch integer NOT NULL CHECK (epoch > 0),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subject, epoch)
);
CREATE INDEX revocations_at ON revocations (at);
CREATE TABLE signing_keys (
    salt digest PRIMARY KEY,
    signs_from timestamptz NOT NULL
);
CREATE UNIQUE INDEX signing_keys_signs_from_key ON signing_keys (signs_from);
"""

LOGIN_FAILURES = """
CREATE TABLE login_failures (
    subject text PRIMARY KEY CHECK (length(subject) BETWEEN 1 AND 200),
    failures integer NOT NULL CHECK (failures > 0),
    last_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX login_failures_last_at ON login_failures (last_at);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON sessions, refresh_tokens, api_keys, login_failures TO {role};
GRANT SELECT, INSERT ON revocations, signing_keys TO {role};
GRANT DELETE ON sessions, refresh_tokens, revocations, signing_keys, login_failures TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    role = Settings().postgres_app_user
    for script in (USERS, SESSIONS, API_KEYS, FEED, LOGIN_FAILURES, GRANTS.format(role=role)):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("sessions and keys cannot be told from it any more; restore a backup instead")
