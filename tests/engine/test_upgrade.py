"""Databases of the version before: their loans get terms and accounts, and nobody owes more for it, or is late."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from secrets import token_bytes, token_hex
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.dates import business_date
from backend_api.domain.terms import Terms
from backend_api.ledger.state import account_of
from backend_api.loans import adoption
from backend_api.loans.adoption import adopt
from backend_api.opening import utc_now

from tests.engine.conftest import STACK, copy
from tests.engine.lender import Lender
from tests.support.builders import CLIENTS, LOANS, PAYMENTS, get
from tests.support.clock import zone_at_noon
from tests.support.postgres import connect_as_owner, drop_databases
from tests.support.processes import ROOT, run_command, try_command
from tests.support.replays import replayed
from tests.support.service import client_of, running, sign_in

BEFORE = "20261121_spine"
ADDED = "20261121_approvals"
REQUIRED = "20261121_required"
"""The one that demands what `ADDED` let be empty."""
ORDERS, COMMISSIONS = "20261122_customer_space", "20261122_commissions"
HERE = STACK.model_copy(update={"business_time_zone": zone_at_noon()})
"""In a zone of its own: a day that ends by itself, in the middle, would be one of business for the version of now."""
TODAY = business_date(utc_now(), HERE.zone)
KEPT = "SELECT id, status, current_balance, amount, version FROM loans ORDER BY id"
ALL = "SELECT * FROM loans ORDER BY id"

CLIENT = """
INSERT INTO clients (id, full_name, email, rfc, status, warnings, version, event_sequence, chain_head, created_at,
                     updated_at)
VALUES ($1, 'Carla Antes', $2, $3, 'ACTIVE', '[]', 1, $4, $5, now(), now())
"""
LOAN = """
INSERT INTO loans (id, folio, client_id, status, amount, interest_rate, term_months, disbursed_on, current_balance,
                   version, created_at, updated_at)
VALUES ($1, nextval('loan_folio'), $2, $3, $4, $5, $6, $7, $8, 1, now(), now())
"""
PAYMENT = """
INSERT INTO payments (id, client_id, status, amount, paid_on, posted_on, method, sequence, actor, created_at)
VALUES ($1, $2, 'REGISTERED', $3, $4, $5, 'cash', $6, 'user:test', now())
"""
MOVEMENT = """
INSERT INTO loan_movements (id, loan_id, payment_id, kind, value_date, posted_on, sequence, amount, principal, interest,
                            vat, fees, moratory, created_at)
SELECT $1, $2, $3, $4, $5, $6, $7, amount, amount, 0, 0, 0, 0, now() FROM (VALUES ($8::numeric)) v (amount)
"""
MOVEMENT_OF_BEFORE = """
INSERT INTO loan_movements (id, loan_id, kind, value_date, posted_on, sequence, amount, principal, interest, vat, fees,
                            moratory, created_at)
SELECT gen_random_uuid(), $1, 'PAYMENT', now(), now(), 9, 1, 1, 0, 0, 0, 0, now()
"""
CHANGE_PAYMENT = """
UPDATE loan_movements SET {}
 WHERE loan_id = $1 AND sequence = (SELECT max(sequence) FROM loan_movements WHERE loan_id = $1)
