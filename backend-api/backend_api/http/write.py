"""The one function through which every change goes: read, decide, write, and only then answer.

    retry loop → use case (reads, refuses, decides) → one statement: compare-and-set on the aggregate, rows, events,
    outbox, stored answer → commit → position → versions and marks raised → response

A use case never commits and never sees a half-done change. It may be called several times: whatever it decides counts
only if the aggregate has not moved since it read. After three collisions the aggregate is locked first, so that a busy
client is never starved. A failing commit can not produce a 2xx: the response is made after it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from fastapi import Request
from pydantic import BaseModel
from sqlalchemy import Table
from starlette.responses import Response

from backend_api import models
from backend_api.db import conditional_write
from backend_api.db.conditional_write import Insert, Root, Row, Update
from backend_api.db.pools import LOST_CONNECTION, Connection, DatabaseUnavailableError, PoolExhaustedError
from backend_api.domain.errors import DomainError
from backend_api.http import consistency, context, idempotency, problems
from backend_api.http.consistency import ConsistencyToken
from backend_api.http.idempotency import Answer, Key, Stored
from backend_api.http.resources import Resources, resources_of
from backend_api.outbox.record import Fact, Lane, Origin, seal

log = structlog.get_logger(__name__)

TRIES = 3
"""How often a deadlock or lost connection is tried again before 503."""
COLLISIONS_BEFORE_LOCK = 3

ROLLED_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.QueryCanceledError)
STORED_REFUSALS = frozenset({409, 422})
FIND_EVENT = "SELECT hash = $3 FROM events WHERE aggregate_id = $1 AND sequence = $2"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The boundary that a change is made in, as it was read; `sequence` 0 and GENESIS for one that is created."""

    type: str
    table: Table
    id: UUID
    sequence: int
    chain_head: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What a use case decided: nothing of it is written yet."""

    aggregate: Aggregate
    business_date: date
    facts: Sequence[Fact]
    answer: Answer
    values: Row = field(default_factory=dict)
    guard: Row = field(default_factory=dict)
    """Columns of the aggregate that must still be as they were read, for a change that is no event of its own."""
    inserts: Sequence[Insert] = ()
    updates: Sequence[Update] = ()
    created: "Created | None" = None
    """Other aggregates that come into being in the same commit: what a job does many of."""
    amount: Decimal | None = None
    """What a second person would look at; None for what never needs one."""


class Created:
    """Changes that each create an aggregate, numbered, sealed and gathered by table. They are written in the commit of
    one more change, and do not depend on it: a job makes them ready while it still writes those before."""

    def __init__(self, origin: Origin, lane: Lane) -> None:
        self._origin = origin
        self._lane = lane
        self._rows: dict[tuple[Table, tuple[str, ...]], list[Row]] = {}
        self.last: Mapping[str, Any] | None = None
        """The last event."""

    def add(self, change: Change) -> None:
        """One more."""
        events = _sealed(change, self._origin)
        self._gather(change.aggregate.table, [{"id": change.aggregate.id, **change.values, **_told(events)}])
        for insert in change.inserts:
            self._gather(insert.table, insert.rows)
        self._gather(models.events, events)
        self._gather(models.outbox, _waiting(events, self._lane))
        self.last = events[-1]

    def _gather(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            self._rows.setdefault((table, tuple(rows[0])), []).extend(rows)

    @property
    def inserts(self) -> list[Insert]:
        """The rows of each table together, as far as they have the same columns."""
        return [Insert(table, rows) for (table, _), rows in self._rows.items()]


@dataclass(frozen=True, slots=True)
class Plan:
    """A change, numbered and sealed; its last event tells for certain whether it was committed. One without any event
    is carried out again: its guard tells."""

    write: conditional_write.Write
    last: Mapping[str, Any] | None
    stored: Stored


UseCase = Callable[[Connection, Origin], Awaitable[Change | Answer]]
"""Reads, refuses by raising a `DomainError`, and decides: a change, or an answer when there is nothing to change."""

Conflicts = Mapping[str, Callable[[], DomainError]]
"""Unique constraints that a change may run into, and what that means."""


class Moved(Exception):
    """The aggregate or the business day changed between reading and writing, or between two readings: a use case raises
    it instead of deciding on what never was at once, and is asked again."""

    def __init__(self, aggregate: Aggregate) -> None:
        super().__init__()
        self.aggregate = aggregate


@dataclass(slots=True)
class _Request:
    """One request's way through the retry loop."""

    use_case: UseCase
    conflicts: Conflicts
    origin: Origin
    key: Key | None
    lane: Lane = Lane.INTERACTIVE
    in_doubt: list[Plan] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Outcome:
    stored: Stored
    replayed: bool = False


async def run(
    request: Request,
    actor: str,
    use_case: UseCase,
    *,
    body: BaseModel | None = None,
    conflicts: Conflicts | None = None,
    turn: UUID | None = None,
    keyless: bool = False,
) -> Response:
    """Carry out a use case for `actor` and answer.

    `turn` names what concurrent requests would collide on (a loan, a client): within this process they queue for it.
    `keyless` is for calls whose answer holds a secret: no Idempotency-Key is looked at, so nothing of it is stored.
    Raises `DomainError` for refusals, `Busy` when the database cannot do it now.
    """
    resources = resources_of(request)
    current = context.current()
    origin = Origin(actor, current.request_id, current.traceparent, resources.clock())
    given = None if keyless else request.headers.get(idempotency.HEADER)
    key = idempotency.read_key(given, actor, request.method, request.url.path, body)
    work = _Request(use_case, conflicts or {}, origin, key)
    async with resources.turns.take(turn):
        outcome = await _until_decided(resources, work)
    return await _respond(resources, actor, outcome)


async def carry_out(
    resources: Resources,
    origin: Origin,
    use_case: UseCase,
    conflicts: Conflicts | None = None,
    lane: Lane = Lane.INTERACTIVE,
) -> Response:
    """The same for a change that no request asked for (a command, a job); its events wait in `lane`."""
    outcome = await _until_decided(resources, _Request(use_case, conflicts or {}, origin, None, lane))
    return await _respond(resources, origin.actor, outcome)


async def _until_decided(resources: Resources, work: _Request) -> _Outcome:
    tries = collisions = 0
    lock: Aggregate | None = None
    while True:
        try:
            async with resources.databases.writer.acquire() as connection:
                return await _attempt(connection, work, lock)
        except Moved as moved:
            collisions += 1
            lock = moved.aggregate if collisions >= COLLISIONS_BEFORE_LOCK else None
            if collisions > 2 * COLLISIONS_BEFORE_LOCK:
                # Even under the lock: the business day is being switched again and again.
                raise problems.Busy from moved
        except PoolExhaustedError as error:
            raise (problems.OutcomeUnknown() if work.in_doubt else problems.Busy()) from error
        except ValueError:
            # The driver's complaint about an argument is an InterfaceError too, and trying again would not mend it.
            raise
        except asyncpg.LockNotAvailableError as error:
            # Waiting for a twin's key or for somebody who holds the client: nothing was done.
            raise (idempotency.RequestInProgress() if work.key else problems.Busy()) from error
        except (*ROLLED_BACK, *LOST_CONNECTION) as error:
            tries += 1
            log.warning("write_tried_again", error=type(error).__name__, tries=tries, in_doubt=len(work.in_doubt))
            if tries > TRIES:
                raise (problems.OutcomeUnknown() if work.in_doubt else problems.Busy()) from error
            await asyncio.sleep(random.uniform(0.01, 0.05) * 2**tries)  # noqa: S311 - jitter, not a secret


async def _attempt(connection: Connection, work: _Request, lock: Aggregate | None) -> _Outcome:
    committed = await _committed(connection, work)
    if committed is not None:
        return committed
    try:
        if lock is None:
            return await _decide_and_write(connection, work)
        return await _under_lock(connection, work, lock)
    except DomainError as refusal:
        return await _refuse(connection, work, refusal)
    except asyncpg.UniqueViolationError as error:
        committed = await _committed(connection, work)
        if committed is not None:
            # A plan in doubt was committed after all, a moment ago: what is taken we have taken ourselves.
            return committed
        if error.constraint_name == "idempotency_keys_pkey" and work.key:
            stored = await idempotency.find(connection, work.key)
            if stored is None:
                raise idempotency.RequestInProgress from error
            return _Outcome(stored, replayed=True)
        conflict = work.conflicts.get(error.constraint_name or "")
        if conflict is None:
            raise
        return await _refuse(connection, work, conflict())


async def _under_lock(connection: Connection, work: _Request, lock: Aggregate) -> _Outcome:
    async with connection.transaction():
        await connection.fetchval(
            f"SELECT 1 FROM {lock.table.name} WHERE id = $1 FOR NO KEY UPDATE",  # noqa: S608 - name from metadata
            lock.id,
        )
        try:
            return await _decide_and_write(connection, work)
        except DomainError as error:
            # Not out of the transaction: what a use case wrote before it refused, new prices of a cart, stays.
            refusal = error
    raise refusal


async def _committed(connection: Connection, work: _Request) -> _Outcome | None:
    """The outcome of a plan whose connection was lost while it was being committed: its event says whether it was."""
    for plan in work.in_doubt:
        last = plan.last
        if last and await connection.fetchval(FIND_EVENT, last["aggregate_id"], last["sequence"], last["hash"]):
            return _Outcome(plan.stored)
    return None


