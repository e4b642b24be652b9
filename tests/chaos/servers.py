"""The servers of the test stack, one by one: stopped, started, frozen and signalled as an operator or a fault would."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.processes import ROOT

STACK = ROOT / "local-stack" / "stack.py"


class Servers:
    """The supervised programs of a stack, by the names `make status` shows."""

    def __init__(self, stack: str) -> None:
        self._stack = stack

    async def stop(self, program: str) -> None:
        """Stop it gracefully; it stays stopped."""
        await self._run("stop", program)

    async def start(self, program: str) -> None:
        """Start it and wait until it is ready; no harm when it runs."""
        await self._run("start", program)

    async def pid(self, program: str) -> int:
        """The process id of a running program."""
        rows = json.loads(await self._run("status", "--json"))
        [pid] = [row["pid"] for row in rows if row["program"] == program]
        assert pid, f"{program} does not run"
        return int(pid)

    @asynccontextmanager
    async def without(self, program: str) -> AsyncIterator[None]:
        """It is stopped inside the block and runs again after it, whatever happens in between."""
        await self.stop(program)
        try:
            yield
        finally:
            await self.start(program)

    @asynccontextmanager
    async def frozen(self, program: str) -> AsyncIterator[None]:
        """It accepts connections and answers nobody inside the block."""
        pid = await self.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _run(self, command: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(STACK), command, *arguments, "--name", self._stack,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, complaint = await process.communicate()
        # Status says with its exit code that something does not run, which is often what a test wants.
        assert process.returncode == 0 or command == "status", complaint.decode()
        return output.decode()
