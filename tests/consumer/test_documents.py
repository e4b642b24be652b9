"""Documents and verdicts: what CouchDB's answers mean."""

from typing import Any

import pytest
from event_consumer.documents import Verdict, compare, document, read_rows
from event_consumer.envelope import Event

from tests.consumer.stack import envelope

ONE = envelope(1)
TWO = envelope(2)


def event(content: dict[str, Any]) -> Event:
    return Event(content["event_id"], content["hash"], content)


@pytest.mark.parametrize(
    ("status", "row", "verdict"),
    [
        (201, {"ok": True, "id": ONE["event_id"], "rev": "1-a"}, Verdict.STORED),
        (201, {"id": ONE["event_id"], "error": "conflict", "reason": "…"}, Verdict.OCCUPIED),
        (201, {"id": ONE["event_id"], "error": "forbidden", "reason": "…"}, Verdict.OCCUPIED),
        (201, {"id": ONE["event_id"], "error": "compilation_error", "reason": "…"}, Verdict.UNDECIDED),
        (201, {"id": ONE["event_id"], "ok": True, "error": "internal_server_error"}, Verdict.UNDECIDED),
        (201, {"id": ONE["event_id"]}, Verdict.UNDECIDED),
        (201, {"ok": True, "id": "another", "rev": "1-a"}, Verdict.UNDECIDED),
        (201, "not a row", Verdict.UNDECIDED),
        (202, {"ok": True, "id": ONE["event_id"], "rev": "1-a"}, Verdict.UNDECIDED),
    ],
)
def test_every_row_is_read(status: int, row: object, verdict: Verdict) -> None:
    rows = [{"ok": True, "id": TWO["event_id"], "rev": "1-b"}, row]
    verdicts = read_rows([event(ONE), event(TWO)], status, rows)
    other = Verdict.STORED if status == 201 else Verdict.UNDECIDED
    assert verdicts == {ONE["hash"]: verdict, TWO["hash"]: other}


@pytest.mark.parametrize("rows", [[], {"error": "x"}, None, [{"ok": True}]])
def test_an_answer_without_rows_decides_nothing(rows: object) -> None:
    assert read_rows([event(ONE)], 201, rows) == {ONE["hash"]: Verdict.UNDECIDED}


def test_what_is_stored_is_compared_by_content() -> None:
    stored = {**document(event(ONE)), "_rev": "1-a"}
    assert compare(event(ONE), stored) is Verdict.ALREADY_STORED
    assert compare(event(ONE), None) is Verdict.UNDECIDED
    forged = {**stored, "payload": {**ONE["payload"], "amount": "9500.00"}}
    assert forged["hash"] == ONE["hash"]  # comparing the stored hash alone would be fooled
    for other in (
        forged,
        {**stored, "hash": TWO["hash"]},
        {**stored, "_attachments": {}},
        {**stored, "note": "\ud800"},
        {key: value for key, value in stored.items() if key != "hash"},
    ):
        assert compare(event(ONE), other) is Verdict.DIFFERS
