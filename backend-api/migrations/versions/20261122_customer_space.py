"""The customer space: carts, the orders a payment gateway has of them, commissions, payments that ask for a policy."""

from alembic import op
from backend_api.settings import Settings

revision = "20261122_customer_space"
down_revision = "20261121_record_reads"
branch_labels = None
depends_on = None

# See 20261121_engine: a column of a domain that has a rule already would rewrite the table. The next migration
# validates what is NOT VALID here, beside whoever writes.
TABLES_IN_USE = """
CREATE DOMAIN excess_policy AS text;
ALTER TABLE loan_movements ADD excess excess_policy;
ALTER DOMAIN excess_policy ADD CONSTRAINT excess_policy_check
    CHECK (VALUE IN ('reduce_installment', 'reduce_term', 'advance')) NOT VALID;
ALTER TABLE ledger_entries ADD payment_id uuid;
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_payment_id_fkey
    FOREIGN KEY (payment_id) REFERENCES payments NOT VALID;
"""

CARTS = """
CREATE SEQUENCE cart_number AS integer MAXVALUE 999999999;
CREATE DOMAIN cart_status AS text CHECK (VALUE IN ('OPEN', 'CHECKED_OUT'));
CREATE TABLE carts (
    id uuid PRIMARY KEY,
    number integer NOT NULL CONSTRAINT carts_number_key UNIQUE,
    user_id uuid NOT NULL REFERENCES users,
    client_id uuid NOT NULL REFERENCES clients,
    status cart_status NOT NULL,
    version revision NOT NULL,
    priced_on book_day NOT NULL,
    commission money_or_zero NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX carts_open_key ON carts (user_id) WHERE status = 'OPEN';
CREATE INDEX carts_user ON carts (user_id, number);
CREATE INDEX carts_expiry ON carts (expires_at) WHERE status = 'OPEN';
CREATE TABLE cart_items (
    cart_id uuid NOT NULL REFERENCES carts ON DELETE CASCADE,
    loan_id uuid NOT NULL REFERENCES loans,
    lines jsonb NOT NULL CHECK (jsonb_typeof(lines) = 'array'),
    amount money_positive NOT NULL,
    pays_off boolean NOT NULL,
    PRIMARY KEY (cart_id, loan_id)
);
"""

ORDERS = """
CREATE DOMAIN checkout_status AS text CHECK (VALUE IN ('WAITING', 'PAID', 'REFUSED'));
CREATE TABLE checkouts (
    id uuid PRIMARY KEY,
    cart_id uuid NOT NULL CONSTRAINT checkouts_cart_key UNIQUE REFERENCES carts,
    user_id uuid NOT NULL REFERENCES users,
    client_id uuid NOT NULL REFERENCES clients,
    status checkout_status NOT NULL,
    items jsonb NOT NULL CHECK (jsonb_typeof(items) = 'array'),
    priced_on book_day NOT NULL,
    amount money_positive NOT NULL,
    commission money_or_zero NOT NULL,
    commission_vat money_or_zero NOT NULL,
    total money_positive NOT NULL,
    transaction_code label,
    payment_id uuid REFERENCES payments,
    reason text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    CONSTRAINT checkouts_total CHECK (total = amount + commission + commission_vat),
    CONSTRAINT checkouts_paid CHECK ((status = 'PAID') = (payment_id IS NOT NULL)),
    CONSTRAINT checkouts_refused CHECK ((status = 'REFUSED') = (reason IS NOT NULL)),
    CONSTRAINT checkouts_decided CHECK ((status = 'WAITING') = (decided_at IS NULL)),
    CONSTRAINT checkouts_code CHECK (status = 'WAITING' OR transaction_code IS NOT NULL)
);
CREATE INDEX checkouts_client ON checkouts (client_id, id);
CREATE UNIQUE INDEX checkouts_payment_key ON checkouts (payment_id) WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX checkouts_code_key ON checkouts (client_id, transaction_code) WHERE status = 'PAID';
CREATE TRIGGER paid_once BEFORE UPDATE ON checkouts
    FOR EACH ROW WHEN (OLD.status = 'PAID') EXECUTE FUNCTION refuse_change();
"""

GRANTS = """
GRANT USAGE ON SEQUENCE cart_number TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON carts, cart_items TO {role};
GRANT SELECT, INSERT, UPDATE (status, transaction_code, payment_id, reason, decided_at) ON checkouts TO {role};
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (TABLES_IN_USE, CARTS, ORDERS, GRANTS.format(role=Settings().postgres_app_user)):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("what borrowers paid stays; restore a backup instead")
