"""What the calls about histories answer."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.http import examples

EVENT_EXAMPLE: dict[str, Any] = {
    "event_id": f"{examples.CLIENT_ID}:000000000003",
    "event_type": "payment_registered",
    "entity_id": examples.PAYMENT_ID,
    "payload": {"loan_ids": [examples.LOAN_ID], "amount": "2500.00", "value_date": examples.TODAY},
    "timestamp": examples.PAID_AT,
    "schema_version": 1,
    "aggregate_type": "client",
    "aggregate_id": examples.CLIENT_ID,
    "sequence": 3,
    "actor": f"user:{examples.OFFICER_ID}",
    "request_id": "5f0c1d2e3a4b5c6d",
    "traceparent": None,
    "prev_hash": "2f7c1c5a7d6f0b0d4f0a6d9f8f0e2b5d3d2a1c4b5e6f708192a3b4c5d6e7f809",
    "hash": "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
    "intact": True,
}
MARK_EXAMPLE: dict[str, Any] = {"sequence": 3, "through": 3, "complete": True, "verified": True}


class EventOut(BaseModel):
    """A business event as its document in CouchDB has it: `docs/asyncapi.yaml` describes each."""

    model_config = ConfigDict(title="Event", json_schema_extra={"examples": [EVENT_EXAMPLE]})

    event_id: str
    event_type: str
    entity_id: UUID
    payload: dict[str, Any]
    timestamp: str
    schema_version: int
    aggregate_type: str
    aggregate_id: UUID
    sequence: int
    actor: str
    request_id: str
    traceparent: str | None
    prev_hash: str
    hash: str
    intact: bool = Field(description="It has the hash of its content and follows the event before it.")


class HistoryMark(BaseModel):
    """How the client's events stand, from the first one to the last that this page has read."""

    sequence: int = Field(description="Number of the client's last event in the books.")
    through: int = Field(description="Number up to which was looked; on the last page it should be `sequence`.")
    complete: bool = Field(description="None is missing up to there, on the last page up to `sequence`.")
    verified: bool = Field(description="The chain of hashes is whole up to there and ends as the books say.")


class HistoryOut(BaseModel):
    """A page of events in the order of their numbers; `next_cursor` is null on the last."""

    model_config = ConfigDict(
        title="History",
        json_schema_extra={
            "examples": [{"data": [EVENT_EXAMPLE], "next_cursor": None, "has_more": False, "history": MARK_EXAMPLE}]
        },
    )

    data: list[EventOut]
    next_cursor: str | None
    has_more: bool
    history: HistoryMark
