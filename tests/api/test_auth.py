"""Who gets in, and what they may do there."""

import base64
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth import passwords
from backend_api.auth.permissions import PERMISSIONS, Permission, Role
from backend_api.auth.tokens import Tokens
from backend_api.auth.users import service as users
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Settings
from fastapi import FastAPI
from jose import jwt as jose

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, client_body, get, new_loan
from tests.support.postgres import row_counts
from tests.support.problems import problem
from tests.support.service import create_user, sign_in, signed_in_as

TOKEN = "/api/v1/auth/token"
ME = "/api/v1/auth/me"


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(anonymous: httpx2.AsyncClient) -> None:
    bodies = []
    for username, password in [("admin", "wrong"), ("nobody", "string"), ("Admin", "string"), ("admin", "String")]:
        answer = await anonymous.post(TOKEN, data={"username": username, "password": password})
        found = problem(answer, 401, "sign_in_refused")
        del found["request_id"]
        bodies.append(found)
    assert bodies == [bodies[0]] * 4


@pytest.mark.parametrize("data", [{}, {"username": "admin"}, {"password": "string"}])
async def test_a_form_without_name_or_password_is_refused(data: dict[str, str], anonymous: httpx2.AsyncClient) -> None:
    problem(await anonymous.post(TOKEN, data=data), 422, "validation_failed")


async def test_the_token_says_who_is_signed_in(api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient) -> None:
    me = await get(api, ME)
    assert (me["username"], me["role"]) == ("admin", "admin")
    answer = await anonymous.post(TOKEN, data={"username": "admin", "password": "string"})
    assert answer.json()["expires_in"] == 15 * 60
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"}
    assert answer.headers["cache-control"] == "no-store"


