"""The primary's data folder, made the way the official image makes it, and questions to both servers."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import machine
from places import Stack, give, log_of
from refusal import Refusal
from settings import LOOPBACK

_INITDB = ("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8")


def ask(environment: Mapping[str, str], port: int, question: str) -> str:
    """One answer of the server on this port, as the owner of the database. Raises OSError with the server's reason."""
    login = {
        "PGHOST": LOOPBACK,
        "PGPORT": str(port),
        "PGUSER": environment["POSTGRES_USER"],
        "PGPASSWORD": environment["POSTGRES_PASSWORD"],
        "PGDATABASE": environment["POSTGRES_DB"],
        "PGCONNECT_TIMEOUT": "3",
    }
    command = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--command", question]
    done = machine.run_as_service_user(command, env={**environment, **login}, check=False)
    if done.returncode:
        raise OSError(done.stdout.strip())
    return done.stdout.strip()


def create_primary(stack: Stack, environment: Mapping[str, str], files: Path) -> None:
    """Makes the primary's data folder, unless it exists, and runs the init script on it.

    Built beside its place and moved there at the end, so that an interrupted attempt leaves nothing half-made.
    """
    finished, attempt = stack.data / "primary", stack.data / "primary.new"
    if finished.exists():
        return
    shutil.rmtree(attempt, ignore_errors=True)
    give(attempt)
    with _short_folder() as sockets:
        password = sockets / "password"
        password.write_text(environment["POSTGRES_PASSWORD"])
        password.chmod(0o600)
        shutil.chown(password, *_owner(attempt))
        login = {"PGHOST": str(sockets), "PGUSER": environment["POSTGRES_USER"], "PGDATA": str(attempt)}
        run = _Runner({**environment, **login}, stack)
        run("initdb", "--username", login["PGUSER"], f"--pwfile={password}", *_INITDB)
        options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}'"
        run("pg_ctl", "--wait", "--silent", "--options", options, "start")
        try:
            if environment["POSTGRES_DB"] != "postgres":
                run("createdb", environment["POSTGRES_DB"])
            run(str(files / "postgres-init/00-config-hba.sh"))
        finally:
            run("pg_ctl", "--wait", "--silent", "--mode", "fast", "stop")
    attempt.rename(finished)


class _Runner:
    """Runs the steps as the service user; what they say goes to a log, which a failure names."""

    def __init__(self, environment: dict[str, str], stack: Stack) -> None:
        self._environment = environment
        self._log = log_of(stack, "postgres-init")

    def __call__(self, *command: str) -> None:
        try:
            machine.run_as_service_user(list(command), env=self._environment, log=self._log)
        except subprocess.CalledProcessError as error:
            name = Path(command[0]).name
            raise Refusal(f"{name} failed while the primary was made: see {self._log}.") from error


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A private folder whose path is short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sofipo-"))
    try:
        yield give(folder)
    finally:
        shutil.rmtree(folder)


def _owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid
