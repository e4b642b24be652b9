"""What the database itself refuses, whoever asks, and what the rows in it say of each other."""

import random
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import rfc8785
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from backend_api.db.pools import Connection
from backend_api.domain.ledger import CHART
from backend_api.http.resources import Resources
from backend_api.models import metadata
from backend_api.outbox import envelope
from backend_api.settings import Settings
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.builders import CLIENTS, get, new_client, new_loan, pay
from tests.support.replays import replayed

INSERT_ONLY = [
    "events", "payments", "loan_movements", "ledger_entries", "postings", "loan_product_versions", "daily_totals",
    "ledger_periods",
]  # fmt: skip
ENTRY = """
INSERT INTO ledger_entries (id, kind, product, posted_on, sequence, created_at)
VALUES ($1, 'PAYMENT', 'STANDARD', '2026-01-01', 1, now())
"""
APPROVAL = """
INSERT INTO approvals (id, kind, status, client_id, target_id, amount, request, maker, requested_at, expires_at)
SELECT gen_random_uuid(), 'WAIVER', 'PENDING', client_id, id, 5, '{}', (SELECT id FROM users LIMIT 1), now(),
       now() + interval '7 days'
  FROM loans WHERE id = $1
"""
POSTINGS = "INSERT INTO postings SELECT $1, n, a, m FROM unnest($2::int[], $3::text[], $4::numeric[]) AS p (n, a, m)"


@pytest.fixture
async def transaction(app_role: Connection) -> AsyncIterator[Connection]:
    """The application's role in a transaction that is rolled back."""
    undo = app_role.transaction()
    await undo.start()
    yield app_role
    await undo.rollback()


@pytest.fixture
async def money(api: httpx2.AsyncClient, owner: Connection) -> dict[str, Any]:
    """A loan with a payment, an approval and the totals of a day, so that every table of money has rows."""
    loan = await new_loan(api)
    await pay(api, loan["id"], "5")
    await owner.execute(APPROVAL, UUID(loan["id"]))
    await owner.execute(
        "INSERT INTO daily_totals VALUES ('1970-01-01', '1101', 'STANDARD', 0, 0) ON CONFLICT DO NOTHING"
    )
    return loan


@pytest.mark.parametrize(
    ("accounts", "amounts"),
    [
        (["1101", "1301"], ["5.00", "-4.99"]),
        (["1101", "1301"], ["5.00", "5.00"]),
        (["1101"], ["5.00"]),
        (["1101", "9999"], ["5.00", "-5.00"]),
        (["1101", "1301", "1302"], ["5.00", "-4.00", "-1.01"]),
        (["1101", "1301"], ["NaN", "NaN"]),
        (["1101", "1301"], ["0.00", "0.00"]),
        (["1101", "1301"], ["10000000000000.00", "-10000000000000.00"]),
    ],
)
async def test_postings_that_do_not_balance_are_refused(
    accounts: list[str], amounts: list[str], transaction: Connection
) -> None:
    entry = uuid4()
    await transaction.execute(ENTRY, entry)
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)):
        await transaction.execute(
            POSTINGS, entry, list(range(1, len(accounts) + 1)), accounts, [Decimal(amount) for amount in amounts]
        )


async def test_postings_that_balance_are_accepted_and_sealed(transaction: Connection) -> None:
    entry = uuid4()
    await transaction.execute(ENTRY, entry)
    await transaction.execute(POSTINGS, entry, [1, 2], ["1101", "1301"], [Decimal(5), Decimal(-5)])
    for lines, refusal in (([3, 4], asyncpg.CheckViolationError), ([1, 2], asyncpg.UniqueViolationError)):
        attempt = transaction.transaction()
        await attempt.start()
        with pytest.raises(refusal):
            await transaction.execute(POSTINGS, entry, lines, ["1101", "1301"], [Decimal(5), Decimal(-5)])
        await attempt.rollback()


async def test_an_entry_without_postings_is_refused_at_the_commit(app_role: Connection) -> None:
    undo = app_role.transaction()
    await undo.start()
    await app_role.execute(ENTRY, uuid4())
    with pytest.raises(asyncpg.CheckViolationError, match="has no postings"):
        await undo.commit()


@pytest.mark.parametrize("role", ["owner", "app_role"])
@pytest.mark.parametrize("table", INSERT_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_rows_of_money_and_events_are_never_changed(
    role: str, table: str, change: str, money: dict[str, Any], owner: Connection, app_role: Connection
) -> None:
    connection = {"owner": owner, "app_role": app_role}[role]
    columns = {
        "postings": "account",
        "loan_product_versions": "version",
        "daily_totals": "debit",
        "ledger_periods": "period",
    }
    column = columns.get(table, "sequence")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(change.format(table, column=column))


MONEY_COLUMNS = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, sa.Numeric)
]


