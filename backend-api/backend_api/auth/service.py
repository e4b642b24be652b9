"""Use cases of auth: sign in, stay signed in, end a session, change a password.

A refresh token is used once. Its successor is made from the token and a salt that is stored beside its hash, so an
answer that got lost can be given again, by nobody but who holds the token. Used later than that, it was stolen or
copied: the session ends, and whoever has the successor has nothing.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from asyncpg import Record

from backend_api.auth import defence, events, queries
from backend_api.auth.defence import Attempt
from backend_api.auth.passwords import check_password, hash_password, verify_password
from backend_api.auth.permissions import Role
from backend_api.auth.principal import Principal
from backend_api.auth.schemas import AccessToken, PasswordIn, ResetIn, Sessions
from backend_api.auth.tokens import KEPT_AFTER_SUCCESSOR, Tokens
from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http import context
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, NotFound
from backend_api.http.resources import Resources
from backend_api.http.write import Aggregate, Change, UseCase, carry_out
from backend_api.models import refresh_tokens, revocations, sessions, users
from backend_api.outbox.record import Fact, Origin

log = structlog.get_logger(__name__)

IDLE = timedelta(days=7)
LONGEST = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""How long a used refresh token still gets the same successor: for a lost answer, or a second tab."""
REVOCATIONS_KEPT = 2 * KEPT_AFTER_SUCCESSOR
"""Longer than any access token lives, and a process remembers an API key."""
FORGOTTEN_AT_ONCE = 200
ONE_TIME_LIFE = timedelta(hours=72)
NO_STORE = {"Cache-Control": "no-store"}


class SignInRefused(DomainError):
    """Wrong name or wrong password: which of them is nobody's business."""

    code = "sign_in_refused"
    status = 401
    message = "The user name or the password is wrong."


class RefreshRefused(DomainError):
    """A refresh token that is unknown, used, run out or of a session that has ended."""

    code = "refresh_refused"
    status = 401
    message = "The refresh token is not valid: sign in again."


class PasswordWrong(DomainError):
    """The current password is another one."""

    code = "password_wrong"
    status = 422
    message = "The current password is wrong."

    def __init__(self) -> None:
        super().__init__()
        self.errors = [FieldError(pointer="/current_password", code=self.code, detail=self.message)]


class ResetRefused(DomainError):
    """Unknown user, or a one-time secret that is wrong, used or run out: which is nobody's business."""

    code = "reset_refused"
    status = 401
    message = "The user name or the one-time secret is wrong, or the secret was used or has run out."


@dataclass(frozen=True, slots=True)
class Caller:
    """From where somebody signs in."""

    address: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class OneTimeSecret:
    """Lets somebody choose a password, once; only its hash is stored."""

    text: str
    hash: bytes
    expires_at: datetime


def one_time_secret(now: datetime) -> OneTimeSecret:
    """A new one."""
    text = secrets.token_urlsafe(18)
    return OneTimeSecret(text, sha256(text.encode()).digest(), now + ONE_TIME_LIFE)


async def sign_in(resources: Resources, tokens: Tokens, username: str, password: str, caller: Caller) -> AccessToken:
    """A new session of the user. Raises `SignInRefused`, `SignInDelayed`; an unknown user takes as long as a wrong
    password."""
    now = resources.clock()
    async with resources.databases.writer.ask() as connection:
        user = await queries.for_sign_in(connection, username, caller.address, now)
        attempt = Attempt(username, caller.address, familiar=user is not None and user["familiar"])
        await attempt.refuse_early(connection, now)
    fits = await verify_password(password, user["password_hash"] if user else None)
    async with resources.databases.writer.ask() as connection:
        await attempt.judge(connection, resources.clock(), fits=fits)
        if not fits:
            raise SignInRefused
        assert user is not None  # noqa: S101 - nobody's password fits
        session, token, first = _new_session(user["id"], user["epoch"], caller, now)
        if not await queries.open_session(connection, session, first):
            raise SignInRefused
        await attempt.succeeded(connection)
    return _pair(tokens, user, session["id"], token, now)


