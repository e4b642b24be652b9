"""The commands: repeatable, and told in one sentence what is wrong."""

import asyncio
import io
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import redirect_stdout
from typing import Any
from uuid import uuid4

import aio_pika
import httpx2
import pytest
from backend_api.cli import main
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.outbox import broker
from backend_api.settings import Settings
from event_consumer.topology import Topology, declare

from tests.support.builders import new_client
from tests.support.postgres import set_business_date
from tests.support.processes import free_port, try_command
from tests.support.service import running, sign_in
from tests.support.waiting import eventually

WHO = "/api/v1/auth/me"
Command = Callable[..., Coroutine[Any, Any, tuple[int, str]]]


@pytest.fixture
def sofipo(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `sofipo ARGUMENTS` in a thread of its own, with this run's database: exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sofipo", *arguments])
        output = io.StringIO()
        with redirect_stdout(output), pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (1, code) if isinstance(code, str) else (code or 0, output.getvalue())

    async def command(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in {"ENVIRONMENT": "development", "POSTGRES_DB": settings.postgres_db, **environment}.items():
            monkeypatch.setenv(name, value)
        return await asyncio.to_thread(run, *arguments)

    return command


async def test_init_twice_does_no_harm(sofipo: Command, owner: Connection) -> None:
    users = await owner.fetch("SELECT * FROM users WHERE username = 'admin'")
    code, output = await sofipo("init")
    assert code == 0
    assert "schema: up to date" in output
    assert "user admin: exists" in output
    today = await owner.fetchval("SELECT business_date FROM business_day")
    assert f"business date: {today}" in output
    assert await owner.fetch("SELECT * FROM users WHERE username = 'admin'") == users


async def test_init_does_not_take_the_books_back(sofipo: Command, owner: Connection, resources: Resources) -> None:
    today = await owner.fetchval("SELECT business_date FROM business_day")
    await owner.execute("UPDATE business_day SET business_date = business_date + 400")
    try:
        assert (await sofipo("init"))[0] == 0
        assert (await owner.fetchval("SELECT business_date FROM business_day") - today).days == 400
    finally:
        await set_business_date(owner, resources, today)


async def test_parked_events_and_messages_are_listed_and_tried_again(
    sofipo: Command, api: httpx2.AsyncClient, owner: Connection, settings: Settings
) -> None:
    client = await new_client(api)
    await owner.execute(
        "UPDATE outbox SET parked_at = now(), parked_reason = 'cannot be encoded' WHERE aggregate_id = $1",
        client["id"],
    )
    async with await aio_pika.connect(broker.url(settings)) as connection:
        channel = await connection.channel()
        await declare(channel, Topology())
        await (await channel.get_queue(broker.PARKED_QUEUE)).purge()
        headers: Any = {broker.PARKED_REASON_HEADER: "not JSON", broker.PARKED_AT_HEADER: "2026-01-31T00:00:00Z"}
        message = aio_pika.Message(b"poison", headers=headers, message_id="poison-1")
        await channel.default_exchange.publish(message, broker.PARKED_QUEUE)

        _, status = await sofipo("outbox", "status")
        assert "waiting: " in status
        assert f"parked event {client['id']}:000000000001 since" in status
        assert "cannot be encoded" in status
        assert "parked message poison-1 since 2026-01-31T00:00:00Z: not JSON" in status
        assert "sofipo outbox replay-parked" in status
        health = await api.get("/readyz")
        assert (health.status_code, health.json()["checks"]["outbox"]["status"]) == (200, "degraded")
        assert "parked" in health.json()["checks"]["outbox"]["detail"]

        _, one = await sofipo("outbox", "replay-parked", "--aggregate", client["id"])
        assert "events tried again: 1" in one
        _, everything = await sofipo("outbox", "replay-parked")
        assert "events tried again: 0" in everything
        assert "messages put back: 1" in everything
        returned = await (await channel.get_queue(broker.QUEUE)).get()
        await returned.ack()
        assert returned.body == b"poison"
        assert broker.PARKED_REASON_HEADER not in returned.headers
        assert "parked: nothing" in (await sofipo("outbox", "status"))[1]


async def test_a_server_that_is_away_is_one_sentence(sofipo: Command) -> None:
    code, sentence = await sofipo("outbox", "status", POSTGRES_PORT=str(free_port()))
    assert code == 1
    assert "Is the stack up" in sentence


async def test_unsafe_production_is_one_sentence(sofipo: Command) -> None:
    code, sentence = await sofipo("init", ENVIRONMENT="production", API_SECRET_KEY="short")
    assert code == 1
    assert "API_SECRET_KEY" in sentence


async def test_as_a_process_it_ends_with_the_sentence_and_code_1() -> None:
    code, output = await try_command("-m", "backend_api.cli", "outbox", "status", ENVIRONMENT="production")
    assert code == 1
    assert "Traceback" not in output
    assert "ENVIRONMENT=production refuses" in output


async def test_without_a_command_there_is_help(sofipo: Command) -> None:
    _, output = await sofipo()
    for name in ("init", "relay", "outbox"):
        assert name in output


async def test_the_openapi_document_is_the_one_that_is_served(sofipo: Command, api: httpx2.AsyncClient) -> None:
    _, output = await sofipo("openapi")
    assert json.loads(output) == (await api.get("/openapi.json")).json()


async def test_the_api_refuses_to_start_on_another_loop(settings: Settings) -> None:
    async def start() -> None:
        async with running(settings):
            pass

    with pytest.raises(RuntimeError, match="uvloop"):
        await asyncio.to_thread(asyncio.run, start())


async def test_users_and_keys_from_the_command_line(
    sofipo: Command, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    name = f"u-{uuid4().hex}"

    async def refused(headers: dict[str, str]) -> None:
        async def is_refused() -> bool:
            return (await anonymous.get(WHO, headers=headers)).status_code == 401

        await eventually(is_refused, 5)

    code, said = await sofipo("users", "create", name, "--role", "officer")
    assert code == 0, said
    secret = said.partition("one-time secret: ")[2].split()[0]
    body = {"username": name, "one_time_secret": secret, "new_password": "tres tristes tigres"}
    assert (await anonymous.post("/api/v1/auth/password/reset", json=body)).status_code == 204
    bearer = {"Authorization": f"Bearer {await sign_in(anonymous, name, 'tres tristes tigres')}"}
    assert await sofipo("users", "create", name, "--role", "officer") == (1, "There is a user of this name already.")
    assert f"{name}\tofficer\tACTIVE" in (await sofipo("users", "list"))[1]

    _, key = await sofipo("apikey_gen", "--owner", name, "--scope", "clients:read", "--days", "5")
    headers = {"X-API-Key": key.strip()}
    assert (await anonymous.get(WHO, headers=headers)).json()["permissions"] == ["clients:read"]
    assert (await sofipo("api-keys", "create", "--owner", name, "--scope", "users:write"))[0] == 1
    assert (await sofipo("api-keys", "create", "--owner", name, "--product", "NOSUCH"))[0] == 1
    _, bound = await sofipo("api-keys", "create", "--owner", name, "--product", "MO_ZERO")
    bound_to = "SELECT product FROM api_keys WHERE public_id = $1"
    assert await owner.fetchval(bound_to, bound.split("_")[2]) == "MO_ZERO"
    public_id = key.split("_")[2]
    assert public_id in (await sofipo("api-keys", "list"))[1]
    assert (await sofipo("api-keys", "revoke", public_id))[0] == 0
    await refused(headers)

    try:
        assert (await sofipo("keys", "rotate"))[0] == 0
        assert await owner.fetchval("SELECT count(*) FROM signing_keys") == 1
    finally:
        await owner.execute("DELETE FROM signing_keys")
    assert (await anonymous.get(WHO, headers=bearer)).status_code == 200

    assert (await sofipo("users", "disable", name))[0] == 0
    await refused(bearer)
    code, said = await sofipo("users", "reset-password", "nobody-at-all")
    assert (code, said) == (1, "There is no user of this name: see `sofipo users list`.")
