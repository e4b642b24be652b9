"""What is expected to go wrong with a command, as a sentence."""

from typing import Any

import aio_pika.exceptions
import asyncpg
from alembic.util import CommandError
from pydantic import ValidationError

from backend_api.domain.errors import DomainError


def sentence(error: Exception) -> str | None:
    """What to tell of an error; None for a defect, of which the traceback tells more."""
    match error:
        case ValidationError():
            return "\n".join(_of_setting(dict(problem)) for problem in error.errors())
        case DomainError():
            return " ".join(one.detail for one in getattr(error, "errors", [])) or error.message
        case OSError() | asyncpg.PostgresError() | aio_pika.exceptions.AMQPError() | CommandError():
            return f"{type(error).__name__}: {error}. Is the stack up, and do the settings name it (`.env.example`)?"
    return None


def _of_setting(problem: dict[str, Any]) -> str:
    return " ".join([*(str(part).upper() for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")])
