"""Services that can be killed and are back at once: the test's end of `zygote`."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT, _environment
from tests.support.waiting import eventually

RELAY = "backend_api.cli.commands:relay"
WORKER = "backend_api.cli.commands:worker"
CONSUMER = "event_consumer.__main__:main"
API = "tests.chaos.zygote:api"


class Nursery:
    """A zygote, made when it is first needed, and what it brings forth."""

    def __init__(self) -> None:
        self._zygote: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def bear(self, entry: str, log: Path, environment: Mapping[str, str]) -> int:
        """A new process that runs `entry`; its process id."""
        order = json.dumps({"entry": entry, "log": str(log), "environment": dict(environment)})
        async with self._turn:
            if self._zygote is None:
                self._zygote = await _zygote()
            assert self._zygote.stdin is not None
            assert self._zygote.stdout is not None
            self._zygote.stdin.write(order.encode() + b"\n")
            return int(await self._zygote.stdout.readline())

    async def close(self) -> None:
        """End the zygote, and with it whatever is left of its offspring."""
        if self._zygote is not None:
            assert self._zygote.stdin is not None
            self._zygote.stdin.close()
            await self._zygote.wait()


async def _zygote() -> asyncio.subprocess.Process:
    # Not measured: tracing would slow the services, and a killed one could not tell what it ran.
    environment = {name: value for name, value in _environment({}).items() if not name.startswith("COVERAGE")}
    zygote = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.zygote",
        env=environment, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert zygote.stdout is not None
    assert await zygote.stdout.readline() == b"ready\n"
    return zygote


@dataclass
class Service:
    """One service that runs most of the time."""

    nursery: Nursery
    entry: str
    log: Path
    environment: Mapping[str, str]
    pid: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether its process exists."""
        return self.pid > 0 and Path(f"/proc/{self.pid}").exists()

    async def start(self) -> None:
        """Start it; returns before it is ready."""
        assert not self.is_alive
        self.pid = await self.nursery.bear(self.entry, self.log, self.environment)

    async def kill(self) -> None:
        """`kill -9`; returns when nothing of it is left."""
        self._signal(signal.SIGKILL)
        await eventually(lambda: not self.is_alive)

    async def stop(self, seconds: float = 15.0) -> None:
        """Ask it to finish, and wait until it has."""
        self._signal(signal.SIGTERM)
        await eventually(lambda: not self.is_alive, seconds)

    def output(self) -> str:
        """What it has said so far, over all its lives."""
        return self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