"""
ENTRY = "INSERT INTO ledger_entries VALUES ($1, $2, $3, $4, $5, now())"
POSTINGS = """
INSERT INTO postings (entry_id, line, account, amount)
SELECT $1, line, account, sign * $2::numeric FROM (VALUES (1, '1301', 1), (2, '1101', -1)) v (line, account, sign)
"""


@dataclass
class Before:
    """A database of the version before, and the loans that its program wrote."""

    name: str
    owner: Connection
    loans: dict[str, UUID] = field(default_factory=dict)
    payments: dict[str, list[UUID]] = field(default_factory=dict)

    async def loan(
        self,
        name: str,
        disbursed: date | None,
        payments: Sequence[tuple[date, str]] = (),
        *,
        amount: str = "12000.00",
        rate: str = "0.36",
        months: int = 12,
        status: str = "ACTIVE",
    ) -> None:
        """A loan as that program wrote it; payments by value date and amount, in the order in which they came."""
        now = utc_now()
        client, loan = uuid7(now), uuid7(now)
        sequence, left = 2, Decimal(amount)
        paid: list[UUID] = []
        async with self.owner.transaction():
            rfc = f"XAXX{len(self.loans):06}HN1"
            await self.owner.execute(CLIENT, client, f"{token_hex(6)}@example.com", rfc, 50, token_bytes(32))
            balance = left - sum((Decimal(one) for _, one in payments), Decimal(0)) if disbursed else Decimal(0)
            terms = (Decimal(amount), Decimal(rate), months)
            await self.owner.execute(LOAN, loan, client, status, *terms, disbursed, balance)
            if disbursed:
                await self._move(loan, None, "DISBURSEMENT", disbursed, disbursed, 3, Decimal(amount))
            posted = disbursed or TODAY
            for day, sum_paid in payments:
                sequence, posted, payment = sequence + 2, max(posted, day), uuid7(now)
                await self.owner.execute(PAYMENT, payment, client, Decimal(sum_paid), day, posted, sequence)
                await self._move(loan, payment, "PAYMENT", day, posted, sequence, Decimal(sum_paid))
                paid.append(payment)
        self.loans[name], self.payments[name] = loan, paid

    async def pay_both(self, name: str, one: str, other: str, day: date, amount: str) -> None:
        """One payment on two loans, which become those of one client, half of it on each."""
        client = await self.owner.fetchval("SELECT client_id FROM loans WHERE id = $1", self.loans[one])
        await self.owner.execute("UPDATE loans SET client_id = $1 WHERE id = $2", client, self.loans[other])
        payment, half = uuid7(utc_now()), Decimal(amount) / 2
        async with self.owner.transaction():
            await self.owner.execute(PAYMENT, payment, client, Decimal(amount), day, day, 40)
            for loan in (self.loans[one], self.loans[other]):
                await self._move(loan, payment, "PAYMENT", day, day, 40, half)
                change = "UPDATE loans SET current_balance = current_balance - $1 WHERE id = $2"
                await self.owner.execute(change, half, loan)
        self.payments[name] = [payment]

    async def _move(
        self, loan: UUID, payment: UUID | None, kind: str, day: date, posted: date, sequence: int, amount: Decimal
    ) -> None:
        movement, entry = uuid7(utc_now()), uuid7(utc_now())
        await self.owner.execute(MOVEMENT, movement, loan, payment, kind, day, posted, sequence, amount)
        await self.owner.execute(ENTRY, entry, movement, kind, posted, sequence)
        await self.owner.execute(POSTINGS, entry, amount if kind == "DISBURSEMENT" else -amount)

    async def init(self) -> tuple[int, str]:
        """`sofipo init` of the version of now."""
        return await try_command("-m", "backend_api.cli", "init", **self._environment)

    async def migrate(self, revision: str) -> None:
        """Bring the schema to a version."""
        given = ("-c", str(ROOT / "backend-api/alembic.ini"), "upgrade", revision)
        await run_command("-m", "alembic", *given, **self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return {"POSTGRES_DB": self.name, "BUSINESS_TIME_ZONE": HERE.business_time_zone}

    async def version(self) -> str:
        """Which version the schema is at."""
        found: str = await self.owner.fetchval("SELECT version_num FROM alembic_version")
        return found


@pytest.fixture(scope="session")
async def pattern_before(server: Connection) -> AsyncIterator[Before]:
    """A database with loans of every kind that is only copied, and what is in it."""
    name = f"test_before_{token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name}")
    try:
        owner = await connect_as_owner(HERE.model_copy(update={"postgres_db": name}))
        made = Before(name, owner)
        await made.migrate(BEFORE)
        await owner.execute("INSERT INTO business_day VALUES (true, $1, now())", TODAY)
        await _lend(made)
        await owner.close()
        yield made
    finally:
        await drop_databases(server, name)


@pytest.fixture
async def before(server: Connection, pattern_before: Before) -> AsyncIterator[Before]:
    """Such a database of a test's own."""
    name = await copy(server, pattern_before.name)
    owner = await connect_as_owner(HERE.model_copy(update={"postgres_db": name}))
    try:
        yield replace(pattern_before, name=name, owner=owner)
    finally:
        await owner.close()


