"""Do the books hold together, and does CouchDB hold exactly what they say? Everything is read, nothing is changed.

Events and documents are read side by side in the order of their ids, a batch of each at a time, so that a million of
them need no more memory than a thousand.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from aio_pika.exceptions import AMQPError
from asyncpg import Record

from backend_api.audit import evidence
from backend_api.audit.archive import Archive, ArchiveAway
from backend_api.audit.chain import Mark, content_hash
from backend_api.db.pools import Connection
from backend_api.domain.account import replay
from backend_api.domain.ledger import LOANS_RECEIVABLE
from backend_api.domain.money import ZERO
from backend_api.domain.term_sheet import terms_of
from backend_api.ledger import service as ledger
from backend_api.ledger import state
from backend_api.outbox import envelope, parked

NAMED = 20
"""Differences of a check that are named; the others are counted."""
UNDECIDED = 1000
"""Events without a document, or the reverse, that are looked at once more: they may have been on their way."""
ON_THEIR_WAY_SECONDS = 10.0
LOOKED_AGAIN_SECONDS = 0.2
DOCUMENTS_AT_ONCE = 1000
IDS_AT_ONCE = 500

TAMPERING = "Treat it as tampering: keep CouchDB and the database as they are, compare both, find out who."
AGAIN = "When `sofipo outbox status` shows none waiting: “Making the documents again” in docs/operations.md."
AHEAD = "See “When CouchDB knows more than PostgreSQL” in docs/operations.md."
REPLAY = "See `sofipo outbox parked`; after mending the cause `sofipo outbox replay --all`."
AWAY = "CouchDB does not answer, or not the auditor: see `sofipo doctor`."
BOOKS = "Somebody went past the rules of the tables: find out who, and compare with a backup."
NO_DOCUMENT = ("The event is no document.", AGAIN)
NO_EVENT = ("The document belongs to no event.", AHEAD)
OTHER = ("The document is not what its event says.", TAMPERING)

Tell = Callable[[str, int, int], None]
"""Takes progress: what, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference: what it is about, a sentence, and what to do."""

    subject: str
    sentence: str
    remedy: str


@dataclass(slots=True)
class Check:
    """What was looked at, how many differences there are, and the first of them. `not_looked`: why it could not be."""

    name: str
    looked_at: int = 0
    differences: int = 0
    findings: list[Finding] = field(default_factory=list)
    not_looked: str | None = None

    def differs(self, subject: object, sentence: str, remedy: str) -> None:
        """Count a difference, and name it if it is one of the first."""
        self.differences += 1
        if len(self.findings) < NAMED:
            self.findings.append(Finding(str(subject), sentence, remedy))


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, and the digest of what they looked at: the same for the same events, documents, books and loans,
    whenever and wherever it is made. None when a part could not be looked at."""

    checks: Sequence[Check]
    parts: Mapping[str, str]

    @property
    def digest(self) -> str | None:
        """One SHA-256 over the digests of the parts."""
        if any(check.not_looked for check in self.checks if check.name in self.parts):
            return None
        return sha256(orjson.dumps(self.parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """An event or a document: its id, the hash of its content, and whether it bears that one."""

    id: str
    hash: str | None
    sealed: bool


async def verify(connection: Connection, archive: Archive, broker_url: str, tell: Tell, *, quick: bool) -> Report:
    """Look at everything. `quick` leaves out working every loan out anew from its movements.

    Raises what a lost database raises; what of CouchDB and the broker cannot be looked at is said in the report.
    """
    [counts] = await evidence.every(connection, evidence.COUNTS)
    events, documents, books, loans = (Check(name) for name in ("events", "documents", "books", "loans"))
    parts = await _events_and_documents(connection, archive, (events, documents), counts["events"], tell)
    parts["books"] = await _books(connection, books)
    parts["loans"] = await _loans(connection, loans, counts["loans"], tell, quick=quick)
    return Report((events, documents, books, loans, await _parked(connection, broker_url)), parts)


async def _events_and_documents(
    connection: Connection, archive: Archive, checks: tuple[Check, Check], total: int, tell: Tell
) -> dict[str, str]:
    """Every event is sealed, chained and one document, and every document is an event; the digests of both."""
    events, documents = checks
    digests = sha256(), sha256()
    without_document: list[Item] = []
    without_event: list[Item] = []
    async for event, document in _paired(_events(connection, events, total, tell), _documents(archive, documents)):
        for item, digest in zip((event, document), digests, strict=True):
            if item is not None:
                digest.update(f"{item.id} {item.hash}\n".encode())
        documents.looked_at += document is not None
        match event, document:
            case Item(), None if documents.not_looked is None:
                _keep(documents, without_document, event, NO_DOCUMENT)
            case None, Item():
                _keep(documents, without_event, document, NO_EVENT)
            case Item(), Item() if not (document.sealed and document.hash == event.hash):
                documents.differs(document.id, *OTHER)
    for aggregate in await evidence.every(connection, evidence.SILENT, NAMED):
        events.differs(aggregate["id"], f"{aggregate['event_sequence']} events are counted and none is there.", BOOKS)
    if documents.not_looked is None:
        await _look_again(connection, archive, documents, without_document, without_event)
    return {"events": digests[0].hexdigest(), "documents": digests[1].hexdigest()}


def _keep(check: Check, waiting: list[Item], item: Item, difference: tuple[str, str]) -> None:
    """Look at it once more at the end; what is more than can be kept is a difference at once."""
    if len(waiting) < UNDECIDED:
        waiting.append(item)
    else:
        check.differs(item.id, *difference)


async def _events(connection: Connection, check: Check, total: int, tell: Tell) -> AsyncIterator[Item]:
    """All events; what is wrong with their chains goes into the check."""
    aggregate, mark = evidence.NOBODY, Mark()
    async for rows, heads in evidence.events(connection):
        for aggregate_id, chain in groupby(rows, key=lambda row: row["aggregate_id"]):
            if aggregate_id != aggregate:
                _compare_head(check, aggregate, mark, heads)
                aggregate, mark = aggregate_id, Mark()
            for row in chain:
                item, mark = _event(check, row, mark)
                yield item
        check.looked_at += len(rows)
        tell("events", check.looked_at, total)
    _compare_head(check, aggregate, mark, heads)


def _event(check: Check, row: Record, mark: Mark) -> tuple[Item, Mark]:
    """One event and the mark after it."""
    content = {**envelope.canonical(dict(row)), "hash": row["hash"].hex()}
    found = content_hash(content)
    item = Item(content["event_id"], found, sealed=found == content["hash"])
    if row["sequence"] != mark.sequence + 1:
        check.differs(item.id, f"It follows number {mark.sequence}: what was between is missing.", BOOKS)
    elif content["prev_hash"] != mark.head:
        check.differs(item.id, "It does not name the hash of the event before it.", BOOKS)
    if not item.sealed:
        check.differs(item.id, "It does not have the hash of its content.", BOOKS)
    return item, mark.then(row["sequence"], content, intact=item.sealed)


def _compare_head(check: Check, aggregate: UUID, mark: Mark, heads: Mapping[UUID, Record]) -> None:
    """Whether whoever the events are about points at the last of them."""
    if aggregate == evidence.NOBODY:
        return
    head = heads.get(aggregate)
    if head is None:
        check.differs(aggregate, "It has events, and there is no such row in any table.", BOOKS)
    elif (head["event_sequence"], head["chain_head"].hex()) != (mark.sequence, mark.head):
        check.differs(
            aggregate, f"Its row points at event {head['event_sequence']}, the last is {mark.sequence}.", BOOKS
        )


async def _documents(archive: Archive, check: Check) -> AsyncIterator[Item]:
    """All documents but the rules; that CouchDB went away goes into the check."""
    last = ""
    while True:
        try:
            documents = await archive.after(last, DOCUMENTS_AT_ONCE)
        except ArchiveAway:
            check.not_looked = AWAY
            return
        for document in documents:
            if not document["_id"].startswith("_design/"):
                yield _document(document)
        if len(documents) < DOCUMENTS_AT_ONCE:
            return
        last = documents[-1]["_id"]


def _document(document: Mapping[str, Any]) -> Item:
    found = content_hash(document)
    return Item(document["_id"], found, sealed=found == document.get("hash"))


async def _paired(
    events: AsyncIterator[Item], documents: AsyncIterator[Item]
) -> AsyncIterator[tuple[Item | None, Item | None]]:
    """Both in the order of their ids, those of the same id together."""
    event, document = await anext(events, None), await anext(documents, None)
    while event is not None or document is not None:
        if document is None or (event is not None and event.id < document.id):
            yield event, None
            event = await anext(events, None)
        elif event is None or document.id < event.id:
            yield None, document
            document = await anext(documents, None)
        else:
            yield event, document
            event, document = await anext(events, None), await anext(documents, None)


async def _look_again(
    connection: Connection,
    archive: Archive,
    check: Check,
    without_document: Sequence[Item],
    without_event: Sequence[Item],
) -> None:
    """Whether what had no partner was only on its way: events take a moment to become documents."""
    try:
        for event in await _still_alone(archive, check, without_document):
            check.differs(event.id, *NO_DOCUMENT)
    except ArchiveAway:
        check.not_looked = AWAY
    known = await evidence.hashes(connection, [document.id for document in without_event])
    for document in without_event:
        if document.id not in known:
            check.differs(document.id, *NO_EVENT)
        elif not document.sealed or known[document.id] != document.hash:
            check.differs(document.id, *OTHER)


async def _still_alone(archive: Archive, check: Check, events: Sequence[Item]) -> Sequence[Item]:
    """The events that have not become documents either when it is time to give up."""
    deadline = asyncio.get_running_loop().time() + ON_THEIR_WAY_SECONDS
    waiting = {event.id: event for event in events}
    while True:
        ids = list(waiting)
        for start in range(0, len(ids), IDS_AT_ONCE):
            for document in (await archive.named(ids[start : start + IDS_AT_ONCE])).values():
                event, found = waiting.pop(document["_id"]), _document(document)
                check.looked_at += 1
                if not (found.sealed and found.hash == event.hash):
                    check.differs(event.id, *OTHER)
        if not waiting or asyncio.get_running_loop().time() > deadline:
            return list(waiting.values())
        await asyncio.sleep(LOOKED_AGAIN_SECONDS)


async def _books(connection: Connection, check: Check) -> str:
    """Every entry sums to zero, and closed days are what they were written down with; the digest of the totals."""
    for entry in await evidence.every(connection, evidence.UNBALANCED, NAMED):
        check.differs(entry["entry_id"], f"The entry is off balance by {entry['difference']}.", BOOKS)
    for day in await evidence.every(connection, evidence.CLOSED_DAYS, NAMED):
        where = f"{day['posted_on']} {day['account']} {day['product']}"
        check.differs(where, "The postings of a closed day are not what its totals say.", BOOKS)
    totals = await evidence.every(connection, evidence.TOTALS)
    check.looked_at = sum(account["lines"] for account in totals)
    payments = await evidence.every(connection, evidence.PAYMENTS)
    return _digest([*(tuple(row) for row in totals), *(tuple(row) for row in payments)])


async def _loans(connection: Connection, check: Check, total: int, tell: Tell, *, quick: bool) -> str:
    """Every loan owes what its entries left on the account of loans receivable, and unless it is `quick` what a replay
    of its movements says; the digest of their positions."""
    digest = sha256()
    async for rows in evidence.loans(connection):
        ids = [loan["id"] for loan in rows]
        owed = await evidence.owed(connection, ids, LOANS_RECEIVABLE.code)
        standing = {} if quick else await evidence.standing(connection, ids)
        for loan in rows:
            booked = owed.get(loan["id"], ZERO)
            if loan["current_balance"] != booked and loan["disbursed_on"] is not None:
                sentence = f"The loan owes {loan['current_balance']}, by its entries {booked}."
                check.differs(loan["id"], sentence, BOOKS)
            elif loan["id"] in standing and not _is_replayed(loan, standing[loan["id"]]):
                check.differs(loan["id"], "Its movements, worked out anew, do not give what its row holds.", BOOKS)
            digest.update(_digest([tuple(loan)]).encode())
        check.looked_at += len(rows)
        tell("loans", check.looked_at, total)
    return digest.hexdigest()


def _is_replayed(loan: Record, movements: Sequence[Record]) -> bool:
    """Whether a loan's row is what its movements make of it."""
    try:
        booked = ledger.standing(movements)
        terms = terms_of(orjson.loads(loan["terms"]), loan["disbursed_on"])
        account, splits = replay(terms, [one.movement for one in booked])
        kept = state.encode(state.compact(account, loan["account_on"]))
    except Exception:  # noqa: BLE001 - whatever is wrong with one loan is what is looked for
        return False
    return (
        splits == {one.movement.id: one.split for one in booked}
        and loan["current_balance"] == account.principal
        and orjson.loads(loan["account"]) == orjson.loads(kept)
    )


async def _parked(connection: Connection, broker_url: str) -> Check:
    """Nothing is set aside, neither in the outbox nor beside the consumer's queue."""
    check = Check("parked")
    for event in await evidence.every(connection, evidence.PARKED, NAMED):
        subject = envelope.event_id(event["aggregate_id"], event["sequence"])
        check.differs(subject, f"The relay has parked the event: {event['parked_reason']}.", REPLAY)
    try:
        messages = await parked.parked_messages(broker_url, NAMED)
    except (OSError, AMQPError):
        check.not_looked = "The broker does not answer: see `sofipo doctor`."
        return check
    for message in messages:
        check.differs(message.message_id, f"The consumer has parked the message: {message.reason}.", REPLAY)
    return check


def _digest(rows: Sequence[tuple[object, ...]]) -> str:
    """SHA-256 of rows as text: numbers with their decimals, dates as ISO."""
    return sha256("\n".join("|".join(str(value) for value in row) for row in rows).encode()).hexdigest()
