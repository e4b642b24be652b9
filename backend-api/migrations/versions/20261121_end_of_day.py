"""The end of day: what it goes by on loans, days and periods that are closed, totals, and the accounts it books to."""

from alembic import op
from backend_api.settings import Settings

revision = "20261121_end_of_day"
down_revision = "20261121_engine"
branch_labels = None
depends_on = None

# Filled in with the accounts, see the migration before; indexes come with the one that ends all this.
LOANS = """
CREATE DOMAIN credit_stage AS smallint;
ALTER TABLE loans
    ADD in_time_until date,
    ADD next_change_on date,
    ADD stage credit_stage,
    ADD closed_through date,
    ADD moved_on date;
ALTER DOMAIN credit_stage ADD CONSTRAINT credit_stage_check CHECK (VALUE IN (1, 2, 3)) NOT VALID;
"""

LEDGER = """
ALTER TABLE ledger_entries ADD product text NOT NULL DEFAULT 'STANDARD';
ALTER TABLE ledger_entries ALTER product DROP DEFAULT;
CREATE DOMAIN money_total AS numeric(18,2) CHECK (VALUE BETWEEN 0 AND 9999999999999999.99);
CREATE TABLE daily_totals (
    posted_on book_day NOT NULL,
    account text NOT NULL REFERENCES accounts,
    product product_code NOT NULL,
    debit money_total NOT NULL,
    credit money_total NOT NULL,
    PRIMARY KEY (posted_on, account, product)
);
CREATE INDEX daily_totals_account ON daily_totals (account, product, posted_on);
CREATE TABLE ledger_periods (
    id uuid PRIMARY KEY,
    period text NOT NULL CONSTRAINT ledger_periods_period_key UNIQUE CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    ends_on book_day NOT NULL UNIQUE,
    actor text NOT NULL,
    closed_at timestamptz NOT NULL
);
ALTER TABLE accounts DROP CONSTRAINT accounts_kind_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_kind_check
    CHECK (kind IN ('asset', 'liability', 'income', 'expense', 'equity', 'memorandum'));
INSERT INTO accounts (code, name, kind) VALUES
    ('1390', 'Estimación preventiva para riesgos crediticios / Allowance for loan losses', 'asset'),
    ('6201', 'Estimaciones preventivas del ejercicio / Loan-loss provisions', 'expense'),
    ('7101', 'Intereses devengados no cobrados de cartera en etapa 3 / Interest accrued on stage 3 loans',
     'memorandum'),
    ('7201', 'Contracuenta de intereses devengados de cartera en etapa 3'
             ' / Contra account of interest accrued on stage 3 loans', 'memorandum');
"""

# An entry is posted on the open business date or, by the end of day, on the one before it that is not closed yet; a
# period is closed after all its days. So no entry that is on its way can be overtaken: this only holds the rule fast.
CHECK_ENTRY = """
CREATE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM postings WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger entry % has no postings', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'ledger_entries_have_postings';
    END IF;
    IF EXISTS (SELECT FROM ledger_periods WHERE ends_on >= NEW.posted_on) THEN
        RAISE EXCEPTION 'the period of % is closed', NEW.posted_on
            USING ERRCODE = '23514', CONSTRAINT = 'ledger_entries_period_open';
    END IF;
    RETURN NULL;
END $$
"""
ENTRY_TRIGGER = """
DROP TRIGGER ledger_entries_have_postings ON ledger_entries;
DROP FUNCTION check_entry_has_postings();
CREATE CONSTRAINT TRIGGER ledger_entries_have_postings AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_entry();
"""

DAYS = """
CREATE TABLE day_closes (
    id uuid PRIMARY KEY,
    business_date book_day NOT NULL CONSTRAINT day_closes_business_date_key UNIQUE,
    totals jsonb NOT NULL,
    event_sequence event_position NOT NULL,
    chain_head digest NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL
);
CREATE TABLE day_close_failures (
    business_date book_day NOT NULL,
    loan_id uuid NOT NULL REFERENCES loans,
    error text NOT NULL,
    failed_at timestamptz NOT NULL,
    resolved_at timestamptz,
    PRIMARY KEY (business_date, loan_id)
);
"""

# The application may end a day, and do nothing else to the business date. Exclusive: see open_business_date().
END_DAY = """
CREATE FUNCTION end_business_date(day date) RETURNS date
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE today date;
BEGIN
    PERFORM pg_advisory_xact_lock(7301001);
    UPDATE business_day SET business_date = day + 1, opened_at = clock_timestamp() WHERE business_date = day;
    SELECT business_date INTO STRICT today FROM business_day;
    RETURN today;
END $$
"""

GRANTS = """
REVOKE ALL ON FUNCTION end_business_date(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_business_date(date) TO {role};
GRANT SELECT, INSERT ON daily_totals, ledger_periods, day_closes, day_close_failures TO {role};
GRANT UPDATE (event_sequence, chain_head) ON day_closes TO {role};
GRANT UPDATE (error, failed_at, resolved_at) ON day_close_failures TO {role};
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON daily_totals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_periods
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for script in (LOANS, LEDGER):
        _run(script)
    op.execute(CHECK_ENTRY)
    _run(ENTRY_TRIGGER)
    _run(DAYS)
    op.execute(END_DAY)
    _run(GRANTS.format(role=Settings().postgres_app_user))


def downgrade() -> None:
    raise NotImplementedError("closed days cannot be opened again; restore a backup instead")


def _run(script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)
