"""Entries of commissions are none of the end of a day: many may be posted on one. Found by their payment.

Every statement is a transaction of its own that keeps nobody from writing for long, and can be repeated: a run that is
cut off is begun again.
"""

from alembic import op

revision = "20261122_commissions"
down_revision = "20261122_customer_space"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Waiting for an index holds up nobody; an index that a failure has left behind is not valid.
    "SET lock_timeout = '60s'",
    "DROP INDEX CONCURRENTLY IF EXISTS ledger_entries_payment",
    "CREATE INDEX CONCURRENTLY ledger_entries_payment ON ledger_entries (payment_id) WHERE payment_id IS NOT NULL",
    "DROP INDEX CONCURRENTLY IF EXISTS ledger_entries_of_day_key",
    """CREATE UNIQUE INDEX CONCURRENTLY ledger_entries_of_day_key ON ledger_entries (posted_on, kind, product)
        WHERE movement_id IS NULL AND payment_id IS NULL""",
    "DROP INDEX CONCURRENTLY IF EXISTS ledger_entries_day_key",
    "SET lock_timeout = '2s'",
    "ALTER INDEX ledger_entries_of_day_key RENAME TO ledger_entries_day_key",
    "ALTER TABLE ledger_entries VALIDATE CONSTRAINT ledger_entries_payment_id_fkey",
    "ALTER DOMAIN excess_policy VALIDATE CONSTRAINT excess_policy_check",
    "RESET lock_timeout",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for statement in STATEMENTS:
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("what was booked as a commission stays; restore a backup instead")
