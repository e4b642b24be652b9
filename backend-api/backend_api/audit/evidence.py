"""Every statement by which the books are verified. Each is short or by the batch: no long transaction holds back the
cleaning of the outbox, and what comes meanwhile is of the batch in which it is read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.pools import Connection
from backend_api.models import metadata
from backend_api.outbox.envelope import event_id

ROWS_AT_ONCE = 1000
LONG_SECONDS = 600.0
SESSION = {"statement_timeout": "600s"}
"""For statements over a whole table."""
NOBODY = UUID(int=0)

EVENTS = """
SELECT aggregate_id, sequence, aggregate_type, event_type, entity_id, payload, occurred_at, schema_version, actor,
       request_id, traceparent, prev_hash, hash
  FROM events WHERE (aggregate_id, sequence) > ($1, $2) ORDER BY aggregate_id, sequence LIMIT $3
"""
_AGGREGATES = sorted(name for name, table in metadata.tables.items() if "chain_head" in table.c)
_HEADS = " UNION ALL ".join(f"SELECT id, event_sequence, chain_head FROM {name}" for name in _AGGREGATES)  # noqa: S608 - names of our own tables
HEADS_OF = f"SELECT id, event_sequence, chain_head FROM ({_HEADS}) heads WHERE id = ANY($1)"  # noqa: S608 - see above
# What was never changed has no event: a product of the first migration, for example.
SILENT = f"""
SELECT id, event_sequence FROM ({_HEADS}) heads
 WHERE event_sequence > 0 AND NOT EXISTS (SELECT FROM events WHERE aggregate_id = heads.id) ORDER BY id LIMIT $1
"""  # noqa: S608 - see above
HASHES = """
SELECT e.aggregate_id, e.sequence, e.hash
  FROM events e JOIN unnest($1::uuid[], $2::bigint[]) AS asked (aggregate_id, sequence) USING (aggregate_id, sequence)
"""
UNBALANCED = """
SELECT entry_id, sum(amount) AS difference
  FROM postings GROUP BY entry_id HAVING sum(amount) <> 0 ORDER BY entry_id LIMIT $1
"""
TOTALS = """
SELECT account, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit,
       coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credit, count(*) AS lines
  FROM postings GROUP BY account ORDER BY account
"""
# What the closed days were written down with, and what their postings add up to now.
CLOSED_DAYS = """
WITH kept AS (
    SELECT posted_on, account, product, debit, credit FROM daily_totals
), posted AS (
    SELECT e.posted_on, p.account, e.product, coalesce(sum(p.amount) FILTER (WHERE p.amount > 0), 0) AS debit,
           coalesce(-sum(p.amount) FILTER (WHERE p.amount < 0), 0) AS credit
      FROM postings p JOIN ledger_entries e ON e.id = p.entry_id
     WHERE e.posted_on <= (SELECT max(business_date) FROM day_closes)
     GROUP BY e.posted_on, p.account, e.product
)
SELECT posted_on, account, product FROM kept FULL JOIN posted USING (posted_on, account, product)
 WHERE coalesce(kept.debit, 0) <> coalesce(posted.debit, 0) OR coalesce(kept.credit, 0) <> coalesce(posted.credit, 0)
 ORDER BY posted_on, account, product LIMIT $1
"""
LOANS = """
SELECT id, client_id, status, amount, current_balance, terms::text AS terms, disbursed_on, account::text AS account,
       account_on
  FROM loans WHERE id > $1 ORDER BY id LIMIT $2
"""
# Each movement of principal is an entry with a line on the account of loans receivable.
OWED = """
SELECT m.loan_id, sum(p.amount) AS owed
  FROM loan_movements m JOIN ledger_entries e ON e.movement_id = m.id
       JOIN postings p ON p.entry_id = e.id AND p.account = $2
 WHERE m.loan_id = ANY($1) GROUP BY m.loan_id
"""
STANDING = """
SELECT m.* FROM loan_movements m
 WHERE m.loan_id = ANY($1) AND m.undoes_id IS NULL
       AND NOT EXISTS (SELECT FROM loan_movements u WHERE u.undoes_id = m.id)
 ORDER BY m.loan_id
"""
PAYMENTS = "SELECT status, count(*), sum(amount) AS total FROM payments GROUP BY status ORDER BY status"
COUNTS = "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM loans) AS loans"
PARKED = (
    "SELECT aggregate_id, sequence, parked_reason FROM outbox WHERE parked_at IS NOT NULL ORDER BY parked_at LIMIT $1"
)


async def events(connection: Connection) -> AsyncIterator[tuple[Sequence[Record], Mapping[UUID, Record]]]:
    """All events in the order of aggregate and number, by the batch, and the heads of the aggregates whose last event
    is in the batch or was in the one before: both of one moment."""
    last: tuple[UUID, int] = (NOBODY, 0)
    while True:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await connection.fetch(EVENTS, *last, ROWS_AT_ONCE, timeout=LONG_SECONDS)
            is_last = len(rows) < ROWS_AT_ONCE
            seen = {last[0], *(row["aggregate_id"] for row in rows)} - {NOBODY}
            ended = seen if is_last else seen - {rows[-1]["aggregate_id"]}
            heads = await connection.fetch(HEADS_OF, list(ended), timeout=LONG_SECONDS)
        yield rows, {head["id"]: head for head in heads}
        if is_last:
            return
        last = rows[-1]["aggregate_id"], rows[-1]["sequence"]


async def loans(connection: Connection) -> AsyncIterator[Sequence[Record]]:
    """All loans in the order of their ids, by the batch."""
    last = NOBODY
    while rows := await connection.fetch(LOANS, last, ROWS_AT_ONCE, timeout=LONG_SECONDS):
        yield rows
        last = rows[-1]["id"]


async def owed(connection: Connection, loan_ids: Sequence[UUID], account: str) -> Mapping[UUID, Any]:
    """What the entries of these loans' movements leave on an account, debit positive."""
    rows = await connection.fetch(OWED, loan_ids, account, timeout=LONG_SECONDS)
    return {row["loan_id"]: row["owed"] for row in rows}


async def every(connection: Connection, statement: str, *arguments: object) -> Sequence[Record]:
    """The rows of one of the statements above."""
    return await connection.fetch(statement, *arguments, timeout=LONG_SECONDS)


async def standing(connection: Connection, loan_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Record]]:
    """The movements of these loans that were not taken back, of each loan that has any."""
    rows = await connection.fetch(STANDING, loan_ids, timeout=LONG_SECONDS)
    return {loan_id: list(of_loan) for loan_id, of_loan in groupby(rows, key=lambda row: row["loan_id"])}


async def hashes(connection: Connection, event_ids: Sequence[str]) -> Mapping[str, str]:
    """The hashes of those of these events that there are, by id."""
    asked = [_parts(one) for one in event_ids]
    known = [parts for parts in asked if parts is not None]
    rows = await connection.fetch(HASHES, *zip(*known, strict=True), timeout=LONG_SECONDS) if known else []
    return {event_id(row["aggregate_id"], row["sequence"]): row["hash"].hex() for row in rows}


def _parts(document_id: str) -> tuple[UUID, int] | None:
    """Aggregate and number in an id; None for what is none of an event."""
    aggregate, _, sequence = document_id.partition(":")
    try:
        return UUID(aggregate), int(sequence)
    except ValueError:
        return None
