"""Starts the consumer: `event-consumer` or `python -m event_consumer`. Exit status 0 after SIGTERM."""

import logging
import sys
from typing import Any

import orjson
import structlog
import uvloop
from pydantic import ValidationError

from event_consumer.app import run
from event_consumer.settings import Settings


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit("event-consumer: " + "; ".join(_sentence(dict(problem)) for problem in error.errors()))
    configure_logs(settings.log_level)
    uvloop.run(run(settings))


def _sentence(problem: dict[str, Any]) -> str:
    return " ".join([*(str(part).upper() for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")])


def configure_logs(level: str) -> None:
    """One JSON object per line on standard output, also for what the libraries log."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_json),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("aio_pika", "aiormq", "httpx2", "uvicorn"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _json(line: object, **_: object) -> str:
    return orjson.dumps(line, default=repr).decode()


if __name__ == "__main__":
    main()
