"""Facts about users: who they are stands nowhere in them."""

from collections.abc import Iterable
from uuid import UUID

from backend_api.auth.permissions import Role
from backend_api.outbox.record import Fact


def user_created(user_id: UUID, role: Role) -> Fact:
    """Somebody may sign in from now on."""
    return Fact("user_created", user_id, {"user_id": str(user_id), "role": role.value, "status": "ACTIVE"})


def user_updated(user_id: UUID, role: str, status: str, changed: Iterable[str]) -> Fact:
    """Name, role, state or client of a user changed; their sessions are over unless it was the name."""
    payload = {"user_id": str(user_id), "role": role, "status": status, "changed": sorted(changed)}
    return Fact("user_updated", user_id, payload)


def user_password_changed(user_id: UUID) -> Fact:
    """A user has a new password; their sessions are over."""
    return Fact("user_password_changed", user_id, {"user_id": str(user_id)})


def user_password_reset(user_id: UUID) -> Fact:
    """The password of a user does not count any more: an administrator gave them a one-time secret."""
    return Fact("user_password_reset", user_id, {"user_id": str(user_id)})


def user_session_ended(user_id: UUID, session_id: UUID, reason: str) -> Fact:
    """A session is over: the user signed out, or somebody used a refresh token of it for the second time."""
    payload = {"user_id": str(user_id), "session_id": str(session_id), "reason": reason}
    return Fact("user_session_ended", user_id, payload)


def user_sessions_ended(user_id: UUID) -> Fact:
    """All sessions of a user are over, because they asked for it."""
    return Fact("user_sessions_ended", user_id, {"user_id": str(user_id)})
