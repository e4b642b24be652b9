"""Loan products and the versions of their terms; STANDARD is there from the start."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_products"
down_revision = "20261121_spine"
branch_labels = None
depends_on = None

PRODUCTS = """
CREATE DOMAIN product_code AS text CHECK (VALUE ~ '^[A-Z][A-Z0-9_]{1,39}$');
CREATE DOMAIN product_name AS text CHECK (length(VALUE) BETWEEN 1 AND 100);
CREATE DOMAIN product_status AS text CHECK (VALUE IN ('ACTIVE', 'RETIRED'));
CREATE TABLE loan_products (
    id uuid PRIMARY KEY,
    code product_code NOT NULL CONSTRAINT loan_products_code_key UNIQUE,
    name product_name NOT NULL,
    status product_status NOT NULL,
    version revision NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE loan_product_versions (
    product_id uuid NOT NULL REFERENCES loan_products,
    version revision NOT NULL,
    terms jsonb NOT NULL CHECK (jsonb_typeof(terms) = 'object'),
    limits jsonb NOT NULL CHECK (jsonb_typeof(limits) = 'object'),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (product_id, version)
);
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loan_product_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

# The same row, to the byte, in every database, and with the event that tells of it: its hash is that of the canonical
# event, as a test works out anew.
STANDARD = """
INSERT INTO loan_products (id, code, name, status, version, event_sequence, chain_head, created_at, updated_at)
SELECT '019b76da-a800-7000-8000-000000000001', 'STANDARD', 'Standard loan', 'ACTIVE', 1, 1,
       decode('c8db48bb64285223c3b49c3203125e67cfee39203bc42fe4e1a2c16415dbdf0e', 'hex'), at, at
  FROM (VALUES (timestamptz '2026-01-01 00:00:00+00')) AS v (at);

INSERT INTO loan_product_versions (product_id, version, terms, limits, created_at)
SELECT id, 1, '{
        "interest_rate": null, "installments": null,
        "frequency": {"every": 1, "unit": "month"},
        "amortization": "equal_installments", "interest_method": "declining",
        "interest_period": "daily", "day_count": "actual/360",
        "grace_principal": 0, "grace_interest_payment": 0, "interest_free_periods": 0,
        "month_end": "last_day", "business_days": "none",
        "vat_rate": "0.16", "vat_mode": "on_top", "vat_base": "nominal",
        "opening_fee": {"flat": "0.00", "rate": "0", "collection": "deducted"},
        "late_fee": "0.00", "moratory_rate": null,
        "waterfall": ["fees", "moratory", "interest", "principal"],
        "excess": "reduce_installment", "early_days": 10,
        "rounding": "half_up", "installment_multiple": null, "portfolio": "consumer"
    }', '{
        "min_amount": null, "max_amount": null, "min_rate": null, "max_rate": null,
        "min_installments": null, "max_installments": null
    }', created_at
  FROM loan_products WHERE code = 'STANDARD';

INSERT INTO events (aggregate_id, sequence, aggregate_type, event_type, entity_id, payload, occurred_at,
                    schema_version, actor, request_id, traceparent, prev_hash, hash)
SELECT id, 1, 'product', 'product_created', id,
       jsonb_build_object('product_id', id, 'code', code, 'version', 1, 'status', status, 'fields', '["name"]'::jsonb),
       created_at, 1, 'system:migration', '20261121_products', NULL, decode(repeat('00', 32), 'hex'), chain_head
  FROM loan_products WHERE code = 'STANDARD';

INSERT INTO outbox (aggregate_id, sequence, lane) SELECT id, 1, 0 FROM loan_products WHERE code = 'STANDARD';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON loan_products TO {role};
GRANT SELECT, INSERT ON loan_product_versions TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (PRODUCTS, STANDARD, GRANTS.format(role=Settings().postgres_app_user)):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("loans name their product; restore a backup instead")
