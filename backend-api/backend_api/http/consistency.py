"""Read your own writes: the token that every write answers with, and the position it was committed at."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from backend_api.db.pools import LOST_CONNECTION, Pool, PoolExhaustedError
from backend_api.http.problems import FieldRefused
from backend_api.http.signing import SignatureInvalidError, Signer

log = structlog.get_logger(__name__)

HEADER = "X-Consistency-Token"
FAR_LSN = 2**63 - 1
"""Ahead of every replica, so that such a reader goes to the primary: when the position of a commit could not be asked,
and for borrowers."""

POSITION = """
SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline,
       (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint AS lsn
"""


@dataclass(frozen=True, slots=True)
class ConsistencyToken:
    """Where a write was committed: reads that carry it are never older.

    `lsn` on `timeline` covers everything; `aggregate` and `sequence` tell a view of one client apart without asking.
    """

    timeline: int
    lsn: int
    aggregate: UUID
    sequence: int

    def pack(self, signer: Signer) -> str:
        """The header's value, signed: a forged far position would send every read to the primary."""
        return signer.sign(f"{self.timeline}.{self.lsn:x}.{self.aggregate}.{self.sequence}".encode())


def read_token(value: str | None, signer: Signer) -> ConsistencyToken | None:
    """The token a request carries. Raises `FieldRefused` for one that we did not make."""
    if value is None:
        return None
    try:
        timeline, lsn, aggregate, sequence = signer.verify(value).decode().split(".")
    except (SignatureInvalidError, UnicodeError) as error:
        raise FieldRefused(
            f"header:{HEADER}", "token_invalid", "This consistency token was not issued here."
        ) from error
    return ConsistencyToken(int(timeline), int(lsn, 16), UUID(aggregate), int(sequence))


class CommitPosition:
    """Asks the primary for its flushed position, once for all writes that finish in the same turn of the loop.

    With `synchronous_commit=on` the flushed position is at or behind no commit that has been confirmed, and unlike the
    insert position it never points at log that has not been sent.
    """

    def __init__(self, writer: Pool) -> None:
        self._writer = writer
        self._waiting: list[asyncio.Future[tuple[int, int]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def after_commit(self) -> tuple[int, int]:
        """Timeline and LSN not before any commit confirmed by now; (0, FAR_LSN) when the primary does not answer."""
        # An answer that is on its way may be older than this commit: it takes the next question, together with all
        # others that come until then.
        future: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_for_all())
        return await future

    async def _ask_for_all(self) -> None:
        """Question after question until nobody waits."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                position = await self._ask()
                for future in waiting:
                    if not future.done():
                        future.set_result(position)
        finally:
            self._asking = None

    async def _ask(self) -> tuple[int, int]:
        try:
            async with self._writer.acquire() as connection:
                row = await connection.fetchrow(POSITION)
        except (*LOST_CONNECTION, asyncpg.PostgresError, PoolExhaustedError) as error:
            log.warning("commit_position_unknown", error=type(error).__name__)
            return 0, FAR_LSN
        return (row["timeline"], row["lsn"]) if row else (0, FAR_LSN)
