"""Time-ordered identifiers, RFC 9562 section 5.7: new rows land at the end of their indexes."""

import secrets
from datetime import datetime
from uuid import UUID


def uuid7(at: datetime) -> UUID:
    """A UUID version 7 for the instant `at`: 48 bits of milliseconds, 74 random bits."""
    value = (int(at.timestamp() * 1000) & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
