"""The worker: what is due by the clock is done once, by one of them, and whatever comes in between is made up for."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import structlog
from backend_api.approvals import service as approving
from backend_api.db.pools import connect
from backend_api.domain.approvals import LIFE
from backend_api.http import idempotency
from backend_api.http.resources import Resources
from backend_api.imports.queries import IMPORT_LOCK
from backend_api.portfolio import end_of_day
from backend_api.portfolio.queries import END_OF_DAY_LOCK
from backend_api.relay.queries import LEADER_LOCK
from backend_api.settings import Settings
from backend_api.worker import app
from backend_api.worker.app import turn
from backend_api.worker.days import Days, last_day_over
from backend_api.worker.housekeeping import ANSWERS_AT_ONCE, ANSWERS_KEPT, HOUSEKEEPING_LOCK
from pydantic import ValidationError

from tests.engine.conftest import STACK
from tests.engine.lender import Lender, days
from tests.support.builders import LOANS
from tests.support.processes import process, try_command
from tests.support.proxy import Mode, Proxy
from tests.support.waiting import eventually

BUSINESS_DAY_LOCK = 7301001
MANY_DAYS = 600
"""So many take longer than it takes to stop a worker."""
SLOWLY = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE INSERT ON day_closes FOR EACH ROW EXECUTE FUNCTION slowly()
"""
"""All of them a minute then: who wants to stop the worker in the middle may be held up for long."""
ANSWER = """
INSERT INTO idempotency_keys (principal, key, fingerprint, status, headers, body, sequence, created_at)
SELECT 'user:test', 'key-' || n || $1, decode(repeat('00', 32), 'hex'), 201, '{}', '', 0, $2
  FROM generate_series(1, $3::int) n
"""


def at(day: date, hour: int, minute: int) -> datetime:
    """A time of day in the business time zone."""
    return datetime.combine(day, time(hour, minute), STACK.zone)


def by_the_clock(lender: Lender, now: datetime, **settings: Any) -> Resources:
    """The lender's resources at another time, with other settings."""
    resources = lender.resources
    return replace(
        resources, clock=lambda: now.astimezone(UTC), settings=resources.settings.model_copy(update=settings)
    )


async def closed(lender: Lender) -> list[date]:
    """The days that are closed."""
    rows = await lender.owner.fetch("SELECT business_date FROM day_closes ORDER BY business_date")
    return [row["business_date"] for row in rows]


# --- When a day is over ---


@pytest.mark.parametrize(
    ("moment", "setting", "expected"),
    [
        ((2026, 11, 21, 5, 59), "00:05", date(2026, 11, 19)),  # 23:59 in Mexico City, of the 20th
        ((2026, 11, 21, 6, 4), "00:05", date(2026, 11, 19)),
        ((2026, 11, 21, 6, 5), "00:05", date(2026, 11, 20)),
        ((2026, 11, 21, 6, 0), "00:00", date(2026, 11, 20)),
        ((2026, 11, 21, 8, 59), "03:00", date(2026, 11, 19)),
        ((2026, 11, 21, 9, 0), "03:00", date(2026, 11, 20)),
        ((2026, 11, 21, 9, 0), "never", None),
    ],
)
def test_a_day_is_over_at_the_set_time_of_the_next_one(
    moment: tuple[int, int, int, int, int], setting: str, expected: date | None
) -> None:
    settings = STACK.model_copy(update={"end_of_day_at": setting})
    assert last_day_over(datetime(*moment, tzinfo=UTC), settings) == expected


@pytest.mark.parametrize("setting", ["24:00", "0:05", "00:60", "noon", ""])
def test_what_is_no_time_of_day_is_refused(setting: str) -> None:
    with pytest.raises(ValidationError):
        Settings(environment=STACK.environment, end_of_day_at=setting)


def test_no_two_locks_have_the_same_number() -> None:
    numbers = [BUSINESS_DAY_LOCK, LEADER_LOCK, END_OF_DAY_LOCK, HOUSEKEEPING_LOCK, IMPORT_LOCK]
    assert len(set(numbers)) == len(numbers)


# --- Closing days ---


