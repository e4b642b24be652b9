"""A log names no person and opens no door, and every line of it is JSON, whatever was logged."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import structlog
from backend_api import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
PRIVATE = {
    "an access token": JWT,
    "an access token that was cut": JWT[:30],
    "an API key": "sofipo_live_01J9_c2VjcmV0c2VjcmV0",
    "an RFC": "PEPJ800101HNE",
    "an RFC in small letters": "pepj800101hne",
    "a company's RFC": "ABC&120229AB1",
    "a CURP": "PEPJ800101HDFRRN03",
    "a CLABE": "032180000118359719",
    "a CLABE in groups": "032 180 00011835971 9",
    "an e-mail address": "carlos.perez@example.com",
    "an e-mail address in a URL": "carlos.perez%40example.com",
}
IDS = ["019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c01", "5f0c1d2e3a4b5c6d", "2026-01-31T18:00:00.123456Z", "50000.00"]
"""What logs are read for: these stay."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged, from here on."""
    root = logging.getLogger()
    before = root.handlers, root.level
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    logs.configure("DEBUG")
    yield output
    root.handlers, root.level = before
    structlog.reset_defaults()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    """Every line, parsed."""
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("value", PRIVATE.values(), ids=PRIVATE.keys())
def test_what_is_private_is_masked_wherever_it_stands(value: str, written: io.StringIO) -> None:
    log = structlog.get_logger("test")
    sentence = f"somebody called {value} came"
    log.info(sentence, place=value)
    log.info("nested", facts={"rows": [{"text": f"Key (rfc)=({value}) already exists."}], value: 1}, names=(value,))
    logging.getLogger("a library").warning("query %r failed for (%s)", value, value)
    try:
        int(f"bad: {value}")
    except ValueError:
        log.exception("unhandled_error")
    assert len(lines(written)) == 4
    assert value not in written.getvalue()
    assert logs.MASK in written.getvalue()


@pytest.mark.parametrize(
    "name", ["password", "authorization", "access_token", "refresh_token", "api_key", "API_SECRET_KEY", "set-cookie"]
)
def test_what_is_called_a_secret_is_masked_whatever_it_is(name: str, written: io.StringIO) -> None:
    structlog.get_logger("test").info("settings", **{name: "hunter two"}, inside={name: "hunter two"})
    logging.getLogger("a library").info("POST %s=hunter&grant_type=x Authorization: Bearer hunter", name)
    assert len(lines(written)) == 2
    assert "hunter two" not in written.getvalue()
    assert "Bearer hunter" not in written.getvalue()


def test_what_logs_are_read_for_stays(written: io.StringIO) -> None:
    structlog.get_logger("test").info("paid", ids=IDS, amount=Decimal("50000.00"), count=3, ok=True, ratio=0.5)
    [line] = lines(written)
    assert line["ids"] == IDS
    assert (line["amount"], line["count"], line["ok"], line["ratio"]) == ("50000.00", 3, True, 0.5)
    assert (line["event"], line["level"], line["logger"]) == ("paid", "info", "test")


@pytest.mark.parametrize(
    "value",
    [
        "line\nbreak \x1b[31m\x00",
        "\ud800",
        10**30,
        32180000118359719,
        {1: 2, None: UUID(int=0)},
        {"x"},
        float("nan"),
        object(),
        b"\xff",
    ],
    ids=str,
)
def test_whatever_is_logged_is_one_line_that_parses(value: Any, written: io.StringIO) -> None:
    structlog.get_logger("test").info("odd", value=value)
    logging.getLogger("a library").info("odd: %s", value)
    assert len(lines(written)) == 2
