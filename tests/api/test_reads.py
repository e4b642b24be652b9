"""Where reads go: the cache, a replica that may lag, the primary; nobody reads older than their own write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.clients import queries
from backend_api.clients.views import record_view
from backend_api.db.pools import Connection, open_databases
from backend_api.domain.identifiers import mask_rfc
from backend_api.http.resources import Resources
from backend_api.reads import Reader, Reads
from backend_api.settings import AnonymousLookup, Settings

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, client_body, get, new_client, new_loan, pay
from tests.support.postgres import set_business_date
from tests.support.problems import problem
from tests.support.proxy import Mode, Proxy
from tests.support.replica import frozen, trust_the_cache
from tests.support.service import client_of, running
from tests.support.waiting import eventually


@pytest.fixture
async def frozen_replica(patience: None, resources: Resources, settings: Settings) -> AsyncIterator[Connection]:
    """A connection to the replica, which replays nothing more, and which the application trusts and reads."""
    async with frozen(resources, settings) as replica:
        yield replica


async def test_behind_a_replica_that_stands_still_nobody_misses_their_own_writes(
    frozen_replica: Connection, api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    for number in range(15):
        changed = await api.patch(path, json={"phone": str(number), "full_name": f"Name {number}"})
        token = {"X-Consistency-Token": changed.headers["x-consistency-token"]}
        assert (await get(api, path))["phone"] == str(number), "by its mark"
        assert (await get(api, f"{CLIENTS}/{client['rfc']}"))["phone"] == str(number)
        found = await get(api, CLIENTS, params={"email": client["email"]})
        assert [row["phone"] for row in found["data"]] == [str(number)]
        seen = await anonymous.get(f"{CLIENTS}/{client['rfc']}", headers=token)
        assert seen.json()["id"] == client["id"], "by the token"
    loan = await new_loan(api, client["id"])
    for number in range(1, 6):
        await pay(api, loan["id"], "100")
        assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == f"{1000 - 100 * number}.00"
        assert (await get(api, f"{path}/balance"))["total_debt"] == f"{1000 - 100 * number}.00"
        assert len((await get(api, PAYMENTS, params={"client_id": client["id"]}))["data"]) == number
    assert await frozen_replica.fetchval("SELECT count(*) FROM clients WHERE id = $1", client["id"]) == 0, "control"


async def test_what_the_replica_does_not_know_is_asked_of_the_primary(
    frozen_replica: Connection, api: httpx2.AsyncClient, auditor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = await new_loan(api)
    for path in (
        f"{LOANS}/{loan['id']}",
        f"{CLIENTS}/{loan['client_id']}",
        f"{CLIENTS}/{loan['client_id']}/account-statement",
    ):
        assert (await auditor.get(path)).status_code == 200
    other = await new_loan(api)
    # Who probes too fast is not helped; who wrote it is.
    monkeypatch.setattr("backend_api.reads.RECHECKS_PER_SECOND", 0)
    for path in (f"{LOANS}/{other['id']}", f"{CLIENTS}/{other['client_id']}"):
        problem(await auditor.get(path), 404)
    assert (await api.get(f"{LOANS}/{other['id']}")).status_code == 200


@pytest.mark.usefixtures("patience")
async def test_a_replica_that_fails_is_not_taken_for_one_that_does_not_know(
    api: httpx2.AsyncClient, resources: Resources, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may ask again here, and the replica's port is closed while its samples still look well."""
    monkeypatch.setattr("backend_api.reads.RECHECKS_PER_SECOND", 0)
    client = await new_client(api)
    await trust_the_cache(resources)
    await eventually(lambda: resources.sampler.replica_has(0))
    async with open_databases(settings.model_copy(update={"postgres_replica_port": 1})) as databases:
        reads = Reads(databases, resources.sampler, resources.cache)
        view = await reads.build_view(Reader(), "record", record_view(UUID(client["id"]), None))
        found = await reads.find(Reader(), lambda connection: queries.record(connection, rfc=client["rfc"]))
    assert view is not None
    assert found is not None


