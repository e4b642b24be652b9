"""The spine: clients, loans, payments, ledger, events, outbox, stored answers, users."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_spine"
down_revision = None
branch_labels = None
depends_on = None

# NaN compares above every number, so a one-sided CHECK lets it pass: money has both bounds. Domains and not CHECKs of
# the tables: a table's CHECKs are read from their text and evaluated, all of them, in every UPDATE (a seventh of what
# PostgreSQL spent on a payment, measured); a domain's when its column is assigned.
DOMAINS = """
CREATE DOMAIN money_positive AS numeric(15,2) CHECK (VALUE BETWEEN 0.01 AND 9999999999999.99);
CREATE DOMAIN money_or_zero AS numeric(15,2) CHECK (VALUE BETWEEN 0 AND 9999999999999.99);
CREATE DOMAIN money_posting AS numeric(15,2)
    CHECK (VALUE BETWEEN -9999999999999.99 AND 9999999999999.99 AND VALUE <> 0);
CREATE DOMAIN yearly_rate AS numeric(9,6) CHECK (VALUE BETWEEN 0 AND 10);
CREATE DOMAIN book_day AS date CHECK (VALUE BETWEEN DATE '1970-01-01' AND DATE '2200-12-31');
CREATE DOMAIN digest AS bytea CHECK (length(VALUE) = 32);
CREATE DOMAIN event_position AS bigint CHECK (VALUE > 0);
CREATE DOMAIN revision AS integer CHECK (VALUE > 0);
CREATE DOMAIN label AS text CHECK (length(VALUE) BETWEEN 1 AND 60);
CREATE DOMAIN person_name AS text CHECK (length(VALUE) BETWEEN 1 AND 200);
CREATE DOMAIN email_address AS text CHECK (length(VALUE) BETWEEN 3 AND 254);
CREATE DOMAIN postal_address AS text CHECK (length(VALUE) BETWEEN 1 AND 500);
CREATE DOMAIN phone_number AS text CHECK (length(VALUE) BETWEEN 1 AND 30);
CREATE DOMAIN rfc_code AS text CHECK (length(VALUE) BETWEEN 12 AND 13);
CREATE DOMAIN code_of_18 AS text CHECK (length(VALUE) = 18);
CREATE DOMAIN birth_day AS date CHECK (VALUE BETWEEN DATE '1880-01-01' AND DATE '2200-12-31');
CREATE DOMAIN client_status AS text CHECK (VALUE IN ('ACTIVE', 'INACTIVE'));
CREATE DOMAIN client_kind AS text CHECK (VALUE IN ('individual', 'individual_business', 'company'));
CREATE DOMAIN loan_status AS text CHECK (VALUE IN ('PENDING', 'ACTIVE', 'PAID_OFF', 'DEFAULTED', 'RESTRUCTURED',
                                                   'WRITTEN_OFF', 'REJECTED', 'CANCELLED'));
CREATE DOMAIN payment_status AS text CHECK (VALUE IN ('REGISTERED', 'REJECTED'));
CREATE DOMAIN payment_method AS text CHECK (VALUE IN ('cash', 'transfer', 'card', 'direct_debit', 'other'));
CREATE DOMAIN movement_kind AS text
    CHECK (VALUE IN ('DISBURSEMENT', 'PAYMENT', 'PAYMENT_REVERSAL', 'DISBURSEMENT_REVERSAL'));
