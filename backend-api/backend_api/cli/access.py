"""`sofipo users`, `sofipo api-keys`, `sofipo keys`: for whoever runs it, also while nobody can sign in."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from backend_api.auth.permissions import Role
from backend_api.cli.printing import AsJson, tell

if TYPE_CHECKING:
    from backend_api.auth.service import OneTimeSecret

users = typer.Typer(help="Who may sign in.", no_args_is_help=True, pretty_exceptions_enable=False)
api_keys = typer.Typer(help="How programs call.", no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(help="What signs access tokens.", no_args_is_help=True, pretty_exceptions_enable=False)

Username = Annotated[str, typer.Argument(help="Name of the user.")]


@users.command("create")
def create_user(
    username: Username,
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    client: Annotated[UUID | None, typer.Option(help="For role client: whose objects they see.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody sign in. Prints a one-time secret with which they choose a password."""
    from backend_api.cli import accounts

    _tell_secret(username, "created", accounts.create_user(username, role, client), as_json=as_json)


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """All users with role and status."""
    from backend_api.cli import accounts

    found = accounts.all_users()
    lines = (
        f"{user['username']}\t{user['role']}\t{user['status']}\tsince {user['created_at']:%Y-%m-%d}" for user in found
    )
    tell(found, lines, as_json=as_json)


@users.command("disable")
def disable_user(username: Username) -> None:
    """The user gets nowhere from now on, nor do their API keys."""
    from backend_api.cli import accounts

    accounts.disable_user(username)
    typer.echo(f"user {username}: disabled")


@users.command("reset-password")
def reset_password(username: Username, as_json: AsJson = False) -> None:
    """The password counts no more. Prints a one-time secret with which the user chooses a new one."""
    from backend_api.cli import accounts

    _tell_secret(username, "reset", accounts.reset_password(username), as_json=as_json)


@api_keys.command("create")
def create_api_key(
    owner: Annotated[str, typer.Option(help="Name of the user who answers for it.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "made by sofipo",
    scope: Annotated[list[str] | None, typer.Option(help="A permission, or * for all; may be repeated.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="It runs out after so many.")] = None,
    product: Annotated[str | None, typer.Option(help="Product of the loans that the MO App makes with it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once."""
    from backend_api.cli import accounts

    made = accounts.create_key(owner, name, scope or [], days, product)
    tell(made, [made["key"]], as_json=as_json)


@api_keys.command("list")
def list_api_keys(as_json: AsJson = False) -> None:
    """All keys, without what is secret of them."""
    from backend_api.cli import accounts

    found = accounts.all_keys()
    lines = []
    for key in found:
        used = f"last used {key['last_used_at']:%Y-%m-%d %H:%M}Z" if key["last_used_at"] else "never used"
        ends = f"until {key['expires_at']:%Y-%m-%d}" if key["expires_at"] else "without end"
        names = key["public_id"], key["owner"], key["name"], ",".join(key["scopes"])
        lines.append("\t".join([*names, key["status"], ends, used]))
    tell(found, lines, as_json=as_json)


@api_keys.command("revoke")
def revoke_api_key(key: Annotated[str, typer.Argument(help="Id or public id, as `list` shows it.")]) -> None:
    """The key counts no more, within a second."""
    from backend_api.cli import accounts

    accounts.revoke_key(key)
    typer.echo(f"key {key}: revoked")


@keys.command("rotate")
def rotate_keys() -> None:
    """A new key signs access tokens; tokens that are out stay good until they run out. No restart is needed."""
    from backend_api.cli import accounts

    seconds = accounts.rotate_signing_keys()
    typer.echo(f"a new key signs in {seconds} s; the ones before verify until their tokens run out")


def _tell_secret(username: str, what: str, secret: "OneTimeSecret", *, as_json: bool) -> None:
    until = f"{secret.expires_at:%Y-%m-%d %H:%M}Z"
    data = {"username": username, "one_time_secret": secret.text, "expires_at": secret.expires_at}
    tell(data, [f"user {username}: {what}", f"one-time secret: {secret.text} (until {until})"], as_json=as_json)
