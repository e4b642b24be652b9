"""Logs: one JSON object a line, with the request id, and without personal identifiers."""

import logging
import re
import sys
from typing import Any

import orjson
import structlog

_RFC_OR_CURP = re.compile(r"\b[A-ZÑ&]{3,4}\d{6}[A-Z0-9]{3,8}\b")
_CLABE = re.compile(r"\b\d{18}\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")


def configure(level: str) -> None:
    """Send structlog and the standard library's logging through one JSON renderer to standard output."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def mask(_: object, __: str, event: Any) -> Any:
    """Mask what names a person or opens a door, wherever it stands in a log line."""
    return {key: _masked(value) if isinstance(value, str) else value for key, value in event.items()}


def _masked(text: str) -> str:
    for pattern in (_TOKEN, _EMAIL, _CLABE, _RFC_OR_CURP):
        text = pattern.sub("[masked]", text)
    return text


def _render(_: object, __: str, event: Any) -> str:
    return orjson.dumps(event, default=str).decode()
