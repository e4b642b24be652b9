"""Waiting for what will happen, instead of sleeping for as long as it might take."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

LONGEST_STEP_SECONDS = 1.0
"""What passes from one question to the next counts as no more than this, however long the machine stood still."""


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30.0, *, interval: float = 0.01
) -> None:
    """Wait until the condition, asked every `interval` seconds, holds. Fails when it does not within `seconds`.

    A pause of the whole machine uses up no patience: neither we nor what we wait for could do anything meanwhile.
    """
    left = seconds
    while True:
        began = monotonic()
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert left > 0, "it did not happen in time"
        await asyncio.sleep(interval)
        left -= min(monotonic() - began, LONGEST_STEP_SECONDS)


async def least(measure: Callable[[], Awaitable[float]], below: float, tries: int = 5) -> float:
    """The least of some measurements in seconds; the first one below the bound ends them.

    What else the machine does can only add to what is measured. So one that keeps a promise shows it, and one that
    breaks it breaks it at every try.
    """
    found = await measure()
    for _ in range(tries - 1):
        if found < below:
            break
        found = min(found, await measure())
    return found
