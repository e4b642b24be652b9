"""Files of clients for tests, and imports carried out as the worker does."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from backend_api.http.resources import Resources
from backend_api.imports import job
from openpyxl import Workbook, load_workbook

from tests.support.builders import Json, client_body, get

IMPORTS = "/api/v1/imports"
CLIENTS = f"{IMPORTS}/clients"
COLUMNS = ("full_name", "email", "rfc", "external_id", "credit_limit")
ORPHANS = "SELECT count(*) FROM import_chunks c WHERE NOT EXISTS (SELECT FROM imports WHERE id = c.import_id)"
"""Parts of files that no import asked for."""


def row(**fields: Any) -> dict[str, Any]:
    """A client of a file, who collides with nobody."""
    return client_body(**fields)


def csv_file(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS, encoding: str = "utf-8", separator: str = ","
) -> bytes:
    """These clients as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(columns)
    writer.writerows([one.get(column) for column in columns] for one in rows)
    return text.getvalue().encode(encoding)


def workbook_file(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    """These clients as a workbook."""
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet()
    sheet.append(list(columns))
    for one in rows:
        sheet.append([one.get(column) for column in columns])
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def read_csv(content: bytes) -> list[dict[str, str]]:
    """A CSV file as rows by column."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def read_workbook(content: bytes) -> list[dict[str, Any]]:
    """A workbook's first sheet as rows by column."""
    rows = load_workbook(io.BytesIO(content), read_only=True).worksheets[0].iter_rows(values_only=True)
    columns = [str(cell) for cell in next(rows)]
    return [dict(zip(columns, row, strict=True)) for row in rows]


async def ask(api: httpx2.AsyncClient, content: bytes, form: str = "csv", **options: Any) -> Json:
    """An import that was just asked for."""
    answer = await api.post(CLIENTS, content=content, params={"format": form, **options})
    assert answer.status_code == 202, answer.text
    body: Json = answer.json()
    return body


async def work(resources: Resources) -> None:
    """Do what a worker does until nothing waits."""
    while await job.run_next(resources):
        pass


async def done(
    api: httpx2.AsyncClient, resources: Resources, content: bytes, form: str = "csv", **options: Any
) -> Json:
    """An import that has ended."""
    asked = await ask(api, content, form, **options)
    await work(resources)
    return await get(api, f"{IMPORTS}/{asked['id']}")


async def errors(api: httpx2.AsyncClient, of: Json) -> list[Json]:
    """The lines that were not taken."""
    page = await get(api, f"{IMPORTS}/{of['id']}/errors", params={"limit": 100})
    found: list[Json] = page["data"]
    return found


def counts(of: Json) -> tuple[str, int, int, int, int]:
    """How an import ended, and its counts: accepted, duplicates, refused, loans."""
    return of["status"], of["accepted"], of["duplicates"], of["refused"], of["loans"]