async def refresh(resources: Resources, tokens: Tokens, token: str) -> AccessToken:
    """The next pair of tokens. Raises `RefreshRefused`; for a token used before its session ends too."""
    now = resources.clock()
    token_hash = sha256(token.encode()).digest()
    async with resources.databases.writer.ask() as connection:
        found = await queries.for_refresh(connection, token_hash, now, now - IDLE)
        if found is None or not found["open"]:
            raise RefreshRefused
        successor = _successor(token, found["salt"])
        successor_hash = sha256(successor.encode()).digest()
        if await queries.rotate(connection, token_hash, now, now - GRACE, successor_hash, secrets.token_bytes(32)):
            return _pair(tokens, found, found["session_id"], successor, now)
    log.warning("refresh_token_reused", user_id=str(found["id"]), session_id=str(found["session_id"]))
    origin = Origin(f"user:{found['id']}", context.request_id(), context.current().traceparent, now)
    await carry_out(resources, origin, end_session(found["id"], found["session_id"], "reuse"))
    raise RefreshRefused


async def open_sessions(resources: Resources, principal: Principal) -> Sessions:
    """Where the user is signed in."""
    now = resources.clock()
    async with resources.databases.writer.ask() as connection:
        rows = await queries.open_sessions(connection, principal.user_id, now, now - IDLE)
    return Sessions.model_validate({"data": [{**row, "current": row["id"] == principal.session_id} for row in rows]})


def end_session(user_id: UUID, session_id: UUID, reason: str) -> UseCase:
    """End one session of the user; a second time changes nothing. Raises `NotFound`."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await queries.for_ending(connection, user_id, session_id)
        if row is None or row["session_id"] is None:
            raise NotFound
        if row["ended_at"] is not None:
            return Answer(204, b"", NO_STORE)
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            inserts=[Insert(revocations, [{"subject": session_id, "epoch": 1}])],
            updates=[Update(sessions, session_id, {"ended_at": origin.at})],
            facts=[events.user_session_ended(user_id, session_id, reason)],
            answer=Answer(204, b"", NO_STORE),
        )

    return use_case


def end_all_sessions(user_id: UUID) -> UseCase:
    """End them all, the one that asks too. Raises `NotFound`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await queries.for_ending(connection, user_id, None)
        if row is None:
            raise NotFound
        return signed_out(
            row,
            {"updated_at": origin.at},
            [events.user_sessions_ended(user_id)],
            Answer(204, b"", NO_STORE),
        )

    return use_case


async def change_password(
    resources: Resources, tokens: Tokens, principal: Principal, body: PasswordIn, caller: Caller
) -> UseCase:
    """A new password; all sessions end, and the answer is a new one.

    Raises `PasswordWrong`, `PasswordRefused`, `SignInDelayed`.
    """
    now = resources.clock()
    attempt = Attempt(principal.username, caller.address, familiar=True)
    async with resources.databases.writer.ask() as connection:
        user = await queries.live_user(connection, principal.user_id)
        await attempt.refuse_early(connection, now)
    fits = await verify_password(body.current_password, user["password_hash"] if user else None)
    async with resources.databases.writer.ask() as connection:
        await attempt.judge(connection, resources.clock(), fits=fits)
    if not fits:
        raise PasswordWrong
    assert user is not None  # noqa: S101 - nobody's password fits
    check_password(body.new_password, user["username"])
    password_hash = await hash_password(body.new_password)

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await queries.for_ending(connection, principal.user_id, None)
        if row is None or row["epoch"] != user["epoch"]:
            # Somebody else changed the password, or disabled the user, since the old one was looked at.
            raise PasswordWrong
        session, token, first = _new_session(row["id"], row["epoch"] + 1, caller, origin.at)
        pair = _pair(tokens, {**user, "epoch": row["epoch"] + 1}, session["id"], token, origin.at)
        return signed_out(
            row,
            _new_password(password_hash, origin.at),
            [events.user_password_changed(row["id"])],
            Answer(200, pair.model_dump_json().encode(), NO_STORE),
            [Insert(sessions, [session]), Insert(refresh_tokens, [first])],
        )

    return use_case