async def test_readers_under_an_old_and_a_new_rfc_do_not_share_an_answer(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    client = await new_client(api)
    client_id, rfc, former = UUID(client["id"]), client["rfc"], "GODE561231GR8"
    views = await asyncio.gather(
        *(
            resources.reads.client_view(Reader(), client_id, "record", subject, record_view(None, subject))
            for subject in (former, rfc)
        )
    )
    assert [view is not None for view in views] == [False, True]


async def test_a_replica_that_is_behind_never_fills_the_cache_with_an_old_view(
    frozen_replica: Connection,
    api: httpx2.AsyncClient,
    auditor: httpx2.AsyncClient,
    owner: Connection,
    resources: Resources,
) -> None:
    """The auditor has written nothing, so it may read the replica; the announced version forbids the old view."""
    await frozen_replica.execute("SELECT pg_wal_replay_resume()")
    client = await new_client(api)

    async def has_arrived() -> bool:
        return bool(await frozen_replica.fetchval("SELECT count(*) FROM clients WHERE id = $1", client["id"]))

    await eventually(has_arrived)
    await frozen_replica.execute("SELECT pg_wal_replay_pause()")
    await api.patch(f"{CLIENTS}/{client['id']}", json={"phone": "5"})
    await trust_the_cache(resources)
    for _ in range(3):
        assert (await get(auditor, f"{CLIENTS}/{client['id']}"))["phone"] == "5"
    old = await frozen_replica.fetchval("SELECT phone FROM clients WHERE id = $1", client["id"])
    assert old is None, "control: the replica would have said so"


async def test_lists_of_others_come_from_the_replica(
    frozen_replica: Connection, api: httpx2.AsyncClient, auditor: httpx2.AsyncClient
) -> None:
    client = await new_client(api)
    found = await get(auditor, CLIENTS, params={"email": client["email"]})
    assert found["data"] == []


@pytest.mark.usefixtures("patience")
async def test_a_hit_a_miss_and_a_new_day(api: httpx2.AsyncClient, owner: Connection, resources: Resources) -> None:
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}/balance"
    assert [(await api.get(path)).headers["x-cache"] for _ in range(3)] == ["miss", "hit", "hit"]
    today = await owner.fetchval("SELECT business_date FROM business_day")
    tag = (await api.get(path)).headers["etag"]
    try:
        await set_business_date(owner, resources, today + timedelta(days=365))
        tomorrow = await api.get(path, headers={"If-None-Match": tag})
        assert (tomorrow.status_code, tomorrow.headers["x-cache"]) == (200, "miss")
        assert tomorrow.json()["business_date"] == str(today + timedelta(days=365))
    finally:
        await set_business_date(owner, resources, today)


async def test_a_payment_drops_what_was_cached(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}/balance"
    for number in range(1, 4):
        await api.get(path)
        await pay(api, loan["id"], "100")
        assert (await get(api, path))["total_debt"] == f"{1000 - 100 * number}.00"


@pytest.mark.usefixtures("patience")
async def test_a_key_of_redis_that_names_somebody_else_is_not_believed(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, resources: Resources
) -> None:
    client, other = await new_client(api), await new_client(api)
    for person in (client, other):
        await anonymous.get(f"{CLIENTS}/{person['rfc']}")
    sample = resources.sampler.fresh_primary()
    assert sample is not None
    await resources.redis.execute("SET", f"rfc:{sample.cache_generation}:{client['rfc']}", other["id"])
    resources.reads._ids.clear()
    assert (await anonymous.get(f"{CLIENTS}/{client['rfc']}")).json()["id"] == client["id"]


