"""A TCP proxy that misbehaves on demand, to stand between a service and a server it needs."""

import asyncio
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self


class Mode(Enum):
    """How the proxy behaves, for connections that exist already as well."""

    PASS = "pass"  # forwards everything
    REFUSE = "refuse"  # cuts every connection and closes new ones at once
    HANG = "hang"  # accepts and forwards nothing
    DROP_REPLIES = "drop_replies"  # the server gets every request, the client gets no reply
    DELAY = "delay"  # holds every reply back for `delay` seconds


class Proxy:
    """Use as `async with Proxy(host, port) as proxy`, connect to `proxy.port`, set `await proxy.become(Mode…)`.

    `on_reply` may change what the server says, `on_request` may answer in its place (return None to forward); both
    see the bytes as they come, so they suit short heads such as a status line.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.connections = 0
        self.on_reply: Callable[[bytes], bytes] | None = None
        self.on_request: Callable[[bytes], bytes | None] | None = None
        self._target = (host, port)
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def become(self, mode: Mode) -> None:
        """Changes the behaviour from now on."""
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode is Mode.REFUSE:
            self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Resets every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._mode is Mode.REFUSE:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
            self._writers.add(upstream)
            try:
                forwarding = [
                    asyncio.create_task(self._forward_requests(reader, writer, upstream)),
                    asyncio.create_task(self._forward_replies(upstream_reader, writer)),
                ]
                try:
                    await asyncio.wait(forwarding, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for direction in forwarding:
                        direction.cancel()
                    await asyncio.gather(*forwarding, return_exceptions=True)
            finally:
                self._writers.discard(upstream)
                upstream.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # an upstream that is away looks like a cut connection
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            await self._while_hanging()
            answer = self.on_request(data) if self.on_request else None
            if answer is not None:
                writer.write(answer)
                await writer.drain()
                while await reader.read(65536):
                    pass  # the rest of a request that was answered already
                return
            upstream.write(data)
            await upstream.drain()

    async def _forward_replies(self, upstream_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream_reader.read(65536):
            await self._while_hanging()
            if self._mode is Mode.DROP_REPLIES:
                continue
            if self._mode is Mode.DELAY:
                await asyncio.sleep(self.delay)
            writer.write(self.on_reply(data) if self.on_reply else data)
            await writer.drain()

    async def _while_hanging(self) -> None:
        while self._mode is Mode.HANG:
            await self._changed.wait()
