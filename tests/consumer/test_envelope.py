"""The envelope: what is accepted, what is poison, and that our canonical form is RFC 8785's."""

import hashlib
import json
from contextlib import suppress
from typing import Any

import pytest
import rfc8785
from event_consumer.envelope import MAX_BODY_BYTES, Poison, Reason, canonical, content_hash, parse
from hypothesis import given
from hypothesis import strategies as st

from tests.consumer.stack import envelope
from tests.support.golden import chained, load, rehash, text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=127))
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    TEXTS | INTEGERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(payload=st.dictionaries(KEYS, VALUES, max_size=5), extra=VALUES, actor=TEXTS.filter(bool))
def test_the_canonical_form_is_that_of_rfc_8785(payload: dict[str, Any], extra: object, actor: str) -> None:
    whole = envelope(payload=payload, actor=actor, extra=extra)
    assert canonical(whole) == rfc8785.dumps(whole)
    bare = {key: value for key, value in whole.items() if key != "hash"}
    assert content_hash(whole) == hashlib.sha256(rfc8785.dumps(bare)).hexdigest()


@given(payload=st.dictionaries(KEYS, VALUES, max_size=5))
def test_every_envelope_survives_the_journey(payload: dict[str, Any]) -> None:
    sent = envelope(payload=payload)
    event = parse(canonical(sent), sent["event_id"])
    assert event.content == sent
    assert (event.event_id, event.hash) == (sent["event_id"], sent["hash"])


@pytest.mark.parametrize("sent", load().values(), ids=load().keys())
def test_golden_events_are_accepted(sent: dict[str, Any]) -> None:
    assert parse(json.dumps(sent).encode(), sent["event_id"]).content == sent


def test_golden_events_are_hashed_and_chained() -> None:
    golden = load()
    assert chained(golden) == golden
    assert all(name == one["event_type"] for name, one in golden.items())
    assert json.loads(text(golden["client_created"])) == golden["client_created"]


def test_the_schema_may_grow() -> None:
    grown = envelope(event_type="something_new", schema_version=7, tenant="north", tags=[{"deep": None}])
    assert parse(canonical(grown), grown["event_id"]).content == grown
    with pytest.raises(Poison, match="hash is not"):
        parse(canonical({**envelope(), "tenant": "not covered by the hash"}), None)


def changed(**changes: Any) -> bytes:
    """A body whose hash is right for what it says, however wrong that is."""
    return canonical(envelope(**changes))


def without(key: str) -> bytes:
    whole = envelope()
    del whole[key]
    return canonical(whole)


VALID = canonical(envelope(1, "019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c01"))
VALID_ID = "019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c01:000000000001"

POISON: dict[str, tuple[Reason, bytes]] = {
    "empty": (Reason.NOT_JSON, b""),
    "not json": (Reason.NOT_JSON, b"{not json"),
    "not utf-8": (Reason.NOT_JSON, b'{"event_id": "\xff"}'),
    "utf-16": (Reason.NOT_JSON, VALID.decode().encode("utf-16")),
    "trailing": (Reason.NOT_JSON, VALID + b"{}"),
    "too deep": (Reason.NOT_JSON, b"[" * 200_000),
    "array": (Reason.NOT_AN_OBJECT, b"[]"),
    "text": (Reason.NOT_AN_OBJECT, b'"event"'),
    "null": (Reason.NOT_AN_OBJECT, b"null"),
    "duplicate key": (Reason.DUPLICATE_KEY, VALID[:-1] + b',"sequence":1}'),
    "duplicate key inside": (Reason.DUPLICATE_KEY, VALID.replace(b'"payload":{', b'"payload":{"amount":"1.00",')),
    "too large": (Reason.TOO_LARGE, changed(payload={"text": "x" * MAX_BODY_BYTES})),
    "empty object": (Reason.SCHEMA, b"{}"),
    "float": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"2500.0")),
    "exponent": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"1e400")),
    "not a number": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"NaN")),
    "large integer": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"9007199254740992")),
    "huge integer": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"9" * 5000)),
    "key not ascii": (Reason.SCHEMA, VALID.replace(b'"amount"', '"año"'.encode())),
    "lone surrogate": (Reason.SCHEMA, VALID.replace(b"2500.00", rb"\ud800")),
    "too deep to write": (Reason.SCHEMA, VALID.replace(b'"2500.00"', b"[" * 300 + b"]" * 300)),
    "payload not an object": (Reason.SCHEMA, changed(payload=[])),
    "schema_version 0": (Reason.SCHEMA, changed(schema_version=0)),
    "schema_version true": (Reason.SCHEMA, changed(schema_version=True)),
    "schema_version text": (Reason.SCHEMA, changed(schema_version="1")),
    "sequence 0": (Reason.SCHEMA, changed(number=0)),
    "timestamp not UTC": (Reason.SCHEMA, changed(timestamp="2026-01-31T18:00:00.123456+00:00")),
    "timestamp milliseconds": (Reason.SCHEMA, changed(timestamp="2026-01-31T18:00:00.123Z")),
    "timestamp impossible": (Reason.SCHEMA, changed(timestamp="2026-02-30T18:00:00.123456Z")),
    "timestamp newline": (Reason.SCHEMA, changed(timestamp="2026-01-31T18:00:00.123456Z\n")),
    "event_type empty": (Reason.SCHEMA, changed(event_type="")),
    "entity_id not a uuid": (Reason.SCHEMA, changed(entity_id="7")),
    "aggregate_id underscore": (Reason.SCHEMA, changed(aggregate_id="_design/owned")),
    "event_id other sequence": (Reason.SCHEMA, VALID.replace(b":000000000001", b":000000000002")),
    "event_id underscore": (Reason.SCHEMA, VALID.replace(b'"event_id":"', b'"event_id":"_')),
    "prev_hash upper case": (Reason.SCHEMA, changed(prev_hash="A" * 64)),
    "actor null": (Reason.SCHEMA, changed(actor=None)),
    "deletes itself": (Reason.SCHEMA, changed(_deleted=True)),
    "brings a revision": (Reason.SCHEMA, changed(_rev="1-abc")),
    "hash missing": (Reason.SCHEMA, without("hash")),
    "payload missing": (Reason.SCHEMA, without("payload")),
    "hash of other content": (Reason.HASH, VALID.replace(b"2500.00", b"9500.00")),
    "unhashed extra": (Reason.HASH, VALID.replace(b'{"actor"', b'{"aaa":1,"actor"')),
}


@pytest.mark.parametrize(("reason", "body"), POISON.values(), ids=POISON.keys())
def test_poison_is_recognised(reason: Reason, body: bytes) -> None:
    with pytest.raises(Poison) as caught:
        parse(body, VALID_ID)
    assert caught.value.reason is reason
    assert str(caught.value) == caught.value.sentence
    assert "2500" not in caught.value.sentence  # a reason quotes no content


@pytest.mark.parametrize("message_id", [None, "", VALID_ID + "0"])
def test_the_message_id_must_name_the_event(message_id: str | None) -> None:
    with pytest.raises(Poison) as caught:
        parse(VALID, message_id)
    assert caught.value.reason is Reason.MESSAGE_ID


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_poison(body: bytes) -> None:
    with pytest.raises(Poison):
        parse(body, VALID_ID)


@given(key=st.sampled_from(sorted(envelope())), value=VALUES)
def test_no_field_breaks_the_reader(key: str, value: object) -> None:
    whole = {**envelope(), key: value}
    if key not in ("hash", "event_id", "sequence", "aggregate_id"):
        whole = rehash(whole)
    with suppress(Poison):
        assert parse(canonical(whole), whole["event_id"]).content == whole
