"""The commands: names, options and sentences. What a command does is imported when it is called, because reading all of
it takes longer than most commands do, and the shell asks for their names with every TAB."""

import sys
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from backend_api.cli import access, files
from backend_api.cli.outbox import outbox
from backend_api.cli.printing import AsJson, tell
from backend_api.demo.story import CAST

app = typer.Typer(
    name="sofipo",
    help="Runs and looks after the loan-servicing backend.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(outbox, name="outbox")
app.add_typer(access.users, name="users")
app.add_typer(access.api_keys, name="api-keys")
app.add_typer(access.keys, name="keys")
app.add_typer(files.imports, name="import")
app.command("export")(files.export)
app.command("apikey_gen")(access.create_api_key)

DIFFERENCES = 1
NOT_LOOKED_AT = 2
"""Exit codes of `sofipo verify`."""


@app.command()
def init() -> None:
    """Bring the schema and what is in it up to date, open the business day and, in development, create the user admin.

    Safe to repeat, also after it was cut off.
    """
    from backend_api.cli import initialise
    from backend_api.cli.session import run
    from backend_api.settings import Settings

    settings = Settings()
    initialise.migrate(initialise.BEFORE_ADOPTION)
    if adopted := run(initialise.adopt_loans(settings)):
        typer.echo(f"loans of the version before: {adopted} worked out")
    initialise.migrate()
    typer.echo("schema: up to date")
    typer.echo(f"business date: {run(initialise.open_business_day(settings))}")
    if settings.is_development:
        created = run(initialise.create_development_user(settings))
        typer.echo(f"user {initialise.DEVELOPMENT_USER}: {'created' if created else 'exists'}")


@app.command()
def eod(
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Close days up to and with this one; by default all before today."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Close business dates: tell what is overdue, book accruals and provisions. Safe to repeat after any failure.

    Exit code 1 when a loan could not be looked at: it is named, the others are done, and the next run tries it again.
    """
    from backend_api import logs
    from backend_api.cli import eod as end_of_day
    from backend_api.cli.session import run
    from backend_api.settings import Settings

    settings = Settings()
    logs.configure(settings.log_level)
    outcome = run(end_of_day.close_days(settings, date.date() if date else None))
    failed = {str(loan_id): error for loan_id, error in outcome.failed.items()}
    tell({"closed": outcome.closed, "failed": failed}, [end_of_day.sentence(outcome)], as_json=as_json)
    if failed:
        raise typer.Exit(1)


@app.command()
def demo(
    clients: Annotated[int, typer.Option(min=len(CAST), max=20_000, help="How many.")] = 500,
    months: Annotated[int, typer.Option(min=1, max=120, help="How long the lender has existed.")] = 18,
    seed: Annotated[int, typer.Option(help="Another one tells another story.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database with an invented lender: clients, loans, payments, closed days, up to today.

    Takes days to their end as `sofipo eod` does, so no other end of day may be at work meanwhile. Refuses a database
    that has clients or closed days already. The users it makes are told at the end; their password is that of admin.
    """
    from backend_api import logs
    from backend_api.cli import demo as invention
    from backend_api.cli.session import run
    from backend_api.settings import Settings

    settings = Settings()
    logs.configure("WARNING")
    told = run(invention.fill(settings, clients, months, seed))
    tell(told, [invention.sentence(told)], as_json=as_json)


@app.command()
def verify(
    quick: Annotated[bool, typer.Option("--quick", help="Do not work out every loan anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that events, documents, books and loans are whole and agree, and print a digest of them.

    Changes nothing. The digest is the same for the same content, whenever and wherever it is made: take it when nothing
    moves. Exit code 0 when all is well, 1 when something differs, 2 when something could not be looked at.
    """
    from backend_api.cli import verify as verification
    from backend_api.cli.session import run
    from backend_api.settings import Settings

    try:
        report = run(verification.verify(Settings(), quick=quick))
    except verification.AWAY as error:
        typer.echo(f"The primary cannot be asked ({type(error).__name__}): see `sofipo doctor`.", err=True)
        raise typer.Exit(NOT_LOOKED_AT) from error
    tell(verification.data(report), verification.lines(report), as_json=as_json)
    if any(check.differences for check in report.checks):
        raise typer.Exit(DIFFERENCES)
    if any(check.not_looked for check in report.checks):
        raise typer.Exit(NOT_LOOKED_AT)


@app.command("check-settings")
def check_settings() -> None:
    """Refuse a production with default, empty or short secrets; needs nothing but the environment."""
    from backend_api.settings import Settings

    typer.echo(f"settings: fit for {Settings().environment}")


@app.command()
def api() -> None:
    """Serve the API on port 8000 of all addresses, with two workers, until stopped: the command of the image."""
    from backend_api.cli import processes

    processes.serve_api()


@app.command()
def relay() -> None:
    """Send events from the outbox to the broker until stopped; of several relays one leads, the others stand by."""
    from backend_api.cli import processes

    processes.run_relay()


@app.command()
def worker() -> None:
    """Close days, import files, let approvals expire and delete old stored answers until stopped; several may run."""
    from backend_api.cli import processes

    processes.run_worker()


@app.command("worker-alive")
def worker_alive() -> None:
    """Exit code 0 when a worker on this host is at work, 1 otherwise: the worker's health check."""
    from backend_api.cli import worker_health
    from backend_api.cli.session import ask

    if complaint := ask(worker_health.complaint):
        sys.exit(complaint)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with this set-up and what to do about it. Exit code 1 when something is wrong.

    Changes nothing. `warning` is worth a look, `not checked` waits for another finding to be mended.
    """
    import logging

    from backend_api.cli import doctor as examination
    from backend_api.cli.session import run
    from backend_api.opening import utc_now

    logging.disable(logging.CRITICAL)  # what libraries log of a failure, a finding says better
    findings = run(examination.examine(utc_now))
    tell([asdict(finding) for finding in findings], [examination.report(findings)], as_json=as_json)
    if any(finding.level is examination.Level.WRONG for finding in findings):
        raise typer.Exit(1)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    import json

    from backend_api.app import create_app
    from backend_api.settings import Environment, Settings

    document = create_app(Settings(environment=Environment.DEVELOPMENT)).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def main() -> None:
    """Run a command; what is expected to go wrong ends with one sentence and exit code 1."""
    try:
        app()
    except Exception as error:
        from backend_api.cli import failures

        sentence = failures.sentence(error)
        if sentence is None:
            raise
        sys.exit(sentence)
