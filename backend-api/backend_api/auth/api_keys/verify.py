"""Whether an API key counts now.

Keys in use are remembered for a minute; the feed of revocations (`auth.feed`) makes a process forget one at once. Time
tells nothing about a secret: a key is found by its public id, and hashes are compared in constant time.
"""

import asyncio
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from backend_api.auth.api_keys import queries
from backend_api.auth.api_keys.secrets import Pepper, parts
from backend_api.auth.feed import Feed
from backend_api.auth.permissions import Role, allowed
from backend_api.auth.principal import Principal
from backend_api.db.pools import DatabaseUnavailableError, Pool

log = structlog.get_logger(__name__)

REMEMBERED_KEYS = 4096
REMEMBERED_SECONDS = 60.0
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as it was read."""

    principal: Principal
    version: int
    secret_hash: bytes
    former_hash: bytes | None
    former_until: float
    read_at: float

    def fits(self, secret_hash: bytes, now: float) -> bool:
        if hmac.compare_digest(self.secret_hash, secret_hash):
            return True
        former = self.former_hash is not None and hmac.compare_digest(self.former_hash, secret_hash)
        return former and now < self.former_until


class ApiKeys:
    """The keys that one process knows."""

    def __init__(self, pepper: Pepper, feed: Feed, writer: Pool) -> None:
        self._pepper = pepper
        self._feed = feed
        self._writer = writer
        self._known: dict[str, _Known] = {}
        self._noted: dict[UUID, datetime] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for what is being noted."""
        await asyncio.gather(*self._notes, return_exceptions=True)

    async def verify(self, key: str, now: datetime) -> Principal | None:
        """For whom the key acts; None for one that is unknown, wrong, run out or revoked.

        Raises `DatabaseUnavailableError` when nobody can tell.
        """
        form = parts(key)
        if form is None:
            return None
        public_id, secret_hash, at = form[0], self._pepper.hash(form[1]), now.timestamp()
        known = self._known.get(public_id)
        if known is None or not known.fits(secret_hash, at) or await self._is_old(known, at):
            known = await self._read(public_id, at)
        if known is None or not known.fits(secret_hash, at) or at >= known.principal.expires_at:
            return None
        self._note_use(known.principal.api_key_id, now)
        return known.principal

    async def _is_old(self, known: _Known, at: float) -> bool:
        """Whether it was changed, its owner was, or it was read too long ago to tell."""
        principal = known.principal
        if not 0 <= at - known.read_at < REMEMBERED_SECONDS or principal.api_key_id is None:
            return True
        return await self._feed.has_ended(principal.api_key_id, known.version) or await self._feed.has_ended(
            principal.user_id, principal.epoch
        )

    async def _read(self, public_id: str, at: float) -> _Known | None:
        async with self._writer.ask() as connection:
            row = await queries.by_public_id(connection, public_id)
        if row is None:
            self._known.pop(public_id, None)
            return None
        role = Role(row["role"])
        known = _Known(
            principal=Principal(
                user_id=row["owner_id"],
                username=row["username"],
                role=role,
                permissions=allowed(role, row["scopes"]),
                expires_at=row["expires_at"].timestamp() if row["expires_at"] else float("inf"),
                epoch=row["epoch"],
                client_id=row["client_id"],
                api_key_id=row["id"],
            ),
            version=row["version"],
            secret_hash=row["secret_hash"],
            former_hash=row["former_hash"],
            former_until=row["former_until"].timestamp() if row["former_until"] else 0.0,
            read_at=at,
        )
        if len(self._known) >= REMEMBERED_KEYS:
            self._known.clear()
        self._known[public_id] = known
        return known

    def _note_use(self, key_id: UUID | None, now: datetime) -> None:
        noted = self._noted.get(key_id) if key_id else None
        if key_id is None or (noted is not None and now - noted < USE_NOTED_EVERY):
            return
        if len(self._noted) >= REMEMBERED_KEYS:
            self._noted.clear()
        self._noted[key_id] = now
        note = asyncio.create_task(self._note(key_id, now))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def _note(self, key_id: UUID, now: datetime) -> None:
        try:
            async with self._writer.ask() as connection:
                await queries.used(connection, key_id, now, now - USE_NOTED_EVERY)
        except DatabaseUnavailableError as error:
            # Only for people to see; the next minute notes it again.
            log.info("api_key_use_not_noted", error=type(error).__name__)