async def test_a_day_is_closed_when_its_time_has_come_and_missed_ones_with_it(new_lender: Lender) -> None:
    await new_lender.grant()
    today = await new_lender.today()
    work = Days()
    await turn(by_the_clock(new_lender, at(today, 23, 59)), work)
    await turn(by_the_clock(new_lender, at(today + days(1), 0, 4)), work)
    assert (await closed(new_lender), await new_lender.today()) == ([], today)
    await turn(by_the_clock(new_lender, at(today + days(1), 0, 5)), work)
    assert (await closed(new_lender), await new_lender.today()) == ([today], today + days(1))
    with structlog.testing.capture_logs() as log:
        await turn(by_the_clock(new_lender, at(today + days(4), 12, 0)), work)
    assert (await closed(new_lender), await new_lender.today()) == (
        [today + days(number) for number in range(4)], today + days(4),
    )  # fmt: skip
    assert [entry["day"] for entry in log if entry["event"] == "day_closed"] == [
        (today + days(number)).isoformat() for number in (1, 2, 3)
    ]


async def test_when_the_operator_closes_days_the_worker_does_not(new_lender: Lender) -> None:
    today = await new_lender.today()
    await new_lender.grant()
    assert not await turn(by_the_clock(new_lender, at(today + days(3), 12, 0), end_of_day_at="never"), Days())
    assert await closed(new_lender) == []


async def test_a_loan_that_fails_is_complained_of_once_and_tried_again_at_every_turn(new_lender: Lender) -> None:
    loan = await new_lender.grant()
    today = await new_lender.today()
    await new_lender.owner.execute("UPDATE loans SET next_change_on = $1", today)
    kept = await new_lender.owner.fetchval("SELECT account FROM loans")
    await new_lender.owner.execute("UPDATE loans SET account = '{}'")
    resources, work = by_the_clock(new_lender, at(today + days(1), 1, 0)), Days()
    with structlog.testing.capture_logs() as log:
        await turn(resources, work)
        await turn(resources, work)
    assert await closed(new_lender) == [today], "one loan does not hold up the day"
    [complaint] = [entry for entry in log if entry["event"] == "loans_not_looked_at"]
    assert (complaint["log_level"], complaint["count"], list(complaint["some"])) == ("warning", 1, [loan["id"]])
    open_failures = "SELECT count(*) FROM day_close_failures WHERE resolved_at IS NULL"
    assert await new_lender.owner.fetchval(open_failures) == 1
    await new_lender.owner.execute("UPDATE loans SET account = $1", kept)
    await turn(resources, work)
    assert await new_lender.owner.fetchval(open_failures) == 0


async def test_two_workers_at_once_do_everything_once(new_lender: Lender) -> None:
    await new_lender.grant()
    today = await new_lender.today()
    now = at(today + days(30), 12, 0)
    approval = await ask_long_ago(new_lender, now)
    await new_lender.owner.execute(ANSWER, "-old", now - ANSWERS_KEPT - timedelta(hours=1), 10)
    errors = await asyncio.gather(*(turn(by_the_clock(new_lender, now), Days()) for _ in range(5)))
    assert errors == [[]] * 5
    assert await closed(new_lender) == [today + days(number) for number in range(30)]
    await turn(by_the_clock(new_lender, now), Days())  # in case the one who kept house was asked before the others
    told = "SELECT count(*) FROM events WHERE entity_id = $1 AND event_type = 'approval_expired'"
    assert await new_lender.owner.fetchval(told, approval) == 1
    assert await new_lender.owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE key LIKE '%-old'") == 0
    await new_lender.check_books()


async def test_days_are_closed_while_a_relay_leads(new_lender: Lender) -> None:
    await new_lender.grant()
    relay = await connect(new_lender.resources.settings)
    try:
        assert await relay.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK)
        today = await new_lender.today()
        assert not await turn(by_the_clock(new_lender, at(today + days(1), 1, 0)), Days())
        assert await closed(new_lender) == [today]
    finally:
        relay.terminate()


# --- Approvals ---


async def ask_long_ago(lender: Lender, now: datetime) -> Any:
    """An approval whose seven days are over by now."""
    loan = (await lender.api.post(LOANS, json=await _pending(lender))).json()
    user = await lender.owner.fetchval("SELECT id FROM users LIMIT 1")
    return await lender.owner.fetchval(
        "INSERT INTO approvals (id, kind, status, client_id, target_id, amount, request, maker, requested_at, "
        "expires_at) VALUES ($1, 'ACTIVATION', 'PENDING', $2, $3, 5000, '{}', $4, $5, $6) RETURNING id",
        uuid4(), loan["client_id"], loan["id"], user, now - LIFE - timedelta(hours=1), now - timedelta(hours=1),
    )  # fmt: skip


async def _pending(lender: Lender) -> dict[str, Any]:
    loan = await lender.grant()
    return {
        "client_id": loan["client_id"], "amount": "5000.00", "interest_rate": "0.15", "term_months": 12,
        "status": "PENDING",
    }  # fmt: skip


