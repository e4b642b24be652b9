"""What every process must learn within a second: which tokens no longer count, and which keys sign.

One task reads both from the primary five times a second on a connection of its own, so that a request need not ask.
When the primary has not answered for `FRESH_SECONDS` the request asks it, and is answered 503 if it does not answer
then either: a revocation holds whatever is down. Redis has no part in it.
"""

import asyncio
import random
from datetime import datetime
from time import monotonic
from uuid import UUID

import structlog

from backend_api.auth.tokens import KEPT_AFTER_SUCCESSOR, KeyRing
from backend_api.db.pools import LOST_SERVER, Connection, Pool, connect
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 0.2
FRESH_SECONDS = 0.75
"""Nobody is let in on what is known for longer; less than the second in which a revocation must work."""
KEYS_ASKED_EVERY_SECONDS = 0.1
"""Tokens of unknown keys make a process ask for new ones no oftener."""

# The overlap is longer than any transaction may take, so that a commit that was late is not missed.
REVOKED = "SELECT subject, epoch, at FROM revocations WHERE at > $1::timestamptz - interval '10 s'"
SALTS = "SELECT salt, signs_from FROM signing_keys"
ENDED = "SELECT EXISTS (SELECT FROM revocations WHERE subject = $1 AND epoch > $2)"
REMEMBERED_REVOCATIONS = 10_000
LONG_AGO = datetime.fromisoformat("1970-01-02T00:00:00+00:00")


class Feed:
    """The newest knowledge of one process; `start` and `close` belong to the lifespan."""

    def __init__(self, settings: Settings, writer: Pool, keys: KeyRing) -> None:
        self._settings = settings
        self._writer = writer
        self._keys = keys
        self._epochs: dict[UUID, tuple[int, datetime]] = {}
        self._newest = LONG_AGO
        self._asked_at = float("-inf")
        self._keys_asked_at = 0.0
        self._asking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Know everything once, then keep up. Raises when the primary is away."""
        async with self._writer.acquire() as connection:
            await self._read(connection)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def has_ended(self, subject: UUID, epoch: int) -> bool:
        """Whether what a user, session or API key held at this epoch no longer counts.

        Raises `DatabaseUnavailableError` when nobody can tell.
        """
        if monotonic() - self._asked_at < FRESH_SECONDS:
            known = self._epochs.get(subject)
            return known is not None and known[0] > epoch
        async with self._writer.ask() as connection:
            return bool(await connection.fetchval(ENDED, subject, epoch))

    async def ask_for_keys(self) -> None:
        """Learn of keys out of turn, all that there are now. Raises the same."""
        arrived = monotonic()
        async with self._asking:
            if self._keys_asked_at > arrived:
                return
            await asyncio.sleep(self._keys_asked_at + KEYS_ASKED_EVERY_SECONDS - monotonic())
            asked_at = monotonic()
            async with self._writer.ask() as connection:
                await self._read_keys(connection)
            self._keys_asked_at = asked_at

    async def _follow(self) -> None:
        """Read for ever, connecting again after every failure."""
        reachable = True
        while True:
            try:
                connection = await connect(self._settings, name="sofipo-access")
                try:
                    while True:
                        async with asyncio.timeout(FRESH_SECONDS):
                            await self._read(connection)
                        reachable = True
                        await asyncio.sleep(INTERVAL_SECONDS)
                finally:
                    connection.terminate()
            except LOST_SERVER as error:
                if reachable:
                    log.warning("access_lost_server", error=type(error).__name__)
                    reachable = False
                await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - jitter, not a secret

    async def _read(self, connection: Connection) -> None:
        asked_at = monotonic()
        for row in await connection.fetch(REVOKED, self._newest):
            subject, epoch, at = row["subject"], row["epoch"], row["at"]
            known = self._epochs.get(subject)
            if known is None or epoch > known[0]:
                self._epochs[subject] = epoch, at
            self._newest = max(at, self._newest)
        if len(self._epochs) > REMEMBERED_REVOCATIONS:
            # What was revoked so long ago has run out by itself.
            since = self._newest - KEPT_AFTER_SUCCESSOR
            self._epochs = {subject: known for subject, known in self._epochs.items() if known[1] > since}
        await self._read_keys(connection)
        self._asked_at = asked_at

    async def _read_keys(self, connection: Connection) -> None:
        self._keys.learn((row["salt"], row["signs_from"]) for row in await connection.fetch(SALTS))
