"""The services as processes of their own: started, waited for, killed, and never left behind."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.waiting import eventually

PROTOCOL = "backend_api.http.protocol:PatientProtocol"

ROOT = Path(__file__).resolve().parents[2]
SERVER_LOGGING = str(ROOT / "backend-api" / "backend_api" / "server_logging.json")
STOP_SECONDS = 15.0


@dataclass
class Process:
    """A program in a process group of its own, with a log file."""

    name: str
    program: asyncio.subprocess.Process
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether the program has not ended yet."""
        return self.program.returncode is None

    async def kill(self) -> None:
        """`kill -9` of the program and all its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.program.pid, signal.SIGKILL)
        await self.program.wait()

    async def stop(self) -> int:
        """Ask the program to end and wait for it; its exit code. Kills it when it does not end in time."""
        if self.is_alive:
            self.program.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.program.wait()
        finally:
            await self.kill()

    def pause(self) -> None:
        """Freeze the program and its workers (SIGSTOP)."""
        os.killpg(self.program.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        os.killpg(self.program.pid, signal.SIGCONT)

    def output(self) -> str:
        """What the program has said so far."""
        return self.log.read_text("utf-8", errors="replace")


@asynccontextmanager
async def process(name: str, *arguments: str, folder: Path, **environment: str) -> AsyncIterator[Process]:
    """`python ARGUMENTS` with the stack's settings and these; whatever happens, it is gone at the end."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=_environment(environment),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = Process(name, program, log)
    try:
        yield running
    finally:
        await running.kill()


@asynccontextmanager
async def api_process(
    folder: Path, *, workers: int = 1, name: str = "api", port: int | None = None, **environment: str
) -> AsyncIterator[tuple[Process, str]]:
    """The API as it is deployed, ready to answer, and its address."""
    chosen = port or free_port()
    address = f"http://127.0.0.1:{chosen}"
    arguments = (
        "-m", "uvicorn", "backend_api.app:create_app", "--factory", "--host", "127.0.0.1", "--port", str(chosen),
        "--workers", str(workers), "--loop", "uvloop", "--http", PROTOCOL, "--no-proxy-headers", "--no-access-log",
        "--no-server-header", "--log-config", SERVER_LOGGING,
        "--timeout-graceful-shutdown", "10",
    )  # fmt: skip
    async with process(name, *arguments, folder=folder, **environment) as running:
        await until_ready(running, f"{address}/livez")
        yield running, address


@asynccontextmanager
async def relay_process(folder: Path, *, name: str = "relay", **environment: str) -> AsyncIterator[Process]:
    """A relay; it leads once it has the lease."""
    async with process(name, "-m", "backend_api.cli", "relay", folder=folder, **environment) as running:
        yield running


@asynccontextmanager
async def consumer_process(
    folder: Path, *, name: str = "consumer", port: int | None = None, **environment: str
) -> AsyncIterator[Process]:
    """The event consumer, with its health endpoint on a port of its own, ready to consume."""
    chosen = port or free_port()
    variables = {"CONSUMER_HEALTH_PORT": str(chosen), **environment}
    async with process(name, "-m", "event_consumer", folder=folder, **variables) as running:
        await until_ready(running, f"http://127.0.0.1:{chosen}/readyz")
        yield running


@asynccontextmanager
async def gateway_process(folder: Path, *, port: int | None = None, **environment: str) -> AsyncIterator[str]:
    """The sandbox gateway, ready to answer; its address."""
    chosen = str(port or free_port())
    address = f"http://127.0.0.1:{chosen}"
    variables = {"SANDBOX_GATEWAY_HOST": "127.0.0.1", "SANDBOX_GATEWAY_PORT": chosen, **environment}
    async with process("sandbox-gateway", "-m", "sandbox_gateway", folder=folder, **variables) as running:
        await until_ready(running, f"{address}/livez")
        yield address


async def until_ready(running: Process, url: str, seconds: float = 60.0) -> None:
    """Wait until the URL answers 200. Fails with the program's output when it ends before."""

    async def answers() -> bool:
        assert running.is_alive, f"{running.name} ended:\n{running.output()}"
        try:
            return (await client.get(url)).status_code == 200
        except httpx2.TransportError:
            return False

    async with httpx2.AsyncClient(timeout=2.0) as client:
        await eventually(answers, seconds)


async def run_command(*arguments: str, **environment: str) -> str:
    """`python ARGUMENTS` to its end; what it printed. Fails with all of it when the exit code is not 0."""
    code, output = await try_command(*arguments, **environment)
    assert code == 0, output
    return output


async def try_command(*arguments: str, **environment: str) -> tuple[int, str]:
    """The same for a command that may fail: exit code and output."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=_environment(environment),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, output.decode()


PORTS = range(22_000, 26_000)
"""Below the ports that the kernel gives away by itself, and away from those of stacks: of the kernel's, a port whose
server is just being restarted can go to anybody who listens or connects meanwhile, and the server then cannot come
back."""


_CLAIMS = os.open(Path(tempfile.gettempdir()) / f"sofipo-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)
"""Whoever holds the lock on a byte of this file has the port of that number; the kernel lets go of it at the end."""
_GIVEN: set[int] = set()


def free_port() -> int:
    """A port of the loopback that nobody listens on now, and that nobody gets meanwhile: neither from the kernel by
    itself, nor by asking here, in this run or in another at its side, for as long as this one lasts."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            fcntl.lockf(_CLAIMS, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    packages = os.pathsep.join(str(ROOT / service) for service in ("backend-api", "event-consumer"))
    return {**os.environ, "ENVIRONMENT": "development", "PYTHONPATH": packages, **more}
