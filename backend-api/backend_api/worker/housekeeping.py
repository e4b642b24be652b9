"""What grows old: approvals nobody decided, stored answers, sessions, carts, touches of decoys, imported files."""

from datetime import datetime, timedelta

import structlog

from backend_api.approvals import queries as approvals
from backend_api.approvals import service as approving
from backend_api.auth import service as sign_ins
from backend_api.customer_space import queries as customer_space
from backend_api.db.pools import LOST_CONNECTION, Connection, DatabaseUnavailableError, connect
from backend_api.decoys import queries as decoys
from backend_api.domain.errors import DomainError
from backend_api.http import context, idempotency
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.imports import queries as imports
from backend_api.outbox.record import Lane, Origin

log = structlog.get_logger(__name__)

HOUSEKEEPING_LOCK = 7301004
"""Name of the session-level advisory lock that the one worker holds who keeps house."""
ACTOR = "system:worker"
ANSWERS_KEPT = timedelta(days=7)
CARTS_KEPT = timedelta(days=1)
"""After their end; what was checked out is kept."""
DECOYS_KEPT = timedelta(days=90)
ANSWERS_AT_ONCE = 1000
"""So few that a statement is over in milliseconds and holds nobody up."""


async def keep_house(resources: Resources) -> None:
    """Do it all, unless another worker does."""
    connection = await connect(resources.settings, name="sofipo-housekeeping")
    try:
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", HOUSEKEEPING_LOCK):
            await _forget_answers(connection, resources.clock())
            await sign_ins.forget(connection, resources.clock())
            await imports.forget(connection, resources.clock())
            await decoys.forget(connection, resources.clock() - DECOYS_KEPT)
            await customer_space.forget_carts(connection, resources.clock() - CARTS_KEPT)
            await _expire_approvals(resources, connection)
    finally:
        connection.terminate()


async def _expire_approvals(resources: Resources, connection: Connection) -> None:
    """Record of every approval past its time that nobody decided it; one client's failure does not stop the rest."""
    now = resources.clock()
    for client_id in await approvals.clients_with_overdue(connection, now):
        origin = Origin(ACTOR, context.request_id(), context.current().traceparent, now)
        try:
            await carry_out(resources, origin, approving.expire(client_id), lane=Lane.BULK)
        except (*LOST_CONNECTION, DatabaseUnavailableError, DomainError):
            raise
        except Exception:
            log.exception("approvals_not_expired", client_id=str(client_id))


async def _forget_answers(connection: Connection, now: datetime) -> None:
    """Delete stored answers after their seven days, a few at a time."""
    forgotten = ANSWERS_AT_ONCE
    while forgotten == ANSWERS_AT_ONCE:
        forgotten = await idempotency.forget(connection, now - ANSWERS_KEPT, ANSWERS_AT_ONCE)
