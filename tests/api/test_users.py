"""Users: made by administrators, changed by them, and let in by a password that only they themselves know."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.app import create_app
from backend_api.auth import queries, service
from backend_api.auth.dependencies import UndeclaredPermission, check_declared
from backend_api.auth.passwords import PasswordRefused, check_password
from backend_api.auth.permissions import Role
from backend_api.auth.schemas import ResetIn
from backend_api.auth.users import queries as user_queries
from backend_api.auth.users import service as user_service
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import Environment, Settings
from fastapi import FastAPI

from tests.support.builders import Json, get, new_client
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem
from tests.support.service import sign_in, signed_in_as
from tests.support.waiting import eventually

USERS = "/api/v1/users"
ME = "/api/v1/auth/me"
RESET = "/api/v1/auth/password/reset"
PASSWORD = "tres tristes tigres"


async def new_user(api: httpx2.AsyncClient, role: str = "officer", **fields: Any) -> Json:
    """A user who was just created, with the one-time secret."""
    answer = await api.post(USERS, json={"username": f"u-{uuid4().hex}", "role": role, **fields})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


async def choose(anonymous: httpx2.AsyncClient, user: Json, password: str = PASSWORD) -> httpx2.Response:
    """The answer to choosing a password with the one-time secret."""
    body = {"username": user["username"], "one_time_secret": user["one_time_secret"], "new_password": password}
    return await anonymous.post(RESET, json=body)


@pytest.fixture
async def user(api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient) -> Json:
    """An officer with a password."""
    created = await new_user(api)
    assert (await choose(anonymous, created)).status_code == 204
    return created


@pytest.fixture
async def bearer(user: Json, anonymous: httpx2.AsyncClient) -> dict[str, str]:
    """Headers of that officer."""
    return {"Authorization": f"Bearer {await sign_in(anonymous, user['username'], PASSWORD)}"}


async def refused(anonymous: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    """Wait until these credentials are refused; a second is the promise, a slow machine gets more."""

    async def is_refused() -> bool:
        return (await anonymous.get(ME, headers=headers)).status_code == 401

    await eventually(is_refused, 5)


async def test_a_new_user_chooses_the_password_and_the_secret_works_once(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    created = await new_user(api)
    token = await anonymous.post(
        "/api/v1/auth/token", data={"username": created["username"], "password": created["one_time_secret"]}
    )
    problem(token, 401, "sign_in_refused")
    assert (await choose(anonymous, created)).status_code == 204
    problem(await choose(anonymous, created, "another password"), 401, "reset_refused")
    headers = {"Authorization": f"Bearer {await sign_in(anonymous, created['username'], PASSWORD)}"}
    me = await get(anonymous, ME, headers=headers)
    assert (me["id"], me["role"]) == (created["id"], "officer")
    assert me["permissions"] == sorted(me["permissions"])


async def test_the_secret_stands_in_no_stored_answer_event_or_later_reading(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    name = f"u-{uuid4().hex}"
    answer = await api.post(USERS, json={"username": name, "role": "auditor"}, headers=key)
    secret = answer.json()["one_time_secret"]
    assert answer.headers["cache-control"] == "no-store"
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = $1", key["Idempotency-Key"]) == 0
    assert secret not in (await api.get(f"{USERS}/{answer.json()['id']}")).text
    payloads = await owner.fetch("SELECT payload FROM events WHERE aggregate_id = $1", answer.json()["id"])
    assert len(payloads) == 1
    assert secret not in payloads[0]["payload"]
    assert name not in payloads[0]["payload"]


async def test_a_used_up_or_old_secret_and_an_unknown_user_are_refused_alike(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    old, other = await new_user(api), await new_user(api)
    await owner.execute("UPDATE users SET reset_expires_at = now() WHERE id = $1", old["id"])
    answers = [
        await choose(anonymous, old),
        await choose(anonymous, {**other, "one_time_secret": old["one_time_secret"]}),
        await choose(anonymous, {**other, "username": "nobody-at-all"}),
        await choose(anonymous, {**other, "username": "admin"}),
    ]
    bodies = [problem(answer, 401, "reset_refused") | {"request_id": ""} for answer in answers]
    assert bodies == [bodies[0]] * 4


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("elevenchars", "password_length"),
        ("Password2026!", "password_common"),
        ("qwertyuiop123", "password_common"),
        ("aaaaaaaaaaaaa", "password_common"),
        ("abcabcabcabcabc", "password_common"),
        ("1234567890123", "password_common"),
        ("9876543210987", "password_common"),
        ("ines.morales1", "password_is_username"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(password: str, code: str) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        check_password(password, "ines.morales")
    assert refusal.value.errors[0].code == code


@pytest.mark.parametrize("password", ["correct horse", "tres tristes tigres", "ñandú-volador-7", "xy" * 6 + "z" * 100])
def test_a_long_password_needs_nothing_else(password: str) -> None:
    check_password(password, "ines.morales")


async def test_a_weak_new_password_is_a_problem_with_its_field(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    answer = await choose(anonymous, await new_user(api), "short")
    problem(answer, 422, "password_refused")
    assert pointers(answer) == ["/new_password"]


async def test_a_changed_password_ends_all_sessions_but_the_new_one(
    user: Json, bearer: dict[str, str], anonymous: httpx2.AsyncClient
) -> None:
    other = {"Authorization": f"Bearer {await sign_in(anonymous, user['username'], PASSWORD)}"}
    wrong = {"current_password": "not this one", "new_password": "correct horse"}
    problem(await anonymous.post("/api/v1/auth/password", json=wrong, headers=bearer), 422, "password_wrong")
    right = {"current_password": PASSWORD, "new_password": "correct horse"}
    changed = await anonymous.post("/api/v1/auth/password", json=right, headers=bearer)
    assert changed.status_code == 200, changed.text
    for headers in (bearer, other):
        await refused(anonymous, headers)
    new = {"Authorization": f"Bearer {changed.json()['access_token']}"}
    assert (await get(anonymous, ME, headers=new))["id"] == user["id"]
    again = await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": changed.json()["refresh_token"]})
    assert again.status_code == 200


@pytest.mark.parametrize("change", [{"role": "auditor"}, {"status": "DISABLED"}, "reset", "disable"])
async def test_what_an_administrator_takes_away_is_gone_within_a_second(
    change: Any, user: Json, bearer: dict[str, str], api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    path = f"{USERS}/{user['id']}"
    signed_in = await anonymous.post("/api/v1/auth/token", data={"username": user["username"], "password": PASSWORD})
    assert (await anonymous.get(ME, headers=bearer)).status_code == 200
    match change:
        case "reset":
            answer = await api.post(f"{path}/reset-password")
            assert answer.json().keys() == {"one_time_secret", "secret_expires_at"}
        case "disable":
            answer = await api.delete(path)
        case _:
            answer = await api.patch(path, json=change)
    assert answer.status_code in (200, 204), answer.text
    await refused(anonymous, bearer)
    again = await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": signed_in.json()["refresh_token"]})
    problem(again, 401, "refresh_refused")


async def test_a_new_name_ends_no_session(
    user: Json, bearer: dict[str, str], api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    name = f"u-{uuid4().hex}"
    answer = await api.patch(f"{USERS}/{user['id']}", json={"username": name})
    assert (answer.status_code, answer.json()["username"], answer.json()["version"]) == (200, name, 2)
    assert (await anonymous.get(ME, headers=bearer)).status_code == 200
    event = await owner.fetchrow(
        "SELECT event_type, payload FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 1", user["id"]
    )
    assert event is not None
    assert event["event_type"] == "user_updated"
    assert name not in event["payload"]


async def test_a_user_is_listed_and_read_and_changed_by_version(user: Json, api: httpx2.AsyncClient) -> None:
    path = f"{USERS}/{user['id']}"
    answer = await api.get(path)
    assert answer.json()["username"] == user["username"]
    assert not {"password_hash", "reset_hash", "epoch"} & answer.json().keys()
    problem(await api.patch(path, json={"role": "auditor"}, headers={"If-Match": '"9"'}), 412, "precondition_failed")
    listed = (await get(api, USERS, params={"role": "officer", "sort": "-created_at"}))["data"]
    assert user["id"] in {each["id"] for each in listed}
    again = await api.patch(path, json={"role": "officer"})
    assert (again.status_code, again.json()["version"]) == (200, 1), "nothing changed"


async def test_names_are_taken_once(user: Json, api: httpx2.AsyncClient) -> None:
    answer = await api.post(USERS, json={"username": user["username"], "role": "officer"})
    problem(answer, 409, "username_taken")
    other = await new_user(api)
    problem(await api.patch(f"{USERS}/{other['id']}", json={"username": user["username"]}), 409, "username_taken")


async def test_a_borrower_has_a_client_and_nobody_else_has(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    for fields in ({"role": "client"}, {"role": "officer", "client_id": client["id"]}):
        answer = await api.post(USERS, json={"username": f"u-{uuid4().hex}", **fields})
        assert pointers(answer) == ["/client_id"]
    unknown = await api.post(USERS, json={"username": f"u-{uuid4().hex}", "role": "client", "client_id": str(uuid4())})
    assert pointers(unknown) == ["/client_id"]
    borrower = await new_user(api, "client", client_id=client["id"])
    assert borrower["client_id"] == client["id"]
    promoted = await api.patch(f"{USERS}/{borrower['id']}", json={"role": "officer"})
    assert (promoted.status_code, promoted.json()["client_id"]) == (200, None)


@pytest.mark.parametrize("reading", ["for_ending", "live_user"])
async def test_a_secret_that_is_used_between_two_readings_works_once(
    reading: str, api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    created = await new_user(api)
    body = ResetIn(username=created["username"], one_time_secret=created["one_time_secret"], new_password=PASSWORD)
    use_case, user_id = await service.reset_password(resources, body, service.Caller("192.0.2.1", None))
    read = getattr(queries, reading)

    with pytest.MonkeyPatch.context() as race:

        async def after_a_twin(*arguments: Any) -> Any:
            race.undo()
            assert (await choose(anonymous, created, "another password")).status_code == 204
            return await read(*arguments)

        race.setattr(queries, reading, after_a_twin)
        with pytest.raises(service.ResetRefused):
            await carry_out(resources, Origin(f"user:{user_id}", "test", None, resources.clock()), use_case)
    await sign_in(anonymous, created["username"], "another password")


async def test_the_last_administrator_stays(api: httpx2.AsyncClient, owner: Connection) -> None:
    admin = (await get(api, ME))["id"]
    others = await owner.fetch(
        "UPDATE users SET role = 'auditor' WHERE role = 'admin' AND id <> $1 RETURNING id", admin
    )
    try:
        for method, body in (("PATCH", {"role": "officer"}), ("PATCH", {"status": "DISABLED"}), ("DELETE", None)):
            problem(await api.request(method, f"{USERS}/{admin}", json=body), 409, "last_administrator")
    finally:
        await owner.execute("UPDATE users SET role = 'admin' WHERE id = ANY ($1)", [row["id"] for row in others])


async def test_of_two_administrators_who_disable_each_other_one_stays(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    others = await owner.fetch("UPDATE users SET role = 'auditor' WHERE role = 'admin' RETURNING id")
    one, other = [UUID((await new_user(api, "admin"))["id"]) for _ in range(2)]
    origin = Origin(f"user:{one}", "test", None, resources.clock())
    read = user_queries.taken

    with pytest.MonkeyPatch.context() as race:

        async def after_the_other(*arguments: Any) -> Any:
            race.undo()
            assert (await api.delete(f"{USERS}/{one}")).status_code == 204
            return await read(*arguments)

        race.setattr(user_queries, "taken", after_the_other)
        try:
            with pytest.raises(user_service.LastAdministrator):
                await carry_out(resources, origin, user_service.disable_user(other, None))
        finally:
            await owner.execute("UPDATE users SET role = 'admin' WHERE id = ANY ($1)", [row["id"] for row in others])
    assert (await get(api, f"{USERS}/{other}"))["version"] == 1


@pytest.mark.parametrize("role", [Role.OFFICER, Role.AUDITOR, Role.CLIENT])
async def test_only_administrators_make_and_change_users(
    role: Role, user: Json, app: FastAPI, owner: Connection
) -> None:
    async with signed_in_as(app, role) as caller:
        before = await row_counts(owner)
        for method, path, body in (
            ("POST", USERS, {"username": "x", "role": "admin"}),
            ("PATCH", f"{USERS}/{user['id']}", {"role": "admin"}),
            ("DELETE", f"{USERS}/{user['id']}", None),
            ("POST", f"{USERS}/{user['id']}/reset-password", None),
        ):
            problem(await caller.request(method, path, json=body), 403, "forbidden")
        assert await row_counts(owner) == before
        reads = 200 if role is Role.AUDITOR else 403
        for path in (USERS, f"{USERS}/{user['id']}"):
            assert (await caller.get(path)).status_code == reads


@pytest.mark.parametrize(
    "body", [{"username": "x", "role": "root"}, {"username": "x", "role": "admin", "epoch": 5}, {"role": "admin"}, {}]
)
async def test_what_is_no_user_is_refused(body: Json, api: httpx2.AsyncClient) -> None:
    problem(await api.post(USERS, json=body), 422, "validation_failed")


def test_a_route_that_does_not_say_who_may_call_it_stops_the_start() -> None:
    app = create_app(Settings(environment=Environment.DEVELOPMENT))
    check_declared(app.routes)

    async def forgotten() -> None:
        """Nobody said who may."""

    app.add_api_route("/api/v1/forgotten", forgotten, operation_id="forgotten")
    with pytest.raises(UndeclaredPermission, match="forgotten"):
        check_declared(app.routes)
