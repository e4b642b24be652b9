"""The server's side of a connection, with patience that ends: uvicorn waits for a request for ever.

Whoever opens a connection and sends nothing, or a byte now and then, holds memory and a descriptor for nothing. Here a
request has a time to arrive in, and its headers a size. A connection in good order pays for two assignments a request
and one timer every few seconds (docs/decisions/0022-rate-limits-and-deadlines.md has the figures).
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from backend_api.http import context, problems

MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
BYTES_PER_SECOND = 35_000
"""Whoever sends a body no slower than this is waited for: a file of 64 MiB takes half an hour of it."""
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


async def _refuse_headers(scope: Scope, receive: Receive, send: Send) -> None:
    context.begin([])
    response = problems.response(
        431, problems.body(431, *problems.TEXTS[431]), {"Connection": "close", "X-Request-ID": context.request_id()}
    )
    await response(scope, receive, send)


class PatientProtocol(HttpToolsProtocol):
    """Closes the connection of a request that does not arrive in time, and refuses too many or too large headers."""

    header_seconds = 10.0
    """From the opening of the connection, or the first byte of a request, to the end of its headers."""
    request_seconds = 30.0
    """The same to the end of its body, and longer for what has come of it, see `BYTES_PER_SECOND`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._since: float | None = None
        """When the request that is arriving began; None between requests."""
        self._has_headers = False
        self._received = 0
        self._watch: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """The first request has its time from here on, whether or not it begins."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._watch = self.loop.call_later(self.header_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Anything that comes between requests begins one, even an empty line."""
        if self._since is None:
            self._since = self.loop.time()
        self._received += len(data)
        super().data_received(data)
        if self._received > MAX_HEADER_BYTES and not self._has_headers and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request may begin in the middle of what came: it was pipelined."""
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the body is waited for."""
        self._has_headers = True
        if (self._received > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADERS) and self._is_too_large():
            served, self.app = self.app, _refuse_headers
            super().on_headers_complete()
            self.app = served
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._since = None
        self._has_headers = False
        self._received = 0
        super().on_message_complete()

    def _is_too_large(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return size > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADERS

    def _look(self) -> None:
        """Close if the request is late, look again when it might be."""
        wait = self.header_seconds
        if self._since is not None:
            in_body = self.request_seconds + self._received / BYTES_PER_SECOND
            allowed = in_body if self._has_headers else self.header_seconds
            wait = self._since + allowed - self.loop.time()
            if wait <= 0:
                if not self._has_headers:
                    self.transport.write(TIMEOUT)
                self.transport.close()
                return
        self._watch = self.loop.call_later(wait, self._look)
