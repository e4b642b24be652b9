"""One leader at a time: who holds the lock serves, everybody else asks for it once a second.

The lock belongs to a database session, so a killed leader frees it at once. A leader that was only asleep (stopped,
partitioned) and wakes up finds a higher epoch: it changes no row of the outbox any more and goes back to asking.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from backend_api.db.pools import LOST_SERVER, Connection, connect
from backend_api.pacing import Complaint
from backend_api.relay import queries
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

ASK_SECONDS = 1.0

Serve = Callable[[int], Coroutine[Any, Any, None]]


async def lead(settings: Settings, serve: Serve) -> None:
    """Ask for the lead for ever; while it is held, run `serve(epoch)`. Ends only by cancellation or a defect."""
    unreachable = Complaint("relay_lost_database")
    while True:
        try:
            await _one_term(settings, serve, unreachable)
        except* queries.LeadershipLostError:
            log.warning("relay_lost_lead")
        except* LOST_SERVER as lost:
            unreachable.say(error=type(_first(lost)).__name__)
        await asyncio.sleep(ASK_SECONDS)


async def _one_term(settings: Settings, serve: Serve, unreachable: Complaint) -> None:
    """Ask until the lead is won, then hold it until it is lost."""
    connection = await connect(settings, name="sofipo-relay-leader")
    try:
        await queries.prepare(connection)
        unreachable.over()
        while (epoch := await queries.try_to_lead(connection)) is None:  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(ASK_SECONDS)
        log.info("relay_leads", epoch=epoch)
        async with asyncio.TaskGroup() as term:
            term.create_task(_keep_alive(connection, epoch))
            term.create_task(serve(epoch))
    finally:
        connection.terminate()


async def _keep_alive(connection: Connection, epoch: int) -> None:
    while True:
        await asyncio.sleep(ASK_SECONDS)
        await queries.heartbeat(connection, epoch)


def _first(group: BaseExceptionGroup) -> BaseException:
    """The first real exception in nested groups."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
