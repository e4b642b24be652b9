"""Decoys: who touched one, how often in an hour, and what they tried to sign in as."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_decoys"
down_revision = "20261121_access"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE decoys (
    id uuid PRIMARY KEY,
    address text NOT NULL CHECK (length(address) BETWEEN 1 AND 64),
    hour timestamptz NOT NULL,
    touches integer NOT NULL CHECK (touches >= 0),
    attempts integer NOT NULL CHECK (attempts >= 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX decoys_address_hour_key ON decoys (address, hour);
CREATE TABLE decoy_attempts (
    id uuid PRIMARY KEY,
    decoy_id uuid NOT NULL REFERENCES decoys ON DELETE CASCADE,
    at timestamptz NOT NULL,
    path text NOT NULL CHECK (length(path) <= 100),
    username text CHECK (length(username) <= 100),
    user_agent text CHECK (length(user_agent) <= 200)
);
CREATE INDEX decoy_attempts_decoy ON decoy_attempts (decoy_id, id);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON decoys TO {role};
GRANT SELECT, INSERT, DELETE ON decoy_attempts TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (TABLES, GRANTS.format(role=Settings().postgres_app_user)):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE decoy_attempts")
    op.execute("DROP TABLE decoys")