@pytest.mark.parametrize(("table", "column"), MONEY_COLUMNS)
async def test_every_column_of_money_refuses_nan(table: str, column: str, owner: Connection) -> None:
    """Tried on a copy with the same checks, whose other columns may be empty: of a row that says nothing else."""
    optional = ", ".join(f"ALTER {other.name} DROP NOT NULL" for other in metadata.tables[table].columns)
    row = f"INSERT INTO copy ({column}) VALUES ($1)"
    async with owner.transaction():
        await owner.execute(f"CREATE TEMP TABLE copy (LIKE {table} INCLUDING CONSTRAINTS) ON COMMIT DROP")
        await owner.execute(f"ALTER TABLE copy {optional}")
        await owner.execute(row, Decimal("0.5"))
        with pytest.raises(asyncpg.CheckViolationError):
            async with owner.transaction():
                await owner.execute(row, Decimal("NaN"))
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)):
            async with owner.transaction():
                await owner.execute(row, Decimal("-99999999999999"))


async def test_control_a_check_with_one_side_lets_nan_pass(owner: Connection) -> None:
    async with owner.transaction():
        await owner.execute("CREATE TEMP TABLE naive (amount numeric(15,2) CHECK (amount > 0)) ON COMMIT DROP")
        await owner.execute("INSERT INTO naive VALUES ('NaN')")
        assert str(await owner.fetchval("SELECT amount FROM naive")) == "NaN"


