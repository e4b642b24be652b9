"""Every error leaves as RFC 9457 problem+json: a stable code, a sentence, pointers, the request id, never the input."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_api.db.pools import DatabaseUnavailableError
from backend_api.domain.errors import DomainError
from backend_api.http.context import request_id

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field; `pointer` is a JSON pointer into the body, or names the parameter or header."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """The body of every answer of 400 and above (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[FieldError] | None = None


class NotFound(DomainError):
    """There is no such thing, or none this caller may see."""

    code = "not_found"
    status = 404
    message = "There is nothing here that you may see."


class PreconditionFailed(DomainError):
    """`If-Match` named another version."""

    code = "precondition_failed"
    status = 412
    message = "The resource has changed since you read it: read it again and decide anew."


class FieldRefused(DomainError):
    """One field or parameter breaks a rule that types cannot express."""

    code = "validation_failed"
    status = 422
    message = "The request has a field that cannot be accepted."

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__()
        self.errors = [FieldError(pointer=pointer, code=code, detail=detail)]


class Busy(DomainError):
    """The database is overloaded or away; nothing was decided."""

    code = "temporarily_unavailable"
    status = 503
    message = "The service cannot do this at the moment: try again."


class BodyRefused(HTTPException):
    """The body cannot be read. An HTTPException, because FastAPI turns every other into a bare 400."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(422)
        self.errors = [FieldError(pointer="", code=code, detail=detail)]


class OutcomeUnknown(Busy):
    """The connection was lost at the commit and the server stayed away: the change may or may not stand."""

    code = "outcome_unknown"
    message = "It is not known whether this was done: send it again with the same Idempotency-Key, or look first."


TITLE = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Names of RFC 9110 that the standard library of Python 3.11 does not have yet."""


def body(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> bytes:
    """The bytes of a problem; `facts` become members of their own, as RFC 9457 section 3.2 has it."""
    problem: dict[str, Any] = {
        "type": f"urn:sofipo:problem:{code}",
        "title": TITLE.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id(),
    }
    if errors:
        problem["errors"] = [error.model_dump() for error in errors]
    return orjson.dumps({**(facts or {}), **problem})


def of_refusal(refusal: DomainError) -> bytes:
    """The problem of a refusal."""
    return body(
        refusal.status,
        refusal.code,
        refusal.message,
        errors=getattr(refusal, "errors", None),
        facts={name: value for name, value in refusal.facts.items() if value is not None},
    )


def response(status: int, content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as a response."""
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def refusal_response(refusal: DomainError) -> Response:
    """The response of a refusal; what may be tried again says when."""
    seconds = getattr(refusal, "retry_after", None)
    if seconds is None and (refusal.status == HTTPStatus.SERVICE_UNAVAILABLE or refusal.code in RETRYABLE):
        seconds = 1
    return response(refusal.status, of_refusal(refusal), {"Retry-After": str(seconds)} if seconds else {})


RETRYABLE = frozenset({"request_in_progress"})

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")

TEXTS = {
    400: ("bad_request", "The request could not be understood."),
    401: ("unauthenticated", "Sign in first: this needs a valid access token."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is nothing here that you may see."),
    405: ("method_not_allowed", "This path does not answer to this method."),
    413: ("body_too_large", "The body is larger than 1 MiB."),
    422: ("validation_failed", "The request has fields that cannot be accepted."),
    415: ("unsupported_media_type", "Send the body as plain application/json."),
    421: ("host_unknown", "This host is not served here."),
    431: ("headers_too_large", "The request has more than 100 header fields, or more than 32 KiB of them."),
}
"""Code and sentence of a refusal that has none of its own."""


async def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)  # noqa: S101 - registered for this type only
    return refusal_response(error)


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    code, detail = TEXTS.get(error.status_code, ("http_error", HTTPStatus(error.status_code).phrase))
    errors = error.errors if isinstance(error, BodyRefused) else None
    return response(error.status_code, body(error.status_code, code, detail, errors=errors), error.headers)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    errors = [
        FieldError(pointer=_pointer(item["loc"]), code=str(item["type"]), detail=_detail(item))
        for item in error.errors()[:20]
    ]
    return response(
        422, body(422, "validation_failed", "The request has fields that cannot be accepted.", errors=errors)
    )


async def _on_database_trouble(_: Request, error: Exception) -> Response:
    if isinstance(error, DataError | IntegrityError | ProgrammingError):
        # Not the database's trouble but ours: nothing gets better by trying again.
        raise error
    log.warning("database_unavailable", error=type(error).__name__, cause=type(error.__cause__).__name__)
    return refusal_response(Busy())


def _pointer(location: Sequence[int | str]) -> str:
    """`("body", "terms", 0)` → `/terms/0`; parameters and headers are named with where they stand."""
    place, *rest = location
    named: list[str] = []
    for part in rest:
        # The name of an unknown field is the caller's: one that is no plain name is not sent back.
        if not _NAME.fullmatch(str(part)):
            break
        named.append(str(part))
    return "".join(f"/{part}" for part in named) if place == "body" else f"{place}:{'/'.join(named)}"


def _detail(item: Mapping[str, Any]) -> str:
    """Pydantic's sentence. It quotes the model's own bounds, never the input; only these types put input into it."""
    if item["type"] == "extra_forbidden":
        return "This field is not known here."
    return str(item["msg"])


def install(app: FastAPI) -> None:
    """Register the handlers. Unhandled errors are answered by the outermost middleware, see `http.edge`."""
    app.add_exception_handler(DomainError, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(DBAPIError, _on_database_trouble)
    app.add_exception_handler(PoolTimeoutError, _on_database_trouble)
    app.add_exception_handler(DatabaseUnavailableError, _on_database_trouble)
