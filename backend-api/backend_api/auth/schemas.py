"""What the sign-in calls take and answer."""

from uuid import UUID

from pydantic import BaseModel

from backend_api.auth.permissions import Role


class AccessToken(BaseModel):
    """An access token, RFC 6749 section 5.1."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class Me(BaseModel):
    """The signed-in user."""

    id: UUID
    username: str
    role: Role
