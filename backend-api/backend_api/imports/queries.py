"""Every statement about imports, one function per question."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.http.pagination import Paging
from backend_api.models import import_lines, imports

IMPORT_LOCK = 7301005
"""Held by the one process that works on imports; see `portfolio.queries` and `worker.housekeeping` for the others."""

SESSION = {"plan_cache_mode": "force_custom_plan"}
"""A plan that was made while there were no clients reads all of some other index for every value: it took 0.9 ms of
1.1 ms a line, in a file of 8,000 (measured). Making one anew costs a batch 0.3 ms."""
UPLOADS_KEPT = timedelta(days=1)
"""How long parts of a file are kept that nobody asked to import: its sender was cut off."""
RECORDS_KEPT = timedelta(days=30)
"""How long it is kept what stood in lines that were not taken: they are data of people."""

KEEP_CHUNK = "INSERT INTO import_chunks (import_id, number, content, received_at) VALUES ($1, $2, $3, $4)"
DROP_CHUNKS = "DELETE FROM import_chunks WHERE import_id = $1"
DROP_UNASKED_CHUNKS = f"{DROP_CHUNKS} AND NOT EXISTS (SELECT FROM imports WHERE id = $1)"
CHUNK = "SELECT content FROM import_chunks WHERE import_id = $1 AND number = $2"
SAME_FILE = """
SELECT i.*, (SELECT business_date FROM business_day) AS today FROM imports i
 WHERE file_digest = $1 AND NOT dry_run AND (finished_at IS NULL OR (status = 'COMPLETED' AND refused = 0))
"""
TODAY = "SELECT business_date FROM business_day"
FOR_CHANGE = "SELECT i.*, (SELECT business_date FROM business_day) AS today FROM imports i WHERE id = $1"
UNFINISHED = "SELECT id FROM imports WHERE finished_at IS NULL ORDER BY id LIMIT 1"
# Value by value, each in its own index: 0.9 ms for 600 values among 8,000 clients, planned and found (measured).
KNOWN = """
SELECT 'rfc' AS field, v.value, c.id FROM unnest($1::text[]) AS v (value) CROSS JOIN LATERAL
       (SELECT id FROM clients WHERE rfc = v.value AND deleted_at IS NULL LIMIT 1) AS c
UNION ALL
SELECT 'external_id', v.value, c.id FROM unnest($2::text[]) AS v (value) CROSS JOIN LATERAL
       (SELECT id FROM clients WHERE external_id = v.value AND deleted_at IS NULL LIMIT 1) AS c
UNION ALL
SELECT 'email', v.value, c.id FROM unnest($3::text[]) AS v (value) CROSS JOIN LATERAL
       (SELECT id FROM clients WHERE email = v.value AND deleted_at IS NULL LIMIT 1) AS c
"""
KNOWN_LOANS = "SELECT external_id FROM loans WHERE external_id = ANY($1)"
FOLIOS = "SELECT nextval('loan_folio') FROM generate_series(1, $1)"
BEGIN = """
UPDATE imports SET status = $2, started_at = coalesce(started_at, $3), lines_done = 0, accepted = 0, duplicates = 0,
                   refused = 0, loans = 0
 WHERE id = $1 AND finished_at IS NULL RETURNING true
"""
FORGET_LINES = "DELETE FROM import_lines WHERE import_id = $1"
CHECKED = """
UPDATE imports SET lines_done = $2, accepted = accepted + $3, duplicates = duplicates + $4, refused = refused + $5,
                   loans = loans + $6
 WHERE id = $1 AND status = 'CHECKING' RETURNING true
"""
KEEP_LINES = """
INSERT INTO import_lines (import_id, line, outcome, client_id, problems, record)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
"""
COUNT_FAILURE = "UPDATE imports SET failures = failures + 1 WHERE id = $1 AND finished_at IS NULL RETURNING failures"
FORGET_CHUNKS = """
DELETE FROM import_chunks c
 WHERE EXISTS (SELECT FROM imports WHERE id = c.import_id AND finished_at IS NOT NULL)
    OR (received_at < $1 AND NOT EXISTS (SELECT FROM imports WHERE id = c.import_id))
"""
FORGET_RECORDS = """
UPDATE import_lines SET record = NULL
 WHERE record IS NOT NULL AND import_id IN (SELECT id FROM imports WHERE finished_at < $1)
"""

# Each part stops after so many lines: batches come in the order of their last line, lines of a batch in theirs.
LINES = text("""
SELECT l.*, c.full_name, c.rfc, c.external_id FROM (
    (SELECT line, outcome::text, client_id, NULL::uuid AS loan_id, problems, record
       FROM import_lines WHERE import_id = :import_id AND line > :after ORDER BY line LIMIT :most)
    UNION ALL
    (SELECT a.line, 'accepted', a.client_id, a.loan_id, NULL, NULL
       FROM import_batches b CROSS JOIN LATERAL unnest(lines, client_ids, loan_ids) AS a (line, client_id, loan_id)
      WHERE b.import_id = :import_id AND b.through > :after AND a.line > :after
      ORDER BY b.through, a.line LIMIT :most)
) AS l LEFT JOIN clients c ON c.id = l.client_id AND l.outcome = 'accepted' AND c.deleted_at IS NULL
 ORDER BY l.line LIMIT :most
