"""The one statement that writes: a compare-and-set on the aggregate's row, and everything else `FROM` it.

    WITH day AS MATERIALIZED (SELECT open_business_date() AS today),
         root AS (UPDATE clients SET … FROM day WHERE id = … AND event_sequence = <as read> AND today = … RETURNING id),
         i0 AS (INSERT INTO payments … SELECT … FROM root), …
    SELECT count(*) FROM root

The update of the root *is* the lock: if somebody changed the aggregate since it was read, or the business day was
switched, `root` is empty and nothing at all is written. One statement is one transaction, so change, postings, events,
outbox rows and stored answer are one commit without BEGIN and COMMIT round trips.

A write of many rows is the same in a transaction: the compare-and-set first, then the rows of each table by COPY.
"""

# ruff: noqa: S608 - table and column names come from the metadata only, values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from backend_api.db.pools import Connection

Row = Mapping[str, Any]
MANY_ROWS = 64
"""From so many rows of one table on they are copied: the statement would have thousands of parameters, and another text
for every number of rows."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows of one table, all with the same columns."""

    table: Table
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Update:
    """New values for the row with this id. The root's compare-and-set guards it; columns of `guard`, too, must still be
    as they were read: for a row that others change without the root."""

    table: Table
    id: UUID
    values: Row
    guard: Row = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Root:
    """The aggregate's row: `sequence` is its `event_sequence` as it was read, 0 for one that is created now. Columns of
    `guard`, too, must still be as they were read: for what changes without an event."""

    table: Table
    id: UUID
    sequence: int
    values: Row
    guard: Row = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """Everything one use case changes, decided on the given business date."""

    business_date: date
    root: Root
    inserts: Sequence[Insert] = ()
    updates: Sequence[Update] = field(default=())


async def execute(connection: Connection, write: Write) -> bool:
    """Carry out the write. False: the aggregate or the day moved since it was read; nothing was written."""
    if all(len(insert.rows) < MANY_ROWS for insert in write.inserts):
        return await _in_one_statement(connection, write)
    async with connection.transaction():
        if not await _in_one_statement(connection, replace(write, inserts=())):
            return False
        for insert in write.inserts:
            if insert.rows:
                await connection.copy_records_to_table(
                    insert.table.name,
                    columns=list(insert.rows[0]),
                    records=(tuple(row.values()) for row in insert.rows),
                )
    return True


async def _in_one_statement(connection: Connection, write: Write) -> bool:
    root = write.root
    parameters: list[Any] = [write.business_date]
    guarded = [update for update in write.updates if update.guard]
    for update in guarded:
        parameters.extend((update.id, *update.guard.values()))
    parameters.append(root.id)
    if root.sequence:
        parameters.append(root.sequence)
        parameters.extend(root.guard.values())
    parameters.extend(root.values.values())
    inserts = [insert for insert in write.inserts if insert.rows]
    for insert in inserts:
        for row in insert.rows:
            parameters.extend(row.values())
    for update in write.updates:
        parameters.append(update.id)
        parameters.extend(update.values.values())
    sql = _statement(
        root.table,
        tuple(root.values),
        root.sequence == 0,
        tuple(root.guard),
        tuple((insert.table, tuple(insert.rows[0]), len(insert.rows)) for insert in inserts),
        tuple((update.table, tuple(update.values)) for update in write.updates),
        tuple((update.table, tuple(update.guard)) for update in guarded),
    )
    return bool(await connection.fetchval(sql, *parameters))


@lru_cache(maxsize=256)
def _statement(
    root: Table,
    root_columns: tuple[str, ...],
    creates: bool,
    guard: tuple[str, ...],
    inserts: tuple[tuple[Table, tuple[str, ...], int], ...],
    updates: tuple[tuple[Table, tuple[str, ...]], ...],
    guarded: tuple[tuple[Table, tuple[str, ...]], ...],
) -> str:
    """SQL text for this shape of write; the same shape gives the same text, so it is prepared once per connection."""
    position = 0

    def parameter(table: Table, column: str) -> str:
        nonlocal position
        position += 1
        return f"${position}::{_type(table, column)}"

    position += 1
    parts = ["day AS MATERIALIZED (SELECT open_business_date() AS today)"]
    for number, (table, columns) in enumerate(guarded):
        unchanged = " AND ".join(f"{column} = {parameter(table, column)}" for column in ("id", *columns))
        parts.append(f"g{number} AS MATERIALIZED (SELECT FROM {table.name} WHERE {unchanged} FOR NO KEY UPDATE)")
    as_read = ", ".join(["day", *(f"g{number}" for number in range(len(guarded)))])
    root_id = parameter(root, "id")
    if creates:
        values = ", ".join(parameter(root, column) for column in root_columns)
        parts.append(
            f"root AS (INSERT INTO {root.name} (id, {', '.join(root_columns)}) "
            f"SELECT {root_id}, {values} FROM {as_read} WHERE today = $1::date RETURNING id)"
        )
    else:
        sequence = parameter(root, "event_sequence")
        unchanged = "".join(f" AND {column} = {parameter(root, column)}" for column in guard)
        values = ", ".join(f"{column} = {parameter(root, column)}" for column in root_columns)
        parts.append(
            f"root AS (UPDATE {root.name} SET {values} FROM {as_read} WHERE id = {root_id} "
            f"AND event_sequence = {sequence}{unchanged} AND today = $1::date RETURNING id)"
        )
    for number, (table, columns, count) in enumerate(inserts):
        rows = ", ".join(f"({', '.join(parameter(table, column) for column in columns)})" for _ in range(count))
        parts.append(
            f"i{number} AS (INSERT INTO {table.name} ({', '.join(columns)}) SELECT v.* FROM root, (VALUES {rows}) AS v)"
        )
    for number, (table, columns) in enumerate(updates):
        row_id = parameter(table, "id")
        values = ", ".join(f"{column} = {parameter(table, column)}" for column in columns)
        parts.append(f"u{number} AS (UPDATE {table.name} SET {values} FROM root WHERE {table.name}.id = {row_id})")
    return f"WITH {', '.join(parts)} SELECT count(*) FROM root"


def _type(table: Table, column: str) -> str:
    return str(table.c[column].type.compile(dialect=_DIALECT))
