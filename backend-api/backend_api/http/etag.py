"""Entity tags: one string that changes with everything a view depends on, and starts with the resource's version.

`"<version>-<sequence>-<business date>-<view>-<audience>-<schema>"`. `If-None-Match` compares the whole; `If-Match`
only the version, so that a payment does not spoil somebody's edit of an address.
"""

from datetime import date

from backend_api.http.problems import FieldRefused, PreconditionFailed

SCHEMA_VERSION = 1


def make(version: int, sequence: int, business_date: date, view: str, audience: str) -> str:
    """The tag of a view: a new business day changes what is owed even when nothing happened."""
    return f'"{version}-{sequence}-{business_date:%Y%m%d}-{view}-{audience}-{SCHEMA_VERSION}"'


def not_modified(if_none_match: str | None, tag: str) -> bool:
    """Whether the caller already holds this very view (weak comparison, RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    sent = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in sent or tag in sent


def check_if_match(if_match: str | None, version: int) -> None:
    """Raises `PreconditionFailed` when the caller names other versions, `FieldRefused` when it names none at all."""
    if if_match is None or if_match.strip() == "*":
        return
    versions = [part.strip().strip('"').partition("-")[0] for part in if_match.split(",")]
    if not all(part.isascii() and part.isdigit() for part in versions):
        raise FieldRefused("header:If-Match", "if_match_malformed", "Send back an ETag of this resource.")
    if str(version) not in versions:
        raise PreconditionFailed
