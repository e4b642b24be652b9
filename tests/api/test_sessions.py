"""Sessions: refresh tokens that are used once, keys that change, and what is over within a second."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth import feed, service
from backend_api.auth.access import Access
from backend_api.auth.permissions import Role
from backend_api.auth.tokens import KeyRing
from backend_api.cli import signing_keys
from backend_api.db.pools import Connection, Pool
from backend_api.http import limits
from backend_api.http.resources import Resources
from backend_api.settings import Settings
from fastapi import FastAPI
from pydantic import SecretStr

from tests.support.builders import CLIENTS, Json, get
from tests.support.problems import problem
from tests.support.processes import free_port
from tests.support.service import client_of, create_user, running, sign_in
from tests.support.waiting import eventually

TOKEN = "/api/v1/auth/token"
REFRESH = "/api/v1/auth/refresh"
SESSIONS = "/api/v1/auth/sessions"
ME = "/api/v1/auth/me"
PASSWORD = "correct horse"


@pytest.fixture
async def username(resources: Resources) -> str:
    """The name of a new officer."""
    name = f"officer-{uuid4().hex}"
    await create_user(resources, name, PASSWORD, Role.OFFICER)
    return name


@pytest.fixture
async def pair(username: str, anonymous: httpx2.AsyncClient) -> Json:
    """What signing in answers."""
    return await signed_in(anonymous, username)


async def signed_in(anonymous: httpx2.AsyncClient, username: str) -> Json:
    """A pair of tokens."""
    answer = await anonymous.post(TOKEN, data={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def bearer(pair: Json) -> dict[str, str]:
    """The headers of a pair."""
    return {"Authorization": f"Bearer {pair['access_token']}"}


async def refresh(anonymous: httpx2.AsyncClient, token: str) -> httpx2.Response:
    """The answer to a refresh token."""
    return await anonymous.post(REFRESH, json={"refresh_token": token})


async def refused(anonymous: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    """Wait until these credentials are refused."""

    async def is_refused() -> bool:
        return (await anonymous.get(ME, headers=headers)).status_code == 401

    await eventually(is_refused, 5)


async def test_a_refresh_token_gives_the_next_pair_of_the_same_session(
    pair: Json, anonymous: httpx2.AsyncClient
) -> None:
    answer = await refresh(anonymous, pair["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    following = answer.json()
    assert following["refresh_token"] != pair["refresh_token"]
    first, second = [await get(anonymous, ME, headers=bearer(each)) for each in (pair, following)]
    assert first == second
    assert (await refresh(anonymous, following["refresh_token"])).status_code == 200


@pytest.mark.usefixtures("clock", "patience")
async def test_fifty_at_once_end_in_one_family(pair: Json, anonymous: httpx2.AsyncClient, owner: Connection) -> None:
    answers = await asyncio.gather(*(refresh(anonymous, pair["refresh_token"]) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    session = (await get(anonymous, ME, headers=bearer(pair)))["session_id"]
    tokens = await owner.fetch("SELECT used_at FROM refresh_tokens WHERE session_id = $1", session)
    assert [row["used_at"] is None for row in tokens].count(True) == 1
    assert len(tokens) == 2


@pytest.mark.usefixtures("clock", "patience")
async def test_control_a_successor_by_chance_makes_fifty_families(
    pair: Json, anonymous: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_successor", lambda _, __: f"sofipo_rt_{uuid4().hex}")
    answers = await asyncio.gather(*(refresh(anonymous, pair["refresh_token"]) for _ in range(50)))
    assert len({answer.json()["refresh_token"] for answer in answers}) == 50


@pytest.mark.usefixtures("clock")
async def test_a_lost_answer_is_given_again_and_a_late_reuse_ends_the_session(
    pair: Json, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    first = (await refresh(anonymous, pair["refresh_token"])).json()
    again = (await refresh(anonymous, pair["refresh_token"])).json()
    assert again["refresh_token"] == first["refresh_token"]
    session = (await get(anonymous, ME, headers=bearer(pair)))["session_id"]

    await owner.execute(
        "UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE session_id = $1 AND used_at IS NOT NULL",
        session,
    )
    problem(await refresh(anonymous, pair["refresh_token"]), 401, "refresh_refused")
    problem(await refresh(anonymous, first["refresh_token"]), 401, "refresh_refused")
    await refused(anonymous, bearer(first))
    [event] = await owner.fetch(
        "SELECT * FROM events WHERE event_type = 'user_session_ended' AND payload ->> 'session_id' = $1", session
    )
    assert '"reuse"' in event["payload"]


async def test_every_refusal_of_a_refresh_token_is_the_same(
    pair: Json, username: str, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    idle, ended = await signed_in(anonymous, username), await signed_in(anonymous, username)
    await owner.execute(
        "UPDATE sessions SET last_used_at = now() - interval '8 days' WHERE id = $1",
        (await get(anonymous, ME, headers=bearer(idle)))["session_id"],
    )
    assert (await anonymous.post("/api/v1/auth/logout", headers=bearer(ended))).status_code == 204
    tokens = [idle["refresh_token"], ended["refresh_token"], "x", f"sofipo_rt_{'A' * 43}", pair["refresh_token"][:-1]]
    bodies = [problem(await refresh(anonymous, token), 401, "refresh_refused") for token in tokens]
    assert len({str({**body, "request_id": ""}) for body in bodies}) == 1


async def test_who_sends_many_wrong_refresh_tokens_has_to_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = random.randrange(10**7) * 60.0  # in which nobody else counts, and which does not end in between
    monkeypatch.setattr(limits, "time", lambda: minute)
    bounded = settings.model_copy(update={"rate_limit_anonymous": 3})
    async with running(bounded) as app, client_of(app) as caller:
        statuses = [(await refresh(caller, "x")).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]


async def test_signing_out_ends_this_session_and_no_other(
    pair: Json, username: str, anonymous: httpx2.AsyncClient
) -> None:
    other = await signed_in(anonymous, username)
    assert (await anonymous.post("/api/v1/auth/logout", headers=bearer(pair))).status_code == 204
    await refused(anonymous, bearer(pair))
    problem(await refresh(anonymous, pair["refresh_token"]), 401, "refresh_refused")
    assert (await anonymous.get(ME, headers=bearer(other))).status_code == 200


async def test_control_a_process_that_hears_nothing_lets_them_in(
    pair: Json, app: FastAPI, anonymous: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(_: UUID, __: int) -> bool:
        return False

    assert (await anonymous.post("/api/v1/auth/logout", headers=bearer(pair))).status_code == 204
    await refused(anonymous, bearer(pair))
    monkeypatch.setattr(app.state.access.feed, "has_ended", deaf)
    assert (await anonymous.get(ME, headers=bearer(pair))).status_code == 200


async def test_sessions_are_listed_and_ended_one_by_one_and_all_at_once(
    pair: Json, username: str, anonymous: httpx2.AsyncClient
) -> None:
    others = [await signed_in(anonymous, username) for _ in range(2)]
    listed = (await get(anonymous, SESSIONS, headers=bearer(pair)))["data"]
    assert [each["current"] for each in listed] == [False, False, True]
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    ended = await anonymous.delete(f"{SESSIONS}/{listed[0]['id']}", headers=bearer(pair))
    assert ended.status_code == 204
    await refused(anonymous, bearer(others[1]))
    assert len((await get(anonymous, SESSIONS, headers=bearer(pair)))["data"]) == 2
    assert (await anonymous.delete(SESSIONS, headers=bearer(pair))).status_code == 204
    for each in (pair, others[0]):
        await refused(anonymous, bearer(each))


async def test_the_session_of_somebody_else_is_unknown(pair: Json, api: httpx2.AsyncClient, app: FastAPI) -> None:
    async with client_of(app, bearer(pair)) as caller:
        foreign = (await get(api, SESSIONS))["data"][0]["id"]
        for session in (foreign, uuid4()):
            problem(await caller.delete(f"{SESSIONS}/{session}"), 404, "not_found")
    assert (await api.get(ME)).status_code == 200


async def test_a_revocation_holds_when_nothing_was_heard_for_a_second(
    pair: Json, app: FastAPI, anonymous: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process knows nothing fresh and asks the primary for every call; the control is the call that passes."""
    access: Access = app.state.access
    monkeypatch.setattr(feed, "FRESH_SECONDS", -1.0)
    asked = access.feed.has_ended
    assert (await anonymous.get(ME, headers=bearer(pair))).status_code == 200
    assert (await anonymous.post("/api/v1/auth/logout", headers=bearer(pair))).status_code == 204
    problem(await anonymous.get(ME, headers=bearer(pair)), 401, "unauthenticated")
    assert await asked(UUID(int=5), 1) is False


