"""The event database, as the auditor's account sees it: documents in the order of their ids, and nothing is written."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
import structlog
from fastapi import Request

from backend_api.http.problems import Busy
from backend_api.settings import Settings

log = structlog.get_logger(__name__)

DATABASE = "business_events"
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 4.0
"""From the connection to the last byte of an answer."""

Document = dict[str, Any]


class ArchiveAway(Busy):
    """CouchDB does not answer, or not the auditor. The books are not touched by it."""

    code = "audit_unavailable"
    message = "The event database does not answer: try again."
    retry_after = 5


class Archive:
    """The documents of one database. Every method raises `ArchiveAway` within seconds when they cannot be read."""

    def __init__(self, settings: Settings, database: str = DATABASE) -> None:
        self._database = database
        self._client = httpx2.AsyncClient(
            base_url=f"http://{settings.couchdb_host}:{settings.couchdb_port}",
            auth=(settings.couchdb_auditor_user, settings.couchdb_auditor_password.get_secret_value()),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            # Below the 5 s after which common servers close an idle connection.
            limits=httpx2.Limits(max_connections=4, keepalive_expiry=2.0),
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # plain HTTP: reading all root certificates takes 15 ms
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def after(self, last: str, limit: int, end: str | None = None) -> Sequence[Document]:
        """The next `limit` documents, in the order of their ids, after this id and not beyond `end`."""
        bounds = {"startkey": last} if end is None else {"startkey": last, "endkey": end}
        keys = {name: orjson.dumps(key).decode() for name, key in bounds.items()}
        # The bounds are part of what is answered, so one more is asked for.
        answer = await self._ask("GET", params={**keys, "include_docs": "true", "limit": str(limit + 1)})
        return [row["doc"] for row in answer["rows"] if row["id"] != last][:limit]

    async def named(self, ids: Sequence[str]) -> dict[str, Document]:
        """Those of these documents that are there, by id."""
        answer = await self._ask("POST", params={"include_docs": "true"}, content=orjson.dumps({"keys": ids}))
        return {row["id"]: row["doc"] for row in answer["rows"] if row.get("doc")}

    async def _ask(self, method: str, **request: Any) -> Any:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._client.request(method, f"/{self._database}/_all_docs", **request)
            answer.raise_for_status()
            content = orjson.loads(answer.content)
            content["rows"]
        except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("archive_unavailable", cause=_cause(error))
            raise ArchiveAway from error
        return content


def _cause(error: Exception) -> str:
    """What is the matter, without the address, which holds ids."""
    if isinstance(error, httpx2.HTTPStatusError):
        return f"status {error.response.status_code}"
    return type(error).__name__


@asynccontextmanager
async def open_archive(settings: Settings, database: str = DATABASE) -> AsyncIterator[Archive]:
    """The archive, closed in the end. Nothing is asked before the first question: the API starts without CouchDB."""
    archive = Archive(settings, database)
    try:
        yield archive
    finally:
        await archive.close()


def archive_of(request: Request) -> Archive:
    """The archive of the application a request came to."""
    archive: Archive = request.app.state.archive
    return archive
