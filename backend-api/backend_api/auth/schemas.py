"""What the sign-in calls take and answer."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from backend_api.auth.permissions import Role
from backend_api.http import examples


class AccessToken(BaseModel):
    """An access token, RFC 6749 section 5.1."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 900}]}
    )

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class Me(BaseModel):
    """The signed-in user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": examples.OFFICER_ID, "username": "admin", "role": "admin"}]}
    )

    id: UUID
    username: str
    role: Role
