"""The spine: clients, loans, payments, ledger, events, outbox, stored answers, users."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_spine"
down_revision = None
branch_labels = None
depends_on = None

# NaN compares above every number, so a one-sided CHECK lets it pass: every money column has both bounds.
MONEY_MAX = "9999999999999.99"
AT_LEAST_ZERO = f"BETWEEN 0 AND {MONEY_MAX}"
POSITIVE = f"BETWEEN 0.01 AND {MONEY_MAX}"
ANY_SIGN = f"BETWEEN -{MONEY_MAX} AND {MONEY_MAX}"
DAY = "BETWEEN DATE '1970-01-01' AND DATE '2200-12-31'"

CLIENTS = f"""
CREATE TABLE clients (
    id uuid PRIMARY KEY,
    full_name text NOT NULL CHECK (length(full_name) BETWEEN 1 AND 200),
    email text CHECK (length(email) BETWEEN 3 AND 254),
    rfc text CHECK (length(rfc) BETWEEN 12 AND 13),
    external_id text CHECK (length(external_id) BETWEEN 1 AND 60),
    status text NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    credit_limit numeric(15,2) CHECK (credit_limit {AT_LEAST_ZERO}),
    kind text CHECK (kind IN ('individual', 'individual_business', 'company')),
    curp text CHECK (length(curp) = 18),
    clabe text CHECK (length(clabe) = 18),
    phone text CHECK (length(phone) BETWEEN 1 AND 30),
    birth_date date CHECK (birth_date BETWEEN DATE '1880-01-01' AND DATE '2200-12-31'),
    address text CHECK (length(address) BETWEEN 1 AND 500),
    warnings jsonb NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    event_sequence bigint NOT NULL CHECK (event_sequence > 0),
    chain_head bytea NOT NULL CHECK (length(chain_head) = 32),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
-- A deleted client's RFC and e-mail are free again; the live ones are unique.
CREATE UNIQUE INDEX clients_rfc_key ON clients (rfc) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX clients_email_key ON clients (email) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX clients_external_id_key ON clients (external_id) WHERE deleted_at IS NULL;
CREATE INDEX clients_name ON clients (full_name, id) WHERE deleted_at IS NULL;
CREATE INDEX clients_status ON clients (status, id) WHERE deleted_at IS NULL;
"""

LOANS = f"""
CREATE SEQUENCE loan_folio;
CREATE TABLE loans (
    id uuid PRIMARY KEY,
    folio bigint NOT NULL UNIQUE,
    client_id uuid NOT NULL REFERENCES clients,
    external_id text CHECK (length(external_id) BETWEEN 1 AND 60),
    status text NOT NULL CHECK (status IN ('PENDING', 'ACTIVE', 'PAID_OFF', 'DEFAULTED', 'RESTRUCTURED',
                                           'WRITTEN_OFF', 'REJECTED', 'CANCELLED')),
    amount numeric(15,2) NOT NULL CHECK (amount {POSITIVE}),
    interest_rate numeric(9,6) NOT NULL CHECK (interest_rate BETWEEN 0 AND 10),
    term_months integer NOT NULL CHECK (term_months BETWEEN 1 AND 600),
    disbursed_on date CHECK (disbursed_on {DAY}),
    current_balance numeric(15,2) NOT NULL CHECK (current_balance BETWEEN 0 AND amount),
    version integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((status IN ('PENDING', 'REJECTED', 'CANCELLED')) OR disbursed_on IS NOT NULL),
    CHECK (status <> 'PAID_OFF' OR current_balance = 0)
);
CREATE INDEX loans_client ON loans (client_id, id);
CREATE INDEX loans_status ON loans (status, id);
CREATE UNIQUE INDEX loans_external_id_key ON loans (external_id);
"""

PAYMENTS = f"""
CREATE TABLE payments (
    id uuid PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES clients,
    status text NOT NULL CHECK (status IN ('REGISTERED', 'REJECTED')),
    amount numeric(15,2) NOT NULL CHECK (amount {POSITIVE}),
    paid_on date NOT NULL CHECK (paid_on {DAY}),
    posted_on date NOT NULL CHECK (posted_on {DAY}),
    method text NOT NULL CHECK (method IN ('cash', 'transfer', 'card', 'direct_debit', 'other')),
    reference text CHECK (length(reference) BETWEEN 1 AND 60),
    external_id text CHECK (length(external_id) BETWEEN 1 AND 60),
    reason text,
    sequence bigint NOT NULL CHECK (sequence > 0),
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK ((status = 'REJECTED') = (reason IS NOT NULL))
);
-- A reference (SPEI key, receipt) counts once per client, for ever: it outlives the idempotency key.
CREATE UNIQUE INDEX payments_reference_key ON payments (client_id, reference) WHERE status = 'REGISTERED';
CREATE UNIQUE INDEX payments_external_id_key ON payments (client_id, external_id) WHERE status = 'REGISTERED';
CREATE INDEX payments_client ON payments (client_id, id);
CREATE INDEX payments_paid_on ON payments (paid_on, id);

CREATE TABLE loan_movements (
    id uuid PRIMARY KEY,
    loan_id uuid NOT NULL REFERENCES loans,
    payment_id uuid REFERENCES payments,
    kind text NOT NULL CHECK (kind IN ('DISBURSEMENT', 'PAYMENT', 'PAYMENT_REVERSAL', 'DISBURSEMENT_REVERSAL')),
    value_date date NOT NULL CHECK (value_date {DAY}),
    posted_on date NOT NULL CHECK (posted_on {DAY}),
    sequence bigint NOT NULL CHECK (sequence > 0),
    amount numeric(15,2) NOT NULL CHECK (amount {POSITIVE}),
    principal numeric(15,2) NOT NULL CHECK (principal {AT_LEAST_ZERO}),
    interest numeric(15,2) NOT NULL CHECK (interest {AT_LEAST_ZERO}),
    vat numeric(15,2) NOT NULL CHECK (vat {AT_LEAST_ZERO}),
    fees numeric(15,2) NOT NULL CHECK (fees {AT_LEAST_ZERO}),
    moratory numeric(15,2) NOT NULL CHECK (moratory {AT_LEAST_ZERO}),
    created_at timestamptz NOT NULL,
    CHECK (amount = principal + interest + vat + fees + moratory)
);
CREATE INDEX loan_movements_loan ON loan_movements (loan_id, sequence);
CREATE INDEX loan_movements_payment ON loan_movements (payment_id) WHERE payment_id IS NOT NULL;
"""

LEDGER = f"""
CREATE TABLE accounts (
    code text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'income', 'expense', 'equity'))
);
CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY,
    movement_id uuid UNIQUE REFERENCES loan_movements,
    client_id uuid REFERENCES clients,
    kind text NOT NULL,
    posted_on date NOT NULL CHECK (posted_on {DAY}),
    sequence bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX ledger_entries_posted_on ON ledger_entries (posted_on, id);