async def status_of(lender: Lender, approval: Any) -> str:
    """The state of an approval as it is recorded."""
    found: str = await lender.owner.fetchval("SELECT status FROM approvals WHERE id = $1", approval)
    return found


async def test_an_approval_expires_by_the_clock_and_one_that_is_not_due_stays(new_lender: Lender) -> None:
    now = at(await new_lender.today(), 12, 0)
    over = await ask_long_ago(new_lender, now)
    waiting = await ask_long_ago(new_lender, now + timedelta(hours=2))
    await turn(by_the_clock(new_lender, now), Days())
    assert [await status_of(new_lender, one) for one in (over, waiting)] == ["EXPIRED", "PENDING"]
    lane = "SELECT lane FROM outbox JOIN events USING (aggregate_id, sequence) WHERE event_type = 'approval_expired'"
    assert await new_lender.owner.fetchval(lane) == 1, "the bulk lane, which does not hold up payments"


async def test_one_client_s_approval_that_cannot_expire_does_not_keep_the_others(
    new_lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = at(await new_lender.today(), 12, 0)
    approvals = [await ask_long_ago(new_lender, now) for _ in range(3)]
    clients = sorted([row["client_id"] for row in await new_lender.owner.fetch("SELECT client_id FROM approvals")])
    expire = approving.expire

    def broken(client_id: Any) -> Any:
        if client_id == clients[0]:
            raise KeyError("a defect")
        return expire(client_id)

    monkeypatch.setattr(approving, "expire", broken)
    with structlog.testing.capture_logs() as log:
        await turn(by_the_clock(new_lender, now), Days())
    assert sorted([await status_of(new_lender, one) for one in approvals]) == ["EXPIRED", "EXPIRED", "PENDING"]
    assert [entry["client_id"] for entry in log if entry["event"] == "approvals_not_expired"] == [str(clients[0])]


# --- Stored answers ---


async def test_answers_are_deleted_after_seven_days_in_batches(new_lender: Lender) -> None:
    now = at(await new_lender.today(), 12, 0)
    await new_lender.owner.execute(ANSWER, "-old", now - ANSWERS_KEPT - timedelta(seconds=1), 2 * ANSWERS_AT_ONCE + 5)
    await new_lender.owner.execute(ANSWER, "-young", now - ANSWERS_KEPT + timedelta(seconds=1), 7)
    await turn(by_the_clock(new_lender, now), Days())
    left = await new_lender.owner.fetch("SELECT key FROM idempotency_keys WHERE principal = 'user:test'")
    assert len(left) == 7
    assert all(row["key"].endswith("-young") for row in left)


async def test_the_oldest_answers_are_found_by_an_index_even_where_places_were_used_again(new_lender: Lender) -> None:
    """An index of ranges would not do: where old answers were deleted new ones go, and every range spans all times."""
    owner, now = new_lender.owner, datetime.now(UTC)
    for age in (9, 8):
        await owner.execute(ANSWER, f"-{age}", now - timedelta(days=age), 20_000)
    await owner.execute("DELETE FROM idempotency_keys WHERE key LIKE '%-9'")
    await owner.execute("VACUUM idempotency_keys")
    await owner.execute(ANSWER, "-1", now - timedelta(days=1), 20_000)
    await owner.execute("VACUUM ANALYZE idempotency_keys")
    connection = await connect(new_lender.resources.settings)
    try:
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {idempotency.FORGET}", now - ANSWERS_KEPT, ANSWERS_AT_ONCE
        )
        told = orjson.loads(plan)[0]["Plan"]
        [search] = [node for node in told["Plans"] if node.get("Subplan Name")]
        [scan] = search["Plans"]
        assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "idempotency_keys_age")
        assert scan["Actual Rows"] == ANSWERS_AT_ONCE, "none is looked at for nothing"
    finally:
        connection.terminate()


# --- The process ---


def works(folder: Path, lender: Lender) -> Any:
    """A worker on the lender's database."""
    given = {"POSTGRES_DB": lender.resources.settings.postgres_db, "END_OF_DAY_AT": "00:00"}
    return process("worker", "-m", "backend_api.cli", "worker", folder=folder, **given)


async def alive(lender: Lender) -> tuple[int, str]:
    """What the health check of its container says."""
    database = lender.resources.settings.postgres_db
    return await try_command("-m", "backend_api.cli", "worker-alive", POSTGRES_DB=database)