async def _decide_and_write(connection: Connection, work: _Request) -> _Outcome:
    change = await work.use_case(connection, work.origin)
    if isinstance(change, Answer):
        return await _keep(connection, work, Stored(change))
    plan = _plan(change, work)
    # In doubt until the server says otherwise; a plan that is still here after an error may have been committed.
    work.in_doubt.append(plan)
    try:
        written = await conditional_write.execute(connection, plan.write)
    except LOST_CONNECTION:
        raise
    except asyncpg.PostgresError:
        work.in_doubt.remove(plan)
        raise
    if not written:
        work.in_doubt.remove(plan)
        raise Moved(change.aggregate)
    return _Outcome(plan.stored)


def _plan(change: Change, work: _Request) -> Plan:
    aggregate, events = change.aggregate, _sealed(change, work.origin)
    values, sequence = change.values, aggregate.sequence
    if events:
        sequence = events[-1]["sequence"]
        values = {**values, **_told(events)}
    stored = Stored(change.answer, aggregate.id, sequence)
    inserts = [*change.inserts, Insert(models.events, events), Insert(models.outbox, _waiting(events, work.lane))]
    if change.created:
        inserts += change.created.inserts
    if work.key is not None:
        inserts.append(Insert(models.idempotency_keys, [work.key.row(stored, work.origin.at)]))
    root = Root(aggregate.table, aggregate.id, aggregate.sequence, values, change.guard)
    write = conditional_write.Write(change.business_date, root, inserts, change.updates)
    last = events[-1] if events else change.created.last if change.created else None
    return Plan(write, last, stored)


def _sealed(change: Change, origin: Origin) -> list[dict[str, Any]]:
    aggregate = change.aggregate
    return seal(aggregate.type, aggregate.id, aggregate.sequence, aggregate.chain_head, change.facts, origin)


def _told(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of an aggregate that name its last event."""
    return {"event_sequence": events[-1]["sequence"], "chain_head": events[-1]["hash"]}


def _waiting(events: Sequence[Row], lane: Lane) -> list[Row]:
    """The places of these events in the queue to the broker."""
    return [
        {"aggregate_id": event["aggregate_id"], "sequence": event["sequence"], "lane": int(lane)} for event in events
    ]


async def _refuse(connection: Connection, work: _Request, refusal: DomainError) -> _Outcome:
    """A refusal changes nothing; with a key its answer is kept, unless a twin that was accepted came first."""
    committed = await _committed(connection, work)
    if committed is not None:
        # A plan in doubt was committed after all, a moment ago: this refusal is about our own change.
        return committed
    if work.key is None:
        raise refusal
    stored = await idempotency.find(connection, work.key)
    if stored is not None:
        return _Outcome(stored, replayed=True)
    if refusal.status not in STORED_REFUSALS:
        raise refusal
    return await _keep(
        connection, work, Stored(Answer(refusal.status, problems.of_refusal(refusal), {}, problems.MEDIA_TYPE))
    )


async def _keep(connection: Connection, work: _Request, stored: Stored) -> _Outcome:
    """Keep the answer of a request that changed nothing, unless a twin was first."""
    if work.key is None or await idempotency.keep(connection, work.key, stored, work.origin.at):
        return _Outcome(stored)
    return _Outcome(await idempotency.find(connection, work.key) or stored, replayed=True)


async def _respond(resources: Resources, actor: str, outcome: _Outcome) -> Response:
    extra = {idempotency.REPLAYED: "true"} if outcome.replayed else {}
    stored = outcome.stored
    if stored.aggregate is None:
        return stored.answer.response(extra)
    # A replay answers for a change too, maybe one whose first answer got lost before anybody was told.
    timeline, lsn = await resources.commit_position.after_commit()
    resources.wake.hint()
    await _announce(resources, {stored.aggregate: stored.sequence}, actor, lsn)
    token = ConsistencyToken(timeline, lsn, stored.aggregate, stored.sequence)
    return stored.answer.response({**extra, consistency.HEADER: token.pack(resources.token_signer)})


async def _announce(resources: Resources, versions: Mapping[UUID, int], actor: str, lsn: int) -> None:
    """Until nobody can read an older view any more. Raises `OutcomeUnknown` if neither Redis nor the primary hears it:
    the change stands, but a 2xx would promise its author that they can read it."""
    for attempt in range(1, TRIES + 1):
        try:
            await resources.cache.announce(versions, principal=actor, lsn=lsn)
        except (*LOST_CONNECTION, asyncpg.PostgresError, DatabaseUnavailableError) as error:
            log.warning("announce_failed", error=type(error).__name__, attempt=attempt)
            await asyncio.sleep(0.25 * 2**attempt)
        else:
            return
    raise problems.OutcomeUnknown
