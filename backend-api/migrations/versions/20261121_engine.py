"""The loan engine: frozen terms, account snapshots, corrections, reversals, the accounts it books to."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_engine"
down_revision = "20261121_products"
branch_labels = None
depends_on = None

# A new column of a domain that has a rule rewrites its table, under a lock that keeps everybody out. So domains of
# columns of tables in use get their rules afterwards, not yet validated; and days that are worked out are plain dates.
# So does a column whose new type counts digits: the cents of `money_signed` are a matter of its rule.
KINDS = """
ALTER DOMAIN movement_kind DROP CONSTRAINT movement_kind_check;
ALTER DOMAIN movement_kind ADD CONSTRAINT movement_kind_check
    CHECK (VALUE IN ('DISBURSEMENT', 'PAYMENT', 'FEE', 'WAIVER', 'WRITE_OFF', 'RECOVERY', 'RESTRUCTURE',
                     'TRANSFER')) NOT VALID;
CREATE DOMAIN remark AS text;
CREATE DOMAIN forgivable AS text;
CREATE DOMAIN loan_notes AS text;
CREATE DOMAIN money_signed AS numeric;
"""

# What the loans of the spine agreed to are the terms of STANDARD with an amount, a rate and a term of their own. Their
# terms and accounts are made by `sofipo init`, loan by loan, from their movements (`backend_api/loans/adoption.py`).
# Until then nothing may be done to such a loan, and a program of the version before writes none.
LOANS = """
ALTER TABLE loans
    ALTER term_months DROP NOT NULL,
    ADD product text NOT NULL DEFAULT 'STANDARD',
    ADD product_version integer NOT NULL DEFAULT 1,
    ADD terms jsonb,
    ADD account json COMPRESSION lz4,
    ADD account_on date,
    ADD next_due_on date,
    ADD notes loan_notes,
    ADD restructured_from uuid REFERENCES loans,
    DROP CONSTRAINT loans_check,
    ADD CONSTRAINT loans_balance CHECK (current_balance BETWEEN 0 AND 9999999999999.99) NOT VALID,
    DROP CONSTRAINT loans_check1,
    ADD CONSTRAINT loans_disbursed CHECK (status IN ('PENDING', 'REJECTED', 'CANCELLED')
                                          OR disbursed_on IS NOT NULL AND account IS NOT NULL) NOT VALID,
    ADD CONSTRAINT loans_terms CHECK (terms IS NOT NULL) NOT VALID;
ALTER TABLE loans
    ALTER product DROP DEFAULT,
    ALTER product_version DROP DEFAULT,
    ADD CONSTRAINT loans_product_fkey FOREIGN KEY (product) REFERENCES loan_products (code) NOT VALID;
"""

# Interest, and its VAT, that was paid before it arose is given back by what closes the loan: there it is less than
# nothing.
MOVEMENTS = """
ALTER TABLE loan_movements
    DROP CONSTRAINT loan_movements_check,
    ALTER interest TYPE money_signed,
    ALTER vat TYPE money_signed,
    ADD undoes_id uuid REFERENCES loan_movements,
    ADD movement_id uuid,
    ADD position bigint,
    ADD concept forgivable,
    ADD note remark;
ALTER TABLE loan_movements
    ADD CONSTRAINT loan_movements_check CHECK (amount = principal + interest + vat + fees + moratory) NOT VALID,
    ADD CONSTRAINT loan_movements_named CHECK (movement_id IS NOT NULL AND position IS NOT NULL) NOT VALID;
"""

RULES = """
ALTER DOMAIN remark ADD CONSTRAINT remark_check CHECK (length(VALUE) BETWEEN 1 AND 500) NOT VALID;
ALTER DOMAIN forgivable ADD CONSTRAINT forgivable_check CHECK (VALUE IN ('fees', 'moratory', 'interest')) NOT VALID;
ALTER DOMAIN loan_notes ADD CONSTRAINT loan_notes_check CHECK (length(VALUE) BETWEEN 1 AND 1000) NOT VALID;
ALTER DOMAIN money_signed ADD CONSTRAINT money_signed_check
    CHECK (VALUE BETWEEN -9999999999999.99 AND 9999999999999.99 AND VALUE = round(VALUE, 2)) NOT VALID;
"""

REVERSALS = """
CREATE TABLE payment_reversals (
    payment_id uuid PRIMARY KEY REFERENCES payments,
    id uuid NOT NULL UNIQUE,
    reason remark,
    posted_on book_day NOT NULL,
    sequence event_position NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_reversals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON payment_reversals TO {role};
"""

CHART = """
INSERT INTO accounts (code, name, kind) VALUES
    ('1399', 'Créditos en reestructura / Loans being restructured', 'asset'),
    ('5101', 'Ingresos por intereses / Interest income', 'income'),
    ('5102', 'Ingresos por intereses moratorios / Moratory interest income', 'income'),
    ('5201', 'Comisiones cobradas / Fee income', 'income'),
    ('5301', 'Recuperación de créditos castigados / Recovery income', 'income'),
    ('6101', 'Créditos castigados / Loans written off', 'expense');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (KINDS, LOANS, MOVEMENTS, RULES, REVERSALS.format(role=Settings().postgres_app_user), CHART):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("terms and corrections cannot be taken back; restore a backup instead")
