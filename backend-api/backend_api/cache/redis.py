"""One shared connection to Redis whose commands are sent together.

What a library call to Redis costs is the call, not Redis: the commands of one turn of the event loop therefore travel
in one packet, and replies are matched to them in order. A circuit breaker keeps a dead or hung Redis from costing every
request its timeout.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, cast

import hiredis
import structlog
from redis.exceptions import ResponseError

from backend_api.settings import Settings

log = structlog.get_logger(__name__)

COMMAND_SECONDS = 0.1
GRACE_SECONDS = 0.02
"""After a stall of the event loop the timer fires before replies that have long arrived are read: one more look."""
FAILURES_TO_OPEN = 3
OPEN_SECONDS = 1.0

Command = tuple[Any, ...]
_NOTHING = object()


class RedisUnavailableError(Exception):
    """Redis did not answer in time, or the breaker is open. The caller goes on without it."""


class _Wire(asyncio.Protocol):
    """A connection. Replies come in the order of the commands, so a queue of futures is all it takes."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_NOTHING)
        self._expected: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.sent = self.answered = 0

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, batch: Iterable[tuple[Command, "asyncio.Future[Any]"]]) -> None:
        packet = []
        for command, future in batch:
            packet.append(hiredis.pack_command(command))
            self._expected.append(future)
        self.sent += len(packet)
        if self._transport is not None:
            self._transport.write(b"".join(packet))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self.answered += 1
                future = self._expected.popleft()
                if future.done():
                    continue
                if isinstance(reply, ResponseError):
                    future.set_exception(reply)
                    if str(reply).startswith("NOSCRIPT"):
                        # Somebody emptied the script cache; the next connection loads them again.
                        self.give_up()
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            self.give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Hang up and tell everybody who waits."""
        if self._transport is not None:
            self._transport.abort()
        while self._expected:
            _fail(self._expected.popleft())


class BatchedRedis:
    """Commands of one loop turn share one round trip; `execute` answers or raises `RedisUnavailableError`."""

    def __init__(self, settings: Settings, scripts: Sequence[str] = ()) -> None:
        self._settings = settings
        self._scripts = scripts
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker keeps commands away from Redis at the moment."""
        return monotonic() < self._open_until

    async def execute(self, *command: Any) -> Any:
        """The reply of one command, bytes for strings. Raises `RedisUnavailableError`, and Redis' `ResponseError`."""
        if self.is_open:
            raise RedisUnavailableError
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((command, future))
        return await future

    async def close(self) -> None:
        """Fail what waits and disconnect."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for _, future in self._waiting:
            _fail(future)
        if self._wire is not None:
            self._wire.give_up()

    def _flush(self) -> None:
        if not self._waiting:
            return
        wire = self._wire
        if wire is None or wire.is_closed:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            return
        batch, self._waiting = self._waiting, []
        wire.send(batch)
        asyncio.get_running_loop().call_later(COMMAND_SECONDS, self._look, wire, wire.sent, GRACE_SECONDS)

    def _look(self, wire: _Wire, sent: int, grace: float) -> None:
        """Whether the reply that is due has come."""
        if wire.answered >= sent:
            self._failures = 0
        elif wire.is_closed:
            pass
        elif grace:
            asyncio.get_running_loop().call_later(grace, self._look, wire, sent, 0.0)
        else:
            wire.give_up()
            self._count_failure("timeout")

    async def _connect(self) -> None:
        """Open the connection and send what has been waiting for it."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                self._wire = await self._open()
        except (OSError, TimeoutError, ResponseError, RedisUnavailableError) as error:
            batch, self._waiting = self._waiting, []
            for _, future in batch:
                _fail(future)
            self._count_failure(type(error).__name__)
        finally:
            self._connecting = None
        self._flush()

    async def _open(self) -> _Wire:
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(_Wire, self._settings.redis_host, self._settings.redis_port)
        password = self._settings.redis_password.get_secret_value()
        commands: list[Command] = [("AUTH", password)] if password else []
        commands += [("SCRIPT", "LOAD", script) for script in self._scripts]
        futures = [loop.create_future() for _ in commands]
        wire.send(zip(commands, futures, strict=True))
        try:
            await asyncio.gather(*futures)
        except BaseException:
            wire.give_up()
            raise
        return wire

    def _count_failure(self, error: str) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = monotonic() + OPEN_SECONDS
            if self._failures == FAILURES_TO_OPEN:
                log.warning("redis_unavailable", error=error)


def _fail(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(RedisUnavailableError())
