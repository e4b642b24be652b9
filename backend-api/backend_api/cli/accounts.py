"""What `sofipo users`, `api-keys` and `keys` do."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError

from backend_api import logs
from backend_api.auth.api_keys import queries as key_queries
from backend_api.auth.api_keys import service as key_service
from backend_api.auth.api_keys.schemas import ApiKeyIn
from backend_api.auth.api_keys.secrets import Pepper
from backend_api.auth.permissions import EVERYTHING, Role
from backend_api.auth.service import OneTimeSecret, one_time_secret
from backend_api.auth.users import queries as user_queries
from backend_api.auth.users import service as user_service
from backend_api.auth.users.schemas import UserIn
from backend_api.cli import signing_keys
from backend_api.cli.session import ACTOR, ask, run
from backend_api.db.pools import Connection
from backend_api.domain.errors import DomainError
from backend_api.http import context
from backend_api.http.write import Conflicts, UseCase, carry_out
from backend_api.opening import open_resources, utc_now
from backend_api.outbox.record import Origin
from backend_api.settings import Settings

Result = TypeVar("Result")


class NoSuchUser(DomainError):
    """No user has this name."""

    code = "user_not_found"
    status = 404
    message = "There is no user of this name: see `sofipo users list`."


class NoSuchKey(DomainError):
    """No key has this id."""

    code = "api_key_not_found"
    status = 404
    message = "There is no such key: see `sofipo api-keys list`."


class NotTaken(DomainError):
    """What was typed is not taken."""

    code = "not_taken"

    def __init__(self, error: ValidationError) -> None:
        super().__init__()
        self.message = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_input=False))


def create_user(username: str, role: Role, client_id: UUID | None) -> OneTimeSecret:
    """Let somebody sign in, with a secret by which they choose a password."""
    secret = one_time_secret(utc_now())
    body = _checked(UserIn, username=username, role=role, client_id=client_id)
    _change(lambda _: _ready(user_service.create_user(body, secret)), user_service.CONFLICTS)
    return secret


def all_users() -> list[dict[str, Any]]:
    """All users with role and status."""
    shown = ("username", "role", "status", "created_at")
    return [{name: row[name] for name in shown} for row in ask(user_queries.everybody)]


def disable_user(username: str) -> None:
    """The user gets nowhere from now on. Raises `NoSuchUser`."""

    async def use_case(connection: Connection) -> UseCase:
        return user_service.disable_user(await _user(connection, username), None)

    _change(use_case)


def reset_password(username: str) -> OneTimeSecret:
    """The password counts no more; a secret by which the user chooses another. Raises `NoSuchUser`."""
    secret = one_time_secret(utc_now())

    async def use_case(connection: Connection) -> UseCase:
        return user_service.reset_password(await _user(connection, username), secret)

    _change(use_case)
    return secret


def create_key(owner: str, name: str, scopes: list[str], days: int | None, product: str | None) -> dict[str, Any]:
    """A new API key, as the API answers it. Raises `NoSuchUser` and `NotTaken`."""
    expires_at = utc_now() + timedelta(days=days) if days else None
    body = _checked(ApiKeyIn, name=name, scopes=scopes or [EVERYTHING], expires_at=expires_at, product=product)

    async def use_case(connection: Connection) -> UseCase:
        return key_service.create_key(body, await _user(connection, owner), Pepper(Settings()))

    made: dict[str, Any] = json.loads(_change(use_case))
    return made


def all_keys() -> list[dict[str, Any]]:
    """All keys, without what is secret of them."""
    shown = ("public_id", "owner", "name", "scopes", "status", "expires_at", "last_used_at")
    return [{name: row[name] for name in shown} for row in ask(key_queries.everything)]


def revoke_key(key: str) -> None:
    """The key counts no more; it is named by id or public id. Raises `NoSuchKey`."""

    async def use_case(connection: Connection) -> UseCase:
        key_id = await key_queries.id_of(connection, key)
        if key_id is None:
            raise NoSuchKey
        return key_service.revoke_key(key_id)

    _change(use_case)


def rotate_signing_keys() -> int:
    """A new key signs access tokens; after how many seconds."""

    async def rotate(connection: Connection) -> None:
        await signing_keys.rotate(connection, utc_now())

    ask(rotate)
    return signing_keys.NOTICE.seconds


async def _user(connection: Connection, username: str) -> UUID:
    found = await user_queries.id_of(connection, username)
    if found is None:
        raise NoSuchUser
    return found


async def _ready(use_case: UseCase) -> UseCase:
    return use_case


def _checked(model: type[Result], **values: Any) -> Result:
    """What was typed, by the rules of the API. Raises `NotTaken`."""
    try:
        return model(**values)
    except ValidationError as error:
        raise NotTaken(error) from error


def _change(decide: Callable[[Connection], Awaitable[UseCase]], conflicts: Conflicts | None = None) -> bytes:
    """Carry out what is decided about; the body of the answer."""
    settings = Settings()
    logs.configure(settings.log_level)

    async def work() -> bytes:
        async with open_resources(settings) as resources:
            async with resources.databases.writer.ask() as connection:
                use_case = await decide(connection)
            origin = Origin(ACTOR, context.request_id(), context.current().traceparent, utc_now())
            return bytes((await carry_out(resources, origin, use_case, conflicts)).body)

    return run(work())
