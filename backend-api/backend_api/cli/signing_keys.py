"""`sofipo keys rotate`: a new key for access tokens, told to all processes before it signs."""

import secrets
from datetime import datetime, timedelta

from backend_api.auth.tokens import KEPT_AFTER_SUCCESSOR
from backend_api.db.pools import Connection

NOTICE = timedelta(seconds=5)
"""Processes read the keys five times a second; until then the former key signs."""

ADD = "INSERT INTO signing_keys (salt, signs_from) VALUES ($1, $2)"
# Only what stands before a key that has itself outlived all tokens of the one before.
FORGET = """
DELETE FROM signing_keys WHERE signs_from < (
    SELECT max(signs_from) FROM signing_keys WHERE signs_from < $1::timestamptz)
"""


async def rotate(connection: Connection, now: datetime, notice: timedelta = NOTICE) -> bytes:
    """Add a key that signs after the notice; the ones before verify until their tokens have run out. Its salt."""
    salt = secrets.token_bytes(32)
    async with connection.transaction():
        await connection.execute(FORGET, now - KEPT_AFTER_SUCCESSOR)
        await connection.execute(ADD, salt, now + notice)
    return salt
