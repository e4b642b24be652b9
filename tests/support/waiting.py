"""Waiting for what will happen, instead of sleeping for as long as it might take."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0, *, interval: float = 0.01
) -> None:
    """Wait until the condition, asked every `interval` seconds, holds. Fails when it does not within `seconds`."""
    deadline = monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(interval)