async def test_when_nobody_can_tell_nobody_is_let_in(
    pair: Json,
    app: FastAPI,
    settings: Settings,
    anonymous: httpx2.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = Pool(settings.model_copy(update={"postgres_port": free_port()}))
    monkeypatch.setattr(app.state.access.feed, "_writer", away)
    monkeypatch.setattr(feed, "FRESH_SECONDS", float("inf"))
    assert (await anonymous.get(ME, headers=bearer(pair))).status_code == 200, "heard a moment ago"
    monkeypatch.setattr(feed, "FRESH_SECONDS", -1.0)
    answer = await anonymous.get(ME, headers=bearer(pair))
    problem(answer, 503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"
    problem(await anonymous.get(ME, headers={"Authorization": "Bearer x"}), 401, "unauthenticated")


async def test_a_commit_that_was_late_is_not_missed(app: FastAPI, owner: Connection) -> None:
    access: Access = app.state.access
    late, newer = uuid4(), uuid4()
    await owner.execute("INSERT INTO revocations VALUES ($1, 1)", newer)
    await eventually(lambda: _ended(access, newer))
    await owner.execute("INSERT INTO revocations VALUES ($1, 1, clock_timestamp() - interval '4 s')", late)
    await eventually(lambda: _ended(access, late))


async def test_what_has_run_out_is_forgotten_and_nothing_else(
    username: str, anonymous: httpx2.AsyncClient, owner: Connection, app_role: Connection
) -> None:
    live, old = await signed_in(anonymous, username), await signed_in(anonymous, username)
    session = (await get(anonymous, ME, headers=bearer(old)))["session_id"]
    await owner.execute(
        "UPDATE sessions SET created_at = created_at - interval '40 days', "
        "expires_at = expires_at - interval '40 days' WHERE id = $1",
        session,
    )
    past, recent = uuid4(), uuid4()
    await owner.execute(
        "INSERT INTO revocations VALUES ($1, 1, now() - interval '2 hours'), ($2, 1, now())", past, recent
    )
    await service.forget(app_role, datetime.now(UTC))
    problem(await refresh(anonymous, old["refresh_token"]), 401, "refresh_refused")
    assert await owner.fetchval("SELECT count(*) FROM refresh_tokens WHERE session_id = $1", session) == 0
    assert (await refresh(anonymous, live["refresh_token"])).status_code == 200
    left = await owner.fetch("SELECT subject FROM revocations WHERE subject = ANY ($1)", [past, recent])
    assert [row["subject"] for row in left] == [recent]


async def _ended(access: Access, subject: UUID) -> bool:
    return await access.feed.has_ended(subject, 0)


@pytest.fixture
async def unrotated(owner: Connection) -> AsyncIterator[None]:
    """No key but the first, before and after."""
    yield
    await owner.execute("DELETE FROM signing_keys")


async def test_keys_are_rotated_under_load_without_one_false_refusal(
    unrotated: None, username: str, app: FastAPI, settings: Settings, owner: Connection
) -> None:
    """Two processes, each checking what the other signs; the keys change under them, at once and with notice."""
    async with running(settings) as other, client_of(app) as here, client_of(other) as there:
        stop = asyncio.Event()
        statuses: list[int] = []
        kids: set[str] = set()

        async def call(issuer: Access, taker: httpx2.AsyncClient) -> None:
            user = await owner_id
            while not stop.is_set():
                now = datetime.now(UTC)
                kids.add(issuer.tokens.keys.signing(now.timestamp()).kid)
                token = issuer.tokens.issue(user, username, Role.OFFICER, now)
                statuses.append((await taker.get(ME, headers={"Authorization": f"Bearer {token}"})).status_code)
                await asyncio.sleep(0)

        owner_id = asyncio.ensure_future(owner.fetchval("SELECT id FROM users WHERE username = $1", username))
        await owner_id
        calls = [
            asyncio.create_task(call(issuer.state.access, taker))
            for issuer, taker in ((app, there), (other, here), (app, here))
        ]
        for _ in range(10):
            async with app.state.resources.databases.writer.acquire() as connection:
                salt = await signing_keys.rotate(connection, datetime.now(UTC), notice=timedelta(0))
            await eventually(partial(app.state.access.tokens.keys.knows, salt))
        stop.set()
        await asyncio.gather(*calls)
    assert len(kids) > 2
    assert set(statuses) == {200}, f"{len(statuses)} calls"


async def test_control_a_process_that_does_not_ask_refuses_what_another_signed(
    unrotated: None, username: str, app: FastAPI, settings: Settings, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> None:
        """Neither asks nor listens."""

    access: Access = app.state.access
    async with running(settings) as other, client_of(other) as there:
        await other.state.access.feed.close()
        monkeypatch.setattr(other.state.access.feed, "ask_for_keys", nothing)
        async with app.state.resources.databases.writer.acquire() as connection:
            salt = await signing_keys.rotate(connection, datetime.now(UTC), notice=timedelta(0))
        await eventually(partial(access.tokens.keys.knows, salt))
        token = access.tokens.issue(uuid4(), username, Role.OFFICER, datetime.now(UTC))
        answer = await there.get(ME, headers={"Authorization": f"Bearer {token}"})
        problem(answer, 401, "unauthenticated")


def test_a_key_signs_from_its_time_on_and_verifies_until_the_last_token_has_run_out() -> None:
    ring, begins = KeyRing(["secret"]), datetime(2026, 1, 31, 12, tzinfo=UTC)
    first = ring.signing(0.0)
    ring.learn([(b"x" * 32, begins)])

    def at(minutes: float) -> float:
        return (begins + timedelta(minutes=minutes)).timestamp()

    second = ring.signing(at(0))
    assert ring.signing(at(-0.1)).kid == first.kid != second.kid
    assert ring.verifying(second.kid, at(-1)) == second.secret, "another process may be ahead"
    assert ring.verifying(first.kid, at(34)) == first.secret
    assert ring.verifying(first.kid, at(36)) is None
    assert ring.verifying("00000000", at(0)) is None


async def test_a_secret_that_is_called_old_is_taken_and_does_not_sign(
    api: httpx2.AsyncClient, settings: Settings, username: str
) -> None:
    new = SecretStr("n" * 48)
    changed = settings.model_copy(update={"api_secret_key": new, "api_secret_keys_old": (settings.api_secret_key,)})
    dropped = settings.model_copy(update={"api_secret_key": new})
    cursor = (await api.get(CLIENTS, params={"limit": 1})).json()["next_cursor"]
    async with running(changed) as app, client_of(app, dict(api.headers)) as caller:
        assert (await caller.get(ME)).status_code == 200
        if cursor:
            assert (await caller.get(CLIENTS, params={"limit": 1, "cursor": cursor})).status_code == 200
        token = await sign_in(caller, username, PASSWORD)
    async with running(dropped) as app, client_of(app) as caller:
        assert (await caller.get(ME, headers={"Authorization": f"Bearer {token}"})).status_code == 200
        assert (await caller.get(ME, headers=dict(api.headers))).status_code == 401
