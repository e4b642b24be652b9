"""The commands, each a few lines over a function that does it."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import aio_pika.exceptions
import asyncpg
import typer
import uvloop
from alembic.util import CommandError
from pydantic import ValidationError

from backend_api import logs
from backend_api.cli import access, initialise, relay_health, worker_health
from backend_api.cli import doctor as examination
from backend_api.cli import eod as end_of_day
from backend_api.db.pools import Connection, connect
from backend_api.domain.errors import DomainError
from backend_api.opening import open_resources, utc_now
from backend_api.outbox import broker, parked
from backend_api.relay import app as relay_app
from backend_api.settings import Environment, Settings
from backend_api.worker import app as worker_app

app = typer.Typer(
    name="sofipo",
    help="Runs and looks after the loan-servicing backend.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
outbox = typer.Typer(help="Events on their way to the broker.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(outbox, name="outbox")
app.add_typer(access.users, name="users")
app.add_typer(access.api_keys, name="api-keys")
app.add_typer(access.keys, name="keys")
app.command("apikey_gen")(access.create_api_key)

Result = TypeVar("Result")

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a container these are the ones of its network
SERVER = (
    "uvicorn", "backend_api.app:create_app", "--factory", "--host", EVERY_ADDRESS, "--port", "8000", "--workers", "2",
    "--loop", "uvloop", "--http", "backend_api.http.protocol:PatientProtocol", "--no-proxy-headers",
    "--no-access-log", "--no-server-header", "--log-config", str(logs.SERVER_LOGGING),
    "--timeout-graceful-shutdown", "10",
)  # fmt: skip


@app.command()
def init() -> None:
    """Bring the schema and what is in it up to date, open the business day and, in development, create the user admin.

    Safe to repeat, also after it was cut off.
    """
    settings = Settings()
    initialise.migrate(initialise.BEFORE_ADOPTION)
    if adopted := _run(initialise.adopt_loans(settings)):
        typer.echo(f"loans of the version before: {adopted} worked out")
    initialise.migrate()
    typer.echo("schema: up to date")
    typer.echo(f"business date: {_run(initialise.open_business_day(settings))}")
    if settings.is_development:
        created = _run(initialise.create_development_user(settings))
        typer.echo(f"user {initialise.DEVELOPMENT_USER}: {'created' if created else 'exists'}")


@app.command()
def eod(
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Close days up to and with this one; by default all before today."),
    ] = None,
) -> None:
    """Close business dates: tell what is overdue, book accruals and provisions. Safe to repeat after any failure.

    Exit code 1 when a loan could not be looked at: it is named, the others are done, and the next run tries it again.
    """
    settings = Settings()
    logs.configure(settings.log_level)
    outcome = _run(end_of_day.close_days(settings, date.date() if date else None))
    typer.echo(end_of_day.sentence(outcome))
    if outcome.failed:
        raise typer.Exit(1)


@app.command("check-settings")
def check_settings() -> None:
    """Refuse a production with default, empty or short secrets; needs nothing but the environment."""
    typer.echo(f"settings: fit for {Settings().environment}")


@app.command()
def api() -> None:
    """Serve the API on port 8000 of all addresses, with two workers, until stopped: the command of the image."""
    Settings()  # what is refused is told once, and not by every worker again and again
    os.execvp(SERVER[0], SERVER)  # noqa: S606 - the arguments are constants


@app.command()
def relay() -> None:
    """Send events from the outbox to the broker until stopped; of several relays one leads, the others stand by."""
    settings = Settings()
    logs.configure(settings.log_level)
    _run(_relay(settings))


@app.command()
def worker() -> None:
    """Close days, let approvals expire and delete old stored answers by the clock until stopped; several may run."""
    settings = Settings()
    logs.configure(settings.log_level)
    _run(_worker(settings))


@app.command("worker-alive")
def worker_alive() -> None:
    """Exit code 0 when a worker on this host is at work, 1 otherwise: the worker's health check."""
    if complaint := _run(_with_connection(Settings(), worker_health.complaint)):
        sys.exit(complaint)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say what is wrong with this set-up and what to do about it. Exit code 1 when something is wrong.

    Changes nothing. `warning` is worth a look, `not checked` waits for another finding to be mended.
    """
    logging.disable(logging.CRITICAL)  # what libraries log of a failure, a finding says better
    findings = _run(examination.examine(utc_now))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        typer.echo(examination.report(findings))
    if any(finding.level is examination.Level.WRONG for finding in findings):
        raise typer.Exit(1)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    # Only here: it reads every call of the API, which takes longer than most commands do.
    from backend_api.app import create_app

    document = create_app(Settings(environment=Environment.DEVELOPMENT)).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@outbox.command("status")
def outbox_status() -> None:
    """How many events wait, for how long, who sends them, and what is parked with which reason."""
    settings = Settings()
    status = _run(_with_connection(settings, parked.status))
    oldest = "nothing waits" if status.oldest_seconds is None else f"oldest {status.oldest_seconds:.1f} s"
    typer.echo(f"waiting: {status.interactive} interactive, {status.bulk} bulk ({oldest})")
    if status.relay_heartbeat_seconds is None:
        typer.echo("relay: none has led yet; start one with `sofipo relay`")
    else:
        typer.echo(f"relay: term {status.relay_epoch}, last sign of life {status.relay_heartbeat_seconds:.1f} s ago")
    for event in status.parked:
        typer.echo(f"parked event {event.event_id} since {event.since:%Y-%m-%d %H:%M:%S}Z: {event.reason}")
    messages = _run(parked.parked_messages(broker.url(settings), limit=100))
    for message in messages:
        typer.echo(f"parked message {message.message_id} since {message.since or 'unknown'}: {message.reason}")
    if status.parked or messages:
        typer.echo("after mending the cause: `sofipo outbox replay-parked`")
    else:
        typer.echo("parked: nothing")


@outbox.command("relay-alive")
def relay_alive() -> None:
    """Exit code 0 when a relay on this host is at work and some relay leads, 1 otherwise: the relay's health check."""
    if complaint := _run(_with_connection(Settings(), relay_health.complaint)):
        sys.exit(complaint)


