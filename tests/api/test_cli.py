"""The commands: repeatable, and told in one sentence what is wrong."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import httpx2
import pytest
from backend_api.cli import main
from backend_api.cli.transfer import import_clients
from backend_api.db.pools import Connection, connect
from backend_api.http.resources import Resources
from backend_api.imports import queries as import_queries
from backend_api.imports.queries import IMPORT_LOCK
from backend_api.outbox import broker
from backend_api.settings import PASSWORDS, Settings
from event_consumer.topology import Topology, declare

from tests.api.test_settings import SAFE
from tests.support.builders import new_client
from tests.support.imports import ORPHANS, csv_file, read_csv, read_workbook, row, work
from tests.support.postgres import row_counts, set_business_date
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
        # A new one each time: a thread that began beside a test that is not followed is not followed either.
        with ThreadPoolExecutor(1) as thread:
            return await asyncio.get_running_loop().run_in_executor(thread, run, *arguments)

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


async def test_demo_keeps_off_books_that_are_in_use(
    sofipo: Command, api: httpx2.AsyncClient, owner: Connection
) -> None:
    await new_client(api)
    before = await row_counts(owner), await owner.fetchval("SELECT business_date FROM business_day")
    code, said = await sofipo("demo")
    assert code == 1
    assert "nothing was changed" in said
    assert "make reset" in said
    assert (await row_counts(owner), await owner.fetchval("SELECT business_date FROM business_day")) == before


async def test_demo_is_for_development(sofipo: Command) -> None:
    fit = {name.upper(): value for name, value in SAFE.items()}
    passwords = dict.fromkeys(map(str.upper, PASSWORDS), "a password of some length")
    code, said = await sofipo("demo", **{**fit, **passwords})
    assert code == 1
    assert "ENVIRONMENT=development only" in said


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
        assert "parked: 1 events, 1 messages; see `sofipo outbox parked`" in status
        event = f"{client['id']}:000000000001"
        _, parked = await sofipo("outbox", "parked")
        assert f"event {event} since" in parked
        assert "cannot be encoded" in parked
        assert "message poison-1 since 2026-01-31T00:00:00Z: not JSON" in parked
        assert "sofipo outbox replay --all" in parked
        health = await api.get("/readyz")
        assert (health.status_code, health.json()["checks"]["outbox"]["status"]) == (200, "degraded")
        assert "parked" in health.json()["checks"]["outbox"]["detail"]

        assert (await sofipo("outbox", "replay"))[0] == 2, "neither ids nor --all"
        code, one = await sofipo("outbox", "replay", event, "nobody-1", "--json")
        assert (code, json.loads(one)) == (1, {"events": [event], "messages": [], "not_parked": ["nobody-1"]})
        _, rest = await sofipo("outbox", "parked", "--json")
        assert [found["message_id"] for found in json.loads(rest)["messages"]] == ["poison-1"]
        code, everything = await sofipo("outbox", "replay", "--all")
        assert code == 0
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


HEAVY = ("sqlalchemy", "fastapi", "asyncpg", "aio_pika", "alembic", "backend_api.settings")
TAB = """
import sys
sys.argv = ["sofipo"]
from backend_api.cli import main
try:
    main()
finally:
    print(*sorted(sys.modules.keys() & set(sys.stdin.read().split())), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sofipo ver", {"verify"}),
        ("sofipo outbox re", {"relay-alive", "replay"}),
        ("sofipo verify --q", {"--quick"}),
        ("sofipo users create x --role au", {"auditor"}),
    ],
)
def test_the_shell_completes_commands_without_reading_what_they_do(typed: str, offered: set[str]) -> None:
    environment = {"_SOFIPO_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", TAB], input=" ".join([*HEAVY, "typer"]), env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered, done.stderr
    assert done.stderr.split()[-1:] == ["typer"], "and none of those that take long to import"


async def test_lists_are_for_programs_too(sofipo: Command) -> None:
    _, users = await sofipo("users", "list", "--json")
    assert "admin" in {user["username"] for user in json.loads(users)}
    _, keys = await sofipo("api-keys", "list", "--json")
    assert "secret" not in keys
    assert isinstance(json.loads(keys), list)
    _, status = await sofipo("outbox", "status", "--json")
    assert json.loads(status).keys() >= {"interactive", "bulk", "oldest_seconds", "relay_epoch", "parked"}


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


# --- Files in and out ---


