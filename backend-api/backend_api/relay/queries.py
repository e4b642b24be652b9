"""The relay's statements: who leads, which events are next, and what becomes of them."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from backend_api.db.pools import Connection
from backend_api.outbox.record import Lane

LEASE = "main"
LEADER_LOCK = 7301002
"""Name of the session-level advisory lock that the leader holds."""

# One plan for every size of the outbox. Planned while it was small, a cached statement would sort the whole table once
# an import has filled it. Peers that vanish must not keep the leader's lock. Removing confirmed rows need not reach the
# disk at once: one that comes back after a crash is sent twice, and the consumer knows it.
SESSION = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET enable_sort = off; SET enable_incremental_sort = off; SET jit = off; SET synchronous_commit = off;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 5000
"""

RAISE_EPOCH = """
INSERT INTO relay_lease AS l (name, epoch, heartbeat_at) VALUES ($1, 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET epoch = l.epoch + 1, heartbeat_at = clock_timestamp()
RETURNING epoch
"""
HEARTBEAT = "UPDATE relay_lease SET heartbeat_at = clock_timestamp() WHERE name = $1 AND epoch = $2 RETURNING epoch"

# Hops from aggregate to aggregate along the lane's index, so a client with thousands of waiting events costs one hop,
# and stops when enough are found, so a lane with a hundred thousand aggregates costs no more than a short one. The row
# comparison leaves the planner no other index: `lane = $1` would let it walk the primary key through the other lane.
# The head is looked for in both lanes: only the oldest event of an aggregate may go. A parked head takes its own
# aggregate out of the batch and nobody else's.
TAKE = """
WITH RECURSIVE waiting (lane, aggregate_id) AS (
    (SELECT o.lane, o.aggregate_id FROM outbox o
      WHERE (o.lane, o.aggregate_id) > ($1, $2) ORDER BY o.lane, o.aggregate_id LIMIT 1)
    UNION ALL
    SELECT next.lane, next.aggregate_id FROM waiting
     CROSS JOIN LATERAL (SELECT o.lane, o.aggregate_id FROM outbox o
                          WHERE (o.lane, o.aggregate_id) > (waiting.lane, waiting.aggregate_id)
                          ORDER BY o.lane, o.aggregate_id LIMIT 1) next
     WHERE next.lane = $1
)
SELECT head.aggregate_id, head.sequence, e.aggregate_type, e.event_type, e.entity_id, e.payload, e.occurred_at,
       e.schema_version, e.actor, e.request_id, e.traceparent, e.prev_hash, e.hash
  FROM waiting
 CROSS JOIN LATERAL (SELECT o.aggregate_id, o.sequence, o.parked_at FROM outbox o
                      WHERE o.aggregate_id = waiting.aggregate_id ORDER BY o.sequence LIMIT 1) head
  LEFT JOIN events e ON e.aggregate_id = head.aggregate_id AND e.sequence = head.sequence
 WHERE waiting.lane = $1 AND head.parked_at IS NULL AND waiting.aggregate_id <> ALL ($4::uuid[])
 LIMIT $3
"""

# Both fenced by the epoch: whoever has been replaced changes nothing and learns it here.
REMOVE = """
WITH fence AS (SELECT FROM relay_lease WHERE name = $1 AND epoch = $2),
     gone AS (DELETE FROM outbox o USING unnest($3::uuid[], $4::bigint[]) AS k (aggregate_id, sequence)
               WHERE o.aggregate_id = k.aggregate_id AND o.sequence = k.sequence AND EXISTS (SELECT FROM fence))
SELECT EXISTS (SELECT FROM fence)
"""
PARK = """
WITH fence AS (SELECT FROM relay_lease WHERE name = $1 AND epoch = $2),
     parked AS (UPDATE outbox SET parked_at = clock_timestamp(), parked_reason = $5
                 WHERE aggregate_id = $3 AND sequence = $4 AND EXISTS (SELECT FROM fence))
SELECT EXISTS (SELECT FROM fence)
"""


class LeadershipLostError(Exception):
    """Another relay has raised the epoch: this one leads no longer."""


async def prepare(connection: Connection) -> None:
    """Set the session up for the relay's statements."""
    await connection.execute(SESSION)


async def try_to_lead(connection: Connection) -> int | None:
    """Take the leader's lock and raise the epoch. The new epoch, or None when another session leads.

    The lock lasts as long as the connection.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK):
        return None
    return int(await connection.fetchval(RAISE_EPOCH, LEASE))


async def heartbeat(connection: Connection, epoch: int) -> None:
    """Say that the leader of this epoch is alive. Raises LeadershipLostError."""
    _fenced(await connection.fetchval(HEARTBEAT, LEASE, epoch))


async def take(
    connection: Connection, lane: Lane, after: UUID, limit: int, without: Sequence[UUID]
) -> list[asyncpg.Record]:
    """The oldest waiting event of each of up to `limit` aggregates with something in this lane, by aggregate id.

    Begins behind the aggregate `after`; leaves out those in `without` and those whose oldest event is parked. A row
    without `event_type` names an event that does not exist.
    """
    return await connection.fetch(TAKE, lane, after, limit, without)


async def remove(connection: Connection, epoch: int, keys: Sequence[tuple[UUID, int]]) -> None:
    """Take confirmed events (aggregate, sequence) off the outbox. Raises LeadershipLostError, and removes nothing."""
    aggregates, sequences = [key[0] for key in keys], [key[1] for key in keys]
    _fenced(await connection.fetchval(REMOVE, LEASE, epoch, aggregates, sequences))


async def park(connection: Connection, epoch: int, aggregate_id: UUID, sequence: int, reason: str) -> None:
    """Set an event aside that can never be sent as it is. Raises LeadershipLostError, and parks nothing."""
    _fenced(await connection.fetchval(PARK, LEASE, epoch, aggregate_id, sequence, reason))


def _fenced(held: object) -> None:
    if not held:
        raise LeadershipLostError
