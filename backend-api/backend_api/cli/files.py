"""`sofipo import` and `sofipo export`: files of clients in, lists out, for whoever runs the lender's machine."""

from pathlib import Path
from typing import Annotated

import typer

from backend_api.cli.printing import AsJson, tell

imports = typer.Typer(help="Files in.", no_args_is_help=True, pretty_exceptions_enable=False)

SOME_NOT_TAKEN = 3
"""Exit code when everything went well but some lines were not taken."""


@imports.command("clients")
def import_clients(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="txt, csv or xlsx.")],
    form: Annotated[
        str | None, typer.Option("--format", help="txt, csv or xlsx; what the file's name says by default.")
    ] = None,
    all_or_nothing: Annotated[bool, typer.Option("--all-or-nothing", help="Write nothing if a line is wrong.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")] = False,
    product: Annotated[
        str | None, typer.Option(help="Of opening balances whose line names none; STANDARD by default.")
    ] = None,
    interest_rate: Annotated[str | None, typer.Option(help="The same for their yearly rate, as 0.36.")] = None,
    term_months: Annotated[int | None, typer.Option(help="The same for their term.")] = None,
    result: Annotated[Path | None, typer.Option(help="Write what became of each line to this csv or xlsx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register the clients of a file; a client who is there stays as they are.

    If it is cut off, it is safe to call again, and a worker goes on with it meanwhile. Exit code 0 when every line was
    taken, 3 when some were not, 1 when the file was not.
    """
    from backend_api import logs
    from backend_api.cli import transfer
    from backend_api.imports.schemas import Mode
    from backend_api.settings import Settings

    settings = Settings()
    logs.configure("WARNING")
    options = {
        "mode": Mode.ALL_OR_NOTHING if all_or_nothing else Mode.ACCEPT_GOOD,
        "dry_run": dry_run,
        "product": product,
        "interest_rate": interest_rate,
        "term_months": term_months,
    }
    ended, first = transfer.import_clients(settings, file, form, options, result)
    tell(ended.model_dump(mode="json"), transfer.lines(ended, first), as_json=as_json)
    is_complete = transfer.is_complete(ended)
    if not is_complete:
        raise typer.Exit(1 if is_complete is None else SOME_NOT_TAKEN)


def export(
    what: Annotated[str, typer.Argument(help="clients, loans or payments.")],
    to: Annotated[Path, typer.Argument(dir_okay=False, help="File to write, .csv or .xlsx.")],
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a list to a file that no spreadsheet takes for formulas."""
    from backend_api import logs
    from backend_api.cli import transfer
    from backend_api.settings import Settings

    settings = Settings()
    logs.configure("WARNING")
    count = transfer.export(settings, what, to, status)
    tell({"exported": what, "rows": count, "file": str(to)}, [f"{count} {what} written to {to}"], as_json=as_json)
