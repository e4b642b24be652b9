"""What must be true after every fault, found out without asking the services: rows, hashes, documents, queues."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

import rfc8785

from tests.chaos.chain import Chain, Json
from tests.chaos.load import Book

Row = Mapping[str, Any]
FIRST_PREV_HASH = "0" * 64


async def check(chain: Chain, book: Book) -> None:
    """Wait until everything has arrived, then fail with whatever is not as it must be."""
    await chain.settle()
    found = await findings(chain, book)
    assert not found, found
    assert book.acknowledged, "nothing was paid, so nothing was shown"


async def findings(chain: Chain, book: Book) -> list[str]:
    """Every breach, as a sentence; an empty list is what everybody hopes for."""
    events = await chain.events()
    return [
        *(f"unexpected answer: {refusal}" for refusal in book.refused),
        *await _payments(chain, book),
        *_chains(events),
        *await _events_of_payments(chain, events),
        *await _heads(chain, events),
        *await _balances(chain),
        *await _documents(chain, events),
        *await _remains(chain),
    ]


def envelope(event: Row) -> Json:
    """The document an event must become, made from its row."""
    payload = event["payload"]
    return {
        "event_id": f"{event['aggregate_id']}:{event['sequence']:012d}",
        "event_type": event["event_type"],
        "entity_id": str(event["entity_id"]),
        "payload": json.loads(payload) if isinstance(payload, str) else payload,
        "timestamp": event["occurred_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "schema_version": event["schema_version"],
        "aggregate_type": event["aggregate_type"],
        "aggregate_id": str(event["aggregate_id"]),
        "sequence": event["sequence"],
        "actor": event["actor"],
        "request_id": event["request_id"],
        "traceparent": event["traceparent"],
        "prev_hash": event["prev_hash"].hex(),
        "hash": event["hash"].hex(),
    }


def content_hash(document: Json) -> str:
    """The hash a document must bear, by an implementation of RFC 8785 that is not ours."""
    return hashlib.sha256(
        rfc8785.dumps({key: value for key, value in document.items() if key not in ("hash", "_id", "_rev")})
    ).hexdigest()


async def _payments(chain: Chain, book: Book) -> list[str]:
    rows = await chain.owner.fetch("SELECT id, amount, status FROM payments")
    times = Counter(row["amount"] for row in rows)
    stored = {str(row["id"]): row for row in rows}
    others = [f"others' payment of {one} is lost" for one, count in book.others.items() if times.pop(one, 0) != count]
    found = others + [f"payment of {amount} stands {count} times" for amount, count in times.items() if count > 1]
    found += [f"payment of {amount} was never sent" for amount in times.keys() - book.attempted]
    found += [f"payment {row['id']} is {row['status']}" for row in rows if row["status"] != "REGISTERED"]
    for amount, payment_id in book.acknowledged.items():
        row = stored.get(payment_id)
        if not row or row["amount"] != amount:
            found.append(f"the acknowledged payment {payment_id} of {amount} is lost")
    return found


def _chains(events: Sequence[Row]) -> list[str]:
    """Sequences without a gap, links from hash to hash, and hashes of what really stands there."""
    found = []
    heads: dict[Any, tuple[int, str]] = {}
    for event in events:
        sequence, head = heads.get(event["aggregate_id"], (0, FIRST_PREV_HASH))
        document = envelope(event)
        if event["sequence"] != sequence + 1:
            found.append(f"{event['aggregate_id']}: {sequence} is followed by {event['sequence']}")
        if document["prev_hash"] != head:
            found.append(f"{document['event_id']} is not linked to the event before it")
        if document["hash"] != content_hash(document):
            found.append(f"{document['event_id']} does not have the hash of its content")
        heads[event["aggregate_id"]] = (event["sequence"], document["hash"])
    return found


async def _events_of_payments(chain: Chain, events: Sequence[Row]) -> list[str]:
    told = Counter(str(event["entity_id"]) for event in events if event["event_type"] == "payment_registered")
    payments = {str(row["id"]) for row in await chain.owner.fetch("SELECT id FROM payments")}
    return [f"payment {one} has {told[one]} events" for one in payments | told.keys() if told[one] != 1]


async def _heads(chain: Chain, events: Sequence[Row]) -> list[str]:
    last = {event["aggregate_id"]: (event["sequence"], event["hash"]) for event in events}
    rows = await chain.owner.fetch("SELECT id, event_sequence, chain_head FROM clients")
    return [
        f"client {row['id']} does not point at its last event"
        for row in rows
        if last.get(row["id"]) != (row["event_sequence"], row["chain_head"])
    ]


async def _balances(chain: Chain) -> list[str]:
    """Every loan owes what was lent less what was paid, and every ledger entry adds up to nothing."""
    paid: dict[Any, Decimal] = defaultdict(Decimal)
    for row in await chain.owner.fetch("SELECT loan_id, principal FROM loan_movements WHERE kind = 'PAYMENT'"):
        paid[row["loan_id"]] += row["principal"]
    loans = await chain.owner.fetch("SELECT id, amount, current_balance FROM loans")
    found = [
        f"loan {row['id']} owes {row['current_balance']}, by its movements {row['amount'] - paid[row['id']]}"
        for row in loans
        if row["current_balance"] != row["amount"] - paid[row["id"]]
    ]
    total = await chain.owner.fetchval("SELECT sum(amount) FROM payments WHERE status = 'REGISTERED'")
    if (total or Decimal()) != sum(paid.values()):
        found.append(f"payments of {total} moved {sum(paid.values())}")
    unbalanced = await chain.owner.fetch("SELECT entry_id FROM postings GROUP BY entry_id HAVING sum(amount) <> 0")
    return found + [f"ledger entry {row['entry_id']} is not balanced" for row in unbalanced]


async def _documents(chain: Chain, events: Sequence[Row]) -> list[str]:
    """CouchDB holds the events, each once and unchanged, and nothing else."""
    wanted = {document["event_id"]: document for document in map(envelope, events)}
    stored = await chain.documents(wanted)
    found = [f"{event_id} is no document" for event_id in wanted.keys() - stored.keys()]
    for event_id, document in stored.items():
        content = {key: value for key, value in document.items() if key not in ("_id", "_rev")}
        if content != wanted[event_id] or not document["_rev"].startswith("1-"):
            found.append(f"document {event_id} is not its event")
    extra = await chain.document_count() - len(stored)
    return found + ([f"{extra} documents belong to no event"] if extra else [])


async def _remains(chain: Chain) -> list[str]:
    found = []
    if waiting := await chain.waiting():
        found.append(f"{waiting} events wait in the outbox")
    if parked := await chain.owner.fetchval("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL"):
        found.append(f"{parked} events are parked")
    return found + [
        f"message {message.message_id} is parked: {message.headers.get('x-parked-reason')!s}"
        for message in await chain.parked()
    ]
