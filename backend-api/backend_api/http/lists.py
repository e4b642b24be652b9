"""How a list endpoint answers: read where the caller sees its own writes, one page, bytes."""

from collections.abc import Callable, Mapping
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy import Column, ColumnElement

from backend_api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, Paging, Sort, paging
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of


class Caller(Protocol):
    """Whose list it is: cursors are bound to `actor`; a borrower's `client_id` bounds what is listed."""

    @property
    def actor(self) -> str:
        """Names the caller."""

    @property
    def client_id(self) -> UUID | None:
        """The only client whose rows the caller sees; None for the office."""


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
        caller: Caller,
        id_column: "Column[UUID]",
        sorts: Mapping[str, Sort],
        filters: Mapping[str, object],
        default: str = "created_at",
        of_client: Callable[[UUID], ColumnElement[bool]] | None = None,
    ) -> Paging:
        """The checked page request for one list. Raises `FieldRefused`.

        `of_client` tells a client's own rows. Without it the list is not for borrowers: they get `NotFound`.
        """
        own = None
        if caller.client_id is not None:
            if of_client is None:
                raise NotFound
            own = of_client(caller.client_id)
        return paging(
            self._signer,
            name=name,
            principal=caller.actor,
            own=own,
            sorts=sorts,
            id_column=id_column,
            sort=self._sort or default,
            filters=filters,
            limit=self._limit,
            cursor=self._cursor,
        )


Paged = Annotated[PageRequest, Depends()]