async def test_remembered_names_are_bounded(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_api.reads.REMEMBERED_IDS", 2)
    for _ in range(5):
        client = await new_client(api)
        assert (await get(api, f"{CLIENTS}/{client['rfc']}"))["id"] == client["id"]
    assert len(resources.reads._ids) <= 2


@asynccontextmanager
async def cut_off_from_redis(
    settings: Settings, headers: dict[str, str]
) -> AsyncIterator[tuple[httpx2.AsyncClient, Proxy]]:
    """An application that reaches Redis through a proxy."""
    async with Proxy(settings.redis_host, settings.redis_port) as proxy:
        changed = settings.model_copy(update={"redis_port": proxy.port})
        async with running(changed) as app, client_of(app, headers) as client:
            yield client, proxy


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HANG])
async def test_without_redis_reads_are_right_and_writes_go_on(
    mode: Mode, settings: Settings, admin: dict[str, str], resources: Resources
) -> None:
    async with cut_off_from_redis(settings, admin) as (api, proxy):
        loan = await new_loan(api)
        path = f"{CLIENTS}/{loan['client_id']}/balance"
        await api.get(path)
        await proxy.become(mode)
        for number in range(1, 6):
            assert (await pay(api, loan["id"], "100")).status_code == 201
            answer = await api.get(path)
            assert (answer.status_code, answer.headers["x-cache"]) == (200, "bypass")
            assert answer.json()["total_debt"] == f"{1000 - 100 * number}.00"
        health = await api.get("/readyz")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["checks"]["cache"]["status"] == "degraded"
        await proxy.become(Mode.PASS)

        async def hits() -> bool:
            found = await api.get(path)
            assert found.json()["total_debt"] == "500.00"
            return found.headers["x-cache"] == "hit"

        await eventually(hits)
        assert (await api.get("/readyz")).json()["checks"]["cache"]["status"] == "ok"
    await eventually(lambda: (sample := resources.sampler.fresh_primary()) is not None and not sample.cache_off)


async def test_without_a_replica_nothing_fails_and_health_names_it(settings: Settings, admin: dict[str, str]) -> None:
    alone = settings.model_copy(update={"postgres_replica_port": 1})
    async with running(alone) as app, client_of(app, admin) as api:
        await trust_the_cache(app.state.resources)
        loan = await new_loan(api)
        for path in (CLIENTS, f"{CLIENTS}/{loan['client_id']}", f"{LOANS}/{loan['id']}"):
            assert (await api.get(path)).status_code == 200
        health = await api.get("/readyz")
        assert (health.status_code, health.json()["checks"]["replica"]["status"]) == (200, "degraded")


async def test_a_replica_that_breaks_in_a_read_costs_a_detour(
    settings: Settings, admin: dict[str, str], auditor: httpx2.AsyncClient
) -> None:
    async with Proxy(settings.postgres_replica_host, settings.postgres_replica_port) as proxy:
        changed = settings.model_copy(update={"postgres_replica_port": proxy.port})
        async with running(changed) as app, client_of(app) as api:
            api.headers["Authorization"] = auditor.headers["Authorization"]
            resources: Resources = app.state.resources
            await trust_the_cache(resources)
            await eventually(lambda: resources.sampler.replica_has(0))
            assert (await api.get(CLIENTS)).status_code == 200
            await proxy.become(Mode.REFUSE)
            for _ in range(3):
                assert (await api.get(CLIENTS)).status_code == 200


async def test_an_event_that_waits_too_long_degrades_health(api: httpx2.AsyncClient, owner: Connection) -> None:
    client = await new_client(api)
    await owner.execute("UPDATE outbox SET enqueued_at = '2020-01-01' WHERE aggregate_id = $1", client["id"])
    found = (await api.get("/healthz")).json()["checks"]["outbox"]
    assert found["status"] == "degraded"
    assert "has waited" in found["detail"]
    await owner.execute("UPDATE outbox SET enqueued_at = now()")
    assert (await api.get("/healthz")).json()["checks"]["outbox"]["status"] == "ok"


