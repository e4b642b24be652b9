"""Starts the sandbox gateway: `python -m sandbox_gateway`. In production it ends at once, with status 0."""

import logging
import sys
import time

import structlog
import uvicorn
from pydantic import ValidationError

from sandbox_gateway.app import create_app
from sandbox_gateway.settings import Settings


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    try:
        settings = Settings()
    except ValidationError as error:
        names = sorted(str(part).upper() for problem in error.errors() for part in problem["loc"])
        sys.exit(f"sandbox-gateway: these settings cannot be read: {', '.join(names)}")
    if settings.environment == "production":
        # Not a failure: compose starts the same services everywhere, and one that fails would be started again.
        print("sandbox-gateway: ENVIRONMENT=production has no sandbox, it would let everybody pay with nothing.")
        return
    _configure_logs(settings.log_level)
    uvicorn.run(
        create_app(settings, time.time),
        host=settings.sandbox_gateway_host,
        port=settings.sandbox_gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )


def _configure_logs(level: str) -> None:
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
    render: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpx2", "uvicorn"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))


if __name__ == "__main__":
    main()
