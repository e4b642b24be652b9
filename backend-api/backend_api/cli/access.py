"""`sofipo users`, `sofipo api-keys`, `sofipo keys`: for whoever runs it, also while nobody can sign in."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
import uvloop
from pydantic import ValidationError

from backend_api import logs
from backend_api.auth.api_keys import queries as key_queries
from backend_api.auth.api_keys import service as key_service
from backend_api.auth.api_keys.schemas import ApiKeyIn
from backend_api.auth.api_keys.secrets import Pepper
from backend_api.auth.permissions import EVERYTHING, Role
from backend_api.auth.service import one_time_secret
from backend_api.auth.users import queries as user_queries
from backend_api.auth.users import service as user_service
from backend_api.auth.users.schemas import UserIn
from backend_api.cli import signing_keys
from backend_api.db.pools import Connection, connect
from backend_api.domain.errors import DomainError
from backend_api.http import context
from backend_api.http.write import Conflicts, UseCase, carry_out
from backend_api.opening import open_resources, utc_now
from backend_api.outbox.record import Origin
from backend_api.settings import Settings

ACTOR = "system:cli"

users = typer.Typer(help="Who may sign in.", no_args_is_help=True, pretty_exceptions_enable=False)
api_keys = typer.Typer(help="How programs call.", no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(help="What signs access tokens.", no_args_is_help=True, pretty_exceptions_enable=False)

Username = Annotated[str, typer.Argument(help="Name of the user.")]
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


@users.command("create")
def create_user(
    username: Username,
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    client: Annotated[UUID | None, typer.Option(help="For role client: whose objects they see.")] = None,
) -> None:
    """Let somebody sign in. Prints a one-time secret with which they choose a password."""
    secret = one_time_secret(utc_now())
    body = _checked(UserIn, username=username, role=role, client_id=client)
    _change(lambda _: _ready(user_service.create_user(body, secret)), user_service.CONFLICTS)
    typer.echo(f"user {username}: created\none-time secret: {secret.text} (until {secret.expires_at:%Y-%m-%d %H:%M}Z)")


@users.command("list")
def list_users() -> None:
    """All users with role and status."""
    for row in _ask(user_queries.everybody):
        typer.echo(f"{row['username']}\t{row['role']}\t{row['status']}\tsince {row['created_at']:%Y-%m-%d}")


@users.command("disable")
def disable_user(username: Username) -> None:
    """The user gets nowhere from now on, nor do their API keys."""

    async def use_case(connection: Connection) -> UseCase:
        return user_service.disable_user(await _user(connection, username), None)

    _change(use_case)
    typer.echo(f"user {username}: disabled")


@users.command("reset-password")
def reset_password(username: Username) -> None:
    """The password counts no more. Prints a one-time secret with which the user chooses a new one."""
    secret = one_time_secret(utc_now())

    async def use_case(connection: Connection) -> UseCase:
        return user_service.reset_password(await _user(connection, username), secret)

    _change(use_case)
    typer.echo(f"user {username}: reset\none-time secret: {secret.text} (until {secret.expires_at:%Y-%m-%d %H:%M}Z)")


@api_keys.command("create")
def create_api_key(
    owner: Annotated[str, typer.Option(help="Name of the user who answers for it.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "made by sofipo",
    scope: Annotated[list[str] | None, typer.Option(help="A permission, or * for all; may be repeated.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="It runs out after so many.")] = None,
    product: Annotated[str | None, typer.Option(help="Product of the loans that the MO App makes with it.")] = None,
) -> None:
    """Make an API key and print it, this once."""
    expires_at = utc_now() + timedelta(days=days) if days else None
    body = _checked(ApiKeyIn, name=name, scopes=scope or [EVERYTHING], expires_at=expires_at, product=product)

    async def use_case(connection: Connection) -> UseCase:
        return key_service.create_key(body, await _user(connection, owner), Pepper(Settings()))

    typer.echo(json.loads(_change(use_case))["key"])


@api_keys.command("list")
def list_api_keys() -> None:
    """All keys, without what is secret of them."""
    for row in _ask(key_queries.everything):
        used = f"last used {row['last_used_at']:%Y-%m-%d %H:%M}Z" if row["last_used_at"] else "never used"
        ends = f"until {row['expires_at']:%Y-%m-%d}" if row["expires_at"] else "without end"
        scopes = ",".join(row["scopes"])
        typer.echo(f"{row['public_id']}\t{row['owner']}\t{row['name']}\t{scopes}\t{row['status']}\t{ends}\t{used}")


@api_keys.command("revoke")
def revoke_api_key(key: Annotated[str, typer.Argument(help="Id or public id, as `list` shows it.")]) -> None:
    """The key counts no more, within a second."""

    async def use_case(connection: Connection) -> UseCase:
        key_id = await key_queries.id_of(connection, key)
        if key_id is None:
            raise NoSuchKey
        return key_service.revoke_key(key_id)

    _change(use_case)
    typer.echo(f"key {key}: revoked")


@keys.command("rotate")
def rotate_keys() -> None:
    """A new key signs access tokens; tokens that are out stay good until they run out. No restart is needed."""

    async def rotate(connection: Connection) -> None:
        await signing_keys.rotate(connection, utc_now())

    _ask(rotate)
    typer.echo(f"a new key signs in {signing_keys.NOTICE.seconds} s; the ones before verify until their tokens run out")


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

    return _run(work())


def _ask(question: Callable[[Connection], Awaitable[Result]]) -> Result:
    async def work() -> Result:
        connection = await connect(Settings(), name="sofipo-cli")
        try:
            return await question(connection)
        finally:
            await connection.close()

    return _run(work())


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
