"""A view as it stands in Redis: one header line that is checked, then the bytes that are answered."""

from datetime import date
from typing import NamedTuple


class Entry(NamedTuple):
    """A cached view of a client.

    `version` is the client's event sequence the view was built from, `business_date` the day it is true for,
    `expires_at` a Unix time in seconds, `subject` what the view is about (its RFC) so that a renamed key cannot answer.
    """

    version: int
    business_date: date
    expires_at: int
    subject: str
    etag: str
    body: bytes

    def pack(self) -> bytes:
        """Header fields hold no blanks, so blanks separate them."""
        head = f"{self.version} {self.business_date} {self.expires_at} {self.subject} {self.etag}\n"
        return head.encode() + self.body


def unpack(value: bytes) -> Entry | None:
    """The entry, or None for whatever is not one: a corrupt value is a miss, not an error."""
    head, separator, body = value.partition(b"\n")
    if not separator:
        return None
    try:
        version, day, expires_at, subject, etag = head.decode().split(" ")
        return Entry(int(version), date.fromisoformat(day), int(expires_at), subject, etag, body)
    except ValueError:
        return None
