"""One shared connection to Redis whose commands are sent together.

What a library call to Redis costs is the call, not Redis: the commands of one turn of the event loop therefore travel
in one packet. A circuit breaker keeps a dead or hung Redis from costing every request its timeout.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

import structlog
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from backend_api.settings import Settings

log = structlog.get_logger(__name__)

COMMAND_SECONDS = 0.1
FAILURES_TO_OPEN = 3
OPEN_SECONDS = 1.0

Command = tuple[Any, ...]


class RedisUnavailableError(Exception):
    """Redis did not answer in time, or the breaker is open. The caller goes on without it."""


class BatchedRedis:
    """Commands of one loop turn share one round trip; `execute` answers or raises `RedisUnavailableError`."""

    def __init__(self, settings: Settings, scripts: Sequence[str] = ()) -> None:
        self._connection = Connection(
            host=settings.redis_host,
            port=settings.redis_port,
            password=settings.redis_password.get_secret_value() or None,
            socket_connect_timeout=COMMAND_SECONDS,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._scripts = scripts
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker keeps commands away from Redis at the moment."""
        return monotonic() < self._open_until

    async def execute(self, *command: Any) -> Any:
        """The reply of one command, bytes for strings. Raises `RedisUnavailableError`, and Redis' `ResponseError`."""
        if monotonic() < self._open_until:
            raise RedisUnavailableError
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await future

    async def close(self) -> None:
        """Fail what waits and disconnect."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        self._fail([future for _, future in self._waiting])
        await self._connection.disconnect(nowait=True)

    async def _send_all(self) -> None:
        """Send batch after batch until nothing waits: what arrives during one round trip leaves with the next."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send(batch)
        finally:
            self._sender = None

    async def _send(self, batch: list[tuple[Command, "asyncio.Future[Any]"]]) -> None:
        futures = [future for _, future in batch]
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._connect()
                await self._connection.send_packed_command(
                    self._connection.pack_commands([command for command, _ in batch]), check_health=False
                )
                for future in futures:
                    await self._receive(future)
        except (OSError, RedisError, TimeoutError) as error:
            await self._connection.disconnect(nowait=True)
            self._fail(futures)
            self._count_failure(error)
        except asyncio.CancelledError:
            self._fail(futures)
            raise
        else:
            self._failures = 0

    async def _connect(self) -> None:
        if self._connection.is_connected:
            return
        await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        for script in self._scripts:
            await self._connection.send_command("SCRIPT", "LOAD", script)
            await self._connection.read_response()

    async def _receive(self, future: "asyncio.Future[Any]") -> None:
        try:
            reply = await self._connection.read_response()
        except ResponseError as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(reply)

    def _fail(self, futures: "Sequence[asyncio.Future[Any]]") -> None:
        for future in futures:
            if not future.done():
                future.set_exception(RedisUnavailableError())

    def _count_failure(self, error: BaseException) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = monotonic() + OPEN_SECONDS
            if self._failures == FAILURES_TO_OPEN:
                log.warning("redis_unavailable", error=type(error).__name__)
