"""What became of each line of a file, as a file: to be mended and sent again."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from backend_api.http.sheets import Rows
from backend_api.imports import queries
from backend_api.imports.files import COLUMNS, TEXT_COLUMNS, Format
from backend_api.reads import Reader, Reads

LINES_AT_ONCE = 500
ABOUT = ("line", "outcome", "client_id", "loan_id", "problems")


def columns(form: Format) -> tuple[str, ...]:
    """The columns of the result: what is told, then those of the file."""
    return (*ABOUT, *(TEXT_COLUMNS if form is Format.TXT else COLUMNS))


async def rows(reads: Reads, reader: Reader, import_id: UUID, form: Format) -> AsyncIterator[Rows]:
    """The lines in their order. One that was taken names its client; any other shows what stood in it."""
    of_file, last = columns(form)[len(ABOUT) :], 0
    while found := await reads.query(
        reader, partial(queries.lines, import_id=import_id, after=last, limit=LINES_AT_ONCE)
    ):
        yield [_row(line, of_file) for line in found]
        last = found[-1]["line"]


def reasons(line: Mapping[str, Any]) -> str | None:
    """Why a line was not taken, in a sentence or more; None if it was."""
    problems = _json(line["problems"]) or []
    return "; ".join(f"{problem['column'] or 'line'}: {problem['detail']}" for problem in problems) or None


def _row(line: Mapping[str, Any], of_file: tuple[str, ...]) -> list[Any]:
    known = _json(line["record"]) or {name: line[name] for name in ("full_name", "rfc", "external_id")}
    told = [line["line"], line["outcome"], line["client_id"], line["loan_id"], reasons(line)]
    return told + [known.get(column) for column in of_file]


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value
