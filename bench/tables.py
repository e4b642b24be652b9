"""The tables of the references: what a payment needs at the least, in a schema of their own on the same server."""

import asyncpg
from backend_api.settings import Settings

SCHEMA = """
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
SET search_path = bench;
CREATE TABLE clients (
    id bigint PRIMARY KEY,
    event_sequence bigint NOT NULL,
    chain_head bytea NOT NULL
);
CREATE TABLE loans (
    id bigint PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES clients,
    current_balance numeric(15,2) NOT NULL CHECK (current_balance >= 0),
    version integer NOT NULL
);
CREATE INDEX loans_client ON loans (client_id);
CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES clients,
    loan_id bigint NOT NULL REFERENCES loans,
    amount numeric(15,2) NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_client ON payments (client_id, id);
CREATE TABLE postings (
    payment_id bigint NOT NULL REFERENCES payments,
    line smallint NOT NULL,
    account text NOT NULL,
    amount numeric(15,2) NOT NULL,
    PRIMARY KEY (payment_id, line)
);
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE TABLE outbox (
    client_id bigint NOT NULL,
    sequence bigint NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, sequence)
);
"""
CLIENTS = "INSERT INTO bench.clients SELECT n, 1, decode(repeat('00', 32), 'hex') FROM generate_series(1, $1::int) n"
LOANS = "INSERT INTO bench.loans SELECT n, n, 5000.00, 1 FROM generate_series(1, $1::int) n"

# The ten fixed statements, for pgbench. `:clients` is how many clients are paid for, from the first one on.
TEN_STATEMENTS = r"""
\set client random(1, :clients)
\set key random(1, 9000000000000000000)
BEGIN;
INSERT INTO bench.idempotency_keys (principal, key, fingerprint)
VALUES ('bench', :key, decode(repeat('ab', 32), 'hex'));
SELECT event_sequence, chain_head FROM bench.clients WHERE id = :client FOR UPDATE;
SELECT id AS loan, current_balance, version FROM bench.loans WHERE client_id = :client \gset
INSERT INTO bench.payments (client_id, loan_id, amount) VALUES (:client, :loan, 0.01) RETURNING id AS payment \gset
INSERT INTO bench.postings (payment_id, line, account, amount)
VALUES (:payment, 1, '1101', 0.01), (:payment, 2, '1301', -0.01);
UPDATE bench.loans SET current_balance = current_balance - 0.01, version = version + 1 WHERE id = :loan;
UPDATE bench.clients SET event_sequence = event_sequence + 1, chain_head = decode(repeat('cd', 32), 'hex')
WHERE id = :client RETURNING event_sequence AS sequence \gset
INSERT INTO bench.outbox (client_id, sequence, event_type, payload, prev_hash, hash)
VALUES (:client, :sequence, 'payment_registered',
        '{"amount": "0.01", "loan_ids": ["0192f0c1-2345-7abc-8def-0123456789ab"], "value_date": "2026-01-31"}',
        decode(repeat('00', 32), 'hex'), decode(repeat('cd', 32), 'hex'));
COMMIT;
"""


async def create(settings: Settings, clients: int) -> None:
    """Make the tables anew, with so many clients of one loan each."""
    connection = await asyncpg.connect(owner_dsn(settings))
    try:
        await connection.execute(SCHEMA)
        await connection.execute(CLIENTS, clients)
        await connection.execute(LOANS, clients)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def owner_dsn(settings: Settings, driver: str = "postgresql") -> str:
    """Address of the database as its owner; the references do not go through the application's role."""
    password = settings.postgres_password.get_secret_value()
    place = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_db}"
    return f"{driver}://{settings.postgres_user}:{password}@{place}"
