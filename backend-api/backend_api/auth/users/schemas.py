"""What the calls about users take and answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.auth.permissions import Role
from backend_api.auth.schemas import Username
from backend_api.http import examples
from backend_api.http.strict import Kept, StrictModel

USER_EXAMPLE: dict[str, Any] = {
    "id": examples.OFFICER_ID,
    "username": "ines",
    "role": "officer",
    "status": "ACTIVE",
    "client_id": None,
    "password_changed_at": None,
    "version": 1,
    "created_at": "2026-01-31T18:00:00.123456Z",
    "updated_at": "2026-01-31T18:00:00.123456Z",
}
SECRET_EXAMPLE: dict[str, Any] = {
    "one_time_secret": "q7Rz0tYw8uB1-kLm2nOp3q",
    "secret_expires_at": "2026-02-03T18:00:00.123456Z",
}


class UserStatus(StrEnum):
    """A disabled user keeps their name and their past, and gets nowhere."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class UserIn(StrictModel):
    """Somebody who shall sign in."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "ines", "role": "officer"}]})

    username: Username
    role: Role
    client_id: UUID | None = Field(default=None, description="For role client, and only then: whose objects they see.")


class UserPatch(StrictModel):
    """What shall be different."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "DISABLED"}]})

    username: Annotated[Username | None, Kept] = None
    role: Annotated[Role | None, Kept] = None
    status: Annotated[UserStatus | None, Kept] = None
    client_id: UUID | None = None


class UserOut(BaseModel):
    """A user, without anything secret."""

    model_config = ConfigDict(title="User", json_schema_extra={"examples": [USER_EXAMPLE]})

    id: UUID
    username: str
    role: Role
    status: UserStatus
    client_id: UUID | None
    password_changed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class NewUser(UserOut):
    """A user, and the secret with which they choose their password: it is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**USER_EXAMPLE, **SECRET_EXAMPLE}]})

    one_time_secret: str
    secret_expires_at: datetime


class ResetOut(BaseModel):
    """The secret with which a user chooses a password: it is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [SECRET_EXAMPLE]})

    one_time_secret: str
    secret_expires_at: datetime