async def test_a_file_is_imported_with_codes_that_tell_how_it_went(
    sofipo: Command, owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(), row()]
    good, bad, none = tmp_path / "good.csv", tmp_path / "some.csv", tmp_path / "none.xlsx"
    good.write_bytes(csv_file(rows))
    bad.write_bytes(csv_file([row(), row(rfc="nonsense"), rows[0]]))
    none.write_bytes(b"no workbook")
    code, output = await sofipo("import", "clients", str(good), "--dry-run")
    assert (code, "2 would be registered, 0 duplicates, 0 refused" in output) == (0, True)
    code, output = await sofipo("import", "clients", str(good))
    assert (code, "2 registered, 0 duplicates, 0 refused" in output) == (0, True)
    code, output = await sofipo("import", "clients", str(good), "--json")
    assert (code, json.loads(output)["accepted"]) == (0, 2), "the same file is imported once"
    result = tmp_path / "result.csv"
    code, output = await sofipo("import", "clients", str(bad), "--json", "--result", str(result))
    told = json.loads(output)
    assert (code, told["status"], told["accepted"], told["duplicates"], told["refused"]) == (3, "COMPLETED", 1, 1, 1)
    assert [line["outcome"] for line in read_csv(result.read_bytes())] == ["accepted", "refused", "duplicate"]
    monkeypatch.setattr("backend_api.cli.transfer.REASONS_TOLD", 2)
    code, output = await sofipo("import", "clients", str(bad))
    first, *reasons = output.splitlines()
    assert (code, "0 registered, 2 duplicates, 1 refused" in first) == (3, True)
    assert reasons[0].startswith("  line 2: rfc: A client has this RFC.")
    assert reasons[1:] == [
        "  line 3: rfc: An RFC has 13 characters for a person and 12 for a company.",
        "  and 1 more: --result FILE.csv writes all of them",
    ]
    code, output = await sofipo("import", "clients", str(none))
    assert (code, "The file is no workbook" in output) == (1, True)
    code, output = await sofipo("import", "clients", str(good), "--interest-rate", "15%")
    assert (code, output) == (1, "interest_rate: A rate is a fraction such as 0.15 for fifteen percent.")
    actors = await owner.fetch(
        "SELECT DISTINCT actor FROM events JOIN clients ON id = aggregate_id WHERE rfc = ANY($1)",
        [one["rfc"] for one in rows],
    )
    assert [one["actor"] for one in actors] == ["system:cli"]


async def test_a_command_watches_an_import_that_another_process_works_on(
    sofipo: Command, resources: Resources, tmp_path: Path
) -> None:
    file = tmp_path / "clients.csv"
    file.write_bytes(csv_file([row() for _ in range(30)]))
    other = await connect(resources.settings)
    try:
        await other.fetchval("SELECT pg_advisory_lock($1)", IMPORT_LOCK)
        command = asyncio.create_task(sofipo("import", "clients", str(file)))

        async def waits() -> bool:
            return bool(await other.fetchval("SELECT count(*) FROM imports WHERE finished_at IS NULL"))

        await eventually(waits)
        assert not command.done()
        await other.fetchval("SELECT pg_advisory_unlock($1)", IMPORT_LOCK)
        await work(resources)
        code, output = await command
    finally:
        other.terminate()
    assert (code, "30 registered" in output) == (0, True)


async def test_of_two_commands_that_import_a_file_at_once_one_is_told_so(
    sofipo: Command, settings: Settings, tmp_path: Path, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clients.csv"
    file.write_bytes(csv_file([row()]))
    read, others = import_queries.business_date, [file]

    async def after_the_other(connection: Connection) -> date:
        if others:
            others.clear()
            await asyncio.to_thread(import_clients, settings, file, None, {}, None)
        return await read(connection)

    monkeypatch.setattr(import_queries, "business_date", after_the_other)
    code, output = await sofipo("import", "clients", str(file))
    assert (code, output) == (1, "The same file is imported already.")
    assert await owner.fetchval(ORPHANS) == 0


async def test_lists_are_written_to_files(sofipo: Command, api: httpx2.AsyncClient, tmp_path: Path) -> None:
    client = await new_client(api)
    to = tmp_path / "clients.csv"
    code, output = await sofipo("export", "clients", str(to), "--json")
    rows = read_csv(to.read_bytes())
    assert (code, json.loads(output)["rows"]) == (0, len(rows))
    assert client["id"] in {one["id"] for one in rows}
    book = tmp_path / "inactive.xlsx"
    assert (await sofipo("export", "clients", str(book), "--status", "INACTIVE"))[0] == 0
    assert {one["status"] for one in read_workbook(book.read_bytes())} <= {"INACTIVE"}
    for arguments in (("loans", str(tmp_path / "loans.pdf")), ("houses", str(to))):
        assert (await sofipo("export", *arguments))[0] == 1
