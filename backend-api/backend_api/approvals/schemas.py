"""What the approval calls take and answer."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.domain.approvals import ApprovalKind, ApprovalStatus
from backend_api.http import examples
from backend_api.http.strict import MoneyOut, Remark, StrictModel

APPROVAL_EXAMPLE: dict[str, Any] = {
    "id": examples.APPROVAL_ID,
    "kind": "WRITE_OFF",
    "status": "PENDING",
    "client_id": examples.CLIENT_ID,
    "target_id": examples.LOAN_ID,
    "amount": "47500.00",
    "request": {"reason": "The client cannot be found."},
    "maker": examples.OFFICER_ID,
    "checker": None,
    "requested_at": "2026-01-31T18:21:00.123477Z",
    "expires_at": "2026-02-07T18:21:00.123477Z",
    "decided_at": None,
    "reason": None,
}
DECIDED: dict[str, Any] = {
    "checker": examples.ADMIN_ID,
    "decided_at": "2026-01-31T18:22:00.123478Z",
    "reason": "Seen the file.",
}


class DecisionIn(StrictModel):
    """What the one who decides says about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Seen the file."}]})

    reason: Remark | None = None


class ApprovalOut(BaseModel):
    """Something that a second person decides. Nothing of it is done until they agree."""

    model_config = ConfigDict(title="Approval", json_schema_extra={"examples": [APPROVAL_EXAMPLE]})

    id: UUID
    kind: ApprovalKind
    status: ApprovalStatus = Field(description="EXPIRED: nobody decided before `expires_at`.")
    client_id: UUID
    target_id: UUID = Field(description="The loan, or the payment of a REVERSAL.")
    amount: MoneyOut = Field(description="What it was about when it was asked for.")
    request: dict[str, Any] = Field(description="The body that came with it.")
    maker: UUID = Field(description="The user who asked.")
    checker: UUID | None = Field(description="The user who decided, always somebody else.")
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    reason: str | None = Field(description="What the checker said about it.")


SECOND_PERSON: examples.Responses = {
    202: {
        "model": ApprovalOut,
        "description": "Above the configured amount nothing is done until somebody else approves it.",
        "headers": {"Location": {"description": "The approval.", "schema": {"type": "string"}}},
    }
}
"""The answer of an operation that may need a second person."""
