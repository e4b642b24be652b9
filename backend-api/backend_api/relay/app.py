"""The relay as a process: it leads or stands by, listens for hints, and stops when it is told to.

Being stopped anywhere is safe: what was confirmed and not yet removed is sent again, and the consumer recognises it.
"""

import asyncio
from functools import partial

import structlog

from backend_api.db.pools import LOST_SERVER, connect
from backend_api.outbox import broker
from backend_api.outbox.wake import CHANNEL
from backend_api.pacing import backoff_seconds
from backend_api.relay import queries
from backend_api.relay.leader import lead
from backend_api.relay.publisher import Publisher
from backend_api.relay.rounds import Announce, Rounds
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

LISTENER_CHECK_SECONDS = 1.0
"""How soon a lost listener is noticed; until then the polls do its work."""


async def run(settings: Settings, stop: asyncio.Event, announce: Announce, broker_url: str | None = None) -> None:
    """Relay until `stop` is set: lead, or stand by until the leader is gone.

    `announce` gets the highest sequence sent per client, after the confirm and before the event leaves the outbox.
    `broker_url` stands in for the settings' broker. Raises only for a defect: lost servers are waited for.
    """
    publisher = Publisher(broker_url or broker.url(settings))
    leading = asyncio.create_task(lead(settings, partial(_serve, settings, publisher, announce)))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((leading, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leading.cancel()
        stopping.cancel()
        ended, _ = await asyncio.gather(leading, stopping, return_exceptions=True)
        await publisher.close()
    if isinstance(ended, Exception):
        raise ended
    log.info("relay_stopped")


async def _serve(settings: Settings, publisher: Publisher, announce: Announce, epoch: int) -> None:
    """One term of leadership."""
    connection = await connect(settings, name="sofipo-relay")
    woken = asyncio.Event()
    try:
        await queries.prepare(connection)
        async with asyncio.TaskGroup() as term:
            term.create_task(_listen(settings, woken))
            term.create_task(Rounds(connection, publisher, announce, epoch).go_on(woken))
    finally:
        connection.terminate()


async def _listen(settings: Settings, woken: asyncio.Event) -> None:
    """Set `woken` at every hint, and once after each (re)connect: what was committed in between had no listener."""
    while True:
        try:
            connection = await connect(settings, name="sofipo-relay-listen")
            try:
                await connection.add_listener(CHANNEL, lambda *_: woken.set())
                woken.set()
                while True:
                    await asyncio.sleep(LISTENER_CHECK_SECONDS)
                    await connection.execute("SELECT 1")
            finally:
                connection.terminate()
        except LOST_SERVER:
            await asyncio.sleep(backoff_seconds(3))
