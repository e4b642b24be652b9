"""What `sofipo init` filled in for the loans of the version before is required from now on; indexes of tables in use.

Every statement is a transaction of its own that keeps nobody from writing for long, and can be repeated: a run that is
cut off is begun again.
"""

from alembic import op
from sqlalchemy import text

revision = "20261121_required"
down_revision = "20261121_approvals"
branch_labels = None
depends_on = None

# An index by ranges of pages does not find old answers: where some were deleted new ones are written, and after a while
# every range spans all times.
INDEXES = {
    "loans_restructured_from_key": "UNIQUE INDEX ON loans (restructured_from) WHERE restructured_from IS NOT NULL",
    "loans_next_change": "INDEX ON loans (next_change_on, client_id) WHERE status IN ('ACTIVE', 'DEFAULTED')",
    "loans_next_due": "INDEX ON loans (next_due_on, id) WHERE status IN ('ACTIVE', 'DEFAULTED')",
    "loan_movements_undoes_key": "UNIQUE INDEX ON loan_movements (undoes_id) WHERE undoes_id IS NOT NULL",
    "ledger_entries_day_key":
        "UNIQUE INDEX ON ledger_entries (posted_on, kind, product) WHERE movement_id IS NULL",
    "ledger_entries_posted_on": "INDEX ON ledger_entries (posted_on, id)",
    "idempotency_keys_age": "INDEX ON idempotency_keys (created_at)",
}  # fmt: skip
DROPPED = "DROP INDEX CONCURRENTLY IF EXISTS idempotency_keys_created_at"

# A column is made NOT NULL without looking at its rows when a validated constraint says so already.
RULES = (
    "ALTER DOMAIN movement_kind VALIDATE CONSTRAINT movement_kind_check",
    "ALTER DOMAIN remark VALIDATE CONSTRAINT remark_check",
    "ALTER DOMAIN forgivable VALIDATE CONSTRAINT forgivable_check",
    "ALTER DOMAIN loan_notes VALIDATE CONSTRAINT loan_notes_check",
    "ALTER DOMAIN money_signed VALIDATE CONSTRAINT money_signed_check",
    "ALTER DOMAIN credit_stage VALIDATE CONSTRAINT credit_stage_check",
    "ALTER TABLE loans VALIDATE CONSTRAINT loans_product_fkey",
    "ALTER TABLE loans VALIDATE CONSTRAINT loans_balance",
    "ALTER TABLE loans VALIDATE CONSTRAINT loans_disbursed",
    "ALTER TABLE loan_movements VALIDATE CONSTRAINT loan_movements_check",
)
NOT_NULL = {
    "loans": ("loans_terms", ("terms",)),
    "loan_movements": ("loan_movements_named", ("movement_id", "position")),
}
WAITING = "SELECT 1 FROM pg_constraint WHERE conname = :name AND conrelid = CAST(:table AS regclass)"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Waiting for an index holds up nobody; an index that a failure has left behind is not valid.
        op.execute("SET lock_timeout = '60s'")
        for name, index in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {index.replace('INDEX ON', f'INDEX CONCURRENTLY {name} ON')}")
        op.execute(DROPPED)
        op.execute("SET lock_timeout = '2s'")
        for rule in RULES:
            op.execute(rule)
        for table, (constraint, columns) in NOT_NULL.items():
            if op.get_bind().execute(text(WAITING), {"name": constraint, "table": table}).scalar():
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
                required = ", ".join(f"ALTER {column} SET NOT NULL" for column in columns)
                op.execute(f"ALTER TABLE {table} {required}")
                op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    raise NotImplementedError("what is required now has been made for every loan; restore a backup instead")
