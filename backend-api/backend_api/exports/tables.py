"""What can be exported: columns, and rows as the list of the same name reads them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Column

from backend_api.clients import queries as client_queries
from backend_api.clients.endpoints import SORTS as CLIENT_SORTS
from backend_api.http.lists import Caller
from backend_api.http.pagination import Paging, Sort, paging
from backend_api.http.signing import Signer
from backend_api.loans import queries as loan_queries
from backend_api.loans.endpoints import SORTS as LOAN_SORTS
from backend_api.models import clients, loans, payments
from backend_api.payments import queries as payment_queries
from backend_api.payments.endpoints import SORTS as PAYMENT_SORTS
from backend_api.reads import Reader, Reads

ROWS_AT_ONCE = 500
"""What memory holds of an export; a page of so many is read in milliseconds."""

Filters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    """One list: how it is read, by which columns it is sorted, whose each row is, and what a file of it shows."""

    name: str
    page: Callable[..., Awaitable[Sequence[Any]]]
    matching: Callable[[Filters], list[Any]]
    id_column: "Column[UUID]"
    client_column: "Column[UUID]"
    sorts: Mapping[str, Sort]
    columns: tuple[str, ...]

    def paging(self, signer: Signer, caller: Caller, sort: str, filters: Filters) -> Paging:
        """The first page of what the caller may see. Raises `FieldRefused` for an unknown sort."""
        own = None if caller.client_id is None else self.client_column == caller.client_id
        return paging(
            signer,
            name=self.name,
            principal=caller.actor,
            sorts=self.sorts,
            id_column=self.id_column,
            sort=sort,
            filters=filters,
            limit=ROWS_AT_ONCE,
            cursor=None,
            own=own,
        )

    async def pages(
        self, reads: Reads, reader: Reader, first: Paging, filters: Filters
    ) -> AsyncGenerator[Sequence[Any], None]:
        """All rows, by the page. Each page is of its own moment: what comes meanwhile may be in it."""
        page, conditions = first, self.matching(filters)
        while True:
            found = await reads.query(reader, partial(self.page, paging=page, filters=conditions))
            shown = found[: page.limit]
            yield shown
            if len(found) <= page.limit:
                return
            last = shown[-1]
            page = replace(page, after=(getattr(last, page.sort.column.name), last.id))


CLIENTS = Export(
    "clients",
    client_queries.page,
    client_queries.matching,
    clients.c.id,
    clients.c.id,
    CLIENT_SORTS,
    (
        "id", "full_name", "email", "rfc", "external_id", "status", "credit_limit", "kind", "curp", "clabe", "phone",
        "birth_date", "address", "created_at", "updated_at",
    ),
)  # fmt: skip
LOANS = Export(
    "loans",
    loan_queries.page,
    loan_queries.matching,
    loans.c.id,
    loans.c.client_id,
    LOAN_SORTS,
    (
        "id", "folio", "client_id", "external_id", "status", "product", "amount", "interest_rate", "term_months",
        "disbursed_on", "current_balance", "next_due_on", "stage", "notes", "created_at", "updated_at",
    ),
)  # fmt: skip
PAYMENTS = Export(
    "payments",
    payment_queries.page,
    payment_queries.matching,
    payments.c.id,
    payments.c.client_id,
    PAYMENT_SORTS,
    (
        "id", "client_id", "status", "amount", "paid_on", "posted_on", "method", "reference", "external_id", "reason",
        "created_at",
    ),
)  # fmt: skip
