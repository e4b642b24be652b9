"""`Idempotency-Key`: the same request sent twice has one effect and one answer.

The key's row is part of the write itself. Its primary key is the arbiter: a twin's insert waits for the first one's
commit, fails, and the stored answer is replayed. There is no "in progress" state, so no crash leaves a key stuck.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from backend_api.db.pools import Connection
from backend_api.domain.errors import DomainError
from backend_api.http.problems import FieldRefused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(r"[!-~]{1,128}")

FIND = """
SELECT fingerprint, status, headers, body, aggregate_id, sequence
  FROM idempotency_keys WHERE principal = $1 AND key = $2
"""
KEEP = """
INSERT INTO idempotency_keys (principal, key, fingerprint, status, headers, body, aggregate_id, sequence, created_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true
"""
# By the places of the rows: nothing ever moves them, and the index by time finds the oldest at once.
FORGET = """
DELETE FROM idempotency_keys
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2))
"""


class KeyReused(DomainError):
    """The key was used for another request."""

    code = "idempotency_key_reused"
    status = 422
    message = "This Idempotency-Key was used for another request: use a new one."


class RequestInProgress(DomainError):
    """A twin of this request is still being worked on."""

    code = "request_in_progress"
    status = 409
    message = "The same request is still being worked on: try again."


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it is stored and replayed."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    media_type: str = "application/json"

    def response(self, extra: Mapping[str, str]) -> Response:
        """The response, with headers that belong to this sending of it."""
        return Response(self.body, self.status, {**self.headers, **extra}, self.media_type)


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer and the change it reports, if there was one: whoever replays it announces that change again."""

    answer: Answer
    aggregate: UUID | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """A key in the scope of its principal, with the fingerprint of the request it stands for."""

    principal: str
    value: str
    fingerprint: bytes

    def row(self, stored: Stored, at: datetime) -> dict[str, Any]:
        """The row that is written together with the change."""
        answer = stored.answer
        return {
            "principal": self.principal,
            "key": self.value,
            "fingerprint": self.fingerprint,
            "status": answer.status,
            "headers": orjson.dumps({**answer.headers, "Content-Type": answer.media_type}).decode(),
            "body": answer.body,
            "aggregate_id": stored.aggregate,
            "sequence": stored.sequence,
            "created_at": at,
        }


def read_key(header: str | None, principal: str, method: str, path: str, body: BaseModel | None) -> Key | None:
    """The request's key. The fingerprint covers method, path and *parsed* body, so spelling and order do not matter.

    Raises `FieldRefused` for a malformed key.
    """
    if header is None:
        return None
    if _KEY.fullmatch(header) is None:
        raise FieldRefused(f"header:{HEADER}", "key_malformed", "A key has 1 to 128 visible ASCII characters.")
    content = body.model_dump_json(exclude_unset=True) if body is not None else ""
    return Key(principal, header, sha256(f"{method} {path}\n{content}".encode()).digest())


async def find(connection: Connection, key: Key) -> Stored | None:
    """The stored answer. Raises `KeyReused` when the key stands for another request."""
    row = await connection.fetchrow(FIND, key.principal, key.value)
    if row is None:
        return None
    if row["fingerprint"] != key.fingerprint:
        raise KeyReused
    headers = orjson.loads(row["headers"])
    media_type = headers.pop("Content-Type")
    answer = Answer(row["status"], row["body"], headers, media_type)
    return Stored(answer, row["aggregate_id"], row["sequence"])


async def keep(connection: Connection, key: Key, stored: Stored, at: datetime) -> bool:
    """Store the answer of a request that changed nothing. False: a twin was first."""
    return bool(await connection.fetchval(KEEP, *key.row(stored, at).values()))


async def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` answers that were stored before an instant, the oldest first; how many it were."""
    status = await connection.execute(FORGET, before, limit)
    return int(status.rpartition(" ")[2])