@pytest.mark.parametrize("lookup", AnonymousLookup)
async def test_what_anybody_learns_by_an_rfc_is_a_setting(
    lookup: AnonymousLookup, settings: Settings, admin: dict[str, str]
) -> None:
    changed = settings.model_copy(update={"anonymous_client_lookup": lookup})
    async with running(changed) as app, client_of(app) as anonymous, client_of(app, admin) as api:
        client = await new_client(api, full_name="Ana Torres")
        answer = await anonymous.get(f"{CLIENTS}/{client['rfc'].lower()}")
        by_id = await anonymous.get(f"{CLIENTS}/{client['id']}")
        problem(by_id, 401, "unauthenticated")
        if lookup is AnonymousLookup.OFF:
            problem(answer, 401, "unauthenticated")
            return
        full = lookup is AnonymousLookup.FULL
        assert answer.json() == {
            "id": client["id"],
            "rfc": client["rfc"] if full else mask_rfc(client["rfc"]),
            "full_name": "Ana Torres" if full else "A. T.",
            "status": "ACTIVE",
        }


async def test_a_strict_rfc_is_a_setting(settings: Settings, admin: dict[str, str]) -> None:
    strict = settings.model_copy(update={"rfc_strict": True})
    async with running(strict) as app, client_of(app, admin) as api:
        refused = await api.post(CLIENTS, json=client_body(rfc="PEPJ800101HNE"))
        assert problem(refused, 422)["errors"][0]["pointer"] == "/rfc"
        assert (await api.post(CLIENTS, json=client_body())).status_code == 201


@pytest.mark.parametrize(
    ("rfc", "code"),
    [
        ("PEPJ800101HN", "rfc_letters"),
        ("PEPJ801301HN1", "rfc_date"),
        ("PEPJ800101", "rfc_length"),
        ("PUTO800101AB1", "rfc_inconvenient_word"),
        ("XAXX010101000", "rfc_generic"),
        ("pepj80010１ab1", "rfc_letters"),
    ],
)
async def test_an_rfc_that_cannot_be_is_refused_with_its_reason(rfc: str, code: str, api: httpx2.AsyncClient) -> None:
    refused = await api.post(CLIENTS, json=client_body(rfc=rfc))
    [error] = problem(refused, 422)["errors"]
    assert (error["pointer"], error["code"]) == ("/rfc", code)
    assert rfc not in refused.text
    client = await new_client(api)
    changed = await api.patch(f"{CLIENTS}/{client['id']}", json={"rfc": rfc})
    assert problem(changed, 422)["errors"] == [error]


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("curp", "sabc560626mdflrn01", "SABC560626MDFLRN01"),
        ("clabe", "032180000118359719", "032180000118359719"),
        ("email", "ANA.Torres@Example.COM", "ana.torres@example.com"),
        ("birth_date", "1980-02-29", "1980-02-29"),
        ("birth_date", "1931-10-09", "1931-10-09"),
        ("kind", "company", "company"),
        ("phone", "+52 (55) 1234-5678", "+52 (55) 1234-5678"),
    ],
)
async def test_optional_fields_are_kept_in_their_normal_form(
    field: str, value: str, stored: str, api: httpx2.AsyncClient
) -> None:
    if field == "email":
        value, stored = f"{uuid4().hex}.{value}".upper(), ""
        stored = value.lower()
    client = await new_client(api, **{field: value})
    assert client[field] == stored
    assert (await get(api, f"{CLIENTS}/{client['id']}"))[field] == stored


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("curp", "SABC560626MDFLRN02", "curp_check_digit"), ("clabe", "032180000118359718", "clabe_control_digit"),
        ("email", "a@b@c", "email_malformed"), ("email", "a@localhost", "email_malformed"),
    ],
)  # fmt: skip
async def test_an_identifier_that_cannot_be_is_refused(
    field: str, value: str, code: str, api: httpx2.AsyncClient
) -> None:
    [error] = problem(await api.post(CLIENTS, json=client_body(**{field: value})), 422)["errors"]
    assert (error["pointer"], error["code"]) == (f"/{field}", code)