def ago(days: int) -> date:
    """So many days before today."""
    return TODAY - timedelta(days=days)


async def _lend(made: Before) -> None:
    await made.loan("never paid", ago(190))
    await made.loan("paid", ago(190), [(ago(170), "1000.00"), (ago(100), "2500.55"), (ago(3), "0.01")])
    await made.loan("paid and dated back", ago(190), [(ago(50), "700.00"), (ago(90), "800.00"), (ago(190), "1.00")])
    await made.loan("of today", TODAY, [(TODAY, "2500.00")])
    await made.loan("of yesterday", ago(1), [(ago(1), "1.00"), (TODAY, "2.00")])
    await made.loan("paid off", ago(120), [(ago(60), "7000.00"), (ago(30), "5000.00")], status="PAID_OFF")
    await made.loan("paid off on its day", TODAY, [(TODAY, "12000.00")], status="PAID_OFF")
    await made.loan("beyond its term", ago(200), [(ago(10), "100.00")], months=2)
    await made.loan("of a month's end", _last_month_end(), [(ago(1), "100.00")], months=600)
    await made.loan("due today", _months_ago(3), [(ago(40), "100.00")])
    await made.loan("tiny", ago(100), [(ago(50), "0.01")], amount="0.05", months=24)
    await made.loan("never amortizing", ago(100), [(ago(50), "10.00")], rate="10", months=600)
    await made.loan("without interest", ago(100), [(ago(50), "10.00")], rate="0")
    await made.loan("first of two", ago(100))
    await made.loan("second of two", ago(90))
    await made.pay_both("both", "first of two", "second of two", ago(20), "3000.00")
    await made.loan("pending", None, status="PENDING")
    await made.loan("rejected", None, status="REJECTED")
    await made.loan("cancelled", None, status="CANCELLED")


def _last_month_end() -> date:
    """The last day of a long month, some months ago."""
    return date(TODAY.year - 1, 8, 31)


