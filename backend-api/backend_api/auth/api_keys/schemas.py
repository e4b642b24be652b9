"""What the calls about API keys take and answer."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from backend_api.auth.permissions import EVERYTHING, OF_PEOPLE, Permission
from backend_api.http import examples
from backend_api.http.strict import Label, StrictModel

KEY_EXAMPLE: dict[str, Any] = {
    "id": examples.API_KEY_ID,
    "public_id": "3f9a61c0d2e7",
    "owner_id": examples.ADMIN_ID,
    "name": "MO App",
    "scopes": ["clients:read", "loans:read"],
    "status": "ACTIVE",
    "product": None,
    "expires_at": "2027-01-31T00:00:00Z",
    "former_until": None,
    "last_used_at": None,
    "version": 1,
    "created_at": "2026-01-31T18:00:00.123456Z",
    "updated_at": "2026-01-31T18:00:00.123456Z",
}
SHOWN_ONCE: dict[str, Any] = {"key": "sofipo_live_3f9a61c0d2e7_5b0c…"}
SCOPES = [EVERYTHING, *(permission.value for permission in Permission if permission not in OF_PEOPLE)]
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class KeyStatus(StrEnum):
    """A revoked key stays in the list, so that what it did can be told."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"


def _scopes(values: list[str]) -> list[str]:
    if not set(values) <= set(SCOPES):
        raise PydanticCustomError("scope_unknown", "The scopes are {known}.", {"known": ", ".join(SCOPES)})
    return sorted(set(values))


def _in_range(value: datetime) -> datetime:
    if value > LATEST:
        raise PydanticCustomError("date_out_of_range", "A key ends before the year 2200.")
    return value


_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _written(value: Any) -> Any:
    # A mere number would be taken for seconds or for milliseconds, whichever it looks like.
    if isinstance(value, datetime) or (isinstance(value, str) and _WRITTEN.match(value)):
        return value
    raise PydanticCustomError("datetime_malformed", "A point in time is written YYYY-MM-DDTHH:MM:SSZ.")


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_range)]


class ApiKeyIn(StrictModel):
    """A program that shall call."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "MO App", "scopes": ["clients:read", "loans:read"], "expires_at": "2027-01-31T00:00:00Z"}
            ]
        }
    )

    name: Label
    scopes: Annotated[
        list[str],
        Field(min_length=1, max_length=50, description=f"Of {', '.join(SCOPES)}; `*` is all that the owner may."),
        AfterValidator(_scopes),
    ]
    expires_at: Moment | None = None
    owner_id: UUID | None = Field(default=None, description="The person who answers for it; the caller by default.")
    product: Label | None = Field(
        default=None, description="Code of the product of the loans that the MO App's calls make; MO_ZERO by default."
    )


class RotationIn(StrictModel):
    """How long the secret so far shall count beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: Annotated[int, Field(ge=0, le=24 * 30)] = 24


class ApiKeyOut(BaseModel):
    """An API key, without anything secret."""

    model_config = ConfigDict(title="ApiKey", json_schema_extra={"examples": [KEY_EXAMPLE]})

    id: UUID
    public_id: str = Field(description="The part of the key that is no secret.")
    owner_id: UUID
    name: str
    scopes: list[str]
    status: KeyStatus
    expires_at: datetime | None
    product: str | None = Field(None, description="The product of the loans that the MO App's calls make.")
    former_until: datetime | None = Field(description="Until when the secret before the last rotation counts.")
    last_used_at: datetime | None = Field(description="To the minute.")
    version: int
    created_at: datetime
    updated_at: datetime


class NewApiKey(ApiKeyOut):
    """An API key with its secret: it is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**KEY_EXAMPLE, **SHOWN_ONCE}]})

    key: str
