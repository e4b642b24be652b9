"""The envelope of an event: its canonical bytes, its hash, and what travels beside it in the message headers.

Body of the message and document in CouchDB are the same JSON: RFC 8785 canonical form. The values are only strings,
integers below 2^53, booleans, null, lists and objects with ASCII keys, and for those sorted compact JSON *is* the
canonical form; a contract test holds that against an independent implementation.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

GENESIS = bytes(32)
"""`prev_hash` of an aggregate's first event."""

SOURCE = "/sofipo/backend-api"
ENTITIES = (
    "client", "loan", "payment", "fee", "installment", "cart", "approval", "product", "import", "user", "api_key",
    "record", "person_data", "decoy", "day", "period",
)  # fmt: skip


def event_id(aggregate_id: UUID, sequence: int) -> str:
    """Identity of an event everywhere: message id, document `_id`. Sorts by sequence within the aggregate."""
    return f"{aggregate_id}:{sequence:012d}"


@lru_cache(maxsize=64)  # all events of a change have one instant
def timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC with exactly six fractional digits."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def routing_key(event_type: str) -> str:
    """`payment_registered` → `sofipo.payment.registered`, `api_key_created` → `sofipo.api_key.created`.

    Raises ValueError for a type whose entity is not in the list: routing is a contract, not a guess.
    """
    for entity in ENTITIES:
        if event_type.startswith(f"{entity}_"):
            return f"sofipo.{entity}.{event_type.removeprefix(f'{entity}_')}"
    raise ValueError(f"event type {event_type!r} names no known entity")


def canonical(event: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope without `hash`, from a row of `events` (or one about to be inserted)."""
    payload = event["payload"]
    return {
        "event_id": event_id(event["aggregate_id"], event["sequence"]),
        "event_type": event["event_type"],
        "entity_id": str(event["entity_id"]),
        "payload": orjson.loads(payload) if isinstance(payload, str) else payload,
        "timestamp": timestamp(event["occurred_at"]),
        "schema_version": event["schema_version"],
        "aggregate_type": event["aggregate_type"],
        "aggregate_id": str(event["aggregate_id"]),
        "sequence": event["sequence"],
        "actor": event["actor"],
        "request_id": event["request_id"],
        "traceparent": event["traceparent"],
        "prev_hash": event["prev_hash"].hex(),
    }


def digest(envelope: Mapping[str, Any]) -> bytes:
    """SHA-256 of the canonical JSON of the envelope without `hash` (RFC 8785)."""
    return sha256(orjson.dumps(envelope, option=orjson.OPT_SORT_KEYS)).digest()


def body(event: Mapping[str, Any]) -> bytes:
    """The bytes on the wire: the canonical envelope with its hash."""
    return orjson.dumps({**canonical(event), "hash": event["hash"].hex()}, option=orjson.OPT_SORT_KEYS)


def headers(event: Mapping[str, Any]) -> dict[str, str]:
    """CloudEvents 1.0 attributes in AMQP binding, and the trace the event belongs to."""
    result = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": event_id(event["aggregate_id"], event["sequence"]),
        "cloudEvents:source": SOURCE,
        "cloudEvents:type": routing_key(event["event_type"]),
        "cloudEvents:subject": str(event["entity_id"]),
        "cloudEvents:time": timestamp(event["occurred_at"]),
        "cloudEvents:partitionkey": str(event["aggregate_id"]),
    }
    if event["traceparent"] is not None:
        result["traceparent"] = event["traceparent"]
    return result
