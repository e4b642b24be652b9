"""Concurrent payments and failing databases: nothing too much, nothing half, nothing acknowledged that is not there."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from backend_api.cache.clients import ClientCache
from backend_api.cache.guard import CacheGuard
from backend_api.cache.redis import BatchedRedis
from backend_api.db.pools import Connection, Pool
from backend_api.db.sampler import Sampler
from backend_api.db.uuid7 import uuid7
from backend_api.http import problems, write
from backend_api.http.idempotency import Answer
from backend_api.http.problems import OutcomeUnknown
from backend_api.http.resources import Resources
from backend_api.http.write import Aggregate, Change, carry_out
from backend_api.models import clients
from backend_api.outbox.record import Fact, Origin
from backend_api.settings import Settings
from fastapi import Depends, FastAPI

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, client_body, get, new_client, new_loan, pay
from tests.support.postgres import connect_as_owner, row_counts
from tests.support.problems import problem
from tests.support.proxy import Mode, Proxy
from tests.support.sabotage import failing_payments
from tests.support.service import client_of, running, sign_in
from tests.support.waiting import eventually, least

ACCEPTED = "SELECT count(*) FROM payments WHERE client_id = $1 AND status = 'REGISTERED'"
REJECTED = "SELECT count(*) FROM payments WHERE client_id = $1 AND status = 'REJECTED'"


@pytest.mark.usefixtures("patience")
async def test_of_50_concurrent_payments_of_100_on_1000_exactly_10_are_accepted(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api, amount="1000.00")
    answers = await asyncio.gather(*(pay(api, loan["id"], "100.00") for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "loan_not_active")
    after = await get(api, f"{LOANS}/{loan['id']}")
    assert (after["status"], after["current_balance"]) == ("PAID_OFF", "0.00")
    assert await owner.fetchval(ACCEPTED, loan["client_id"]) == 10


@pytest.mark.usefixtures("patience")
async def test_of_50_concurrent_payments_the_40_that_are_too_much_are_recorded_as_rejected(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api, amount="1050.00")
    answers = await asyncio.gather(*(pay(api, loan["id"], "100.00") for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"payment_exceeds_debt"}
    assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == "50.00"
    assert await owner.fetchval(ACCEPTED, loan["client_id"]) == 10
    assert await owner.fetchval(REJECTED, loan["client_id"]) == 40
    assert await owner.fetchval("SELECT event_sequence FROM clients WHERE id = $1", loan["client_id"]) == 3 + 50


@pytest.mark.usefixtures("patience")
async def test_two_processes_accept_exactly_10_as_well(
    api: httpx2.AsyncClient, admin: dict[str, str], settings: Settings, owner: Connection
) -> None:
    """In one process a queue keeps them apart; between two only the database does, up to the lock for the unlucky."""
    async with running(settings) as second, client_of(second, admin) as elsewhere:
        loan = await new_loan(api, amount="1050.00")
        answers = await asyncio.gather(
            *(pay(client, loan["id"], "100.00") for client in (api, elsewhere) for _ in range(25))
        )
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
    assert await owner.fetchval(ACCEPTED, loan["client_id"]) == 10
    assert await owner.fetchval(REJECTED, loan["client_id"]) == 40


async def test_control_reading_and_then_writing_accepts_too_many(settings: Settings, owner: Connection) -> None:
    await owner.execute("CREATE TABLE naive (balance numeric); INSERT INTO naive VALUES (1000)")
    connections = [await connect_as_owner(settings) for _ in range(5)]

    async def pay_naively(connection: Connection) -> int:
        accepted = 0
        for _ in range(10):
            balance = await connection.fetchval("SELECT balance FROM naive")
            if balance >= 100:
                await connection.execute("UPDATE naive SET balance = $1", balance - 100)
                accepted += 1
        return accepted

    accepted = sum(await asyncio.gather(*(pay_naively(connection) for connection in connections)))
    for connection in connections:
        await connection.close()
    await owner.execute("DROP TABLE naive")
    assert accepted > 10


@pytest.mark.usefixtures("patience")
async def test_concurrent_payments_on_all_loans_of_a_client_keep_every_cent(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    client = await new_client(api)
    loans = [await new_loan(api, client["id"], amount="1000.00") for _ in range(3)]
    on_loans = [pay(api, loan["id"], "10.00") for loan in loans for _ in range(10)]
    on_client = [api.post(f"{CLIENTS}/{client['id']}/payments", json={"amount": "1.01"}) for _ in range(10)]
    answers = await asyncio.gather(*on_loans, *on_client)
    assert {answer.status_code for answer in answers} == {201}
    balance = await get(api, f"{CLIENTS}/{client['id']}/balance")
    assert balance["total_debt"] == str(Decimal(3000) - 30 * Decimal(10) - 10 * Decimal("1.01"))
    sequences = await owner.fetch("SELECT sequence FROM events WHERE aggregate_id = $1 ORDER BY 1", client["id"])
    assert [row["sequence"] for row in sequences] == list(range(1, 1 + 6 + 40 + 1))


@pytest.mark.usefixtures("patience")
async def test_one_reference_counts_once_however_many_bring_it(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    loans = [await new_loan(api, client["id"]) for _ in range(2)]
    calls = [pay(api, loan["id"], "5", reference="SPEI-1") for loan in loans for _ in range(4)]
    answers = await asyncio.gather(*calls)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    [first] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer.status_code == 409:
            found = problem(answer, 409, "duplicate_reference")
            assert (found["payment_id"], found["field"]) == (first, "reference")


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "57014", "57P01", "08006"])
async def test_a_deadlock_or_a_lost_connection_is_tried_again(
    sqlstate: str, times: int, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    async with failing_payments(owner, sqlstate, times=times) as reference:
        answer = await pay(api, loan["id"], "100", reference=reference)
    assert answer.status_code == 201
    assert await owner.fetchval(ACCEPTED, loan["client_id"]) == 1
    assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == "900.00"


@pytest.mark.parametrize(("sqlstate", "code"), [("40P01", "temporarily_unavailable"), ("57P01", "outcome_unknown")])
async def test_trouble_that_does_not_end_is_503_and_leaves_nothing(
    sqlstate: str, code: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    before = await row_counts(owner)
    key = {"Idempotency-Key": uuid4().hex}
    async with failing_payments(owner, sqlstate) as reference:
        body = {"amount": "100", "reference": reference}
        answer = await api.post(f"{LOANS}/{loan['id']}/payments", json=body, headers=key)
        problem(answer, 503, code)
        assert answer.headers["retry-after"] == "1"
        assert await row_counts(owner) == before
    again = await api.post(f"{LOANS}/{loan['id']}/payments", json=body, headers=key)
    assert again.status_code == 201, "a 5xx is never stored under a key"
    assert "idempotent-replayed" not in again.headers


@pytest.mark.parametrize("sqlstate", ["23514", "P0001", "53100", "40001"])
async def test_a_commit_that_fails_is_never_a_success(
    sqlstate: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    before = await row_counts(owner)
    async with failing_payments(owner, sqlstate, at_commit=True) as reference:
        answer = await pay(api, loan["id"], "100", reference=reference)
    assert answer.status_code in (500, 503)
    problem(answer, answer.status_code)
    assert "sabotage" not in answer.text
    assert await row_counts(owner) == before
    assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == "1000.00"


async def test_control_a_commit_in_a_dependency_answers_200_although_it_fails(
    settings: Settings, owner: Connection
) -> None:
    """What FastAPI runs after `yield` in a dependency with the default scope runs when the response has left."""
    naive = FastAPI()

    async def connection() -> AsyncIterator[Connection]:
        opened = await connect_as_owner(settings)
        try:
            async with opened.transaction():
                yield opened
        finally:
            await opened.close()

    @naive.post("/pay")
    async def pay_naively(database: Annotated[asyncpg.Connection, Depends(connection)]) -> str:
        await database.execute(
            "INSERT INTO ledger_entries (id, kind, product, posted_on, sequence, created_at) "
            "VALUES (gen_random_uuid(), 'PAYMENT', 'STANDARD', '2026-01-01', 1, now())"
        )
        return "paid"

    before = await row_counts(owner)
    transport = httpx2.ASGITransport(naive, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://naive") as client:
        answer = await client.post("/pay")
    assert answer.status_code == 200
    assert await row_counts(owner) == before


async def test_connections_that_are_killed_in_a_burst_double_and_lose_nothing(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    loans = [await new_loan(api, amount="10000.00") for _ in range(5)]
    answers: dict[str, httpx2.Response] = {}

    async def pay_some(loan_id: str, number: int) -> None:
        for step in range(12):
            reference = f"burst-{number}-{step}"
            answers[reference] = await pay(api, loan_id, "1.00", reference=reference)

    async def kill_until(done: asyncio.Event) -> int:
        """At the pace of the payments, not of a clock: on a slow machine none would get through between two kills."""
        killed = 0
        while not done.is_set():
            killed += await owner.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE "
                "application_name = 'sofipo-writer' AND datname = current_database() ORDER BY random() LIMIT 1) one"
            )
            known = len(answers)
            await eventually(lambda: len(answers) > known + 2 or done.is_set(), 60.0)  # noqa: B023 - awaited at once
        return killed

    done = asyncio.Event()
    killing = asyncio.create_task(kill_until(done))
    try:
        await asyncio.gather(*(pay_some(loan["id"], number) for number, loan in enumerate(loans)))
    finally:
        done.set()
    assert await killing > 5
    rows = await owner.fetch("SELECT reference FROM payments WHERE reference LIKE 'burst-%'")
    stored = [row["reference"] for row in rows]
    assert len(stored) == len(set(stored))
    acknowledged = {reference for reference, answer in answers.items() if answer.status_code == 201}
    assert acknowledged <= set(stored)
    assert {answer.status_code for answer in answers.values()} <= {201, 503}
    assert len(acknowledged) > 30
    total = sum([Decimal((await get(api, f"{LOANS}/{loan['id']}"))["current_balance"]) for loan in loans])
    assert total == 5 * Decimal(10000) - len(stored)


@asynccontextmanager
async def behind_proxy(settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient, Proxy]]:
    """A second application that reaches the primary through a proxy."""
    async with Proxy(settings.postgres_host, settings.postgres_port) as proxy:
        changed = settings.model_copy(update={"postgres_port": proxy.port})
        async with running(changed) as app, client_of(app) as client:
            client.headers["Authorization"] = f"Bearer {await sign_in(client, 'admin', 'string')}"
            yield app, client, proxy


async def test_a_commit_whose_reply_got_lost_is_found_and_not_repeated(settings: Settings, owner: Connection) -> None:
    async with behind_proxy(settings) as (_, api, proxy):
        loan = await new_loan(api)
        assert (await pay(api, loan["id"], "1")).status_code == 201, "the statement is prepared"

        def lose_the_reply(request: bytes) -> None:
            if b"lost-reply" in request and b"payment_registered" in request:
                proxy.on_request = None
                losing.append(asyncio.ensure_future(proxy.become(Mode.DROP_REPLIES)))

        async def is_committed() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM payments WHERE reference = 'lost-reply'"))

        losing: list[asyncio.Future[None]] = []
        proxy.on_request = lose_the_reply
        paying = asyncio.create_task(pay(api, loan["id"], "100", reference="lost-reply"))
        await eventually(is_committed)
        assert not paying.done(), "nobody has told it yet"
        proxy.cut()
        await proxy.become(Mode.PASS)
        answer = await paying
        assert answer.status_code == 201
        stored = await owner.fetch("SELECT id FROM payments WHERE reference = 'lost-reply'")
        assert [str(row["id"]) for row in stored] == [answer.json()["id"]]
        balance = await owner.fetchval("SELECT current_balance FROM loans WHERE id = $1", loan["id"])
        assert balance == Decimal("899.00")


async def test_a_primary_that_is_away_is_503_and_named_by_health_and_comes_back(settings: Settings) -> None:
    async with behind_proxy(settings) as (app, api, proxy):
        loan = await new_loan(api)
        await proxy.become(Mode.REFUSE)
        resources: Resources = app.state.resources
        await eventually(lambda: resources.sampler.fresh_primary() is None)
        answer = await pay(api, loan["id"])
        problem(answer, 503, "temporarily_unavailable")
        assert answer.headers["retry-after"] == "1"
        health = await api.get("/readyz")
        assert (health.status_code, health.json()["checks"]["primary"]["status"]) == (503, "down")
        assert (await api.get("/livez")).status_code == 200
        await proxy.become(Mode.PASS)
        await eventually(lambda: resources.sampler.fresh_primary() is not None)
        assert (await pay(api, loan["id"])).status_code == 201
        assert (await api.get("/readyz")).status_code == 200


async def test_a_read_whose_connection_has_died_is_repeated_on_another(settings: Settings) -> None:
    async with behind_proxy(settings) as (app, api, proxy):
        loan = await new_loan(api)
        resources: Resources = app.state.resources
        for _ in range(3):
            proxy.cut()
            assert (await api.get(f"{LOANS}/{loan['id']}")).status_code == 200
        await eventually(lambda: resources.sampler.fresh_primary() is not None)


async def test_a_client_that_somebody_holds_too_long_is_503_or_409_and_may_be_tried_again(
    api: httpx2.AsyncClient, owner: Connection, settings: Settings
) -> None:
    loan, other = await new_loan(api), await new_loan(api)
    before = await row_counts(owner)
    holder = await connect_as_owner(settings)
    async with holder.transaction():
        await holder.execute(
            "SELECT FROM clients WHERE id = ANY($1) FOR NO KEY UPDATE", [loan["client_id"], other["client_id"]]
        )
        key = {"Idempotency-Key": uuid4().hex}
        without, keyed = await asyncio.gather(
            pay(api, loan["id"]), api.post(f"{LOANS}/{other['id']}/payments", json={"amount": "100"}, headers=key)
        )
    await holder.close()
    problem(without, 503, "temporarily_unavailable")
    problem(keyed, 409, "request_in_progress")
    assert without.headers["retry-after"] == keyed.headers["retry-after"] == "1"
    assert await row_counts(owner) == before
    again = await api.post(f"{LOANS}/{other['id']}/payments", json={"amount": "100"}, headers=key)
    assert again.status_code == 201


async def test_exhausted_pools_are_503_within_two_seconds(settings: Settings, admin: dict[str, str]) -> None:
    small = settings.model_copy(update={"writer_connections": 1, "reader_connections": 1, "postgres_replica_port": 1})
    async with running(small) as app, client_of(app, admin) as api:
        client = await new_client(api)
        resources: Resources = app.state.resources
        loop = asyncio.get_running_loop()
        async with resources.databases.writer.acquire(), resources.databases.primary.connect():

            async def seconds() -> float:
                started = loop.time()
                answers = await asyncio.gather(
                    api.patch(f"{CLIENTS}/{client['id']}", json={"phone": "5"}),
                    api.post(CLIENTS, json=client_body()),
                    api.get(PAYMENTS),
                    api.get(f"{CLIENTS}/{client['id']}/balance"),
                )
                taken = loop.time() - started
                for answer in answers:
                    problem(answer, 503, "temporarily_unavailable")
                    assert answer.headers["retry-after"] == "1"
                return taken

            assert await least(seconds, below=2) < 2
        assert (await api.patch(f"{CLIENTS}/{client['id']}", json={"phone": "5"})).status_code == 200


async def test_a_turn_that_does_not_come_is_503(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_api.http.turns.WAIT_SECONDS", 0.05)
    loan = await new_loan(api)
    async with resources.turns.take(UUID(loan["id"])):
        problem(await pay(api, loan["id"]), 503, "temporarily_unavailable")
    assert (await pay(api, loan["id"])).status_code == 201


async def test_a_decision_on_an_aggregate_that_moves_again_and_again_is_given_up(resources: Resources) -> None:
    """Also under the lock: then it is the business day that was switched."""
    tries = 0

    async def decide(connection: Connection, origin: Origin) -> Change:
        nonlocal tries
        tries += 1
        client_id = uuid7(origin.at)
        sequence = await connection.fetchval("SELECT 41")
        nobody = Aggregate("client", clients, client_id, sequence, bytes(32))
        today = await resources.reads.business_date()
        return Change(nobody, today, [Fact("client_updated", client_id, {})], Answer(200, b"", {}))

    origin = Origin("system:test", "test", None, resources.clock())
    with pytest.raises(problems.Busy):
        await carry_out(resources, origin, decide)
    assert tries == 7


async def test_a_change_that_can_be_announced_to_nobody_is_no_success(settings: Settings, resources: Resources) -> None:
    """Neither Redis nor the primary hears that the client changed: a 2xx would promise a read that nobody can keep."""
    nowhere = settings.model_copy(update={"redis_port": 1, "postgres_port": 1})
    pool = Pool(nowhere)
    redis = BatchedRedis(nowhere)
    cache = ClientCache(redis, CacheGuard(Sampler(nowhere), pool), ttl_seconds=30)

    with pytest.raises(OutcomeUnknown):
        await write._announce(replace(resources, cache=cache), {uuid4(): 1}, "user:somebody", 1)

    await redis.close()
    await pool.close()