CREATE DOMAIN posting_line AS smallint CHECK (VALUE BETWEEN 1 AND 50);
CREATE DOMAIN idempotency_key AS text CHECK (VALUE ~ '^[!-~]{1,128}$');
CREATE DOMAIN answer_status AS smallint CHECK (VALUE BETWEEN 200 AND 499);
CREATE DOMAIN outbox_lane_number AS smallint CHECK (VALUE IN (0, 1));
CREATE DOMAIN schema_version AS smallint CHECK (VALUE > 0);
CREATE DOMAIN loan_term AS integer CHECK (VALUE BETWEEN 1 AND 600);
"""

CLIENTS = """
CREATE TABLE clients (
    id uuid PRIMARY KEY,
    full_name person_name NOT NULL,
    email email_address,
    rfc rfc_code,
    external_id label,
    status client_status NOT NULL,
    credit_limit money_or_zero,
    kind client_kind,
    curp code_of_18,
    clabe code_of_18,
    phone phone_number,
    birth_date birth_day,
    address postal_address,
    warnings jsonb NOT NULL,
    version revision NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
) WITH (fillfactor = 80);
-- A deleted client's RFC and e-mail are free again; the live ones are unique.
CREATE UNIQUE INDEX clients_rfc_key ON clients (rfc) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX clients_email_key ON clients (email) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX clients_external_id_key ON clients (external_id) WHERE deleted_at IS NULL;
CREATE INDEX clients_name ON clients (full_name, id) WHERE deleted_at IS NULL;
CREATE INDEX clients_status ON clients (status, id) WHERE deleted_at IS NULL;
"""

LOANS = """
CREATE SEQUENCE loan_folio;
CREATE TABLE loans (
    id uuid PRIMARY KEY,
    folio bigint NOT NULL UNIQUE,
    client_id uuid NOT NULL REFERENCES clients,
    external_id label,
    status loan_status NOT NULL,
    amount money_positive NOT NULL,
    interest_rate yearly_rate NOT NULL,
    term_months loan_term NOT NULL,
    disbursed_on book_day,
    current_balance numeric(15,2) NOT NULL CHECK (current_balance BETWEEN 0 AND amount),
    version revision NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((status IN ('PENDING', 'REJECTED', 'CANCELLED')) OR disbursed_on IS NOT NULL),
    CHECK (status <> 'PAID_OFF' OR current_balance = 0)
) WITH (fillfactor = 80);
CREATE INDEX loans_client ON loans (client_id, id);
CREATE INDEX loans_status ON loans (status, id);
CREATE UNIQUE INDEX loans_external_id_key ON loans (external_id) WHERE external_id IS NOT NULL;
"""

PAYMENTS = """
CREATE TABLE payments (
    id uuid PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES clients,
    status payment_status NOT NULL,
    amount money_positive NOT NULL,
    paid_on book_day NOT NULL,
    posted_on book_day NOT NULL,
    method payment_method NOT NULL,
    reference label,
    external_id label,
    reason text,
    sequence event_position NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK ((status = 'REJECTED') = (reason IS NOT NULL))
);
-- A reference (SPEI key, receipt) counts once per client, for ever: it outlives the idempotency key.
CREATE UNIQUE INDEX payments_reference_key ON payments (client_id, reference)
    WHERE status = 'REGISTERED' AND reference IS NOT NULL;
CREATE UNIQUE INDEX payments_external_id_key ON payments (client_id, external_id)
    WHERE status = 'REGISTERED' AND external_id IS NOT NULL;
CREATE INDEX payments_client ON payments (client_id, id);
CREATE INDEX payments_paid_on ON payments (paid_on, id);

CREATE TABLE loan_movements (
    id uuid PRIMARY KEY,
    loan_id uuid NOT NULL REFERENCES loans,
    payment_id uuid REFERENCES payments,
    kind movement_kind NOT NULL,
    value_date book_day NOT NULL,
    posted_on book_day NOT NULL,
    sequence event_position NOT NULL,
    amount money_positive NOT NULL,
    principal money_or_zero NOT NULL,
    interest money_or_zero NOT NULL,
    vat money_or_zero NOT NULL,
    fees money_or_zero NOT NULL,
    moratory money_or_zero NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK (amount = principal + interest + vat + fees + moratory)
);
CREATE INDEX loan_movements_loan ON loan_movements (loan_id, sequence);
CREATE INDEX loan_movements_payment ON loan_movements (payment_id) WHERE payment_id IS NOT NULL;
"""

LEDGER = """
CREATE TABLE accounts (
    code text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'income', 'expense', 'equity'))
);
CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY,
    movement_id uuid UNIQUE REFERENCES loan_movements,
    kind text NOT NULL,
    posted_on book_day NOT NULL,
    sequence bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE postings (
    entry_id uuid NOT NULL REFERENCES ledger_entries,
    line posting_line NOT NULL,
    account text NOT NULL,
    amount money_posting NOT NULL,
    PRIMARY KEY (entry_id, line)
);

-- An entry's postings come in one INSERT, balance, name known accounts and are sealed from then on: they are numbered
-- from 1, so a later INSERT for the same entry runs into the primary key.
CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM inserted LEFT JOIN accounts ON code = account GROUP BY entry_id
     HAVING sum(amount) <> 0 OR count(*) < 2 OR count(code) < count(*) OR min(line) <> 1 OR max(line) <> count(*);
    IF FOUND THEN
        RAISE EXCEPTION 'postings do not balance, are not numbered from 1 or name an unknown account'
            USING ERRCODE = '23514', CONSTRAINT = 'postings_balance';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER postings_balance AFTER INSERT ON postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION check_postings();

