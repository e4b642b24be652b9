"""What is known about the request in hand: its id and its trace, for logs, events and problems."""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """`request_id` is the caller's, if it sent a sane one; `traceparent` is W3C trace context, the caller's or ours."""

    request_id: str
    traceparent: str


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def begin(headers: list[tuple[bytes, bytes]]) -> RequestContext:
    """Make the context of a request from its raw headers and put it in force for this task."""
    sent = {name: value for name, value in headers if name in (b"x-request-id", b"traceparent")}
    request = sent.get(b"x-request-id", b"").decode("latin-1")
    trace = sent.get(b"traceparent", b"").decode("latin-1")
    context = RequestContext(
        request_id=request if _REQUEST_ID.fullmatch(request) else secrets.token_hex(8),
        traceparent=trace if _TRACEPARENT.fullmatch(trace) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
    )
    _current.set(context)
    return context


def current() -> RequestContext:
    """The context in force; work that is not a request (a command, a job) gets one of its own."""
    context = _current.get()
    return context if context is not None else begin([])


def request_id() -> str:
    """Id of the request in hand."""
    return current().request_id
