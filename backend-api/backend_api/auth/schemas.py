"""What the sign-in calls take and answer."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from backend_api.auth.passwords import MAX_PASSWORD_LENGTH
from backend_api.auth.permissions import PERMISSIONS, Permission, Role
from backend_api.http import examples
from backend_api.http.strict import StrictModel, Text

Password = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=r"^[^\x00]*$")]
"""A password as it was typed; nothing about it is normalised or logged."""
Username = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]*$")]

TOKENS_EXAMPLE: dict[str, Any] = {
    "access_token": "eyJhbGciOi…",
    "token_type": "bearer",
    "expires_in": 900,
    "refresh_token": "sofipo_rt_3f9a61c0…",
    "refresh_expires_in": 604800,
}
SESSION_EXAMPLE: dict[str, Any] = {
    "id": examples.SESSION_ID,
    "address": "192.0.2.7",
    "user_agent": "Mozilla/5.0",
    "created_at": "2026-01-31T18:00:00.123456Z",
    "last_used_at": "2026-01-31T18:15:00.123456Z",
    "expires_at": "2026-03-02T18:00:00.123456Z",
    "current": True,
}


class AccessToken(BaseModel):
    """An access token (RFC 6749 section 5.1), and the token with which the next one is got."""

    model_config = ConfigDict(json_schema_extra={"examples": [TOKENS_EXAMPLE]})

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    refresh_token: str = Field(description="Used once: its answer holds the next one.")
    refresh_expires_in: int = Field(description="Seconds after which an unused one ends.")


class RefreshIn(StrictModel):
    """The newest refresh token of a session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "sofipo_rt_3f9a61c0d2e7"}]})

    refresh_token: Secret


class Me(BaseModel):
    """Who calls: the person, and what this token or key may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": examples.OFFICER_ID,
                    "username": "admin",
                    "role": "admin",
                    "client_id": None,
                    "session_id": examples.SESSION_ID,
                    "api_key_id": None,
                    "permissions": [permission.value for permission in sorted(PERMISSIONS[Role.ADMIN])],
                }
            ]
        }
    )

    id: UUID
    username: str
    role: Role
    client_id: UUID | None = Field(description="The only client that a user of role client sees.")
    session_id: UUID | None = Field(description="The session of an access token.")
    api_key_id: UUID | None = Field(description="The API key, if it is one that calls; `id` is its owner.")
    permissions: list[Permission]


class PasswordIn(StrictModel):
    """A new password for whoever knows the old one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current_password": "string", "new_password": "tres tristes tigres"}]}
    )

    current_password: Password
    new_password: Password


class ResetIn(StrictModel):
    """A new password for whoever was given a one-time secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"username": "ines", "one_time_secret": "q7Rz0tYw8uB1", "new_password": "tres tristes tigres"}]
        }
    )

    username: Username
    one_time_secret: Secret
    new_password: Password


class SessionOut(BaseModel):
    """A place where the user is signed in."""

    model_config = ConfigDict(title="Session", json_schema_extra={"examples": [SESSION_EXAMPLE]})

    id: UUID
    address: str
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool = Field(description="Whether this call is made from it.")


class Sessions(BaseModel):
    """The open sessions of the user, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [SESSION_EXAMPLE]}]})

    data: list[SessionOut]
