"""Time-ordered identifiers, RFC 9562 section 5.7: new rows land at the end of their indexes."""

import os
from datetime import datetime
from uuid import UUID

from asyncpg.pgproto import pgproto


def uuid7(at: datetime) -> UUID:
    """A UUID version 7 for the instant `at`: 48 bits of milliseconds, 74 random bits.

    Of the driver's own kind, as every id that it answers: made, compared and spelled in a fraction of the time.
    """
    value = bytearray(int(at.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10))
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return pgproto.UUID(bytes(value))
