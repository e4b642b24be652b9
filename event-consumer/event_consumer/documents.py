"""Events as CouchDB documents, and CouchDB's answers as verdicts. Pure.

A document is the envelope under `_id` = `event_id`, written without `_rev`: it can be created, never changed.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from event_consumer.envelope import Event, content_hash


class Verdict(StrEnum):
    """What became of one event that was offered to CouchDB."""

    STORED = "stored"  # durable by this write
    ALREADY_STORED = "already_stored"  # durable by an earlier one, with the same content
    DIFFERS = "differs"  # something else stands under its id: nothing of ours was written
    REFUSED = "refused"  # CouchDB will not take this document whenever it is asked
    OCCUPIED = "occupied"  # a document stands in the way, or a rule: what is stored decides
    UNDECIDED = "undecided"  # not durable as far as we know: to be offered again


DURABLE = frozenset({Verdict.STORED, Verdict.ALREADY_STORED})


def document(event: Event) -> dict[str, Any]:
    """The document of an event."""
    return {"_id": event.event_id, **event.content}


def read_rows(events: Sequence[Event], status: int, rows: object) -> dict[str, Verdict]:
    """Verdicts by event hash from the answer to `_bulk_docs` for events of different ids.

    The answer is 201 even when no row succeeded, so every row is looked at; 202 says accepted, which is not durable.
    An event without a readable row of its own stays UNDECIDED.
    """
    found: dict[object, Verdict] = {}
    if status == 201 and isinstance(rows, list):
        found = {row.get("id"): _read_row(row) for row in rows if isinstance(row, dict)}
    return {event.hash: found.get(event.event_id, Verdict.UNDECIDED) for event in events}


def _read_row(row: Mapping[str, object]) -> Verdict:
    error = row.get("error")
    if error is None and row.get("ok") is True:
        return Verdict.STORED
    return Verdict.OCCUPIED if error in ("conflict", "forbidden") else Verdict.UNDECIDED


def compare(event: Event, stored: Mapping[str, Any] | None) -> Verdict:
    """Verdict on an event whose id is occupied by `stored` (None: nothing there, so a later try may succeed).

    The hash is recomputed from what is stored: a document whose content was changed may still carry the old hash.
    """
    if stored is None:
        return Verdict.UNDECIDED
    content = {key: value for key, value in stored.items() if key not in ("_id", "_rev")}
    try:
        same = content.get("hash") == event.hash == content_hash(content)
    except TypeError:
        same = False
    return Verdict.ALREADY_STORED if same else Verdict.DIFFERS
