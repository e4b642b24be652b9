"""The MO App: the product of its loans, and API keys that are bound to another product."""

from alembic import op

revision = "20261122_mo_app"
down_revision = "20261122_commissions"
branch_labels = None
depends_on = None

KEYS = "ALTER TABLE api_keys ADD product product_code REFERENCES loan_products (code)"

# Without interest and VAT, one installment after a year: the contract knows no due date, and a schedule has to have
# one. As for STANDARD the row is the same, to the byte, in every database, and has the event that tells of it. A
# product that somebody called so before stays as it is.
MO_ZERO = """
INSERT INTO loan_products (id, code, name, status, version, event_sequence, chain_head, created_at, updated_at)
SELECT '019b76da-a800-7000-8000-000000000002', 'MO_ZERO', 'MO App, without interest', 'ACTIVE', 1, 1,
       decode('08fba4dc0ab7e80e07676e5da9f18312841450df26e77d29839652bf6788cce8', 'hex'), at, at
  FROM (VALUES (timestamptz '2026-01-01 00:00:00+00')) AS v (at)
 WHERE NOT EXISTS (SELECT FROM loan_products WHERE code = 'MO_ZERO');

INSERT INTO loan_product_versions (product_id, version, terms, limits, created_at)
SELECT id, 1, '{
        "interest_rate": "0", "installments": 1,
        "frequency": {"every": 12, "unit": "month"},
        "amortization": "equal_installments", "interest_method": "declining",
        "interest_period": "daily", "day_count": "actual/360",
        "grace_principal": 0, "grace_interest_payment": 0, "interest_free_periods": 0,
        "month_end": "last_day", "business_days": "none",
        "vat_rate": "0", "vat_mode": "on_top", "vat_base": "nominal",
        "opening_fee": {"flat": "0.00", "rate": "0", "collection": "deducted"},
        "late_fee": "0.00", "moratory_rate": "0",
        "waterfall": ["fees", "moratory", "interest", "principal"],
        "excess": "reduce_installment", "early_days": 10,
        "rounding": "half_up", "installment_multiple": null, "portfolio": "consumer"
    }', '{
        "min_amount": null, "max_amount": null, "min_rate": null, "max_rate": null,
        "min_installments": null, "max_installments": null
    }', created_at
  FROM loan_products WHERE id = '019b76da-a800-7000-8000-000000000002';

INSERT INTO events (aggregate_id, sequence, aggregate_type, event_type, entity_id, payload, occurred_at,
                    schema_version, actor, request_id, traceparent, prev_hash, hash)
SELECT id, 1, 'product', 'product_created', id,
       jsonb_build_object('product_id', id, 'code', code, 'version', 1, 'status', status, 'fields',
           '["frequency", "installments", "interest_rate", "moratory_rate", "name", "vat_rate"]'::jsonb),
       created_at, 1, 'system:migration', '20261122_mo_app', NULL, decode(repeat('00', 32), 'hex'), chain_head
  FROM loan_products WHERE id = '019b76da-a800-7000-8000-000000000002';

INSERT INTO outbox (aggregate_id, sequence, lane)
SELECT id, 1, 0 FROM loan_products WHERE id = '019b76da-a800-7000-8000-000000000002';
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute(KEYS)
    for statement in MO_ZERO.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("loans name their product; restore a backup instead")