@outbox.command("replay-parked")
def replay_parked(
    aggregate: Annotated[UUID | None, typer.Option(help="Only the events of this aggregate; all by default.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many messages of the consumer's parking lot.")] = 1000,
) -> None:
    """Try parked events and parked messages again. Safe to repeat: what is stored already is recognised."""
    settings = Settings()

    async def replay(connection: Connection) -> int:
        return await parked.replay_parked(connection, aggregate)

    typer.echo(f"events tried again: {_run(_with_connection(settings, replay))}")
    if aggregate is None:
        typer.echo(f"messages put back: {_run(parked.replay_parked_messages(broker.url(settings), limit))}")


async def _relay(settings: Settings) -> None:
    stop = _told_to_stop()
    async with open_resources(settings) as resources:
        await relay_app.run(settings, stop, resources.cache.announce)


async def _worker(settings: Settings) -> None:
    stop = _told_to_stop()
    async with open_resources(settings) as resources:
        await worker_app.run(resources, stop)


def _told_to_stop() -> asyncio.Event:
    """Set by the signals that ask a process to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connection]:
    connection = await connect(settings, name="sofipo-cli")
    try:
        yield connection
    finally:
        await connection.close()


async def _with_connection(settings: Settings, ask: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
    async with _connected(settings) as connection:
        return await ask(connection)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _sentence(problem: dict[str, Any]) -> str:
    return " ".join([*(str(part).upper() for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")])


def main() -> None:
    """Run a command; what is expected to go wrong ends with one sentence and exit code 1."""
    try:
        app()
    except ValidationError as error:
        sys.exit("\n".join(_sentence(dict(problem)) for problem in error.errors()))
    except DomainError as refusal:
        sys.exit(" ".join(error.detail for error in getattr(refusal, "errors", [])) or refusal.message)
    except (OSError, asyncpg.PostgresError, aio_pika.exceptions.AMQPError, CommandError) as error:
        sys.exit(f"{type(error).__name__}: {error}. Is the stack up, and do the settings name it (`.env.example`)?")
