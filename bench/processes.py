"""Processes that live as long as a `with` block: started, waited for, and ended whatever happens."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.load import HOST

READY_SECONDS = 60.0
END_SECONDS = 15.0


class ProcessDiedError(Exception):
    """A process ended before its time; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A web server with all its workers below one process."""

    pid: int
    port: int


@contextmanager
def started(name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> Iterator[int]:
    """A process in a session of its own, so that Ctrl-C reaches it through us; its output goes to a file."""
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
        if process.poll() is not None:
            raise ProcessDiedError(f"{name} ended by itself:\n{_tail(log)}")
    finally:
        _end(process)


@contextmanager
def web_server(
    name: str, application: str, workers: int, logs: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """An application under the API's own server options. `application` is a factory, `package.module:function`."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", application, "--factory", "--host", HOST, "--port", str(port)),
        *("--workers", str(workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
        *("--no-server-header", "--timeout-graceful-shutdown", "5"),
    ]
    with started(name, command, environment or {}, logs) as pid:
        _wait_until_serving(name, pid, port, logs)
        yield Server(pid, port)


def _wait_until_serving(name: str, pid: int, port: int, logs: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = HTTPConnection(HOST, port, timeout=2)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
        except (OSError, HTTPException):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                break
            time.sleep(0.05)
        else:
            return
    raise ProcessDiedError(f"{name} does not serve:\n{_tail(logs / f'{name}.log')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then insist; workers that outlive their parent are in the same session."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join(f"  | {line}" for line in lines)