CREATE FUNCTION check_entry_has_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM postings WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger entry % has no postings', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'ledger_entries_have_postings';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_have_postings AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_entry_has_postings();
"""

EVENTS = """
CREATE TABLE events (
    aggregate_id uuid NOT NULL,
    sequence event_position NOT NULL,
    aggregate_type text NOT NULL,
    event_type text NOT NULL,
    entity_id uuid NOT NULL,
    payload jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    schema_version schema_version NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    traceparent text,
    prev_hash digest NOT NULL,
    hash digest NOT NULL,
    PRIMARY KEY (aggregate_id, sequence)
);
CREATE TABLE outbox (
    aggregate_id uuid NOT NULL,
    sequence bigint NOT NULL,
    lane outbox_lane_number NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    parked_at timestamptz,
    parked_reason text,
    PRIMARY KEY (aggregate_id, sequence),
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, fillfactor = 90);
CREATE INDEX outbox_lane ON outbox (lane, aggregate_id, sequence);
CREATE TABLE relay_lease (
    name text PRIMARY KEY,
    epoch bigint NOT NULL,
    heartbeat_at timestamptz
);
"""

SYSTEM = """
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key idempotency_key NOT NULL,
    fingerprint digest NOT NULL,
    status answer_status NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    aggregate_id uuid,
    sequence bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys USING brin (created_at);

CREATE TABLE business_day (
    singleton boolean PRIMARY KEY CHECK (singleton),
    business_date book_day NOT NULL,
    opened_at timestamptz NOT NULL
);

-- Every write calls this first: the shared lock keeps the day from being switched before the write has committed, and
-- because the function is volatile its SELECT sees what committed while it waited. The number is the lock's name.
CREATE FUNCTION open_business_date() RETURNS date LANGUAGE plpgsql VOLATILE AS $$
DECLARE today date;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7301001);
    SELECT business_date INTO STRICT today FROM business_day;
    RETURN today;
END $$;

CREATE TABLE cache_guard (
    singleton boolean PRIMARY KEY CHECK (singleton),
    generation bigint NOT NULL,
    off_since timestamptz NOT NULL,
    off_until timestamptz NOT NULL
);
INSERT INTO cache_guard VALUES (true, 1, '-infinity', '-infinity');

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL CHECK (length(username) BETWEEN 1 AND 100),
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'officer', 'auditor', 'client')),
    status text NOT NULL CHECK (status IN ('ACTIVE', 'DISABLED')),
    client_id uuid REFERENCES clients,
    version revision NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_username_key ON users (username);
CREATE INDEX users_client ON users (client_id) WHERE client_id IS NOT NULL;
"""

IMMUTABLE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only: undo is a new row', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
"""
INSERT_ONLY = ("events", "payments", "loan_movements", "ledger_entries", "postings")

GRANTS = """
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
GRANT INSERT ON clients, loans, payments, loan_movements, ledger_entries, postings, events, outbox, users,
                idempotency_keys, relay_lease TO {role};
GRANT UPDATE ON clients, loans, users, relay_lease, cache_guard TO {role};
GRANT UPDATE (parked_at, parked_reason) ON outbox TO {role};
GRANT DELETE ON outbox, idempotency_keys TO {role};
GRANT USAGE ON SEQUENCE loan_folio TO {role};
GRANT EXECUTE ON FUNCTION open_business_date() TO {role};
"""

CHART = """
INSERT INTO accounts (code, name, kind) VALUES
    ('1101', 'Bancos / Bank', 'asset'),
    ('1301', 'Cartera de crédito vigente / Loans receivable', 'asset'),
    ('1302', 'Intereses devengados por cobrar / Interest receivable', 'asset'),
    ('1303', 'Comisiones por cobrar / Fees receivable', 'asset'),
    ('1304', 'Intereses moratorios por cobrar / Moratory interest receivable', 'asset'),
    ('2201', 'IVA por pagar / VAT payable', 'liability');
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (DOMAINS, CLIENTS, LOANS, PAYMENTS, LEDGER, EVENTS, SYSTEM, IMMUTABLE, CHART):
        for statement in _statements(script):
            op.execute(statement)
    for table in INSERT_ONLY:
        op.execute(
            f"CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for statement in _statements(GRANTS.format(role=Settings().postgres_app_user)):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first migration has nothing before it; restore a backup instead")


def _statements(script: str) -> list[str]:
    """Split a script at the semicolons that end a line, outside of `$$` bodies: the driver takes one at a time."""
    statements: list[str] = []
    current: list[str] = []
    inside_body = False
    for line in script.splitlines():
        current.append(line)
        inside_body ^= line.count("$$") % 2 == 1
        if line.rstrip().endswith(";") and not inside_body:
            statements.append("\n".join(current))
            current = []
    return statements