CREATE TABLE postings (
    entry_id uuid NOT NULL REFERENCES ledger_entries,
    line smallint NOT NULL CHECK (line BETWEEN 1 AND 50),
    account text NOT NULL,
    amount numeric(15,2) NOT NULL CHECK (amount {ANY_SIGN} AND amount <> 0),
    PRIMARY KEY (entry_id, line)
);

-- An entry's postings come in one INSERT, balance, name known accounts and are sealed from then on.
CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE offender uuid;
BEGIN
    SELECT n.entry_id INTO offender
      FROM (SELECT entry_id, sum(amount) AS total, count(*) AS lines, count(a.code) AS known
              FROM inserted LEFT JOIN accounts a ON a.code = account GROUP BY entry_id) n
     WHERE n.total <> 0 OR n.lines < 2 OR n.known < n.lines
        OR n.lines <> (SELECT count(*) FROM postings p WHERE p.entry_id = n.entry_id)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings of entry % do not balance, name an unknown account or come late', offender
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
    sequence bigint NOT NULL CHECK (sequence > 0),
    aggregate_type text NOT NULL,
    event_type text NOT NULL,
    entity_id uuid NOT NULL,
    payload jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    schema_version smallint NOT NULL CHECK (schema_version > 0),
    actor text NOT NULL,
    request_id text NOT NULL,
    traceparent text,
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (aggregate_id, sequence)
);
CREATE TABLE outbox (
    aggregate_id uuid NOT NULL,
    sequence bigint NOT NULL,
    lane smallint NOT NULL CHECK (lane IN (0, 1)),
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

SYSTEM = f"""
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL CHECK (key ~ '^[!-~]{{1,128}}$'),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    status smallint NOT NULL CHECK (status BETWEEN 200 AND 499),
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    aggregate_id uuid,
    sequence bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE business_day (
    singleton boolean PRIMARY KEY CHECK (singleton),
    business_date date NOT NULL CHECK (business_date {DAY}),
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
    version integer NOT NULL CHECK (version > 0),
    event_sequence bigint NOT NULL CHECK (event_sequence > 0),
    chain_head bytea NOT NULL CHECK (length(chain_head) = 32),
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
    for script in (CLIENTS, LOANS, PAYMENTS, LEDGER, EVENTS, SYSTEM, IMMUTABLE, CHART):
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
