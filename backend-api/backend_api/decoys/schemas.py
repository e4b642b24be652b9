"""What the calls about decoys answer."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.http import examples

DECOY_EXAMPLE: dict[str, Any] = {
    "id": examples.DECOY_ID,
    "address": "198.51.100.9",
    "hour": "2026-01-31T18:00:00Z",
    "touches": 12,
    "attempts": 1,
    "first_at": examples.GRANTED_AT,
    "last_at": examples.PAID_AT,
}
ATTEMPT_EXAMPLE: dict[str, Any] = {
    "at": examples.PAID_AT,
    "path": "/wp-login.php",
    "username": "admin",
    "user_agent": "Mozilla/5.0",
}


class DecoyOut(BaseModel):
    """What one address did to decoys in one hour."""

    model_config = ConfigDict(title="Decoy", json_schema_extra={"examples": [DECOY_EXAMPLE]})

    id: UUID
    address: str
    hour: datetime
    touches: int
    attempts: int = Field(description="Touches that tried to sign in.")
    first_at: datetime
    last_at: datetime


class AttemptOut(BaseModel):
    """One attempt to sign in. The password is not kept."""

    model_config = ConfigDict(title="DecoyAttempt", json_schema_extra={"examples": [ATTEMPT_EXAMPLE]})

    at: datetime
    path: str
    username: str | None
    user_agent: str | None


class DecoyDetail(DecoyOut):
    """The same with the attempts, the first hundred of them."""

    model_config = ConfigDict(
        title="DecoyWithAttempts",
        json_schema_extra={"examples": [{**DECOY_EXAMPLE, "attempts_kept": [ATTEMPT_EXAMPLE]}]},
    )

    attempts_kept: list[AttemptOut]
