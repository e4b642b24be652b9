"""Logs: one JSON object a line, with the request id, and without secrets and personal identifiers."""

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

MASK = "[masked]"
SERVER_LOGGING = Path(__file__).with_name("server_logging.json")
"""For `uvicorn --log-config`: what the server says before and beside the application is in the same form."""
LARGEST_INTEGER = 2**53
"""Larger ones are text: many readers of JSON would round them, and a CLABE is one."""

_SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|secret|token$|authorization|cookie|api_?key|^key$", re.IGNORECASE)
_PATTERNS = (
    # A JWT, or what is left of one that was cut.
    re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}"),
    re.compile(r"\bsofipo_[a-z]+_\w+"),
    re.compile(r"\b(?:bearer|basic|api-key) +[^\s\"',]+", re.IGNORECASE),
    re.compile(r"\b\w*(?:password|secret|token)=[^\s&\"']+", re.IGNORECASE),
    re.compile(r"[\w.+-]+(?:@|%40)[\w-]+\.[\w.-]+"),
    # CLABE, also in the groups people write it in.
    re.compile(r"(?<!\d)\d{3}[ -]?\d{3}[ -]?\d{11}[ -]?\d(?!\d)"),
    # RFC and CURP: letters, a date, and what makes them unique.
    re.compile(
        r"(?<![A-Z0-9])[A-ZÑ&]{3,4}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[A-Z0-9]{2,8}(?![A-Z0-9])",
        re.IGNORECASE,
    ),
)


def configure(level: str) -> None:
    """Send structlog and the standard library's logging through one JSON renderer to standard output."""
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each request, with the ids that it names


def formatter() -> structlog.stdlib.ProcessorFormatter:
    """What makes a line of a record; `server_logging.json` names it too."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
    )


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
    ]


def mask(_: object, __: str, event: Any) -> Any:
    """Mask what names a person or opens a door, wherever it stands in a log line, and leave only what JSON can hold."""
    # What structlog keeps for itself until the line is rendered.
    return {key: value if key.startswith("_") else _masked_field(key, value) for key, value in event.items()}


def _masked_field(name: str, value: Any) -> Any:
    return MASK if _SECRET_NAME.search(name) else _masked(value)


def _masked(value: Any) -> Any:
    match value:
        case None | bool() | float():
            return value
        case int() if abs(value) < LARGEST_INTEGER:
            return value
        case Mapping():
            return {_masked(str(key)): _masked_field(str(key), part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(part) for part in value]
    # A lone surrogate cannot be written as UTF-8: the whole line would be lost.
    text = str(value).encode("utf-8", "backslashreplace").decode()
    for pattern in _PATTERNS:
        text = pattern.sub(MASK, text)
    return text


def _render(_: object, __: str, event: Any) -> str:
    return orjson.dumps(event).decode()
