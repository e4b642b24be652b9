"""`python -m bench.end_of_day LOANS...`: what an end of day costs per loan, in time and memory, on a running stack.

Each size gets a database of its own, with clients who have one loan each, disbursed on any of the last 400 days and
paid up to any lateness, so that accounts are as long and as late as in a portfolio that has been lent for a year.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from secrets import token_hex
from typing import Any

import asyncpg
import orjson
from backend_api.db.uuid7 import uuid7
from backend_api.domain import delinquency
from backend_api.domain.account import Account, Movement, MovementKind, apply
from backend_api.domain.term_sheet import sheet
from backend_api.domain.terms import Terms
from backend_api.ledger import state
from backend_api.settings import Environment, Settings

AGES = 400
LATE_EVERY = 7
"""One loan in so many has stopped paying; the others have paid what was due."""
CLIENT_COLUMNS = (
    "id",
    "full_name",
    "status",
    "warnings",
    "version",
    "event_sequence",
    "chain_head",
    "created_at",
    "updated_at",
)
LOAN_COLUMNS = (
    "id", "folio", "client_id", "status", "amount", "interest_rate", "term_months", "product", "product_version",
    "terms", "disbursed_on", "current_balance", "account", "account_on", "next_due_on", "in_time_until",
    "next_change_on", "stage", "moved_on", "version", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """A loan as it may stand today."""

    terms: str
    disbursed_on: date
    account: Account
    account_on: date


def main() -> None:
    """Measure every size that was asked for."""
    for count in map(int, sys.argv[1:]):
        asyncio.run(_measure(count))


async def _measure(count: int) -> None:
    settings = Settings(environment=Environment.DEVELOPMENT)
    name = f"sofipo_bench_{token_hex(4)}"
    server = await _connect(settings, settings.postgres_db)
    await server.execute(f"CREATE DATABASE {name}")
    environment = {**os.environ, "ENVIRONMENT": "development", "POSTGRES_DB": name}
    try:
        _command(environment, "init")
        owner = await _connect(settings, name)
        today: date = await owner.fetchval("SELECT business_date FROM business_day")
        await _fill(owner, count, today)
        await owner.close()
        for day in (today, today + timedelta(days=1)):
            began = time.perf_counter()
            said = _command(environment, "eod", "--date", day.isoformat())
            seconds = time.perf_counter() - began
            memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(
                f"{count} loans, {day}: {seconds:.1f} s, {1e6 * seconds / count:.0f} us per loan, "
                f"largest process so far {memory:.0f} MB; {said.strip()}",
                flush=True,
            )
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


def _command(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "backend_api.cli", *arguments], env=environment, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


async def _connect(settings: Settings, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=database,
    )


async def _fill(owner: "asyncpg.Connection[asyncpg.Record]", count: int, today: date) -> None:
    patterns = [_pattern(today, age, late) for age in range(AGES) for late in (False, True)]
    step = 10_000
    for start in range(0, count, step):
        rows = list(_rows(patterns, range(start, min(count, start + step)), today))
        await owner.copy_records_to_table("clients", records=[row for row, _ in rows], columns=CLIENT_COLUMNS)
        await owner.copy_records_to_table("loans", records=[row for _, row in rows], columns=LOAN_COLUMNS)
    await owner.execute("VACUUM ANALYZE loans")
    await owner.execute("ANALYZE clients")


def _pattern(today: date, age: int, late: bool) -> Pattern:
    disbursed_on = today - timedelta(days=age)
    terms = Terms(amount=Decimal("50000.00"), interest_rate=Decimal("0.36"), installments=24, disbursed_on=disbursed_on)
    account, account_on = Account.opened(terms), disbursed_on
    for number, row in enumerate(account.rows):
        if row.due_on > today or (late and number >= age // 60):
            break
        amount = account.position(row.due_on).due.total
        account, _ = apply(
            account, Movement(uuid7(datetime.now(UTC)), MovementKind.PAYMENT, row.due_on, number, amount)
        )
        account_on = row.due_on
    return Pattern(orjson.dumps(sheet(terms)).decode(), disbursed_on, account, account_on)


def _rows(patterns: list[Pattern], numbers: range, today: date) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    at = datetime.now(UTC)
    for number in numbers:
        pattern = patterns[2 * (number % AGES) + (number % LATE_EVERY == 0)]
        account, client_id = pattern.account, uuid7(at)
        unpaid = [row.due_on for row in delinquency.unpaid(account)]
        days = delinquency.days_past_due(unpaid[0], today - timedelta(days=1))
        yield (
            (client_id, "Beatriz Pérez", "ACTIVE", "[]", 1, 1, bytes(32), at, at),
            (
                uuid7(at), number + 1, client_id, "DEFAULTED" if days >= delinquency.THIRD_STAGE_DAYS else "ACTIVE",
                account.terms.amount, account.terms.interest_rate, 24, "STANDARD", 1, pattern.terms,
                pattern.disbursed_on, account.principal, state.encode(state.compact(account, pattern.account_on)),
                pattern.account_on, unpaid[0], unpaid[0], delinquency.next_change(unpaid, today - timedelta(days=1)),
                int(delinquency.stage(days)), pattern.account_on, 1, at, at,
            ),
        )  # fmt: skip


if __name__ == "__main__":
    main()
