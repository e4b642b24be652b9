"""The relay's walk: take the next events, publish them, announce what others may now read, remove what was confirmed.

At most one event of an aggregate is under way at any time, which is what keeps its order when a publish fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import structlog

from backend_api.db.pools import Connection
from backend_api.outbox import envelope
from backend_api.outbox.record import Lane
from backend_api.pacing import Complaint, backoff_seconds
from backend_api.relay import queries
from backend_api.relay.publisher import Outcome, Outgoing, Publisher

log = structlog.get_logger(__name__)

BATCH = 100
"""Large enough for several thousand events a second, small enough that a newcomer waits for no more than 20 ms."""
INTERACTIVE_SHARE = 75
"""Of a batch, when both lanes have more than they may send; what the bulk lane leaves is the interactive one's."""
CALM_SECONDS = 1.0
"""So long after the last interactive event the bulk lane may fill whole batches: who comes next waits for one round."""
POLL_SECONDS = 0.2
MAX_BODY_BYTES = 256 * 1024
MAX_DEFERRED = 1000
"""So many aggregates may wait for another try while the others go on; more than that and everything waits."""
ANNOUNCE_SECONDS = 1.0
NOBODY = UUID(int=0)

Announce = Callable[[Mapping[UUID, int]], Awaitable[None]]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Deferral:
    """The oldest event of an aggregate failed `attempt` times in a row; the next try is at `until`."""

    attempt: int
    until: float


class Rounds:
    """The rounds of one term. What it remembers is only about pace and fairness; the truth stays in the outbox."""

    def __init__(self, connection: Connection, publisher: Publisher, announce: Announce, epoch: int) -> None:
        self._connection = connection
        self._publisher = publisher
        self._announce = announce
        self._epoch = epoch
        self._after = dict.fromkeys(Lane, NOBODY)
        self._deferred: dict[UUID, _Deferral] = {}
        self._stalls = 0
        self._interactive_at = monotonic() - CALM_SECONDS
        self._unsent = Complaint("relay_cannot_deliver")
        self._unannounced = Complaint("relay_cannot_announce")

    async def go_on(self, woken: asyncio.Event) -> None:
        """Round after round; waits for a hint or the next poll when there is nothing to send."""
        while True:
            await self._publisher.connect()
            woken.clear()
            if rows := await self._take():
                await self._send(rows)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await woken.wait()

    async def _take(self) -> list[Row]:
        """The next batch: both lanes in their shares, each going on where it stopped if it had more than that."""
        now = monotonic()
        waiting = [aggregate_id for aggregate_id, deferral in self._deferred.items() if deferral.until > now]
        interactive = await self._take_lane(Lane.INTERACTIVE, BATCH, waiting)
        taken = [row["aggregate_id"] for row in interactive]
        if interactive:
            self._interactive_at = now
        calm = now - self._interactive_at > CALM_SECONDS
        bulk = await self._take_lane(Lane.BULK, BATCH if calm else BATCH - INTERACTIVE_SHARE, waiting + taken)
        room = BATCH - len(bulk)
        if len(interactive) > room:
            self._after[Lane.INTERACTIVE] = taken[room - 1]
        return interactive[:room] + bulk

    async def _take_lane(self, lane: Lane, limit: int, without: Sequence[UUID]) -> list[Row]:
        rows = await queries.take(self._connection, lane, self._after[lane], limit, without)
        self._after[lane] = rows[-1]["aggregate_id"] if len(rows) == limit else NOBODY
        return [dict(row) for row in rows]

    async def _send(self, rows: Sequence[Row]) -> None:
        """Publish a batch. What was confirmed is announced and removed; the rest stays and is tried again."""
        batch = [(row, message) for row in rows if (message := await self._encode(row)) is not None]
        outcomes = await self._publisher.publish([message for _, message in batch])
        confirmed: list[Row] = []
        failed: list[tuple[Row, Outcome]] = []
        for (row, _), outcome in zip(batch, outcomes, strict=True):
            if outcome is Outcome.CONFIRMED:
                confirmed.append(row)
            else:
                failed.append((row, outcome))
        if confirmed:
            await self._tell(confirmed)
            await queries.remove(self._connection, self._epoch, [_key(row) for row in confirmed])
        await self._pace(confirmed, failed)

    async def _pace(self, confirmed: Sequence[Row], failed: Sequence[tuple[Row, Outcome]]) -> None:
        """Let the aggregates wait whose event failed, or everybody when nothing can go through at all.

        An unknown outcome means a lost connection, which says nothing about the event: it is not made to wait.
        """
        for row in confirmed:
            self._deferred.pop(row["aggregate_id"], None)
        for row, outcome in failed:
            self._unsent.say(outcome=outcome.name, events=len(failed), event_type=row["event_type"])
            if outcome is not Outcome.UNKNOWN:
                known = self._deferred.get(row["aggregate_id"])
                attempt = known.attempt + 1 if known else 1
                self._deferred[row["aggregate_id"]] = _Deferral(attempt, monotonic() + backoff_seconds(attempt))
        if confirmed or not failed:
            self._stalls = 0
        if confirmed and not self._deferred:
            self._unsent.over()
        all_unknown = not confirmed and any(outcome is Outcome.UNKNOWN for _, outcome in failed)
        if all_unknown or len(self._deferred) > MAX_DEFERRED:
            self._stalls += 1
            await asyncio.sleep(backoff_seconds(self._stalls))

    async def _encode(self, row: Row) -> Outgoing | None:
        """The message of an event, or None: then it was parked, because it can never be sent as it is."""
        try:
            return _message(row)
        except Exception as error:
            reason = f"cannot be encoded: {type(error).__name__}: {error}"[:500]
            await queries.park(self._connection, self._epoch, *_key(row), reason)
            self._deferred.pop(row["aggregate_id"], None)
            log.exception("relay_parked_event", aggregate_id=str(row["aggregate_id"]), sequence=row["sequence"])
            return None

    async def _tell(self, confirmed: Sequence[Row]) -> None:
        """Announce how far each client's events are known. Failing that, readers wait for their cache to expire."""
        versions = {row["aggregate_id"]: row["sequence"] for row in confirmed if row["aggregate_type"] == "client"}
        if not versions:
            return
        try:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._announce(versions)
        except Exception as error:  # noqa: BLE001 - a sick cache must not keep events from the broker
            self._unannounced.say(error=type(error).__name__)
        else:
            self._unannounced.over()


def _message(row: Row) -> Outgoing:
    """The message of an event. Raises when it cannot be made or is too large to be one."""
    if row["event_type"] is None:
        raise ValueError("there is no such event")
    body = envelope.body(row)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"the body has {len(body)} bytes, the limit is {MAX_BODY_BYTES}")
    return Outgoing(envelope.event_id(*_key(row)), envelope.routing_key(row["event_type"]), body, envelope.headers(row))


def _key(row: Row) -> tuple[UUID, int]:
    return row["aggregate_id"], row["sequence"]
