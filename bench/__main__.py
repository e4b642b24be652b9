"""`python -m bench`: measures the hot paths beside their references on a running stack, and prints ratios."""

import argparse
import asyncio
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import asyncpg
from backend_api.settings import Settings

from bench import latency, payment, pgbench, processes, read, report, seed, tables, turns

CHECKOUT = Path(__file__).resolve().parent.parent
DATABASE = "sofipo_bench"
PARTS = ("read", "payment", "latency")
CLIENTS = 10_000
QUICK_CLIENTS = 1_000


def main() -> int:
    """Run what was asked for; 1 if `--check` was given and a goal was missed."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop)
    finished: list[turns.Table] = []
    code = 0
    try:
        _use_stack(options.stack)
        finished.extend(_measure(options))
    except* KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = 130
    except* REFUSALS as refusals:
        print(_first(refusals), file=sys.stderr)
        code = 1
    if code:
        return code
    print(report.goals(finished))
    if options.json:
        Path(options.json).write_text(json.dumps([table.json() for table in finished], indent=2) + "\n")
    return int(options.check and not all(goal.met for table in finished for goal in table.goals))


class StackMissingError(Exception):
    """There are no servers to measure on."""


REFUSALS = (
    processes.ProcessDiedError,
    pgbench.PgbenchError,
    seed.RefusedError,
    turns.WrongAnswersError,
    latency.NotArrivedError,
    StackMissingError,
)


def _first(group: BaseExceptionGroup) -> BaseException:
    """The first real exception in nested groups."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


def _measure(options: argparse.Namespace) -> Iterator[turns.Table]:
    parts = options.only or PARTS
    with (
        _alone(Settings()),
        tempfile.TemporaryDirectory(prefix="sofipo-bench-") as folder,
        _generator() as generator,
    ):
        asyncio.run(_fresh_database(Settings()))
        os.environ["POSTGRES_DB"] = DATABASE
        logs = Path(folder)
        _initialise()
        rounds, seconds = (2, 1.0) if options.quick else (3, 3.0)
        bench = turns.Bench(Settings(), generator, logs, rounds, seconds)
        with processes.web_server("api", "backend_api.app:create_app", 2, logs) as api:
            count = QUICK_CLIENTS if options.quick else CLIENTS
            print(f"creating {count} clients with a loan each", flush=True)
            borrowers = seed.borrowers(api.port, seed.tokens(bench.settings, 1)[0], count)
            if "read" in parts:
                yield from _printed(read.tables(bench, api, borrowers))
            if "payment" in parts:
                yield from _printed(payment.payment_tables(bench, api, borrowers))
            if "latency" in parts:
                yield from _printed(latency.tables(bench, api, borrowers, 5.0 if options.quick else 20.0))


def _printed(made: Iterator[turns.Table]) -> Iterator[turns.Table]:
    for table in made:
        print(report.text(table), flush=True)
        yield table


def _use_stack(name: str) -> None:
    """Take the settings of a running stack into our environment, which all started processes inherit."""
    if name:
        command = [sys.executable, str(CHECKOUT / "local-stack" / "stack.py"), "env", "--name", name]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise StackMissingError(f"{done.stderr.strip()} `make bench` brings one up and takes it down again.")
        for line in done.stdout.splitlines():
            key, _, value = line.partition("=")
            os.environ[key] = value
    # Views must not expire while they are measured, nor tokens.
    os.environ.update(CACHE_TTL_SECONDS="3600", API_ACCESS_TOKEN_EXPIRE_MINUTES="30", LOG_LEVEL="WARNING")
    # The packages come from where ours do; this one must be found too, wherever we were called.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(CHECKOUT))))


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One run at a time on these servers: a second one would measure the first, and drop its database."""
    path = Path(tempfile.gettempdir()) / f"sofipo-bench-{os.geteuid()}-{settings.postgres_port}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackMissingError("Another run is measuring on these servers; wait until it is done.") from None
        yield


async def _fresh_database(settings: Settings) -> None:
    """A database of our own, so that every run begins the same and nobody's data is touched."""
    try:
        connection = await asyncpg.connect(tables.owner_dsn(settings))
    except OSError as error:
        raise StackMissingError(f"PostgreSQL does not answer at port {settings.postgres_port}.") from error
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


def _initialise() -> None:
    command = [sys.executable, "-m", "backend_api.cli", "init"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise processes.ProcessDiedError(f"`sofipo init` failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _generator() -> Iterator[ProcessPoolExecutor]:
    """The load generator's process. Ctrl-C is for us; it ends with the run it is at."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as executor:
        yield executor


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--stack", default="bench", help="name of the running stack; empty: the servers named by the environment"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="short rounds and fewer clients: shows that it works")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal for now is missed")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