async def test_the_application_s_role_owns_nothing_and_may_not_change_the_schema(
    owner: Connection, app_role: Connection, settings: Settings
) -> None:
    owned = await owner.fetchval(
        "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = $1",
        settings.postgres_app_user,
    )
    assert owned == 0
    for statement in (
        "CREATE TABLE mine (id int)",
        "ALTER TABLE payments DISABLE TRIGGER insert_only",
        "DROP TABLE events",
        "INSERT INTO accounts VALUES ('9999', 'mine', 'asset')",
        "UPDATE business_day SET business_date = '2200-01-01'",
        "DELETE FROM clients",
        "DELETE FROM users",
        "UPDATE outbox SET lane = 1",
        "UPDATE idempotency_keys SET status = 200",
        "SET ROLE sofipo",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app_role.execute(statement)


async def test_the_application_s_role_waits_for_nothing_for_long(app_role: Connection) -> None:
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        assert await app_role.fetchval(f"SHOW {name}") not in ("0", "0s")


JUSTIFIED: set[str] = set()
"""Differences between tables as the code knows them and as the migrations make them: none."""


def _types_differ(_: object, __: object, ___: object, found: Any, expected: Any) -> bool | None:
    """A domain is its base type with a rule (reflection loses its precision); None leaves other types to alembic."""
    if not isinstance(found, DOMAIN):
        return None
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped
    base, wanted = (re.split("[( ]", str(kind.compile(dialect)))[0] for kind in (found.data_type, expected))
    return base != wanted


async def test_the_tables_in_the_code_are_those_of_the_migrations(settings: Settings) -> None:
    url = sa.URL.create(
        "postgresql+asyncpg", settings.postgres_user, settings.postgres_password.get_secret_value(),
        settings.postgres_host, settings.postgres_port, settings.postgres_db,
    )  # fmt: skip
    engine = create_async_engine(url, poolclass=sa.NullPool)

    def differences(connection: sa.Connection) -> list[Any]:
        options = {"compare_type": _types_differ, "compare_server_default": False}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    # Indexes and comments live in the migrations alone, see `backend_api.models`.
    kinds = {"add_table", "remove_table", "add_column", "remove_column", "modify_type", "modify_nullable"}
    flat = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    assert {str(change) for change in flat if change[0] in kinds} == JUSTIFIED


async def test_the_chart_of_accounts_is_the_one_in_the_code(owner: Connection) -> None:
    rows = await owner.fetch("SELECT code, name, kind FROM accounts")
    assert {tuple(row) for row in rows} == {
        (account.code, f"{account.name_es} / {account.name_en}", account.kind.value) for account in CHART
    }


async def _random_history(api: httpx2.AsyncClient, seed: int) -> str:
    chance = random.Random(seed)
    client = await new_client(api)
    loans = [await new_loan(api, client["id"], amount=f"{chance.randrange(1, 90000) / 100:.2f}") for _ in range(3)]
    for _ in range(25):
        cents = chance.choice([1, chance.randrange(1, 20000), chance.randrange(1, 90000)])
        amount = f"{cents // 100}.{cents % 100:02d}"
        if chance.random() < 0.3:
            await api.post(f"{CLIENTS}/{client['id']}/payments", json={"amount": amount})
        elif chance.random() < 0.1:
            await api.patch(f"{CLIENTS}/{client['id']}", json={"phone": str(cents)})
        else:
            await pay(api, chance.choice(loans)["id"], amount)
    return str(client["id"])


@pytest.mark.parametrize("seed", range(4))
async def test_snapshot_movements_ledger_and_statement_tell_the_same_story(
    seed: int, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    client_id = await _random_history(api, seed)
    loans = await owner.fetch("SELECT * FROM loans WHERE client_id = $1", client_id)
    total = Decimal(0)
    for loan in loans:
        await replayed(owner, loan["id"])
        assert (loan["status"] == "PAID_OFF") == (loan["current_balance"] == 0)
        total += loan["current_balance"]
    balance = await get(api, f"{CLIENTS}/{client_id}/balance")
    statement = await get(api, f"{CLIENTS}/{client_id}/account-statement")
    receivable = await owner.fetchval(
        "SELECT sum(p.amount) FROM postings p JOIN ledger_entries e ON e.id = p.entry_id "
        "JOIN loan_movements m ON m.id = e.movement_id JOIN loans l ON l.id = m.loan_id "
        "WHERE l.client_id = $1 AND p.account = '1301'",
        client_id,
    )
    assert Decimal(balance["total_debt"]) == Decimal(statement["closing_balance"]) == receivable == total
    unbalanced = await owner.fetch("SELECT entry_id FROM postings GROUP BY entry_id HAVING sum(amount) <> 0")
    assert unbalanced == []
    registered = await owner.fetchval(
        "SELECT sum(amount) FROM payments WHERE client_id = $1 AND status = 'REGISTERED'", client_id
    )
    moved = await owner.fetchval(
        "SELECT sum(m.amount) FROM loan_movements m JOIN payments p ON p.id = m.payment_id WHERE p.client_id = $1",
        client_id,
    )
    assert registered == moved


@pytest.mark.parametrize("seed", [11, 12])
async def test_a_client_s_events_are_a_chain_without_gaps(
    seed: int, api: httpx2.AsyncClient, owner: Connection
) -> None:
    client_id = await _random_history(api, seed)
    events = await owner.fetch("SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence", client_id)
    head = bytes(32)
    for number, event in enumerate(events, start=1):
        assert (event["sequence"], event["prev_hash"]) == (number, head)
        assert sha256(rfc8785.dumps(envelope.canonical(dict(event)))).digest() == event["hash"]
        head = event["hash"]
    client = await owner.fetchrow("SELECT event_sequence, chain_head FROM clients WHERE id = $1", client_id)
    assert client is not None
    assert (client["event_sequence"], client["chain_head"]) == (len(events), head)
    waiting = await owner.fetchval("SELECT count(*) FROM outbox WHERE aggregate_id = $1", client_id)
    assert waiting == len(events), "no relay runs here: each event waits to be sent, once"
    payments = {row["id"] for row in await owner.fetch("SELECT id FROM payments WHERE client_id = $1", client_id)}
    told = [event["entity_id"] for event in events if event["event_type"].startswith("payment_")]
    assert sorted(told) == sorted(payments), "one event for each payment"


async def test_events_name_no_person(api: httpx2.AsyncClient, owner: Connection) -> None:
    client = await new_client(
        api, full_name="Ximena Secreta", phone="5512345678", address="Calle Oculta 5", external_id=f"X{uuid4().hex}"
    )
    await api.patch(f"{CLIENTS}/{client['id']}", json={"full_name": "Ximena Oculta", "credit_limit": "500"})
    await api.delete(f"{CLIENTS}/{client['id']}")
    rows = await owner.fetch("SELECT * FROM events WHERE aggregate_id = $1", client["id"])
    assert len(rows) == 3
    bodies = b"".join(envelope.body(dict(row)) for row in rows).decode()
    for secret in ("Ximena", "Oculta", client["rfc"], client["email"], client["phone"], client["external_id"]):
        assert secret not in bodies


async def test_identifiers_are_uuids_of_version_7_in_the_order_of_time(api: httpx2.AsyncClient) -> None:
    ids = [UUID((await new_client(api))["id"]) for _ in range(3)]
    assert {found.version for found in ids} == {7}
    assert {found.variant for found in ids} == {"specified in RFC 4122"}
    assert [found.int >> 80 for found in ids] == sorted(found.int >> 80 for found in ids)