def _months_ago(months: int) -> date:
    """A day from which a whole number of months leads to today; earlier where a month is too short for it."""
    month = TODAY.month - 1 - months
    return date(TODAY.year + month // 12, month % 12 + 1, min(TODAY.day, 28))


@asynccontextmanager
async def lending(before: Before) -> AsyncIterator[Lender]:
    """The application on the database."""
    async with running(HERE.model_copy(update={"postgres_db": before.name})) as app, client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {await sign_in(client, 'admin', 'string')}"
        yield Lender(client, before.owner, app.state.resources)


async def test_nobody_owes_more_or_is_late_and_the_accounts_are_replays_of_what_was_booked(before: Before) -> None:
    kept = await before.owner.fetch(KEPT)
    code, said = await before.init()
    assert code == 0, said
    assert f"loans of the version before: {len(kept)} worked out" in said
    assert await before.owner.fetch(KEPT) == kept
    for name, loan_id in before.loans.items():
        loan = await before.owner.fetchrow("SELECT * FROM loans WHERE id = $1", loan_id)
        assert loan is not None
        assert (loan["product"], loan["product_version"], loan["restructured_from"]) == ("STANDARD", 1, None)
        if loan["disbursed_on"] is None:
            assert (loan["account"], loan["moved_on"], loan["next_change_on"], loan["stage"]) == (None,) * 4
            continue
        await replayed(before.owner, loan_id)
        position = account_of(loan["terms"], loan["disbursed_on"], loan["account"]).position(TODAY)
        assert position.payoff_amount == loan["current_balance"], name
        assert (position.days_past_due, loan["stage"]) == (0, 1), name
        assert (loan["next_due_on"] is None) == (not loan["current_balance"]), name
        if loan["next_due_on"]:
            assert loan["next_due_on"] > TODAY, name
            assert loan["next_change_on"] > loan["next_due_on"], name
    rows = await before.owner.fetch("SELECT *, ctid FROM loans")
    code, said = await before.init()
    assert code == 0, said
    assert "version before" not in said
    assert await before.owner.fetch("SELECT *, ctid FROM loans") == rows, "nothing is written twice"


async def test_what_was_agreed_is_kept_from_here_on(before: Before) -> None:
    await before.init()
    terms = {
        name: orjson.loads(await before.owner.fetchval("SELECT terms FROM loans WHERE id = $1", loan_id))
        for name, loan_id in before.loans.items()
    }
    assert {sheet["interest_rate"] for sheet in terms.values()} == {"0.36", "10", "0"}
    standard = {"interest_free_periods": 0, "first_due_on": None, "installments": 12}
    for name in ("of today", "paid off on its day", "pending", "rejected", "cancelled"):
        assert standard.items() <= terms[name].items(), name
    assert (terms["beyond its term"]["installments"], terms["of yesterday"]["installments"]) == (1, 12)
    for name in ("never paid", "paid", "beyond its term", "of yesterday"):
        assert terms[name]["interest_free_periods"] == 1
    product = orjson.loads(await before.owner.fetchval("SELECT terms FROM loan_product_versions"))
    differing = {"interest_rate", "installments", "amount", "first_due_on"}
    assert {key: value for key, value in terms["pending"].items() if key not in differing} == {
        key: value for key, value in product.items() if key not in differing
    }
    assert {name for name, sheet in terms.items() if sheet["amortization"] != "equal_installments"} == {
        "never amortizing", "of a month's end", "tiny",
    }  # fmt: skip


@pytest.mark.no_cover  # see `tests/conftest.py`
async def test_loans_of_the_version_before_are_paid_taken_back_and_closed_like_any_other(before: Before) -> None:
    await before.init()
    async with lending(before) as lender:
        for name in ("never paid", "paid", "of today", "beyond its term", "tiny", "never amortizing", "due today"):
            await lender.pay({"id": before.loans[name]}, "0.01")
        for name in ("paid", "paid and dated back", "paid off", "paid off on its day", "of yesterday", "both"):
            answer = await lender.reverse({"id": before.payments[name][0]})
            assert answer.status_code == 200, answer.text
        assert (await lender.reverse({"id": before.payments["paid"][2]})).status_code == 200
        for name in ("paid off", "paid off on its day"):
            assert await before.owner.fetchval("SELECT status FROM loans WHERE id = $1", before.loans[name]) == "ACTIVE"
        back_dated = await lender.pay({"id": before.loans["paid"]}, "100.00", paid_on=ago(20).isoformat())
        assert back_dated["allocations"][0]["principal"] == "100.00"
        answer = await lender.api.post(f"{LOANS}/{before.loans['pending']}/activate", json={})
        assert answer.status_code == 200, answer.text
        await lender.check_books()
        for name, loan_id in before.loans.items():
            loan = await get(lender.api, f"{LOANS}/{loan_id}")
            await get(lender.api, f"{LOANS}/{loan_id}/schedule")
            await get(lender.api, f"{LOANS}/{loan_id}/movements")
            await get(lender.api, f"{CLIENTS}/{loan['client_id']}/account-statement")
            assert loan["current_balance"] is not None, name
        assert len((await get(lender.api, f"{PAYMENTS}?limit=100"))["data"]) > 20
        outcome = await lender.close(TODAY)
        assert outcome.failed == {}
        assert len(outcome.closed) > 190, "from the first entry of the version before"
        balance = await get(lender.api, "/api/v1/ledger/trial-balance")
        assert balance["debit"] == balance["credit"]
        await lender.check_books()


async def test_what_was_cut_off_is_taken_up_again(before: Before, monkeypatch: pytest.MonkeyPatch) -> None:
    await before.migrate(ADDED)
    monkeypatch.setattr(adoption, "LOANS_AT_ONCE", 3)

    class CutOff(Exception):
        pass

    def cut_off(done: int, total: int) -> None:
        assert (done, total) in [(3, len(before.loans)), (6, len(before.loans))]
        if done == 6:
            raise CutOff

    with pytest.raises(CutOff):
        await adopt(before.owner, TODAY, cut_off)
    guard = "SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'loan_movements'::regclass AND tgname = 'insert_only'"
    assert await before.owner.fetchval(guard) == b"O", "the guard is back"
    done = await before.owner.fetch("SELECT *, ctid FROM loans WHERE terms IS NOT NULL ORDER BY id")
    assert len(done) == 6
    code, said = await before.init()
    assert code == 0, said
    assert f"loans of the version before: {len(before.loans) - 6} worked out" in said
    assert (
        await before.owner.fetch(
            "SELECT *, ctid FROM loans WHERE id = ANY($1) ORDER BY id", [row["id"] for row in done]
        )
        == done
    )
    for loan_id in before.loans.values():
        if await before.owner.fetchval("SELECT disbursed_on FROM loans WHERE id = $1", loan_id):
            await replayed(before.owner, loan_id)


async def test_a_loan_whose_books_do_not_add_up_is_named_and_nothing_is_demanded_until_it_is_mended(
    before: Before,
) -> None:
    wrong = before.loans["paid"]
    await before.owner.execute("ALTER TABLE loan_movements DISABLE TRIGGER insert_only")
    await before.owner.execute(CHANGE_PAYMENT.format("amount = amount + 1, principal = principal + 1"), wrong)
    for _ in range(2):
        code, said = await before.init()
        assert code == 1
        assert f"{wrong} (its movements do not add up to what the books hold)" in said
        assert "Traceback" not in said
        assert await before.version() == ADDED
    assert await before.owner.fetchval("SELECT count(*) FROM loans WHERE terms IS NULL") == 1, "all others are done"
    await before.owner.execute("ALTER TABLE loan_movements DISABLE TRIGGER insert_only")
    named = "movement_id = payment_id, position = sequence"
    await before.owner.execute(CHANGE_PAYMENT.format(f"amount = amount - 1, principal = principal - 1, {named}"), wrong)
    code, said = await before.init()
    assert code == 0, said
    assert await before.version() not in (ADDED, REQUIRED), "the migrations after it are done too"
    await replayed(before.owner, wrong)


async def test_control_as_agreed_from_the_start_the_past_would_have_cost_interest(
    before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the free period is for: without it a replay takes interest out of what was booked as principal."""
    await before.migrate(ADDED)

    def as_agreed(loan: Any, today: date) -> Terms:
        return Terms(
            amount=loan["amount"],
            interest_rate=loan["interest_rate"],
            installments=loan["term_months"],
            disbursed_on=loan["disbursed_on"] or today,
        )

    monkeypatch.setattr(adoption, "terms_as_of", as_agreed)
    failed = (await adopt(before.owner, TODAY, lambda *_: None)).failed
    assert before.loans["paid"] in failed
    assert before.loans["paid off"] in failed
    assert before.loans["of today"] not in failed


async def test_until_a_loan_has_its_account_nothing_can_be_done_to_it(before: Before) -> None:
    """Neither by a program of the version before, which would leave the account behind, nor by one of now."""
    await before.migrate(ADDED)
    loan_id = before.loans["paid"]
    for statement in ("UPDATE loans SET current_balance = current_balance - 1 WHERE id = $1", MOVEMENT_OF_BEFORE):
        with pytest.raises(asyncpg.CheckViolationError):
            await before.owner.execute(statement, loan_id)


async def test_every_rule_and_index_is_in_force_at_the_end(before: Before) -> None:
    await before.init()
    assert await before.owner.fetch("SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert await before.owner.fetch("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []


@pytest.mark.parametrize(
    ("earlier", "later", "index"),
    [
        (ADDED, REQUIRED, "loans_next_due"),
        (ORDERS, COMMISSIONS, "ledger_entries_payment"),
        (ORDERS, COMMISSIONS, "ledger_entries_day_key"),
    ],
)
async def test_a_migration_of_many_transactions_can_be_cut_off_anywhere_and_repeated(
    earlier: str, later: str, index: str, before: Before
) -> None:
    await before.init()
    await before.owner.execute("UPDATE alembic_version SET version_num = $1", earlier)
    await before.owner.execute(f"DROP INDEX {index}")
    await before.migrate(later)
    assert await before.version() == later
    assert await before.owner.fetchval("SELECT to_regclass($1) IS NOT NULL", index)
