"""Imports: jobs, the bytes of their files, and what became of each line."""

from alembic import op
from backend_api.settings import Settings

revision = "20261122_imports"
down_revision = "20261122_mo_app"
branch_labels = None
depends_on = None

# The key of chunks names an import that there may not be yet: a file is taken in before anybody can ask for it. Lines
# are written with a compare-and-set on the row of their import, and imports are never deleted: a foreign key would ask
# for that row again for each line.
TABLES = """
CREATE DOMAIN import_status AS text
    CHECK (VALUE IN ('WAITING', 'CHECKING', 'WRITING', 'COMPLETED', 'REFUSED', 'FAILED', 'CANCELLED'));
CREATE DOMAIN import_format AS text CHECK (VALUE IN ('txt', 'csv', 'xlsx'));
CREATE DOMAIN import_mode AS text CHECK (VALUE IN ('all_or_nothing', 'accept_good'));
CREATE DOMAIN line_outcome AS text CHECK (VALUE IN ('duplicate', 'refused'));
CREATE DOMAIN line_count AS integer CHECK (VALUE >= 0);
CREATE TABLE imports (
    id uuid PRIMARY KEY,
    status import_status NOT NULL,
    format import_format NOT NULL,
    encoding text,
    mode import_mode NOT NULL,
    dry_run boolean NOT NULL,
    file_name text CHECK (length(file_name) BETWEEN 1 AND 200),
    file_digest digest NOT NULL,
    file_bytes bigint NOT NULL CHECK (file_bytes >= 0),
    product product_code NOT NULL,
    interest_rate yearly_rate,
    term_months smallint CHECK (term_months BETWEEN 1 AND 600),
    lines_expected line_count,
    lines_done line_count NOT NULL,
    accepted line_count NOT NULL,
    duplicates line_count NOT NULL,
    refused line_count NOT NULL,
    loans line_count NOT NULL,
    problem jsonb,
    failures smallint NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    traceparent text,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX imports_file_key ON imports (file_digest)
    WHERE NOT dry_run AND (finished_at IS NULL OR (status = 'COMPLETED' AND refused = 0));
CREATE INDEX imports_unfinished ON imports (id) WHERE finished_at IS NULL;
CREATE TABLE import_chunks (
    import_id uuid NOT NULL,
    number integer NOT NULL,
    content bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (import_id, number)
);
ALTER TABLE import_chunks ALTER content SET STORAGE EXTERNAL;
CREATE TABLE import_lines (
    import_id uuid NOT NULL,
    line integer NOT NULL CHECK (line > 0),
    outcome line_outcome NOT NULL,
    client_id uuid,
    problems jsonb,
    record jsonb,
    PRIMARY KEY (import_id, line)
);
CREATE TABLE import_batches (
    import_id uuid NOT NULL,
    through integer NOT NULL CHECK (through > 0),
    lines integer[] NOT NULL,
    client_ids uuid[] NOT NULL CHECK (cardinality(client_ids) = cardinality(lines)),
    loan_ids uuid[] NOT NULL CHECK (cardinality(loan_ids) = cardinality(lines)),
    PRIMARY KEY (import_id, through)
);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON imports TO {role};
GRANT SELECT, INSERT, DELETE ON import_chunks TO {role};
GRANT SELECT, INSERT, DELETE, UPDATE (record) ON import_lines TO {role};
GRANT SELECT, INSERT ON import_batches TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (TABLES, GRANTS.format(role=Settings().postgres_app_user)):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    for table in ("import_batches", "import_lines", "import_chunks", "imports"):
        op.execute(f"DROP TABLE {table}")
    for domain in ("import_status", "import_format", "import_mode", "line_outcome", "line_count"):
        op.execute(f"DROP DOMAIN {domain}")