def unpadded(data: bytes) -> str:
    """Base64 as JWTs have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Forge:
    """Makes tokens with the right key, or a wrong one, and any claims."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # HKDF with SHA-512 (RFC 5869), written down once more.
        extracted = digest(bytes(64), settings.api_secret_key.get_secret_value().encode(), "sha512")
        self.key = digest(extracted, b"access-token\x01", "sha512")
        self.kid = sha256(self.key).hexdigest()[:8]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a valid token; None takes one out."""
        now = datetime.now(UTC)
        valid = {
            "iss": self.settings.token_issuer, "aud": self.settings.token_audience, "sub": str(uuid4()),
            "jti": str(uuid4()), "iat": now, "exp": now + timedelta(minutes=5), "name": "forged", "role": "admin",
            "epoch": 1,
        }  # fmt: skip
        return {name: value for name, value in {**valid, **changes}.items() if value is not None}

    def token(self, key: Any = None, algorithm: str = "HS256", headers: Any = None, **changes: Any) -> str:
        """A token made by another library than ours."""
        chosen = {"kid": self.kid, "typ": "at+jwt"} | (headers or {})
        made: str = jose.encode(self.claims(**changes), self.key if key is None else key, algorithm, headers=chosen)
        return made

    def unsigned(self) -> str:
        """A token with `alg: none`."""
        head = {"alg": "none", "typ": "at+jwt", "kid": self.kid}
        claims = {
            name: int(value.timestamp()) if isinstance(value, datetime) else value
            for name, value in self.claims().items()
        }
        return f"{unpadded(json.dumps(head).encode())}.{unpadded(json.dumps(claims).encode())}."


@pytest.fixture(scope="module")
def forge(settings: Settings) -> Forge:
    """A maker of tokens."""
    return Forge(settings)


async def test_a_token_made_by_jose_with_the_derived_key_is_accepted(
    forge: Forge, anonymous: httpx2.AsyncClient
) -> None:
    user = uuid4()
    headers = {"Authorization": f"bearer {forge.token(sub=str(user))}"}
    assert (await get(anonymous, ME, headers=headers))["id"] == str(user)


async def test_jose_reads_our_tokens(forge: Forge, token: str) -> None:
    claims = jose.decode(token, forge.key, "HS256", audience=forge.settings.token_audience)
    assert claims["name"] == "admin"
    assert {"iss", "aud", "sub", "jti", "iat", "exp", "epoch", "sid"} <= claims.keys()
    assert jose.get_unverified_header(token) == {"alg": "HS256", "kid": forge.kid, "typ": "at+jwt"}


FORGED: dict[str, Any] = {
    "signed with another key": lambda forge: forge.token(key=b"x" * 32),
    "signed with the secret itself": lambda forge: forge.token(key=forge.settings.api_secret_key.get_secret_value()),
    "signed with nothing": lambda forge: forge.unsigned(),
    "of another algorithm": lambda forge: forge.token(algorithm="HS512"),
    "of another key id": lambda forge: forge.token(headers={"kid": "00000000"}),
    "of a key id that is a path": lambda forge: forge.token(headers={"kid": "../../dev/null"}),
    "of another type": lambda forge: forge.token(headers={"typ": "JWT"}),
    "a refresh token": lambda forge: forge.token(headers={"typ": "rt+jwt"}),
    "with a key in its header": lambda forge: forge.token(key=b"x" * 32, headers={"jwk": {"kty": "oct", "k": "eHh4"}}),
    "from another issuer": lambda forge: forge.token(iss="somebody"),
    "for another audience": lambda forge: forge.token(aud="somebody"),
    "without issuer": lambda forge: forge.token(iss=None),
    "without audience": lambda forge: forge.token(aud=None),
    "without subject": lambda forge: forge.token(sub=None),
    "without id": lambda forge: forge.token(jti=None),
    "without time of issue": lambda forge: forge.token(iat=None),
    "without expiry": lambda forge: forge.token(exp=None),
    "without name": lambda forge: forge.token(name=None),
    "without role": lambda forge: forge.token(role=None),
    "with an unknown role": lambda forge: forge.token(role="root"),
    "of a borrower without client": lambda forge: forge.token(role="client"),
    "of an officer with a client": lambda forge: forge.token(role="officer", client=str(uuid4())),
    "without epoch": lambda forge: forge.token(epoch=None),
    "with an epoch that is text": lambda forge: forge.token(epoch="1"),
    "with a session that is no id": lambda forge: forge.token(sid="x"),
    "with a subject that is no id": lambda forge: forge.token(sub="admin"),
    "expired": lambda forge: forge.token(exp=datetime.now(UTC) - timedelta(seconds=31)),
    "issued in the future": lambda forge: forge.token(iat=datetime.now(UTC) + timedelta(minutes=5)),
    "not valid yet": lambda forge: forge.token(nbf=datetime.now(UTC) + timedelta(minutes=5)),
    "with an expiry that is text": lambda forge: forge.token(exp="tomorrow"),
    "truncated": lambda forge: forge.token()[:-5],
    "without signature": lambda forge: forge.token().rpartition(".")[0] + ".",
    "of two parts": lambda forge: forge.token().rpartition(".")[0],
    "of four parts": lambda forge: forge.token() + ".x",
    "with the claims of another": lambda forge: ".".join(
        [forge.token(role="auditor").rpartition(".")[0], forge.token().rpartition(".")[2]]
    ),
    "empty": lambda forge: "",
    "garbage": lambda forge: "garbage",
    "three dots": lambda forge: "...",
    "binary": lambda forge: "ÿÿ.ÿÿ.ÿÿ",
    "very long": lambda forge: "a" * 10_000,
}


@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_token_is_refused(kind: str, forge: Forge, anonymous: httpx2.AsyncClient) -> None:
    forged = FORGED[kind](forge)
    constant = problem(await anonymous.get(ME, headers={"Authorization": "Bearer x"}), 401) | {"request_id": ""}
    for path in (ME, CLIENTS, f"{CLIENTS}/PEPJ800101HNE"):
        answer = await anonymous.get(path, headers=[(b"Authorization", f"Bearer {forged}".encode("latin-1"))])
        assert problem(answer, 401, "unauthenticated") | {"request_id": ""} == constant
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("value", ["Basic YWRtaW46c3RyaW5n", "Bearer", "Api-Key x", "token", "{}"])
async def test_another_scheme_is_refused(value: str, token: str, anonymous: httpx2.AsyncClient) -> None:
    problem(await anonymous.get(ME, headers={"Authorization": value}), 401, "unauthenticated")
    problem(await anonymous.get(ME, headers={"Authorization": f"Basic {token}"}), 401, "unauthenticated")


async def test_a_token_ends_at_its_expiry_also_when_it_is_remembered(settings: Settings) -> None:
    tokens = Tokens(settings)
    now = datetime.now(UTC)
    token = tokens.issue(UUID(int=1), "somebody", Role.OFFICER, now)
    assert tokens.verify(token, now) is not None
    assert tokens.verify(token, now + timedelta(minutes=15, seconds=29)) is not None
    assert tokens.verify(token, now + timedelta(minutes=15, seconds=31)) is None


async def test_remembered_tokens_are_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_api.auth.tokens.REMEMBERED_TOKENS", 3)
    tokens = Tokens(settings)
    now = datetime.now(UTC)
    for _ in range(10):
        assert tokens.verify(tokens.issue(uuid4(), "somebody", Role.OFFICER, now), now) is not None
    assert len(tokens._verified) <= 3


async def test_an_auditor_reads_everything_and_changes_nothing(
    auditor: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    for path in (CLIENTS, LOANS, PAYMENTS, f"{CLIENTS}/{loan['client_id']}", f"{LOANS}/{loan['id']}", ME):
        await get(auditor, path)
    before = await row_counts(owner)
    await _assert_changes_nothing(auditor, loan)
    assert await row_counts(owner) == before


async def test_a_borrower_meets_nobody_else_s_objects(app: FastAPI, api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    async with signed_in_as(app, Role.CLIENT) as borrower:
        before = await row_counts(owner)
        for path in (
            f"{CLIENTS}/{loan['client_id']}", f"{CLIENTS}/{loan['client_id']}/balance",
            f"{CLIENTS}/{loan['client_id']}/account-statement", f"{LOANS}/{loan['id']}",
            f"{LOANS}/{loan['id']}/movements", f"{LOANS}/{loan['id']}/payments", f"{PAYMENTS}/{loan['id']}",
        ):  # fmt: skip
            problem(await borrower.get(path), 404, "not_found")
        await _assert_changes_nothing(borrower, loan)
        assert await row_counts(owner) == before
        assert (await get(borrower, ME))["role"] == "client"


async def _assert_changes_nothing(client: httpx2.AsyncClient, loan: dict[str, Any]) -> None:
    terms = {"client_id": loan["client_id"], "amount": 5, "interest_rate": 0, "term_months": 1}
    calls: list[tuple[str, str, Any]] = [
        ("POST", CLIENTS, client_body()),
        ("PUT", f"{CLIENTS}/{loan['client_id']}", client_body()),
        ("PATCH", f"{CLIENTS}/{loan['client_id']}", {"phone": "5"}),
        ("DELETE", f"{CLIENTS}/{loan['client_id']}", None),
        ("POST", f"{CLIENTS}/{loan['client_id']}/payments", {"amount": 5}),
        ("POST", LOANS, terms),
        ("POST", f"{LOANS}/{loan['id']}/activate", None),
        ("POST", f"{LOANS}/{loan['id']}/reject", None),
        ("POST", f"{LOANS}/{loan['id']}/cancel", None),
        ("POST", f"{LOANS}/{loan['id']}/payments", {"amount": 5}),
    ]
    for method, path, body in calls:
        problem(await client.request(method, path, json=body), 403, "forbidden")


async def test_an_officer_may_change_what_the_office_keeps(officer: httpx2.AsyncClient) -> None:
    loan = await new_loan(officer)
    assert (await officer.post(f"{LOANS}/{loan['id']}/payments", json={"amount": 5})).status_code == 201


def test_what_no_role_is_given_is_denied() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert PERMISSIONS[Role.ADMIN] == set(Permission) - {Permission.OWN_ACCOUNT}
    for role in (Role.AUDITOR, Role.CLIENT):
        assert all(permission.value.endswith(":read") for permission in PERMISSIONS[role] - {Permission.OWN_ACCOUNT})


async def test_a_user_s_name_is_taken_once_and_a_disabled_one_gets_nowhere(
    resources: Resources, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    await create_user(resources, "ines", "correct horse", Role.OFFICER)
    with pytest.raises(users.UsernameTaken):
        await create_user(resources, "ines", "another one", Role.ADMIN)
    event = await owner.fetchrow(
        "SELECT e.* FROM events e JOIN users u ON u.id = e.aggregate_id WHERE u.username = 'ines'"
    )
    assert event is not None
    assert (event["event_type"], event["actor"]) == ("user_created", "system:test")
    assert "ines" not in event["payload"]
    await sign_in(anonymous, "ines", "correct horse")
    await owner.execute("UPDATE users SET status = 'DISABLED' WHERE username = 'ines'")
    answer = await anonymous.post(TOKEN, data={"username": "ines", "password": "correct horse"})
    problem(answer, 401, "sign_in_refused")


async def test_passwords_are_stored_as_argon2id(owner: Connection) -> None:
    stored = await owner.fetchval("SELECT password_hash FROM users WHERE username = 'admin'")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify_password("string", stored)
    assert not await passwords.verify_password("strinG", stored)
