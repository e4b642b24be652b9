"""The history of a client or loan: what CouchDB holds, followed from event to event and held against the books."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from backend_api.audit import queries
from backend_api.audit.archive import Archive, Document
from backend_api.audit.chain import Mark, sequence_of
from backend_api.http.problems import NotFound
from backend_api.outbox.envelope import event_id
from backend_api.reads import Reader, Reads

READ_AT_ONCE = 500
"""Documents read for a page of a loan's events: those of its client between them are read too."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as it stands in CouchDB. `intact`: it has the hash of its content and follows the one before it."""

    event: Document
    intact: bool


@dataclass(frozen=True, slots=True)
class History:
    """A page of events in the order of their numbers.

    `sequence` is the number of the client's last event in the books. `mark` is how far the client's events were
    followed, from the first one on, and how they stood until there; a loan's are a part of its client's. `ended`:
    there is no more.
    """

    events: Sequence[Shown]
    sequence: int
    mark: Mark
    ended: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose history: a client's, or one of its loans'."""

    client_id: UUID | None = None
    loan_id: UUID | None = None

    def concerns(self, event: Document) -> bool:
        """Whether an event of the client belongs into the history."""
        if self.loan_id is None:
            return True
        payload = event.get("payload")
        named = [event.get("entity_id"), *(payload.values() if isinstance(payload, dict) else ())]
        loan = str(self.loan_id)
        return any(loan == value or (isinstance(value, list) and loan in value) for value in named)


async def history(
    reads: Reads, archive: Archive, reader: Reader, subject: Subject, after: Mark | None = None, limit: int = 50
) -> History:
    """The next `limit` events after a mark, from the first one by default.

    At the end of a page the last event's hash is compared with the one in the books, which stands for all before it;
    `mark.verified` says so of everything up to there. The newest events may still be on their way: then `mark` is not
    complete. A loan's page may hold fewer events although there are more. Raises `NotFound` and `ArchiveAway`.
    """
    if subject.loan_id is None:
        assert subject.client_id is not None  # noqa: S101 - a subject is one of the two
        find = partial(queries.client, client_id=subject.client_id)
    else:
        find = partial(queries.borrower, loan_id=subject.loan_id)
    known = await reads.find(reader, find)
    if known is None:
        raise NotFound
    start = after or Mark()
    asked = limit + 1 if subject.loan_id is None else READ_AT_ONCE
    last, end = event_id(known.id, start.sequence), event_id(known.id, known.event_sequence)
    documents = await archive.after(last, asked, end)
    shown, mark, ended = _follow(subject, start, documents, limit)
    ended = ended and len(documents) < asked
    if ended:
        mark = replace(mark, complete=mark.complete and mark.sequence == known.event_sequence)
    return History(shown, known.event_sequence, await _compared(reads, reader, known, mark), ended)


def _follow(subject: Subject, mark: Mark, documents: Sequence[Document], limit: int) -> tuple[list[Shown], Mark, bool]:
    """The events of a page, the mark after its last one, and whether all documents were looked at."""
    shown: list[Shown] = []
    for document in documents:
        if len(shown) == limit:
            return shown, mark, False
        intact = mark.fits(document)
        mark = mark.then(sequence_of(document["_id"]), document, intact=intact)
        if subject.concerns(document):
            shown.append(Shown(document, intact))
    return shown, mark, True


async def _compared(reads: Reads, reader: Reader, known: Any, mark: Mark) -> Mark:
    """The mark, verified only if the books have the same hash at its number."""
    if mark.sequence == known.event_sequence:
        head: bytes | None = known.chain_head
    elif mark.sequence == 0:
        return mark
    else:
        head = await reads.find(reader, partial(queries.hash_of, aggregate_id=known.id, sequence=mark.sequence))
    return replace(mark, verified=mark.verified and head is not None and head.hex() == mark.head)