""")


async def keep_chunk(connection: Connection, import_id: UUID, number: int, content: bytes, at: datetime) -> None:
    """Store one part of a file."""
    await connection.execute(KEEP_CHUNK, import_id, number, content, at)


async def drop_chunks(connection: Connection, import_id: UUID) -> None:
    """Forget a file."""
    await connection.execute(DROP_CHUNKS, import_id)


async def drop_unasked_chunks(connection: Connection, import_id: UUID) -> None:
    """Forget a file, unless it belongs to an import."""
    await connection.execute(DROP_UNASKED_CHUNKS, import_id)


async def chunks(connection: Connection, import_id: UUID) -> AsyncIterator[bytes]:
    """A file, part by part."""
    number = 0
    while (content := await connection.fetchval(CHUNK, import_id, number)) is not None:
        yield content
        number += 1


async def same_file(connection: Connection, digest: bytes) -> Record | None:
    """The import that this file is being taken in by, or that took all of it."""
    return await connection.fetchrow(SAME_FILE, digest)


async def business_date(connection: Connection) -> date:
    """Today, as the books say."""
    today: date = await connection.fetchval(TODAY)
    return today


async def for_change(connection: Connection, import_id: UUID) -> Record | None:
    """An import as it is to be changed, with the business date."""
    return await connection.fetchrow(FOR_CHANGE, import_id)


async def oldest_unfinished(connection: Connection) -> UUID | None:
    """The import whose turn it is."""
    found: UUID | None = await connection.fetchval(UNFINISHED)
    return found


async def known(
    connection: Connection, rfcs: Sequence[str], external_ids: Sequence[str], emails: Sequence[str]
) -> dict[tuple[str, str], UUID | None]:
    """The live clients who have one of these, by column and value."""
    rows = await connection.fetch(KNOWN, rfcs, external_ids, emails)
    return {(row["field"], row["value"]): row["id"] for row in rows}


async def known_loans(connection: Connection, external_ids: Sequence[str]) -> dict[tuple[str, str], None]:
    """Which of these external ids loans have, by column and value."""
    found = await connection.fetch(KNOWN_LOANS, external_ids)
    return dict.fromkeys(("loan_external_id", row["external_id"]) for row in found)


async def folios(connection: Connection, count: int) -> list[int]:
    """Running numbers for so many loans; those that are not used are gaps."""
    return [row["nextval"] for row in await connection.fetch(FOLIOS, count)] if count else []


async def begin(connection: Connection, import_id: UUID, status: str, at: datetime) -> bool:
    """Begin to check, or to write, from the first line; what an earlier check found is forgotten. False: it has ended,
    and what was found stands."""
    async with connection.transaction():
        going_on: bool | None = await connection.fetchval(BEGIN, import_id, status, at)
        if going_on:
            await connection.execute(FORGET_LINES, import_id)
    return bool(going_on)


async def checked(
    connection: Connection, import_id: UUID, lines_done: int, counts: Sequence[int], lines: Sequence[Mapping[str, Any]]
) -> bool:
    """Lines have been checked, and these cannot be taken. False: the import is not being checked any more."""
    async with connection.transaction():
        going_on: bool | None = await connection.fetchval(CHECKED, import_id, lines_done, *counts)
        if going_on and lines:
            await connection.execute(KEEP_LINES, *map(list, zip(*(line.values() for line in lines), strict=True)))
    return bool(going_on)


async def count_failure(connection: Connection, import_id: UUID) -> int | None:
    """One more unexpected error; how many there were, None for an import that has ended."""
    count: int | None = await connection.fetchval(COUNT_FAILURE, import_id)
    return count


async def forget(connection: Connection, now: datetime) -> None:
    """Delete files that nobody waits for, and what stood in lines of imports that ended long ago."""
    await connection.execute(FORGET_CHUNKS, now - UPLOADS_KEPT)
    await connection.execute(FORGET_RECORDS, now - RECORDS_KEPT)


async def one(connection: AsyncConnection, import_id: UUID) -> Any:
    """An import; None if there is none."""
    return (await connection.execute(select(imports).where(imports.c.id == import_id))).mappings().one_or_none()


async def page(connection: AsyncConnection, paging: Paging, filters: Sequence[Any]) -> Sequence[Any]:
    """One page of imports."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(imports).where(*filters)))).all()
    return rows


async def not_taken(connection: AsyncConnection, import_id: UUID, after: int, limit: int) -> Sequence[Any]:
    """The next lines that were not taken."""
    statement = (
        select(import_lines)
        .where(import_lines.c.import_id == import_id, import_lines.c.line > after)
        .order_by(import_lines.c.line)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def lines(connection: AsyncConnection, import_id: UUID, after: int, limit: int) -> Sequence[Any]:
    """The next lines of which it is known what became of them; accepted ones with the client they made."""
    found = await connection.execute(LINES, {"import_id": import_id, "after": after, "most": limit})
    return found.mappings().all()
