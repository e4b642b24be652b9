"""Every statement about sign-ins and sessions, one function per question."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend_api.db.pools import Connection

FAMILIAR = timedelta(days=90)

# A user of role client is one as long as the client's record is not deleted.
LIVE_USER = """
SELECT u.id, u.username, u.password_hash, u.role, u.epoch, u.client_id, u.reset_hash, u.reset_expires_at
  FROM users u LEFT JOIN clients c ON c.id = u.client_id AND c.deleted_at IS NULL
 WHERE u.status = 'ACTIVE' AND (u.role <> 'client' OR c.id IS NOT NULL)
"""
FOR_SIGN_IN = f"""
SELECT l.*,
       EXISTS (SELECT FROM sessions s WHERE s.user_id = l.id AND s.address = $2 AND s.last_used_at > $3) AS familiar
  FROM ({LIVE_USER} AND u.username = $1) AS l
"""  # noqa: S608 - a constant
BY_ID = f"{LIVE_USER} AND u.id = $1"
# Nothing, if the user was changed while the password was checked.
OPEN = """
WITH live AS (SELECT id FROM users WHERE id = $1 AND epoch = $2 AND status = 'ACTIVE'),
     opened AS (INSERT INTO sessions (id, user_id, epoch, address, user_agent, created_at, last_used_at, expires_at)
                SELECT $3, id, $2, $4, $5, $6, $6, $7 FROM live),
     issued AS (INSERT INTO refresh_tokens (hash, session_id, salt, issued_at) SELECT $8, $3, $9, $6 FROM live)
SELECT count(*) FROM live
"""
FOR_REFRESH = f"""
SELECT t.salt, t.used_at, s.id AS session_id, l.*,
       s.epoch = l.epoch AND s.ended_at IS NULL AND s.expires_at > $2 AND s.last_used_at > $3 AS open
  FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id, LATERAL ({LIVE_USER} AND u.id = s.user_id) AS l
 WHERE t.hash = $1
"""  # noqa: S608 - a constant
# The row of the token is the arbiter: twins wait for each other there, and make the same successor.
ROTATE = """
WITH used AS (UPDATE refresh_tokens SET used_at = coalesce(used_at, $2)
               WHERE hash = $1 AND (used_at IS NULL OR used_at > $3) RETURNING session_id),
     kept AS (UPDATE sessions s SET last_used_at = $2 FROM used
               WHERE s.id = used.session_id AND s.ended_at IS NULL RETURNING s.id),
     issued AS (INSERT INTO refresh_tokens (hash, session_id, salt, issued_at) SELECT $4, id, $5, $2 FROM kept
                ON CONFLICT DO NOTHING)
SELECT count(*) FROM kept
"""
FOR_ENDING = """
SELECT s.id AS session_id, s.ended_at, u.id, u.event_sequence, u.chain_head, u.epoch,
       (SELECT business_date FROM business_day) AS today
  FROM users u LEFT JOIN sessions s ON s.user_id = u.id AND s.id = $2
 WHERE u.id = $1
"""
OPEN_SESSIONS = """
SELECT s.id, s.address, s.user_agent, s.created_at, s.last_used_at, s.expires_at
  FROM sessions s JOIN users u ON u.id = s.user_id AND u.epoch = s.epoch
 WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.last_used_at > $3
 ORDER BY s.id DESC LIMIT 100
"""
FORGET_SESSIONS = """
DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2))
"""
FORGET_REVOCATIONS = "DELETE FROM revocations WHERE at < $1"


async def for_sign_in(connection: Connection, username: str, address: str, now: datetime) -> Record | None:
    """A user who may sign in, and whether they did so from this address lately; None if there is none."""
    return await connection.fetchrow(FOR_SIGN_IN, username, address, now - FAMILIAR)


async def live_user(connection: Connection, user_id: UUID) -> Record | None:
    """The same by id."""
    return await connection.fetchrow(BY_ID, user_id)


async def open_session(connection: Connection, session: dict[str, Any], token: dict[str, Any]) -> bool:
    """Store a session and its first refresh token. False: the user was changed since it was read."""
    values = (session[name] for name in ("user_id", "epoch", "id", "address", "user_agent", "created_at", "expires_at"))
    return bool(await connection.fetchval(OPEN, *values, token["hash"], token["salt"]))


async def for_refresh(connection: Connection, token: bytes, now: datetime, idle_since: datetime) -> Record | None:
    """The user, the session and the salt of a refresh token by its hash; `open` if it may be used."""
    return await connection.fetchrow(FOR_REFRESH, token, now, idle_since)


async def rotate(
    connection: Connection, token: bytes, now: datetime, grace_since: datetime, successor: bytes, salt: bytes
) -> bool:
    """Use a refresh token up. False: it was used before `grace_since`, or its session has ended."""
    return bool(await connection.fetchval(ROTATE, token, now, grace_since, successor, salt))


async def for_ending(connection: Connection, user_id: UUID, session_id: UUID | None) -> Record | None:
    """A user about to be changed, the business date, and one of their sessions (None if it is not theirs)."""
    return await connection.fetchrow(FOR_ENDING, user_id, session_id)


async def open_sessions(
    connection: Connection, user_id: UUID, now: datetime, idle_since: datetime
) -> list[dict[str, Any]]:
    """A user's open sessions, newest first."""
    return [dict(row) for row in await connection.fetch(OPEN_SESSIONS, user_id, now, idle_since)]


async def forget_sessions(connection: Connection, before: datetime, limit: int) -> int:
    """Delete sessions that ran out before an instant, with their refresh tokens; how many it were."""
    status = await connection.execute(FORGET_SESSIONS, before, limit)
    return int(status.rpartition(" ")[2])


async def forget_revocations(connection: Connection, before: datetime) -> None:
    """Delete what was revoked before an instant: no token of then is valid any more."""
    await connection.execute(FORGET_REVOCATIONS, before)
