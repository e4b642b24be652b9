"""Tells the relay that something waits in the outbox, after the commit and beside it.

`NOTIFY` inside the writing transaction would serialise all commits behind one database-wide lock, so it is sent on a
connection of its own, and many hints become one. A lost hint costs nothing: the relay also polls.
"""

import asyncio
import random

import structlog

from backend_api.db.pools import LOST_SERVER, connect
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

CHANNEL = "outbox"
INTERVAL_SECONDS = 0.02
"""At most one notification in this time per process."""


class Wake:
    """Sends hints; `start` and `close` belong to the lifespan."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def hint(self) -> None:
        """Something was committed to the outbox. Returns at once and never fails."""
        self._asked.set()

    async def start(self) -> None:
        """Start sending."""
        self._task = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        """Send for ever, connecting again after every failure."""
        while True:
            try:
                connection = await connect(self._settings, name="sofipo-wake")
                try:
                    # A notification is a commit; this one need not reach the disk.
                    await connection.execute("SET synchronous_commit = off")
                    while True:
                        await self._asked.wait()
                        self._asked.clear()
                        await connection.execute(f"NOTIFY {CHANNEL}")
                        await asyncio.sleep(INTERVAL_SECONDS)
                finally:
                    connection.terminate()
            except LOST_SERVER as error:
                log.warning("wake_lost_server", error=type(error).__name__)
                self._asked.set()
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
