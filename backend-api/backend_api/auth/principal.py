"""Who calls, whichever way they proved it."""

from dataclasses import dataclass
from uuid import UUID

from backend_api.auth.permissions import Permission, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A person who signed in, or an API key that acts for one.

    `user_id` is the person either way: who owns a key answers for what it does. `client_id` is set for role client and
    for nobody else: such a principal sees the objects of this client only. `expires_at` is Unix time.
    """

    user_id: UUID
    username: str
    role: Role
    permissions: frozenset[Permission]
    expires_at: float
    epoch: int
    client_id: UUID | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None

    def __post_init__(self) -> None:
        if (self.role is Role.CLIENT) != (self.client_id is not None):
            raise ValueError("a principal of role client has a client, and no other has")

    @property
    def actor(self) -> str:
        """How events and stored answers name them: `user:<id>` or `api_key:<id>`."""
        return f"api_key:{self.api_key_id}" if self.api_key_id else f"user:{self.user_id}"
