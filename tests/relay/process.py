"""A relay in a process of its own, to be measured, stopped and killed: `python process.py <broker url>`."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from uuid import UUID

import uvloop
from backend_api.relay.app import run
from backend_api.settings import Settings


async def relay(broker_url: str) -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(Settings(), stop, announce, broker_url)


async def announce(versions: Mapping[UUID, int]) -> None:
    """No cache here."""


if __name__ == "__main__":
    uvloop.run(relay(sys.argv[1]))
