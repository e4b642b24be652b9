"""Decoys look like doors, lead nowhere, and tell who tried them; what was typed as a password is kept nowhere."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from secrets import token_hex
from typing import Any

import httpx2
import pytest
from backend_api.db.pools import Connection
from backend_api.decoys import pages, queries
from backend_api.decoys.service import ATTEMPTS_KEPT, AWAY, Recorder, Touch
from backend_api.http.resources import Resources
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.support.builders import get
from tests.support.problems import problem
from tests.support.proxy import Mode, Proxy
from tests.support.replica import caught_up
from tests.support.service import ADDRESS, running
from tests.support.waiting import eventually

DECOYS = "/api/v1/decoys"
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def address() -> str:
    """An address that nobody else uses."""
    return f"2001:db8::{token_hex(2)}:{token_hex(2)}"


@pytest.fixture
async def stranger(app: FastAPI, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls from this address."""
    transport = httpx2.ASGITransport(app, client=(address, 1234))
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS, headers={"User-Agent": "curl/8"}) as client:
        yield client


async def found(owner: Connection, address: str) -> list[Any]:
    """The rows of an address."""
    rows: list[Any] = await owner.fetch("SELECT * FROM decoys WHERE address = $1 ORDER BY id", address)
    return rows


async def touches(owner: Connection, address: str) -> int:
    """How often an address touched decoys, as far as it is written down."""
    return sum(row["touches"] for row in await found(owner, address))


@pytest.mark.parametrize("path", pages.LOGINS)
async def test_a_login_page_looks_like_one_and_lets_nobody_in(path: str, stranger: httpx2.AsyncClient) -> None:
    shown = await stranger.get(path)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'type="password"' in shown.text
    assert (await stranger.get(f"{path}/")).text == shown.text
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    _, name, password = pages.LOGINS[path]
    tried = await stranger.post(path, data={name: "root", password: PASSWORD})
    assert tried.status_code == 200
    assert "not correct" in tried.text
    assert "root" not in tried.text
    assert PASSWORD not in tried.text


@pytest.mark.parametrize("path", pages.MISSING)
async def test_a_file_that_is_asked_for_is_not_there(
    path: str, stranger: httpx2.AsyncClient, owner: Connection, address: str
) -> None:
    problem(await stranger.get(path), 404, "not_found")

    async def is_written() -> bool:
        return await touches(owner, address) == 1

    await eventually(is_written)


async def test_an_attempt_is_kept_with_name_address_and_agent_and_never_the_password(
    stranger: httpx2.AsyncClient, owner: Connection, address: str, api: httpx2.AsyncClient, resources: Resources
) -> None:
    await stranger.get("/wp-login.php")
    await stranger.post("/wp-login.php", data={"log": "ad\x00min\u202e", "pwd": PASSWORD})
    await stranger.post("/admin", data={"username": "root", "password": PASSWORD})
    await stranger.post("/admin", content=b"\xff" * 100_000)

    async def is_written() -> bool:
        return await touches(owner, address) == 4

    await eventually(is_written)
    await caught_up(resources)
    rows = await found(owner, address)
    assert sum(row["attempts"] for row in rows) == 3
    details = [await get(api, f"{DECOYS}/{row['id']}") for row in rows]
    kept = [attempt for detail in details for attempt in detail["attempts_kept"]]
    assert [(one["path"], one["username"], one["user_agent"]) for one in kept] == [
        ("/wp-login.php", "admin", "curl/8"), ("/admin", "root", "curl/8"), ("/admin", None, "curl/8"),
    ]  # fmt: skip
    dump = await owner.fetch("SELECT d::text AS row FROM decoys d UNION ALL SELECT a::text FROM decoy_attempts a")
    assert not [row for row in dump if PASSWORD in row["row"]]
    page = await get(api, DECOYS, params={"sort": "-created_at", "limit": "100"})
    assert {row["id"] for row in page["data"]} >= {str(row["id"]) for row in rows}


async def test_one_event_tells_of_an_address_and_hour_however_often_it_comes(
    stranger: httpx2.AsyncClient, owner: Connection, address: str
) -> None:
    for _ in range(ATTEMPTS_KEPT + 20):
        await stranger.post("/phpmyadmin", data={"pma_username": "root", "pma_password": PASSWORD})

    async def is_written() -> bool:
        return await touches(owner, address) == ATTEMPTS_KEPT + 20

    await eventually(is_written)
    rows = await found(owner, address)
    for row in rows:
        events = await owner.fetch("SELECT event_type, payload, actor FROM events WHERE aggregate_id = $1", row["id"])
        assert [(event["event_type"], event["actor"]) for event in events] == [("decoy_touched", "system:decoys")]
        assert address not in events[0]["payload"]
        kept = await owner.fetchval("SELECT count(*) FROM decoy_attempts WHERE decoy_id = $1", row["id"])
        assert kept <= ATTEMPTS_KEPT


async def test_what_is_touched_while_the_primary_is_away_is_written_down_afterwards(
    settings: Settings, owner: Connection, address: str
) -> None:
    async with Proxy(settings.postgres_host, settings.postgres_port) as proxy:
        through = settings.model_copy(update={"postgres_host": "127.0.0.1", "postgres_port": proxy.port})
        async with running(through) as app:
            recorder = Recorder(app.state.resources)
            await proxy.become(Mode.REFUSE)
            for path in ("/admin", "/login.php"):
                recorder.take(Touch(app.state.resources.clock(), address, path, "root", None, is_attempt=True))
            with pytest.raises(AWAY):
                await recorder.write_down()
            await proxy.become(Mode.PASS)

            async def is_written() -> bool:
                with contextlib.suppress(*AWAY):
                    await recorder.write_down()
                return await touches(owner, address) == 2

            await eventually(is_written, 20.0)
    assert sum(row["attempts"] for row in await found(owner, address)) == 2


async def test_decoys_stand_in_no_document(anonymous: httpx2.AsyncClient) -> None:
    paths = (await get(anonymous, "/openapi.json"))["paths"]
    assert not paths.keys() & {*pages.LOGINS, *pages.MISSING}


async def test_an_unknown_decoy_is_not_found(api: httpx2.AsyncClient) -> None:
    problem(await api.get(f"{DECOYS}/019a8b2b-8888-7e00-8e55-0000000000f1"), 404, "not_found")


async def test_what_was_not_touched_for_long_is_forgotten_with_its_attempts(
    stranger: httpx2.AsyncClient, owner: Connection, app_role: Connection, address: str
) -> None:
    await stranger.post("/wp-login.php", data={"log": "root", "pwd": PASSWORD})

    async def is_written() -> bool:
        return await touches(owner, address) == 1

    await eventually(is_written)
    [row] = await found(owner, address)
    await queries.forget(app_role, row["last_at"])
    assert len(await found(owner, address)) == 1
    await queries.forget(app_role, row["last_at"] + timedelta(microseconds=1))
    assert await found(owner, address) == []
    assert await owner.fetchval("SELECT count(*) FROM decoy_attempts WHERE decoy_id = $1", row["id"]) == 0
