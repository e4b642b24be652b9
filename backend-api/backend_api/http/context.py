"""What is known about the request in hand: its id and its trace, for logs, events and problems."""

import re
import secrets
from contextvars import ContextVar

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class RequestContext:
    """`request_id` is the caller's, if it sent a sane one; `traceparent` is W3C trace context, the caller's or ours."""

    __slots__ = ("_trace", "request_id")

    def __init__(self, request_id: str, trace: str) -> None:
        self.request_id = request_id if _REQUEST_ID.fullmatch(request_id) else secrets.token_hex(8)
        self._trace = trace

    @property
    def traceparent(self) -> str:
        """Only writes need it, so only they pay for checking the caller's or making one."""
        if not _TRACEPARENT.fullmatch(self._trace):
            self._trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        return self._trace


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def begin(headers: list[tuple[bytes, bytes]]) -> RequestContext:
    """Make the context of a request from its raw headers and put it in force for this task."""
    request = trace = b""
    for name, value in headers:
        if name == b"x-request-id":
            request = value
        elif name == b"traceparent":
            trace = value
    context = RequestContext(request.decode("latin-1"), trace.decode("latin-1"))
    _current.set(context)
    return context


def current() -> RequestContext:
    """The context in force; work that is not a request (a command, a job) gets one of its own."""
    context = _current.get()
    return context if context is not None else begin([])


def request_id() -> str:
    """Id of the request in hand."""
    return current().request_id
