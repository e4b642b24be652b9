"""Use cases of decoys. Whoever touches one is not made to wait, and cannot overwork the database.

What is touched goes into a short queue; one task writes it down, an address and hour at a time. What comes while the
queue is full is counted and not kept.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

import structlog

from backend_api.db.pools import GIVEN_UP, LOST_CONNECTION, Connection, DatabaseUnavailableError
from backend_api.db.uuid7 import uuid7
from backend_api.decoys import events, queries
from backend_api.domain.errors import DomainError
from backend_api.http import context
from backend_api.http.idempotency import Answer
from backend_api.http.problems import Busy
from backend_api.http.resources import Resources
from backend_api.http.write import Aggregate, Change, UseCase, carry_out
from backend_api.models import decoys
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Lane, Origin

log = structlog.get_logger(__name__)

QUEUE = 1000
ATTEMPTS_KEPT = 100
"""Of one address in one hour."""
ATTEMPTS_LOGGED = 20
"""Of one address, each time it is written down."""
PAUSE_SECONDS = 1.0
"""After the database was away; what waits is kept."""
ACTOR = "system:decoys"
AWAY = (*LOST_CONNECTION, *GIVEN_UP, DatabaseUnavailableError, Busy)


@dataclass(frozen=True, slots=True)
class Touch:
    """Somebody asked for a decoy; `username` is what they tried to sign in as, None if they did not try."""

    at: datetime
    address: str
    path: str
    username: str | None
    user_agent: str | None
    is_attempt: bool

    @property
    def hour(self) -> datetime:
        """The hour it counts in."""
        return self.at.replace(minute=0, second=0, microsecond=0)


class Touched(DomainError):
    """Another process wrote the same address and hour down a moment ago."""

    code = "decoy_known"
    status = 409
    message = "This decoy is known."


CONFLICTS = {"decoys_address_hour_key": Touched}


class Recorder:
    """Takes touches from requests and writes them down one after the other."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._waiting: deque[Touch] = deque()
        self._wake = asyncio.Event()

    def take(self, touch: Touch) -> None:
        """Have it written down soon."""
        if len(self._waiting) < QUEUE:
            self._waiting.append(touch)
            self._wake.set()

    async def work(self) -> None:
        """Write down what waits until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.write_down()
            except AWAY:
                await asyncio.sleep(PAUSE_SECONDS)
                self._wake.set()

    async def write_down(self) -> None:
        """Write down all that waits. Raises what a lost database raises, and keeps what is not written then."""

        def place(touch: Touch) -> tuple[str, datetime]:
            return touch.address, touch.hour

        batch = sorted(self._waiting, key=lambda touch: (place(touch), touch.at))
        self._waiting.clear()
        groups = [list(touches) for _, touches in groupby(batch, key=place)]
        while groups:
            try:
                await self._write(groups[-1])
            except AWAY:
                self._waiting.extend(touch for touches in groups for touch in touches)
                raise
            except Exception:
                # Of one address and hour; the others go on.
                log.exception("decoys_not_recorded")
            groups.pop()

    async def _write(self, touches: Sequence[Touch]) -> None:
        first, attempts = touches[0], [touch for touch in touches if touch.is_attempt]
        origin = Origin(ACTOR, context.request_id(), None, first.at)
        with contextlib.suppress(Touched):
            await carry_out(self._resources, origin, touched(first), CONFLICTS, Lane.BULK)
        async with self._resources.databases.writer.acquire() as connection, connection.transaction():
            decoy_id, _ = await queries.known(connection, first.address, first.hour)
            assert decoy_id is not None  # noqa: S101 - it was just written down
            before = await queries.count(connection, decoy_id, len(touches), len(attempts), touches[-1].at)
            if kept := attempts[: max(0, ATTEMPTS_KEPT - before)]:
                await queries.keep(connection, decoy_id, [_row(attempt) for attempt in kept])
        log.info(
            "decoy_touched",
            address=first.address,
            path=first.path,
            touches=len(touches),
            usernames=[attempt.username for attempt in attempts[:ATTEMPTS_LOGGED]],
        )


def touched(touch: Touch) -> UseCase:
    """The first touch of an address in an hour: nothing new if it is known."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        known, today = await queries.known(connection, touch.address, touch.hour)
        if known is not None:
            return Answer(204, b"", {})
        decoy_id = uuid7(origin.at)
        return Change(
            aggregate=Aggregate("decoy", decoys, decoy_id, 0, GENESIS),
            business_date=today,
            facts=[events.decoy_touched(decoy_id, touch.path, touch.hour)],
            answer=Answer(204, b"", {}),
            values={
                "address": touch.address,
                "hour": touch.hour,
                "touches": 0,
                "attempts": 0,
                "first_at": touch.at,
                "last_at": touch.at,
            },
        )

    return use_case


def _row(attempt: Touch) -> tuple[UUID, datetime, str, str | None, str | None]:
    return uuid7(attempt.at), attempt.at, attempt.path, attempt.username, attempt.user_agent


@asynccontextmanager
async def open_recorder(resources: Resources) -> AsyncIterator[Recorder]:
    """A recorder that works for as long as this is open."""
    recorder = Recorder(resources)
    task = asyncio.create_task(recorder.work())
    try:
        yield recorder
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