async def reset_password(resources: Resources, body: ResetIn, caller: Caller) -> tuple[UseCase, UUID]:
    """A new password for who holds a one-time secret, and who that is.

    Raises `ResetRefused`, `PasswordRefused`, `SignInDelayed`.
    """
    check_password(body.new_password, body.username)
    now = resources.clock()
    async with resources.databases.writer.ask() as connection:
        user = await queries.for_sign_in(connection, body.username, caller.address, now)
        attempt = Attempt(body.username, caller.address, familiar=False)
        await attempt.refuse_early(connection, now)
    # Before anything is decided, so that a wrong secret takes as long as a right one.
    password_hash = await hash_password(body.new_password)
    given = sha256(body.one_time_secret.encode()).digest()
    if not _fits(user, given, now):
        async with resources.databases.writer.ask() as connection:
            await attempt.failed(connection, now)
        raise ResetRefused
    assert user is not None  # noqa: S101 - nobody's secret fits

    async def use_case(connection: Connection, origin: Origin) -> Change:
        # The user first: whoever uses the secret up after it was looked at has moved the user.
        row = await queries.for_ending(connection, user["id"], None)
        assert row is not None  # noqa: S101 - users are never deleted
        if not _fits(await queries.live_user(connection, user["id"]), given, now):
            raise ResetRefused
        return signed_out(
            row,
            _new_password(password_hash, origin.at),
            [events.user_password_changed(row["id"])],
            Answer(204, b"", NO_STORE),
        )

    return use_case, user["id"]


async def forget(connection: Connection, now: datetime) -> None:
    """Delete what no token can need any more: sessions that ran out, old revocations, failures long ago."""
    forgotten = FORGOTTEN_AT_ONCE
    while forgotten == FORGOTTEN_AT_ONCE:
        forgotten = await queries.forget_sessions(connection, now - timedelta(days=1), FORGOTTEN_AT_ONCE)
    await queries.forget_revocations(connection, now - REVOCATIONS_KEPT)
    await defence.forget(connection, now - timedelta(days=1))


def signed_out(
    row: Any, values: dict[str, Any], facts: list[Fact], answer: Answer, inserts: list[Insert] | None = None
) -> Change:
    """A change of a user after which no token of theirs counts any more. `row` holds epoch, sequence and `today`."""
    epoch = row["epoch"] + 1
    return Change(
        aggregate=_aggregate(row),
        business_date=row["today"],
        values={**values, "epoch": epoch},
        inserts=[Insert(revocations, [{"subject": row["id"], "epoch": epoch}]), *(inserts or [])],
        facts=facts,
        answer=answer,
    )


def _fits(user: Record | None, given: bytes, now: datetime) -> bool:
    stored = user["reset_hash"] if user else None
    fits = hmac.compare_digest(stored or bytes(32), given)
    return fits and user is not None and stored is not None and user["reset_expires_at"] > now


def _new_password(password_hash: str, at: datetime) -> dict[str, Any]:
    return {
        "password_hash": password_hash,
        "password_changed_at": at,
        "reset_hash": None,
        "reset_expires_at": None,
        "updated_at": at,
    }


def _new_session(
    user_id: UUID, epoch: int, caller: Caller, now: datetime
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The row of a session, its first refresh token, and the row of that."""
    token = f"sofipo_rt_{secrets.token_hex(32)}"
    session = {
        "id": uuid7(now),
        "user_id": user_id,
        "epoch": epoch,
        "address": caller.address,
        "user_agent": caller.user_agent,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + LONGEST,
    }
    first = {
        "hash": sha256(token.encode()).digest(),
        "session_id": session["id"],
        "salt": secrets.token_bytes(32),
        "issued_at": now,
    }
    return session, token, first


def _successor(token: str, salt: bytes) -> str:
    return f"sofipo_rt_{hmac.digest(salt, token.encode(), 'sha256').hex()}"


def _pair(tokens: Tokens, user: Any, session_id: UUID, refresh_token: str, now: datetime) -> AccessToken:
    access_token = tokens.issue(
        user["id"],
        user["username"],
        Role(user["role"]),
        now,
        epoch=user["epoch"],
        session_id=session_id,
        client_id=user["client_id"],
    )
    return AccessToken(
        access_token=access_token,
        expires_in=tokens.lifetime_seconds,
        refresh_token=refresh_token,
        refresh_expires_in=int(IDLE.total_seconds()),
    )


def _aggregate(row: Any) -> Aggregate:
    return Aggregate("user", users, row["id"], row["event_sequence"], row["chain_head"])
