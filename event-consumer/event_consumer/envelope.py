"""The event envelope as it travels: read, checked and hashed. Pure: bytes in, an `Event` or a `Poison` out.

An envelope is a JSON object of strings, integers below 2^53, booleans, null, lists and objects with ASCII keys. For
such values sorted, compact JSON is the canonical form of RFC 8785, and `hash` is its SHA-256 over everything but
`hash` itself. Additional keys are welcome as long as the hash covers them: that is how the schema grows.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

MAX_BODY_BYTES = 1_000_000
MAX_INTEGER = 2**53 - 1


class Reason(StrEnum):
    """Why a message is parked; the value travels as the header `x-parked-reason`."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    SCHEMA = "schema"
    HASH = "hash"
    MESSAGE_ID = "message_id"
    DIFFERS_FROM_STORED = "differs_from_stored"
    REFUSED_BY_COUCHDB = "refused_by_couchdb"


class Poison(Exception):
    """A message that can never become a document, with the reason and a sentence that quotes no content."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Event:
    """An envelope that was checked: its id, its hash (which identifies the content) and the whole content."""

    event_id: str
    hash: str
    content: dict[str, Any]


def canonical(value: object) -> bytes:
    """The RFC 8785 form of a value an envelope may hold. Raises TypeError for what has none (a lone surrogate)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 in lower-case hex of the canonical form of everything but `hash`. Raises TypeError as `canonical`."""
    return hashlib.sha256(canonical({key: value for key, value in content.items() if key != "hash"})).hexdigest()


def parse(body: bytes, message_id: str | None) -> Event:
    """The event in a message's body; `message_id` must name it. Raises Poison."""
    if len(body) > MAX_BODY_BYTES:
        raise Poison(Reason.TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
    content = _load(body)
    if not isinstance(content, dict):
        raise Poison(Reason.NOT_AN_OBJECT, "the body is not a JSON object")
    _check_fields(content)
    try:
        hash_is_right = content["hash"] == content_hash(content)
    except TypeError:
        raise Poison(Reason.SCHEMA, "the body has no canonical form") from None
    if not hash_is_right:
        raise Poison(Reason.HASH, "hash is not the hash of the content")
    if message_id != content["event_id"]:
        raise Poison(Reason.MESSAGE_ID, "the message's id is not the event_id")
    return Event(content["event_id"], content["hash"], content)


def _load(body: bytes) -> object:
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Poison(Reason.NOT_JSON, "the body is not JSON in UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; parsers disagree on which of two equal keys counts, and on the order of other than ASCII keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Poison(Reason.DUPLICATE_KEY, "an object has a key twice")
    if not all(map(str.isascii, found)):
        raise Poison(Reason.SCHEMA, "a key is not ASCII")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise Poison(Reason.SCHEMA, "an integer is 2^53 or more")
    return int(digits)


def _no_float(_: str) -> float:
    raise Poison(Reason.SCHEMA, "a number is not an integer")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_no_float, parse_constant=_no_float
)


def _matches(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _is_positive(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_timestamp(value: object) -> bool:
    if not _has_timestamp_form(value):
        return False
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return True


_has_timestamp_form = _matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_is_name = _matches(r"[a-z][a-z0-9_]*")
_is_uuid = _matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_is_hash = _matches(r"[0-9a-f]{64}")
_is_text = _matches(r"(?s:.+)")

_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "event_id": (_is_text, "a text"),
    "event_type": (_is_name, "a lower-case name"),
    "entity_id": (_is_uuid, "a lower-case UUID"),
    "payload": (lambda value: isinstance(value, dict), "an object"),
    "timestamp": (_is_timestamp, "a UTC time with six decimals and Z"),
    "schema_version": (_is_positive, "an integer from 1"),
    "aggregate_type": (_is_name, "a lower-case name"),
    "aggregate_id": (_is_uuid, "a lower-case UUID"),
    "sequence": (_is_positive, "an integer from 1"),
    "actor": (_is_text, "a text"),
    "request_id": (_is_text, "a text"),
    "traceparent": (lambda value: value is None or _is_text(value), "a text or null"),
    "prev_hash": (_is_hash, "64 lower-case hex digits"),
    "hash": (_is_hash, "64 lower-case hex digits"),
}


def _check_fields(content: dict[str, Any]) -> None:
    for name, (accepts, expected) in _FIELDS.items():
        if name not in content:
            raise Poison(Reason.SCHEMA, f"{name} is missing")
        if not accepts(content[name]):
            raise Poison(Reason.SCHEMA, f"{name} is not {expected}")
    if content["event_id"] != f"{content['aggregate_id']}:{content['sequence']:012d}":
        raise Poison(Reason.SCHEMA, "event_id is not made of aggregate_id and sequence")
    if any(key.startswith("_") for key in content):
        # `_deleted`, `_rev` and their like are orders to CouchDB, not content.
        raise Poison(Reason.SCHEMA, "a key begins with an underscore")
