"""Use cases of auth: sign in, create a user."""

from collections.abc import Callable

from backend_api.auth import events, queries
from backend_api.auth.passwords import verify_password
from backend_api.auth.permissions import Role
from backend_api.auth.schemas import AccessToken
from backend_api.auth.tokens import Tokens
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http.idempotency import Answer
from backend_api.http.resources import Resources
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import users
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin


class SignInRefused(DomainError):
    """Wrong name or wrong password: which of them is nobody's business."""

    code = "sign_in_refused"
    status = 401
    message = "The user name or the password is wrong."


class UsernameTaken(DomainError):
    """Another user has this name."""

    code = "username_taken"
    status = 409
    message = "There is a user of this name already."


async def sign_in(resources: Resources, tokens: Tokens, username: str, password: str) -> AccessToken:
    """An access token for the user. Raises `SignInRefused`; an unknown user takes as long as a wrong password."""
    user = await resources.reads.on_primary(lambda connection: queries.user_for_login(connection, username))
    if not await verify_password(password, user.password_hash if user else None):
        raise SignInRefused
    token = tokens.issue(user.id, user.username, Role(user.role), resources.clock())
    return AccessToken(access_token=token, expires_in=tokens.lifetime_seconds)


def create_user(username: str, password_hash: str, role: Role) -> UseCase:
    """A new user who may sign in. Raises `UsernameTaken`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        taken, today = await queries.username_taken(connection, username)
        if taken:
            raise UsernameTaken
        user_id = uuid7(origin.at)
        return Change(
            aggregate=Aggregate("user", users, user_id, 0, GENESIS),
            business_date=today,
            facts=[events.user_created(user_id, role)],
            answer=Answer(201, b"", {}),
            values={
                "username": username,
                "password_hash": password_hash,
                "role": role.value,
                "status": "ACTIVE",
                "version": 1,
                "created_at": origin.at,
                "updated_at": origin.at,
            },
        )

    return use_case


CONFLICTS: dict[str, Callable[[], DomainError]] = {"users_username_key": UsernameTaken}
