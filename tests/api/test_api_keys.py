"""API keys: shown once, found by their public part, bounded by scopes and owner, gone within a second."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth.api_keys.schemas import SCOPES
from backend_api.auth.permissions import OF_PEOPLE, PERMISSIONS, Role
from backend_api.db.pools import Connection
from backend_api.settings import Settings
from fastapi import FastAPI
from pydantic import SecretStr

from tests.support.builders import CLIENTS, LOANS, Json, client_body, get, new_client, new_loan
from tests.support.clock import StoppedClock
from tests.support.problems import pointers, problem
from tests.support.service import client_of, running, signed_in_as
from tests.support.waiting import eventually

KEYS = "/api/v1/api-keys"
ME = "/api/v1/auth/me"


async def new_key(api: httpx2.AsyncClient, scopes: list[str], **fields: Any) -> Json:
    """A key that was just made."""
    answer = await api.post(KEYS, json={"name": "MO App", "scopes": scopes, **fields})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


def headers(key: str) -> list[dict[str, str]]:
    """Both ways to send a key."""
    return [{"Authorization": f"Api-Key {key}"}, {"X-API-Key": key}]


async def status(anonymous: httpx2.AsyncClient, key: str) -> int:
    """What a call with this key is answered."""
    return (await anonymous.get(ME, headers={"X-API-Key": key})).status_code


async def eventually_refused(anonymous: httpx2.AsyncClient, key: str) -> None:
    """Wait until the key is refused; a second is the promise, a slow machine gets more."""

    async def is_refused() -> bool:
        return await status(anonymous, key) == 401

    await eventually(is_refused, 5)


async def test_a_key_calls_in_the_name_of_its_owner_and_within_its_scopes(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_key(api, ["clients:read", "clients:write"])
    admin = await get(api, ME)
    for each in headers(made["key"]):
        me = await get(anonymous, ME, headers=each)
        assert (me["id"], me["api_key_id"], me["session_id"]) == (admin["id"], made["id"], None)
        assert me["permissions"] == ["clients:read", "clients:write"]
        created = await anonymous.post(CLIENTS, json=client_body(), headers=each)
        assert created.status_code == 201
        actor = await owner.fetchval("SELECT actor FROM events WHERE aggregate_id = $1", created.json()["id"])
        assert actor == f"api_key:{made['id']}"
        problem(await anonymous.get(LOANS, headers=each), 403, "forbidden")


async def test_the_key_is_shown_once_and_stands_nowhere(api: httpx2.AsyncClient, owner: Connection) -> None:
    sent = {"Idempotency-Key": uuid4().hex}
    answer = await api.post(KEYS, json={"name": "MO App", "scopes": ["*"]}, headers=sent)
    made = answer.json()
    _, _, public_id, secret = made["key"].split("_")
    assert (answer.headers["cache-control"], made["public_id"]) == ("no-store", public_id)
    row = await owner.fetchrow("SELECT * FROM api_keys WHERE id = $1", made["id"])
    assert row is not None
    assert secret not in str(dict(row))
    assert bytes.fromhex(secret) != row["secret_hash"]
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = $1", sent["Idempotency-Key"]) == 0
    payloads = await owner.fetch("SELECT payload FROM events WHERE aggregate_id = $1", made["id"])
    assert [secret in row["payload"] for row in payloads] == [False]
    for shown in (await api.get(f"{KEYS}/{made['id']}"), await api.get(KEYS, params={"sort": "-created_at"})):
        assert secret not in shown.text
        assert public_id in shown.text


async def test_everything_is_what_the_owner_may_but_nothing_about_users_and_keys(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    made = await new_key(api, ["*"])
    me = await get(anonymous, ME, headers={"X-API-Key": made["key"]})
    assert set(me["permissions"]) == PERMISSIONS[Role.ADMIN] - OF_PEOPLE
    for method, path, body in (
        ("POST", KEYS, {"name": "x", "scopes": ["*"]}),
        ("DELETE", f"{KEYS}/{made['id']}", None),
        ("POST", "/api/v1/users", {"username": "x", "role": "admin"}),
        ("POST", "/api/v1/auth/password", {"current_password": "x", "new_password": "correct horse"}),
        ("GET", "/api/v1/auth/sessions", None),
        ("POST", "/api/v1/auth/logout", None),
    ):
        answer = await anonymous.request(method, path, json=body, headers={"X-API-Key": made["key"]})
        problem(answer, 403, "forbidden")


async def test_a_key_does_no_more_than_its_owner(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, app: FastAPI, owner: Connection
) -> None:
    async with signed_in_as(app, Role.OFFICER) as officer:
        owner_id = (await get(officer, ME))["id"]
    refused = await api.post(KEYS, json={"name": "x", "scopes": ["products:write"], "owner_id": owner_id})
    assert pointers(refused) == ["/scopes"]
    made = await new_key(api, ["clients:read", "clients:write"], owner_id=owner_id)
    assert (await get(anonymous, ME, headers={"X-API-Key": made["key"]}))["role"] == "officer"

    await api.patch(f"/api/v1/users/{owner_id}", json={"role": "auditor"})

    async def is_bounded() -> bool:
        return bool((await get(anonymous, ME, headers={"X-API-Key": made["key"]}))["permissions"] == ["clients:read"])

    await eventually(is_bounded, 5)
    await api.delete(f"/api/v1/users/{owner_id}")
    await eventually_refused(anonymous, made["key"])


async def test_a_borrower_s_key_sees_what_the_borrower_sees(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, app: FastAPI
) -> None:
    client, other = await new_client(api), await new_loan(api)
    async with signed_in_as(app, Role.CLIENT, client["id"]) as borrower:
        owner_id = (await get(borrower, ME))["id"]
    made = await new_key(api, ["*"], owner_id=owner_id)
    listed = await get(anonymous, CLIENTS, headers={"X-API-Key": made["key"]})
    assert [each["id"] for each in listed["data"]] == [client["id"]]
    problem(await anonymous.get(f"{LOANS}/{other['id']}", headers={"X-API-Key": made["key"]}), 404, "not_found")


async def test_what_a_key_asked_for_its_owner_cannot_approve(
    api: httpx2.AsyncClient, officer: httpx2.AsyncClient, settings: Settings
) -> None:
    made = await new_key(api, ["*"])
    asking = settings.model_copy(update={"approve_activation_above": Decimal("500.00")})
    async with running(asking) as app, client_of(app, {"X-API-Key": made["key"]}) as program:
        loan = await new_loan(program, amount="1000.00", status="PENDING")
        asked = await program.post(f"{LOANS}/{loan['id']}/activate")
        assert asked.status_code == 202, asked.text
        approve = f"/api/v1/approvals/{asked.json()['id']}/approve"
        assert asked.json()["maker"] == (await get(api, ME))["id"]
        for owner_s in (api, program):
            problem(await owner_s.post(approve, json={}), 403, "maker_is_checker")
        assert (await officer.post(approve, json={})).status_code == 200


async def test_a_revoked_key_is_refused_within_a_second_and_for_good(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    made = await new_key(api, ["*"])
    assert await status(anonymous, made["key"]) == 200
    assert (await api.delete(f"{KEYS}/{made['id']}")).status_code == 204
    await eventually_refused(anonymous, made["key"])
    assert (await api.delete(f"{KEYS}/{made['id']}")).status_code == 204
    problem(await api.post(f"{KEYS}/{made['id']}/rotate", json={}), 409, "api_key_revoked")
    assert (await get(api, f"{KEYS}/{made['id']}"))["status"] == "REVOKED"


async def test_after_a_rotation_both_secrets_count_for_the_overlap(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_key(api, ["*"])
    assert await status(anonymous, made["key"]) == 200
    second = (await api.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_hours": 24})).json()
    assert second["public_id"] == made["public_id"]
    assert [await status(anonymous, key) for key in (second["key"], made["key"], second["key"])] == [200] * 3
    third = (await api.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_hours": 0})).json()
    assert await status(anonymous, third["key"]) == 200
    for gone in (made["key"], second["key"]):
        await eventually_refused(anonymous, gone)
    kinds = await owner.fetch("SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence", made["id"])
    assert [row["event_type"] for row in kinds] == ["api_key_created", "api_key_rotated", "api_key_rotated"]


async def test_a_key_runs_out(api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, clock: StoppedClock) -> None:
    past = await api.post(KEYS, json={"name": "x", "scopes": ["*"], "expires_at": "2026-01-01T00:00:00Z"})
    assert pointers(past) == ["/expires_at"]
    made = await new_key(api, ["*"], expires_at=(clock() + timedelta(seconds=60)).isoformat())
    clock.advance(59)
    assert await status(anonymous, made["key"]) == 200
    clock.advance(1)
    assert await status(anonymous, made["key"]) == 401


async def test_the_last_use_is_noted_at_most_once_a_minute(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection, clock: StoppedClock
) -> None:
    made = await new_key(api, ["*"])
    for _ in range(5):
        assert await status(anonymous, made["key"]) == 200

    async def noted() -> bool:
        return await owner.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", made["id"]) is not None

    await eventually(noted)
    version = await owner.fetchval("SELECT xmin::text FROM api_keys WHERE id = $1", made["id"])
    clock.advance(59)
    for _ in range(5):
        assert await status(anonymous, made["key"]) == 200
    assert await owner.fetchval("SELECT xmin::text FROM api_keys WHERE id = $1", made["id"]) == version


@pytest.mark.parametrize("change", ["secret", "public id", "short", "upper", "other prefix", "empty", "unknown", "id"])
async def test_a_wrong_key_gets_the_answer_of_a_wrong_token(
    change: str, api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    made = await new_key(api, ["*"])
    key: str = made["key"]
    wrong = {
        "secret": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "public id": key.replace(made["public_id"], "0" * 12),
        "short": key[:-1],
        "upper": key.upper(),
        "other prefix": key.replace("live", "test"),
        "empty": "",
        "unknown": f"sofipo_live_{'a' * 12}_{'b' * 64}",
        "id": made["public_id"],
    }[change]
    expected = problem(await anonymous.get(ME, headers={"Authorization": "Bearer x"}), 401) | {"request_id": ""}
    for each in headers(wrong):
        answer = await anonymous.get(ME, headers=each)
        assert problem(answer, 401, "unauthenticated") | {"request_id": ""} == expected
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["users:write"]},
        {"name": "x", "scopes": ["api_keys:write"]},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x"},
        {"scopes": ["*"]},
        {"name": "x", "scopes": ["*"], "expires_at": "2026-12-31T00:00:00"},
        {"name": "x", "scopes": ["*"], "expires_at": "9999-12-31T00:00:00Z"},
        {"name": "x", "scopes": ["*"], "expires_at": 2147483647},
        {"name": "x", "scopes": ["*"], "expires_at": "2147483647"},
        {"name": "x", "scopes": ["*"], "secret_hash": "x"},
    ],
)
async def test_what_is_no_key_is_refused(body: Json, api: httpx2.AsyncClient) -> None:
    problem(await api.post(KEYS, json=body), 422, "validation_failed")


async def test_only_administrators_make_keys(officer: httpx2.AsyncClient, auditor: httpx2.AsyncClient) -> None:
    for caller in (officer, auditor):
        problem(await caller.post(KEYS, json={"name": "x", "scopes": ["*"]}), 403, "forbidden")
    assert (await auditor.get(KEYS)).status_code == 200


async def test_another_pepper_refuses_every_key(api: httpx2.AsyncClient, settings: Settings) -> None:
    made = await new_key(api, ["*"])
    other = settings.model_copy(update={"api_key_pepper": SecretStr("p" * 32)})
    async with running(other) as app, client_of(app) as caller:
        assert (await caller.get(ME, headers={"X-API-Key": made["key"]})).status_code == 401


def test_the_scopes_are_the_permissions_that_a_program_may_hold() -> None:
    assert set(SCOPES) == {"*"} | (PERMISSIONS[Role.ADMIN] - OF_PEOPLE)
