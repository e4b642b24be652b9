"""Use cases of users: made, changed and disabled by administrators. Nobody but the user ever knows the password."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from backend_api.auth import events
from backend_api.auth.permissions import Role
from backend_api.auth.service import NO_STORE, OneTimeSecret, signed_out
from backend_api.auth.users import queries
from backend_api.auth.users.schemas import NewUser, ResetOut, UserIn, UserOut, UserPatch, UserStatus
from backend_api.db.conditional_write import Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http import etag
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, FieldRefused, NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import users
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin

VIEW = "user"
STAFF = "staff"
NOBODY = UUID(int=0)


class UsernameTaken(DomainError):
    """Another user has this name."""

    code = "username_taken"
    status = 409
    message = "There is a user of this name already."

    def __init__(self) -> None:
        super().__init__(field="username")
        self.errors = [FieldError(pointer="/username", code="duplicate", detail=self.message)]


class LastAdministrator(DomainError):
    """Without an administrator nobody could make one."""

    code = "last_administrator"
    status = 409
    message = "This is the last administrator: make another one first."


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"users_username_key": UsernameTaken}


def create_user(body: UserIn, secret: OneTimeSecret | None, password_hash: str | None = None) -> UseCase:
    """A new user, who chooses a password with the one-time secret, or has one already.

    Raises `UsernameTaken`, `FieldRefused` for the client.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        today = await _checked(connection, body.username, body.role, body.client_id, NOBODY, body.client_id)
        user_id = uuid7(origin.at)
        values = {
            **body.model_dump(mode="json"),
            "client_id": body.client_id,
            "password_hash": password_hash,
            "password_changed_at": origin.at if password_hash else None,
            "reset_hash": secret.hash if secret else None,
            "reset_expires_at": secret.expires_at if secret else None,
            "status": UserStatus.ACTIVE.value,
            "version": 1,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        shown = {**values, "id": user_id}
        if secret is not None:
            told: UserOut = NewUser(**shown, one_time_secret=secret.text, secret_expires_at=secret.expires_at)
        else:
            told = UserOut(**shown)
        return Change(
            aggregate=Aggregate("user", users, user_id, 0, GENESIS),
            business_date=today,
            values=values,
            facts=[events.user_created(user_id, body.role)],
            answer=Answer(
                201,
                told.model_dump_json().encode(),
                {**NO_STORE, "Location": f"/api/v1/users/{user_id}", "ETag": etag.make(1, 1, today, VIEW, STAFF)},
            ),
        )

    return use_case


def update_user(user_id: UUID, body: UserPatch, if_match: str | None) -> UseCase:
    """Name, role, status or client anew; all but a new name ends the user's sessions.

    Raises `NotFound`, `PreconditionFailed`, `UsernameTaken`, `LastAdministrator`, `FieldRefused` for the client.
    """
    wanted = body.model_dump(exclude_unset=True)

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await _for_change(connection, user_id, if_match)
        if "role" in wanted and wanted["role"] is not Role.CLIENT:
            wanted.setdefault("client_id", None)
        changed = {name: value for name, value in wanted.items() if value != row[name]}
        if not changed:
            return _answer(row, row["event_sequence"])
        after = {**row, **changed}
        new_client = changed.get("client_id")
        await _checked(connection, after["username"], Role(after["role"]), after["client_id"], user_id, new_client)
        staying = _administrator_stays(row) if row["role"] == Role.ADMIN and _no_admin(after) else []
        values = {
            **{name: str(value) if isinstance(value, str) else value for name, value in changed.items()},
            "version": row["version"] + 1,
            "updated_at": origin.at,
        }
        facts = [events.user_updated(user_id, str(after["role"]), str(after["status"]), changed)]
        answer = _answer({**row, **values}, row["event_sequence"] + 1)
        if changed.keys() == {"username"}:
            return Change(_aggregate(row), row["today"], facts, answer, values)
        return replace(signed_out(row, values, facts, answer), updates=staying)

    return use_case


def disable_user(user_id: UUID, if_match: str | None) -> UseCase:
    """The user gets nowhere from now on; a second time changes nothing. Raises what `update_user` does."""
    update = update_user(user_id, UserPatch(status=UserStatus.DISABLED), if_match)

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        change = await update(connection, origin)
        gone = Answer(204, b"", {})
        return gone if isinstance(change, Answer) else replace(change, answer=gone)

    return use_case


def reset_password(user_id: UUID, secret: OneTimeSecret) -> UseCase:
    """The old password counts no more, all sessions end, and the secret lets the user choose a new one.

    Raises `NotFound`.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await _for_change(connection, user_id, None)
        told = ResetOut(one_time_secret=secret.text, secret_expires_at=secret.expires_at)
        values = {
            "password_hash": None,
            "reset_hash": secret.hash,
            "reset_expires_at": secret.expires_at,
            "updated_at": origin.at,
        }
        return signed_out(
            row,
            values,
            [events.user_password_reset(user_id)],
            Answer(200, told.model_dump_json().encode(), NO_STORE),
        )

    return use_case


async def _checked(
    connection: Connection, username: str, role: Role, client_id: UUID | None, but: UUID, new_client: UUID | None
) -> Any:
    """The business date. A client that was deleted since does no harm. Raises `UsernameTaken`, `FieldRefused`."""
    if (role is Role.CLIENT) != (client_id is not None):
        detail = "A user of role client has a client, and no other has."
        raise FieldRefused("/client_id", "client_of_role", detail)
    taken = await queries.taken(connection, username, but, new_client)
    if taken["username_taken"]:
        raise UsernameTaken
    if not taken["client_known"]:
        raise FieldRefused("/client_id", "client_not_found", "There is no such client.")
    return taken["today"]


async def _for_change(connection: Connection, user_id: UUID, if_match: str | None) -> dict[str, Any]:
    row = await queries.for_change(connection, user_id)
    if row is None:
        raise NotFound
    etag.check_if_match(if_match, row["version"])
    return dict(row)


def _administrator_stays(row: Mapping[str, Any]) -> list[Update]:
    """Another administrator, who has to be one still when this user is none any more. Raises `LastAdministrator`."""
    if row["other_admin"] is None:
        raise LastAdministrator
    as_read = {"role": Role.ADMIN.value, "status": UserStatus.ACTIVE.value}
    return [Update(users, row["other_admin"], as_read, guard=as_read)]


def _no_admin(user: Mapping[str, Any]) -> bool:
    return (user["role"], user["status"]) != (Role.ADMIN, UserStatus.ACTIVE)


def _aggregate(row: Mapping[str, Any]) -> Aggregate:
    return Aggregate("user", users, row["id"], row["event_sequence"], row["chain_head"])


def _answer(row: Mapping[str, Any], sequence: int) -> Answer:
    user = UserOut.model_validate({name: row[name] for name in UserOut.model_fields})
    headers = {"ETag": etag.make(user.version, sequence, row["today"], VIEW, STAFF)}
    return Answer(200, user.model_dump_json().encode(), headers)
