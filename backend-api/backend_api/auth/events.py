"""Facts about users."""

from uuid import UUID

from backend_api.auth.permissions import Role
from backend_api.outbox.record import Fact


def user_created(user_id: UUID, role: Role) -> Fact:
    """Somebody may sign in from now on."""
    return Fact("user_created", user_id, {"user_id": str(user_id), "role": role.value, "status": "ACTIVE"})
