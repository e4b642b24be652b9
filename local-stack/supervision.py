"""The process supervisor of a stack: its configuration, its life, and the calls over its unix socket."""

import contextlib
import http.client
import os
import shlex
import signal
import socket
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from places import Stack, log_of, write
from programs import Program
from refusal import Refusal

_GRACE_SECONDS = 15.0
_SHUTDOWN_SECONDS = 60.0
_POLL_SECONDS = 0.1
# States of supervisord in which a program is not going to become ready by itself.
FAILED = ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")


@dataclass(frozen=True)
class State:
    """What the supervisor knows about a program."""

    name: str
    state: str
    pid: int
    explanation: str


class Supervisor:
    """The supervisor of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._config = stack.config / "supervisord.conf"
        self._socket = stack.sockets / "supervisor.sock"
        self._rpc = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self._socket))

    def write_configuration(self, programs: Sequence[Program]) -> None:
        """Writes the configuration for these programs; a running supervisor does not look at it again."""
        write(self._config, "\n".join([self._general(), *map(self._section, programs)]))

    def launch(self, binaries: Path, environment: dict[str, str]) -> None:
        """Starts the supervisor as the service user, with nothing running yet, and waits until it answers."""
        self._socket.unlink(missing_ok=True)
        # Not the script beside it: its first line has to hold the interpreter's whole path and may be too long.
        command = [str(binaries / "python"), "-m", "supervisor.supervisord", "--configuration", str(self._config)]
        done = machine.run_as_service_user(command, env=environment, check=False)
        deadline = time.monotonic() + _GRACE_SECONDS
        while not self.is_running():
            if done.returncode or time.monotonic() > deadline:
                raise Refusal(f"The supervisor did not start: {done.stdout.strip()} (log: {self._log})")
            time.sleep(_POLL_SECONDS)

    def is_running(self) -> bool:
        """Whether the supervisor answers."""
        try:
            return bool(self._rpc.supervisor.getState())
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def start(self, program: str) -> None:
        """Asks for a program's start without waiting; no harm when it runs."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._rpc.supervisor.startProcess(program, False)

    def stop(self, program: str) -> None:
        """Stops a program gracefully and waits for its end; no harm when it does not run."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._rpc.supervisor.stopProcess(program, True)

    def states(self) -> dict[str, State]:
        """All programs in the supervisor's configuration."""
        answers: Any = self._rpc.supervisor.getAllProcessInfo()
        return {
            info["name"]: State(info["name"], info["statename"], info["pid"], info["spawnerr"] or info["description"])
            for info in answers
        }

    def shut_down(self) -> None:
        """Ends the supervisor, and whatever of this stack still runs afterwards."""
        session = _session(self._stack)
        if self.is_running():
            with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
                self._rpc.supervisor.shutdown()
            # It ends its children with the signal each of them wants, so it is not hurried.
            deadline = time.monotonic() + _SHUTDOWN_SECONDS
            while self._socket.exists() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        # It removes the file with its pid when it ends well.
        _end(self._stack, session)
        _pid_file(self._stack).unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self._stack.logs / "supervisor.log"

    def _general(self) -> str:
        return f"""\
[supervisord]
logfile={_escaped(self._log)}
logfile_maxbytes=10MB
logfile_backups=2
pidfile={_escaped(_pid_file(self._stack))}
directory={_escaped(self._stack.run)}
childlogdir={_escaped(self._stack.logs)}
umask=077

[unix_http_server]
file={_escaped(self._socket)}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

    def _section(self, program: Program) -> str:
        return f"""\
[program:{program.name}]
command={_escaped(shlex.join(program.command))}
autostart=false
autorestart=true
startsecs=1
startretries=30
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(log_of(self._stack, program.name))}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def end_processes_of(stack: Stack) -> None:
    """Ends every process that the last supervisor of this stack started, also when it was killed itself."""
    _end(stack, _session(stack))


def processes_of(stack: Stack) -> list[int]:
    """Pids of the last supervisor of this stack and of what it started, also when it was killed itself."""
    return list(_members(stack, _session(stack)))


def _end(stack: Stack, session: int | None) -> None:
    """First kindly, after a while by force."""
    deadline = time.monotonic() + _GRACE_SECONDS
    asked: set[int] = set()
    while pids := set(_members(stack, session)):
        forced = time.monotonic() > deadline
        for pid in pids if forced else pids - asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if forced else signal.SIGTERM)
        asked |= pids
        time.sleep(_POLL_SECONDS)


def _members(stack: Stack, session: int | None) -> Iterator[int]:
    """The supervisor leads a session that its children stay in, and all of them work inside the stack's folder."""
    if session is None:
        return
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the command's name, which may hold anything: state, parent, group, session.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and (process / "cwd").readlink().is_relative_to(stack.folder):
                yield int(process.name)


def _session(stack: Stack) -> int | None:
    try:
        return int(_pid_file(stack).read_text())
    except (OSError, ValueError):
        return None


def _pid_file(stack: Stack) -> Path:
    return stack.run / "supervisor.pid"


def _escaped(text: Path | str) -> str:
    """Supervisor expands percent signs in every value."""
    return str(text).replace("%", "%%")


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        # Longer than the longest graceful stop of a program.
        super().__init__("localhost", timeout=90)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
