"""Lists: keyset pages with signed cursors. Every page costs the same, however deep, and no row is shown twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import Column, ColumnElement, Select, tuple_

from backend_api.http.problems import FieldRefused
from backend_api.http.signing import SignatureInvalidError, Signer

MAX_LIMIT = 100
DEFAULT_LIMIT = 50
Item = TypeVar("Item", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page, at most 100.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before, with the same filters and sort.")
]


class Page(BaseModel, Generic[Item]):
    """One page; `next_cursor` is null on the last."""

    data: list[Item]
    next_cursor: str | None = Field(examples=[None])
    has_more: bool = Field(examples=[False])


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort the list offers: the column, how its values travel in a cursor, and the id that breaks ties."""

    column: Column[Any]
    parse: Callable[[str], Any] = str


@dataclass(frozen=True, slots=True)
class Paging:
    """A page request, checked: where to start, which way to go, how far."""

    sort: Sort
    id_column: Column[UUID]
    descending: bool
    limit: int
    after: tuple[Any, UUID] | None
    audience: str
    signer: Signer
    own: ColumnElement[bool] | None = None
    """What holds for the rows that the caller may see; None for callers who may see all."""

    def apply(self, statement: Select[Any]) -> Select[Any]:
        """Add order, start and limit (one row more than asked for tells whether there are more)."""
        columns = (self.sort.column, self.id_column)
        if self.own is not None:
            statement = statement.where(self.own)
        if self.after is not None:
            here = tuple_(*columns)
            there = tuple_(*self.after)
            statement = statement.where(here < there if self.descending else here > there)
        order = [column.desc() if self.descending else column.asc() for column in columns]
        return statement.order_by(*order).limit(self.limit + 1)

    def page(self, rows: Sequence[Any], build: Callable[[Any], Item]) -> Page[Item]:
        """The page of these rows."""
        shown = rows[: self.limit]
        has_more = len(rows) > self.limit
        cursor = None
        if has_more:
            last = shown[-1]
            value = getattr(last, self.sort.column.name)
            cursor = self.signer.sign(orjson.dumps([_spell(value), str(last.id)]), self.audience)
        return Page(data=[build(row) for row in shown], next_cursor=cursor, has_more=has_more)


def paging(
    signer: Signer,
    *,
    name: str,
    principal: str,
    sorts: Mapping[str, Sort],
    id_column: Column[UUID],
    sort: str,
    filters: Mapping[str, object],
    limit: int,
    cursor: str | None,
    own: ColumnElement[bool] | None = None,
) -> Paging:
    """Check a page request. The cursor is bound to list, principal, filters and sort: anything else is refused.

    Raises `FieldRefused` for an unknown sort or a cursor that was not made for exactly this list.
    """
    descending, key = sort.startswith("-"), sort.removeprefix("-")
    if key not in sorts:
        allowed = ", ".join(sorted(sorts))
        raise FieldRefused("query:sort", "sort_unknown", f"Sort by one of {allowed}; a leading - turns the order.")
    used = {name: str(value) for name, value in sorted(filters.items()) if value is not None}
    audience = orjson.dumps([name, principal, sort, used]).decode()
    after = None
    if cursor is not None:
        try:
            value, row_id = orjson.loads(signer.verify(cursor, audience))
            after = sorts[key].parse(value), UUID(row_id)
        except (SignatureInvalidError, ValueError) as error:
            raise FieldRefused("query:cursor", "cursor_invalid", "This cursor was not issued for this list.") from error
    return Paging(sorts[key], id_column, descending, limit, after, audience, signer, own)


def _spell(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)
