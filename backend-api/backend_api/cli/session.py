"""How a command asks the database, and runs what is asynchronous."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from backend_api.db.pools import Connection, connect
from backend_api.settings import Settings

ACTOR = "system:cli"
"""Who did it, in events."""

Result = TypeVar("Result")


def ask(question: Callable[[Connection], Awaitable[Result]]) -> Result:
    """The answer of the primary."""

    async def work() -> Result:
        connection = await connect(Settings(), name="sofipo-cli")
        try:
            return await question(connection)
        finally:
            await connection.close()

    return run(work())


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
