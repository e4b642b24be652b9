"""What `sofipo import` and `sofipo export` do: files of clients in, lists out."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend_api.cli.session import ACTOR, run
from backend_api.domain.errors import DomainError
from backend_api.exports.tables import CLIENTS, LOANS, PAYMENTS, Export
from backend_api.http import context
from backend_api.http.resources import Resources
from backend_api.http.sheets import Rows, SheetFormat, sheet
from backend_api.http.write import carry_out
from backend_api.imports import job, queries, results, service, upload
from backend_api.imports.files import Format
from backend_api.imports.schemas import UNFINISHED, ImportIn, ImportOut, ImportStatus, import_out
from backend_api.opening import open_resources
from backend_api.outbox.record import Origin
from backend_api.reads import Reader
from backend_api.settings import Settings

LOOKED_AT_EVERY_SECONDS = 0.5
REASONS_TOLD = 10
"""Of so many lines that were not taken it is said at once why."""
EXPORTS = {export.name: export for export in (CLIENTS, LOANS, PAYMENTS)}


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever runs the command: sees everything."""

    actor: str = ACTOR
    client_id: UUID | None = None


class NotTaken(DomainError):
    """What was typed is not taken."""

    code = "not_taken"

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


def import_clients(
    settings: Settings, file: Path, form: str | None, options: Mapping[str, Any], result: Path | None
) -> tuple[ImportOut, Sequence[Any]]:
    """Import the clients of a file: the import as it ended, and the first lines that were not taken. `result` gets what
    became of each line. Raises `NotTaken`."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        sent = upload.Sent(_no_parts(), file.name, "").format(None if form is None else Format(form))
        body = ImportIn.model_validate({"format": sent, "file_name": upload.plain_name(file.name), **given})
    except ValidationError as error:
        reasons = (f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_input=False))
        raise NotTaken("; ".join(reasons)) from error
    except ValueError:
        raise NotTaken(f"format: one of {', '.join(Format)}.") from None
    return run(_import(settings, file, body, result))


def is_complete(ended: ImportOut) -> bool | None:
    """Whether every line was taken; None when the file was not."""
    if ended.status is not ImportStatus.COMPLETED:
        return None
    return not (ended.duplicates or ended.refused)


def export(settings: Settings, what: str, to: Path, status: str | None) -> int:
    """Write a list to a file; how many rows. Raises `NotTaken`."""
    if what not in EXPORTS:
        raise NotTaken(f"Say what to export: {', '.join(EXPORTS)}.")
    return run(_export(settings, EXPORTS[what], to, status))


async def _import(
    settings: Settings, file: Path, options: ImportIn, result: Path | None
) -> tuple[ImportOut, Sequence[Any]]:
    async with open_resources(settings) as resources:
        with file.open("rb") as opened:
            received = await upload.receive(resources, _parts(opened), options.format)
        origin = Origin(ACTOR, context.request_id(), None, resources.clock())
        use_case = service.request_import(received, options)
        async with upload.forgotten_unless_asked(resources, received):
            asked = await carry_out(resources, origin, use_case, service.CONFLICTS)
        import_id = UUID(orjson.loads(asked.body)["id"])
        gc.collect()
        gc.freeze()  # as the worker does
        with progress_bar() as bar:
            await _through(resources, import_id, bar)
        row = await _row(resources, import_id)
        if result is not None:
            form = _sheet_format(result)
            rows = results.rows(resources.reads, Reader(ACTOR), import_id, Format(row["format"]))
            await _write(result, form, results.columns(Format(row["format"])), rows)
        first = await resources.reads.on_primary(
            lambda connection: queries.not_taken(connection, import_id, 0, REASONS_TOLD)
        )
        return import_out(row), first


async def _through(resources: Resources, import_id: UUID, bar: Progress) -> None:
    """Work on the import, or watch whoever works on it, until it has ended."""
    task = bar.add_task("WAITING", total=None)

    def tell(status: ImportStatus, done: int, expected: int | None) -> None:
        total = None if expected is None else max(expected, done)
        bar.update(task, description=status.value, completed=done, total=total)

    while (row := await _row(resources, import_id))["status"] in UNFINISHED:
        tell(ImportStatus(row["status"]), row["lines_done"], row["lines_expected"])
        try:
            await job.run(resources, import_id, tell)
        except (job.ImportsRunning, service.ImportMoved, service.ImportEnded):
            await asyncio.sleep(LOOKED_AT_EVERY_SECONDS)
    tell(ImportStatus(row["status"]), row["lines_done"], row["lines_done"])


async def _row(resources: Resources, import_id: UUID) -> Any:
    return await resources.reads.on_primary(lambda connection: queries.one(connection, import_id))


async def _export(settings: Settings, export: Export, to: Path, status: str | None) -> int:
    count = 0
    filters = {"status": status} if status else {}

    async with open_resources(settings) as resources:
        first = export.paging(resources.cursor_signer, Operator(), "created_at", filters)

        async def rows() -> AsyncIterator[Rows]:
            nonlocal count
            async with aclosing(export.pages(resources.reads, Reader(ACTOR), first, filters)) as pages:
                async for page in pages:
                    count += len(page)
                    yield [[getattr(row, column) for column in export.columns] for row in page]

        await _write(to, _sheet_format(to), export.columns, rows())
    return count


async def _write(to: Path, form: SheetFormat, columns: tuple[str, ...], rows: AsyncIterator[Rows]) -> None:
    with to.open("wb") as file:
        async for part in sheet(form, columns, rows):
            file.write(part)


def _sheet_format(path: Path) -> SheetFormat:
    try:
        return SheetFormat(path.suffix.lstrip(".").lower())
    except ValueError:
        raise NotTaken("The name of the file ends in .csv or .xlsx.") from None


async def _parts(file: BinaryIO) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(file.read, upload.CHUNK_BYTES):
        yield part


async def _no_parts() -> AsyncIterator[bytes]:
    return
    yield b""


def progress_bar() -> Progress:
    """A bar on the standard error, where it disturbs no program; without a terminal nothing."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(file=sys.stderr), disable=not sys.stderr.isatty(),
    )  # fmt: skip


def _sentence(ended: ImportOut) -> str:
    would = "would be " if ended.dry_run or ended.status is ImportStatus.REFUSED else ""
    counts = f"{ended.accepted} {would}registered, {ended.duplicates} duplicates, {ended.refused} refused"
    loans = f", {ended.loans} loans" if ended.loans else ""
    problem = f"; line {ended.problem.line}: {ended.problem.detail}" if ended.problem else ""
    return f"import {ended.id} {ended.status}: {counts}{loans}{problem}"


def lines(ended: ImportOut, first: Sequence[Any]) -> list[str]:
    """What became of an import, and why the first lines were not taken."""
    told = [_sentence(ended), *(f"  line {line['line']}: {results.reasons(line)}" for line in first)]
    more = ended.duplicates + ended.refused - len(first)
    return [*told, f"  and {more} more: --result FILE.csv writes all of them"] if more else told
