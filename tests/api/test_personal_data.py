"""Who reads a person's data is written down, the person gets all of it, and what is blocked is told to nobody."""

import contextlib
from collections.abc import AsyncIterator
from time import time
from uuid import UUID

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.clients.readers import Readers
from backend_api.db.pools import LOST_CONNECTION, Connection, DatabaseUnavailableError
from backend_api.http.resources import Resources
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.support.builders import CLIENTS, LOANS, Json, get, new_client, new_loan, pay
from tests.support.problems import problem
from tests.support.proxy import Mode, Proxy
from tests.support.replica import caught_up
from tests.support.service import client_of, running, signed_in_as
from tests.support.waiting import eventually

CLABE = "032180000118359719"
AWAY = (OSError, DatabaseUnavailableError, *LOST_CONNECTION)


@pytest.fixture
async def person(api: httpx2.AsyncClient, resources: Resources) -> Json:
    """A client with a loan and a payment, whom everybody sees."""
    client = await new_client(api, clabe=CLABE, phone="+52 55 1234 5678", address="Calle 1")
    loan = await new_loan(api, client["id"])
    noted = await api.patch(f"{LOANS}/{loan['id']}", json={"notes": "Lives with his mother."})
    assert noted.status_code == 200, noted.text
    await pay(api, loan["id"], reference=f"R-{client['id']}")
    await caught_up(resources)
    return client


@pytest.fixture
async def borrower(app: FastAPI, person: Json) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by this person."""
    async with signed_in_as(app, Role.CLIENT, UUID(person["id"])) as client:
        yield client


async def reads(owner: Connection, client_id: str) -> int:
    """How often the record was read, as far as it is written down."""
    found: int = await owner.fetchval(
        "SELECT coalesce(sum(reads), 0) FROM record_reads WHERE client_id = $1", UUID(client_id)
    )
    return found


async def test_every_reading_of_a_full_record_is_written_down(
    person: Json,
    officer: httpx2.AsyncClient,
    anonymous: httpx2.AsyncClient,
    api: httpx2.AsyncClient,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
    resources: Resources,
) -> None:
    now = time()
    monkeypatch.setattr("backend_api.clients.readers.time", lambda: now)  # all in one hour
    client = f"{CLIENTS}/{person['id']}"
    for _ in range(3):
        await get(officer, client)
    await get(officer, f"{CLIENTS}/{person['rfc']}")
    await get(officer, CLIENTS, params={"email": person["email"]})
    assert (await anonymous.get(f"{CLIENTS}/{person['rfc']}")).status_code == 200, "masked: nobody read the record"

    async def are_written() -> bool:
        return await reads(owner, person["id"]) == 5

    await eventually(are_written)
    await caught_up(resources)
    [one] = (await get(api, f"{client}/readers"))["data"]
    officer_id = (await get(officer, "/api/v1/auth/me"))["id"]
    assert (one["actor"], one["reads"]) == (f"user:{officer_id}", 5)


async def test_a_first_reading_by_rfc_is_written_down_too(
    person: Json, officer: httpx2.AsyncClient, owner: Connection
) -> None:
    await get(officer, f"{CLIENTS}/{person['rfc']}")

    async def is_written() -> bool:
        return await reads(owner, person["id"]) == 1

    await eventually(is_written)


async def test_what_was_read_is_written_down_once_the_primary_is_back_and_at_the_end(
    person: Json, settings: Settings, admin: dict[str, str], owner: Connection
) -> None:
    async with Proxy(settings.postgres_host, settings.postgres_port) as proxy:
        through = settings.model_copy(update={"postgres_host": "127.0.0.1", "postgres_port": proxy.port})
        async with running(through) as app, client_of(app, admin) as caller:
            # One of our own, which writes when it is told to: that of the application may have written already.
            readers, token = (
                Readers(app.state.resources.databases.writer),
                admin["Authorization"].removeprefix("Bearer "),
            )
            principal = await app.state.access.of_token(token, app.state.resources.clock())
            readers.note(principal, UUID(person["id"]))
            await proxy.become(Mode.REFUSE)
            with pytest.raises(AWAY):
                await readers.write_down()
            await proxy.become(Mode.PASS)

            async def is_written() -> bool:
                with contextlib.suppress(*AWAY):
                    await readers.write_down()
                return await reads(owner, person["id"]) == 1

            await eventually(is_written)
            await get(caller, f"{CLIENTS}/{person['id']}")
        assert await reads(owner, person["id"]) == 2, "written down when the process ends"


async def test_a_borrower_s_look_at_their_own_record_is_no_news(
    person: Json, borrower: httpx2.AsyncClient, officer: httpx2.AsyncClient, owner: Connection
) -> None:
    await get(borrower, f"{CLIENTS}/{person['id']}")
    await get(officer, f"{CLIENTS}/{person['id']}")

    async def is_written() -> bool:
        return await reads(owner, person["id"]) > 0

    await eventually(is_written)
    assert await reads(owner, person["id"]) == 1


async def test_an_export_holds_everything_and_is_an_event(
    person: Json, api: httpx2.AsyncClient, borrower: httpx2.AsyncClient, owner: Connection
) -> None:
    for caller in (api, borrower):
        answer = await caller.get(f"{CLIENTS}/{person['id']}/personal-data")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "private, no-store"
        told = answer.json()
        assert {name: told["client"][name] for name in person} == person
        assert [(loan["amount"], loan["notes"]) for loan in told["loans"]] == [("1000.00", "Lives with his mother.")]
        assert [payment["reference"] for payment in told["payments"]] == [f"R-{person['id']}"]
        assert [account["username"][:7] for account in told["accounts"]] == ["client-"]
        assert len(told["sessions"]) == 1
        assert told["history"][0]["event_type"] == "client_created"
        assert "password" not in answer.text
    events = await owner.fetch(
        "SELECT payload, actor FROM events WHERE aggregate_id = $1 AND event_type = 'person_data_exported'",
        UUID(person["id"]),
    )
    assert len(events) == 2
    assert not [event for event in events if person["rfc"] in event["payload"]]


async def test_what_is_blocked_is_told_to_nobody_and_kept(api: httpx2.AsyncClient, owner: Connection) -> None:
    client = await new_client(api, clabe=CLABE)
    path = f"{CLIENTS}/{client['id']}"
    assert (await api.delete(path)).status_code == 204
    for below in ("", "/balance", "/account-statement", "/personal-data", "/loans"):
        answer = await api.get(path + below)
        assert client["email"] not in answer.text
        assert answer.status_code == 404 or answer.json().get("data") == [], below
    problem(await api.get(f"{CLIENTS}/{client['rfc']}"), 404)
    row = await owner.fetchrow("SELECT rfc, email, deleted_at FROM clients WHERE id = $1", UUID(client["id"]))
    assert row is not None
    assert (row["rfc"], row["email"]) == (client["rfc"], client["email"]), "the law demands that it is kept"
    assert (await new_client(api, rfc=client["rfc"], email=client["email"]))["id"] != client["id"]


async def test_the_data_of_an_unknown_client_is_not_found(api: httpx2.AsyncClient) -> None:
    problem(await api.get(f"{CLIENTS}/019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1cff/personal-data"), 404, "not_found")
