"""Every statement about approvals, one function per question. What is past its time is EXPIRED to whoever asks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, case, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.db.pools import Connection
from backend_api.domain.approvals import ApprovalKind, ApprovalStatus
from backend_api.http.pagination import Paging
from backend_api.models import approvals

PENDING = """
SELECT id FROM approvals WHERE target_id = $1 AND kind = $2 AND status = 'PENDING' AND expires_at > $3
"""
FOR_DECISION = """
SELECT a.*, c.event_sequence, c.chain_head, (SELECT business_date FROM business_day) AS today
  FROM approvals a JOIN clients c ON c.id = a.client_id WHERE a.id = $1
"""
OVERDUE = """
SELECT a.*, c.event_sequence, c.chain_head, (SELECT business_date FROM business_day) AS today
  FROM approvals a JOIN clients c ON c.id = a.client_id
 WHERE a.client_id = $1 AND a.status = 'PENDING' AND a.expires_at <= $2 ORDER BY a.id
"""
CLIENTS_WITH_OVERDUE = """
SELECT DISTINCT client_id FROM approvals WHERE status = 'PENDING' AND expires_at <= $1 ORDER BY client_id
"""


async def pending(connection: Connection, kind: ApprovalKind, target_id: UUID, at: datetime) -> UUID | None:
    """The approval of this kind that already waits for a decision about this loan or payment."""
    found: UUID | None = await connection.fetchval(PENDING, target_id, kind.value, at)
    return found


async def for_decision(connection: Connection, approval_id: UUID) -> dict[str, Any] | None:
    """An approval as it is recorded, with its client's sequence and the business date."""
    row = await connection.fetchrow(FOR_DECISION, approval_id)
    return {**row, "request": orjson.loads(row["request"])} if row else None


async def overdue(connection: Connection, client_id: UUID, at: datetime) -> Sequence[dict[str, Any]]:
    """A client's approvals that nobody decided in time and that are not recorded as such."""
    return [dict(row) for row in await connection.fetch(OVERDUE, client_id, at)]


async def clients_with_overdue(connection: Connection, at: datetime) -> Sequence[UUID]:
    """The clients who have such approvals."""
    return [row["client_id"] for row in await connection.fetch(CLIENTS_WITH_OVERDUE, at)]


async def approval(connection: AsyncConnection, approval_id: UUID, at: datetime) -> Any:
    """An approval as it stands at `at`; None if there is none."""
    statement = select(*_as_it_stands(at)).where(approvals.c.id == approval_id)
    return (await connection.execute(statement)).one_or_none()


async def page(
    connection: AsyncConnection, paging: Paging, filters: Sequence[ColumnElement[bool]], at: datetime
) -> Sequence[Any]:
    """One page of approvals as they stand at `at`."""
    rows: Sequence[Any] = (await connection.execute(paging.apply(select(*_as_it_stands(at)).where(*filters)))).all()
    return rows


def with_status(status: ApprovalStatus, at: datetime) -> ColumnElement[bool]:
    """The filter for approvals that have this status at `at`."""
    recorded = approvals.c.status == status.value
    if status is ApprovalStatus.PENDING:
        return and_(recorded, approvals.c.expires_at > at)
    if status is ApprovalStatus.EXPIRED:
        return or_(recorded, _overdue(at))
    return recorded


def _as_it_stands(at: datetime) -> list[ColumnElement[Any]]:
    status = case((_overdue(at), ApprovalStatus.EXPIRED.value), else_=approvals.c.status).label("status")
    return [*(column for column in approvals.c if column.name != "status"), status]


def _overdue(at: datetime) -> ColumnElement[bool]:
    return and_(approvals.c.status == ApprovalStatus.PENDING.value, approvals.c.expires_at <= at)