async def test_as_a_process_it_does_what_is_due_shows_its_health_and_stops_when_told(
    new_lender: Lender, tmp_path: Path
) -> None:
    today = await granted_days_ago(new_lender, 3)
    assert await alive(new_lender) == (1, "no worker on this host has asked the database anything for 10 s\n")
    async with works(tmp_path, new_lender) as worker:
        await eventually(lambda: has_closed(new_lender, 3), 60)
        assert await alive(new_lender) == (0, "")
        assert await worker.stop() == 0, worker.output()
    assert worker.output().count('"day_closed"') >= 3
    assert "worker_stopped" in worker.output()
    assert await new_lender.today() >= today


async def test_it_stops_in_the_middle_of_an_end_of_day_which_the_next_one_takes_up(
    new_lender: Lender, tmp_path: Path
) -> None:
    await granted_days_ago(new_lender, MANY_DAYS)
    await new_lender.owner.execute(SLOWLY)
    async with works(tmp_path, new_lender) as worker:
        await eventually(lambda: has_closed(new_lender, 5), 60)
        assert await worker.stop() == 0, worker.output()
    await new_lender.owner.execute("DROP TRIGGER slowly ON day_closes")
    assert "worker_stopped" in worker.output()
    assert 5 <= len(await closed(new_lender)) < MANY_DAYS, "too late to be stopped in the middle"
    async with works(tmp_path, new_lender):
        await eventually(lambda: has_closed(new_lender, MANY_DAYS), 90)
    await new_lender.check_books()


async def test_a_database_that_was_away_is_waited_for(new_lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "TURN_SECONDS", 0.05)
    await new_lender.grant()
    today = await new_lender.today()
    now = at(today, 12, 0)
    base = new_lender.resources.settings
    async with Proxy(base.postgres_host, base.postgres_port) as proxy:
        through = replace(
            new_lender.resources,
            clock=lambda: now.astimezone(UTC),
            settings=base.model_copy(update={"postgres_port": proxy.port}),
        )
        stop = asyncio.Event()
        with structlog.testing.capture_logs() as log:
            running = asyncio.create_task(app.run(through, stop))
            await eventually(lambda: proxy.connections > 5)
            await proxy.become(Mode.REFUSE)
            await eventually(lambda: logged(log, "worker_lost_database"))
            now = at(today + days(1), 1, 0)
            await proxy.become(Mode.PASS)
            await eventually(lambda: has_closed(new_lender, 1), 30)
            await eventually(lambda: logged(log, "trouble_over"))
            stop.set()
            await running
    assert await closed(new_lender) == [today]


async def test_it_stops_at_once_also_while_the_database_hangs(new_lender: Lender) -> None:
    await granted_days_ago(new_lender, MANY_DAYS)
    base = new_lender.resources.settings
    async with Proxy(base.postgres_host, base.postgres_port) as proxy:
        through = replace(new_lender.resources, settings=base.model_copy(update={"postgres_port": proxy.port}))
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(through, stop))
        await eventually(lambda: has_closed(new_lender, 3), 30)
        await proxy.become(Mode.HANG)
        assert len(await closed(new_lender)) < MANY_DAYS
        stop.set()
        async with asyncio.timeout(5):
            await running


async def test_a_defect_in_one_kind_of_work_is_told_and_keeps_no_other_from_being_done(
    new_lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = at(await new_lender.today(), 12, 0)
    approval = await ask_long_ago(new_lender, now)

    async def broken(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(end_of_day, "run", broken)
    with structlog.testing.capture_logs() as log:
        assert [type(error) for error in await turn(by_the_clock(new_lender, now), Days())] == [KeyError]
    assert [entry["job"] for entry in log if entry["event"] == "worker_job_failed"] == ["end of day"]
    assert await status_of(new_lender, approval) == "EXPIRED"


async def granted_days_ago(lender: Lender, count: int) -> date:
    """A loan in books that nobody has closed for so many days; the business date before that."""
    await lender.grant()
    today = await lender.today()
    for table in ("ledger_entries", "loan_movements"):
        await lender.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER insert_only")
        await lender.owner.execute(f"UPDATE {table} SET posted_on = posted_on - $1::int", count)
        await lender.owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER insert_only")
    await lender.owner.execute("UPDATE loans SET moved_on = moved_on - $1::int", count)
    await lender.owner.execute("UPDATE business_day SET business_date = business_date - $1::int", count)
    return today


async def has_closed(lender: Lender, count: int) -> bool:
    """Whether so many days are closed."""
    return len(await closed(lender)) >= count


def logged(log: list[Any], event: str) -> bool:
    """Whether a worker in this process has said so."""
    return any(entry["event"] == event for entry in log)
