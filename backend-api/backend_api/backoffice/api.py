"""The API as whoever is signed in here may use it: the same operations, called within the process.

A call goes through the router like one from outside, with the session's own token. Rights, checks, idempotency, events
and the record of who read what are therefore those of the API, and no page can do what its user could not do there.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backend_api.auth.dependencies import Requirement
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.errors import DomainError
from backend_api.http import idempotency
from backend_api.http.idempotency import Answer as Kept
from backend_api.http.idempotency import Stored
from backend_api.http.problems import FieldError
from backend_api.http.resources import resources_of
from backend_api.pages import door
from backend_api.pages.route import explained

ASKED_BY_HAND = {"getClient": Permission.CLIENTS_READ}
"""Operations that look at the caller's rights themselves, because they answer nobody too."""
KEPT_FROM_OUTSIDE = (b"host", b"user-agent", b"traceparent")
DROPPED = ("route", "endpoint", "path_params")
"""What the router of the page found, and the one of the call has to find anew."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API: how it is called, and what a caller needs for it."""

    method: str
    path: str
    permission: Permission | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Headers
    data: Any


class Refused(DomainError):
    """The API refused: its problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: str | None) -> None:
        self.message = str(problem.get("detail", ""))
        super().__init__()
        self.code = str(problem.get("code", "http_error"))
        self._status = status
        self.problem = problem
        self.errors = [FieldError.model_validate(error) for error in problem.get("errors", [])]
        self.retry_after = int(retry_after or 1)

    @property
    def status(self) -> int:  # type: ignore[override]  # known only once the answer is there
        """As the API said it."""
        return self._status


class SentTwice(DomainError):
    """A form whose answer is shown once was sent again."""

    code = "form_sent_twice"
    status = 409
    message = "This form was sent already; its answer was shown once."


class Api:
    """The API for the one who asked for a page."""

    def __init__(self, request: Request, principal: Principal) -> None:
        self.request = request
        self.principal = principal
        self._operations = _operations(request.app)

    def may(self, operation: str) -> bool:
        """Whether the one who asks may make this call."""
        permission = self._operations[operation].permission
        return permission is None or permission in self.principal.permissions

    def check(self, operation: str) -> None:
        """Raises 403 unless they may."""
        if not self.may(operation):
            raise HTTPException(403)

    async def call(
        self,
        operation: str,
        parts: Mapping[str, str],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        once: str | None = None,
        version: str | None = None,
    ) -> Answer:
        """The answer to a call; `once` becomes its Idempotency-Key, `version` its If-Match. Raises `Refused`."""
        content = b"" if body is None else orjson.dumps(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        scope = self._scope(operation, parts, query or {}, _given(headers, once, version), len(content))
        return await self._answer(scope, _whole(content))

    async def upload(
        self, operation: str, query: Mapping[str, Any], once: str, parts: AsyncIterator[bytes], size: int
    ) -> Answer:
        """The answer to a call whose body is a file. Raises `Refused`."""
        headers = _given({"content-type": "application/octet-stream"}, once, None)
        return await self._answer(self._scope(operation, {}, query, headers, size), _in_parts(parts))

    def passed(self, operation: str, parts: Mapping[str, str], query: Mapping[str, Any]) -> Response:
        """The answer to a call as it comes, for files that nobody holds in memory; a page instead of a refusal."""
        self.check(operation)
        return _Passed(self.request, self._scope(operation, parts, query, {}, 0))

    async def spend(self, once: str) -> None:
        """Use up the one-time value of a form whose answer is stored nowhere. Raises `SentTwice`."""
        resources, now = resources_of(self.request), resources_of(self.request).clock()
        key = idempotency.read_key(once, self.principal.actor, "POST", self.request.url.path, None)
        assert key is not None  # noqa: S101 - it was given one
        async with resources.databases.writer.ask() as connection:
            if not await idempotency.keep(connection, key, Stored(Kept(SentTwice.status, b"", {})), now):
                raise SentTwice

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        heard = _Heard()

        async def send(message: Message) -> None:
            heard.take(message)

        await self.request.app.router(scope, receive, send)
        return heard.answer()

    def _scope(
        self, operation: str, parts: Mapping[str, str], query: Mapping[str, Any], headers: Mapping[str, str], size: int
    ) -> Scope:
        known, outside = self._operations[operation], self.request.scope
        path = known.path.format_map(parts)
        kept = [(name, value) for name, value in outside["headers"] if name in KEPT_FROM_OUTSIDE]
        said = {"authorization": f"Bearer {door.access_token(self.request)}", "content-length": str(size), **headers}
        return {name: value for name, value in outside.items() if name not in DROPPED} | {
            "method": known.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(
                {name: value for name, value in query.items() if value not in (None, "")}
            ).encode(),
            "headers": [*kept, *((name.encode(), value.encode()) for name, value in said.items())],
            "state": {},
        }


@dataclass
class _Heard:
    """What a call answers, as it comes."""

    status: int = 500
    headers: Headers = field(default_factory=Headers)
    content: bytearray = field(default_factory=bytearray)

    def take(self, message: Message) -> None:
        """The next part."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
        else:
            self.content.extend(message.get("body", b""))

    def answer(self) -> Answer:
        """All of it. Raises `Refused`, `SignInNeeded`."""
        is_json = "json" in self.headers.get("content-type", "")
        data = orjson.loads(self.content) if self.content and is_json else None
        if self.status == 401:
            raise door.SignInNeeded
        if self.status >= 400:
            raise Refused(self.status, data or {}, self.headers.get("retry-after"))
        return Answer(self.status, self.headers, data)


class _Passed(Response):
    """Another call's answer as it comes, with the cookies of this one. A refusal becomes a page, like all others."""

    def __init__(self, request: Request, call: Scope) -> None:
        super().__init__()
        self._request = request
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookies = [(name, value) for name, value in self.raw_headers if name == b"set-cookie"]
        passes, refusal = False, _Heard()

        async def pass_on(message: Message) -> None:
            nonlocal passes
            if message["type"] == "http.response.start" and message["status"] < 400:
                passes = True
                message["headers"] = [*message["headers"], *cookies]
            if passes:
                await send(message)
            else:
                refusal.take(message)

        try:
            await self._request.app.router(self._call, receive, pass_on)
            if not passes:
                refusal.answer()
        except Exception as error:
            if passes:
                raise
            await explained(self._request, error)(scope, receive, send)


def _operations(app: FastAPI) -> Mapping[str, Operation]:
    """All operations by their names, read once from the routes."""
    known: dict[str, Operation] | None = getattr(app.state, "operations", None)
    if known is None:
        known = app.state.operations = {
            route.operation_id: Operation(sorted(route.methods or ())[0], route.path_format, _permission(route))
            for route in app.routes
            if isinstance(route, APIRoute) and route.operation_id and route.include_in_schema
        }
    return known


def _permission(route: APIRoute) -> Permission | None:
    found = (each.call for each in route.dependant.dependencies)
    asked = next((call.permission for call in found if isinstance(call, Requirement)), None)
    return ASKED_BY_HAND.get(route.operation_id or "", asked)


def _given(headers: Mapping[str, str], once: str | None, version: str | None) -> dict[str, str]:
    more = {idempotency.HEADER.lower(): once, "if-match": version and f'"{version}"'}
    return {**headers, **{name: value for name, value in more.items() if value}}


def _whole(content: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


def _in_parts(parts: AsyncIterator[bytes]) -> Receive:
    async def receive() -> Message:
        part = await anext(parts, b"")
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    return receive
