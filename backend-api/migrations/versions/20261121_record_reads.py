"""Who read a client's full record: one row for each reader, client and hour."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_record_reads"
down_revision = "20261121_decoys"
branch_labels = None
depends_on = None

# No foreign key: checking one would lock the client's row for a note about reading it.
TABLE = """
CREATE TABLE record_reads (
    client_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    actor text NOT NULL CHECK (length(actor) BETWEEN 1 AND 100),
    reads integer NOT NULL CHECK (reads > 0),
    last_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, hour, actor)
) WITH (fillfactor = 80)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute(TABLE)
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON record_reads TO {Settings().postgres_app_user}")


def downgrade() -> None:
    op.execute("DROP TABLE record_reads")
