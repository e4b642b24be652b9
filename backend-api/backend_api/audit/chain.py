"""Following an aggregate's events from the first one: is none missing, and is each what was sealed? Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend_api.outbox import envelope

NOT_CONTENT = frozenset({"_id", "_rev", "hash"})
FIRST_PREV_HASH = envelope.GENESIS.hex()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a chain was followed, and how it stood until there.

    `complete`: no number up to `sequence` is missing. `verified`: each event has the hash of its content and names the
    hash of the one before it; a gap cannot be verified.
    """

    sequence: int = 0
    head: str = FIRST_PREV_HASH
    complete: bool = True
    verified: bool = True

    def then(self, sequence: int, event: Mapping[str, Any], *, intact: bool) -> "Mark":
        """The mark after the next event that is there."""
        return Mark(
            sequence=sequence,
            head=str(event.get("hash")),
            complete=self.complete and sequence == self.sequence + 1,
            verified=self.verified and intact,
        )

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether an event has the hash of its content and follows this one."""
        return event.get("hash") == content_hash(event) and event.get("prev_hash") == self.head


def content_hash(event: Mapping[str, Any]) -> str | None:
    """The hash that this content has to bear; None for what no event can hold."""
    try:
        return envelope.digest({name: value for name, value in event.items() if name not in NOT_CONTENT}).hex()
    except TypeError:
        return None


def sequence_of(document_id: str) -> int:
    """The number in the id of a document."""
    return int(document_id.rpartition(":")[2])
