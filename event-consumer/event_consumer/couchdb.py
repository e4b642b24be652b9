"""A thin asynchronous adapter to CouchDB: what the consumer needs of its HTTP interface, and no more."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import orjson

_CONNECT_SECONDS = 1.0
_PROBE_SECONDS = 1.0
_CALL_SECONDS = 5.0
# Below the 5 s after which common servers close an idle connection, so that we never write into a closing one.
_KEEP_ALIVE_SECONDS = 2.0


class CouchDBAway(Exception):
    """CouchDB cannot do its work now, as a sentence; `wait_seconds` is the least time to leave it alone."""

    def __init__(self, sentence: str, wait_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait_seconds = wait_seconds


class BatchRefused(Exception):
    """CouchDB answers, but takes no such request: it is too large (413) or malformed by one of its documents (400)."""


class CouchDB:
    """One database, for one user who signs in with a session cookie and signs in again when it has expired.

    Every method raises CouchDBAway for a failed connection, a timeout, or an answer that is none.
    """

    def __init__(self, host: str, port: int, user: str, password: str, database: str) -> None:
        self._credentials = {"name": user, "password": password}
        self._database = database
        self._client = httpx2.AsyncClient(
            base_url=f"http://{host}:{port}",
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=4, keepalive_expiry=_KEEP_ALIVE_SECONDS),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def up(self) -> None:
        """Returns if the server says that it is up."""
        answer = await self._send("GET", "/_up", None, _PROBE_SECONDS)
        if answer.status_code != 200:
            raise CouchDBAway(f"CouchDB answers {answer.status_code} to /_up")

    async def bulk_docs(self, documents: Sequence[dict[str, Any]]) -> tuple[int, list[Any]]:
        """Offers new documents; status (201 or 202) and rows of the answer. Raises BatchRefused.

        Each document is stored or refused on its own, in a row of its own: never `batch=ok`, never `new_edits=false`.
        """
        return await self._call("_bulk_docs", {"docs": documents}, refusals=(400, 413))

    async def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored documents among `ids`, by id."""
        _, answer = await self._call("_all_docs?include_docs=true", {"keys": ids})
        rows = answer.get("rows", []) if isinstance(answer, dict) else []
        return {row["id"]: row["doc"] for row in rows if isinstance(row, dict) and row.get("doc")}

    async def _call(self, path: str, content: dict[str, Any], refusals: tuple[int, ...] = ()) -> tuple[int, Any]:
        """Posts to the database, signed in; a session that has expired is renewed once."""
        body = orjson.dumps(content)
        if not self._client.cookies:
            await self._sign_in()
        answer = await self._send("POST", f"/{self._database}/{path}", body)
        if _is_unauthorized(answer):
            await self._sign_in()
            answer = await self._send("POST", f"/{self._database}/{path}", body)
        if answer.status_code in refusals:
            raise BatchRefused(f"CouchDB answers {answer.status_code}")
        if answer.status_code not in (200, 201, 202) or _is_unauthorized(answer):
            raise CouchDBAway(f"CouchDB answers {answer.status_code} to a call of {path.partition('?')[0]}")
        try:
            return answer.status_code, orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            raise CouchDBAway("CouchDB's answer is not JSON") from None

    async def _sign_in(self) -> None:
        self._client.cookies.clear()
        answer = await self._send("POST", "/_session", orjson.dumps(self._credentials))
        if answer.status_code in (401, 403):
            # Five wrong passwords lock a CouchDB user out for minutes: not to be tried in a hurry.
            raise CouchDBAway("CouchDB refuses the consumer's user or password", wait_seconds=5.0)
        if answer.status_code != 200:
            raise CouchDBAway(f"CouchDB answers {answer.status_code} to the sign-in")

    async def _send(
        self, method: str, path: str, body: bytes | None, seconds: float = _CALL_SECONDS
    ) -> httpx2.Response:
        """One request within `seconds` from the connection to the last byte of the answer."""
        try:
            async with asyncio.timeout(seconds):
                return await self._client.request(method, path, content=body)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise CouchDBAway(f"CouchDB is not reachable ({type(error).__name__})") from error


def _is_unauthorized(answer: httpx2.Response) -> bool:
    """Whether the session is not (or no longer) valid; PouchDB's server says so in the rows of a 201."""
    return answer.status_code == 401 or (answer.status_code == 201 and b'"error":"unauthorized"' in answer.content)
