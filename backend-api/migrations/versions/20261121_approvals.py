"""Approvals: what a second person has to decide."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_approvals"
down_revision = "20261121_end_of_day"
branch_labels = None
depends_on = None

APPROVALS = """
CREATE DOMAIN approval_kind AS text
    CHECK (VALUE IN ('ACTIVATION', 'REVERSAL', 'WRITE_OFF', 'WRITE_OFF_REVERSAL', 'WAIVER', 'RESTRUCTURE'));
CREATE DOMAIN approval_status AS text CHECK (VALUE IN ('PENDING', 'APPROVED', 'REJECTED', 'EXPIRED'));
CREATE TABLE approvals (
    id uuid PRIMARY KEY,
    kind approval_kind NOT NULL,
    status approval_status NOT NULL,
    client_id uuid NOT NULL REFERENCES clients,
    target_id uuid NOT NULL,
    amount money_positive NOT NULL,
    request jsonb NOT NULL CHECK (jsonb_typeof(request) = 'object'),
    if_match text CHECK (length(if_match) BETWEEN 1 AND 200),
    maker uuid NOT NULL REFERENCES users,
    checker uuid REFERENCES users,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    reason remark,
    CONSTRAINT approvals_two_people CHECK (checker <> maker),
    CONSTRAINT approvals_decided CHECK ((status = 'PENDING') = (decided_at IS NULL)),
    CONSTRAINT approvals_checked CHECK ((status IN ('APPROVED', 'REJECTED')) = (checker IS NOT NULL)),
    CHECK (expires_at > requested_at)
);
CREATE INDEX approvals_client ON approvals (client_id, id);
CREATE INDEX approvals_status ON approvals (status, id);
CREATE INDEX approvals_amount ON approvals (amount, id);
CREATE INDEX approvals_pending ON approvals (target_id, kind) WHERE status = 'PENDING';
CREATE TRIGGER decided_once BEFORE UPDATE ON approvals
    FOR EACH ROW WHEN (OLD.status <> 'PENDING') EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE (status, checker, decided_at, reason) ON approvals TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in APPROVALS.format(role=Settings().postgres_app_user).split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("who approved what is kept for ever; restore a backup instead")
