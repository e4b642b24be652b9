"""Turns the facts of a change into sealed events: numbered and chained under their aggregate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

import orjson

from backend_api.outbox import envelope


class Lane(IntEnum):
    """Which queue of the relay an event waits in; both share every batch."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, in the past tense. The payload holds ids, money strings, states and names of changed
    fields; never name, e-mail, phone, RFC, CURP, CLABE or address; no floats, integers below 2^53."""

    event_type: str
    entity_id: UUID
    payload: Mapping[str, Any]
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused a change, in which request, when."""

    actor: str
    request_id: str
    traceparent: str | None
    at: datetime


def seal(
    aggregate_type: str, aggregate_id: UUID, sequence: int, chain_head: bytes, facts: Sequence[Fact], origin: Origin
) -> list[dict[str, Any]]:
    """Rows for `events`: numbered from `sequence + 1`, each chained to the one before by its hash."""
    rows = []
    for number, fact in enumerate(facts, start=sequence + 1):
        row: dict[str, Any] = {
            "aggregate_id": aggregate_id,
            "sequence": number,
            "aggregate_type": aggregate_type,
            "event_type": fact.event_type,
            "entity_id": fact.entity_id,
            "payload": fact.payload,
            "occurred_at": origin.at,
            "schema_version": fact.schema_version,
            "actor": origin.actor,
            "request_id": origin.request_id,
            "traceparent": origin.traceparent,
            "prev_hash": chain_head,
        }
        chain_head = row["hash"] = envelope.digest(envelope.canonical(row))
        row["payload"] = orjson.dumps(fact.payload).decode()
        rows.append(row)
    return rows
