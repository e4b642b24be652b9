"""How a list endpoint answers: read where the caller sees its own writes, one page, bytes."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy import Column

from backend_api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, Paging, Sort, paging
from backend_api.http.resources import resources_of


class PageRequest:
    """The query parameters that every list shares."""

    def __init__(
        self,
        request: Request,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        sort: Annotated[
            str | None, Query(max_length=40, description="A field to sort by; a leading - turns the order.")
        ] = None,
    ) -> None:
        resources = resources_of(request)
        self._signer = resources.cursor_signer
        self._limit = limit
        self._cursor = cursor
        self._sort = sort

    def of(
        self,
        name: str,
        principal: str,
        id_column: "Column[UUID]",
        sorts: Mapping[str, Sort],
        filters: Mapping[str, object],
        default: str = "created_at",
    ) -> Paging:
        """The checked page request for one list. Raises `FieldRefused`."""
        return paging(
            self._signer,
            name=name,
            principal=principal,
            sorts=sorts,
            id_column=id_column,
            sort=self._sort or default,
            filters=filters,
            limit=self._limit,
            cursor=self._cursor,
        )


Paged = Annotated[PageRequest, Depends()]
