"""Tables as files, row by row: CSV and XLSX that no spreadsheet takes for formulas.

Whoever opens an export must see what is stored and run nothing of it. In CSV a text that begins like a formula gets an
apostrophe in front (OWASP ASVS 1.2.10); a workbook says of each cell that it is a text or a number, so it needs none.
A workbook is written as it is sent: there is no package for that, and the parts of the format that a table needs are
small (ECMA-376 part 1, sections 12.3 and 18.3).
"""

import csv
import io
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import IO, Any, Protocol
from xml.sax.saxutils import escape

from starlette.responses import StreamingResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r")
ROWS_OF_A_SHEET = 1_000_000
"""A spreadsheet holds 1,048,576; what is more goes to the next sheet."""
BOM = "\ufeff"
"""Without it spreadsheets take UTF-8 for something else."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML document cannot hold."""

Rows = Sequence[Sequence[Any]]


class SheetFormat(StrEnum):
    """As what a table is downloaded."""

    CSV = "csv"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        """Its media type."""
        if self is SheetFormat.CSV:
            return "text/csv; charset=utf-8"
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def download(name: str, form: SheetFormat, columns: Sequence[str], rows: AsyncIterator[Rows]) -> StreamingResponse:
    """The response that sends a table, some rows at a time. If they cannot be read to the end, it is cut off."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Cache-Control": "private, no-store",
        "Vary": "Authorization, X-API-Key",
    }
    return StreamingResponse(sheet(form, columns, rows), 200, headers, form.media_type)


async def sheet(form: SheetFormat, columns: Sequence[str], rows: AsyncIterator[Rows]) -> AsyncIterator[bytes]:
    """The bytes of such a file."""
    writer: _Writer = _Csv(columns) if form is SheetFormat.CSV else _Workbook(columns)
    async for some in rows:
        yield writer.add(some)
    yield writer.end()


class _Writer(Protocol):
    def add(self, rows: Rows) -> bytes: ...

    def end(self) -> bytes: ...


class _Csv:
    """RFC 4180, in UTF-8."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._buffer = io.StringIO(BOM)
        self._buffer.seek(0, io.SEEK_END)
        self._writer = csv.writer(self._buffer)
        self._writer.writerow(columns)

    def add(self, rows: Rows) -> bytes:
        self._writer.writerows([_harmless(_plain(cell)) for cell in row] for row in rows)
        written = self._buffer.getvalue().encode()
        self._buffer.seek(0)
        self._buffer.truncate()
        return written

    def end(self) -> bytes:
        return self._buffer.getvalue().encode()


class _Workbook:
    """A workbook of one table, on as many sheets as it needs."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._sink = _Sink()
        self._archive = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._sheets = 0
        self._sheet: IO[bytes] | None = None
        self._left = 0
        self._begin_sheet()

    def add(self, rows: Rows) -> bytes:
        for start in range(0, len(rows), ROWS_OF_A_SHEET):
            self._add(rows[start : start + ROWS_OF_A_SHEET])
        return self._sink.taken()

    def end(self) -> bytes:
        self._end_sheet()
        numbers = range(1, self._sheets + 1)
        self._archive.writestr("[Content_Types].xml", _content_types(numbers))
        self._archive.writestr("_rels/.rels", RELATIONS)
        self._archive.writestr("xl/workbook.xml", _sheet_list(numbers))
        self._archive.writestr("xl/_rels/workbook.xml.rels", _sheet_relations(numbers))
        self._archive.close()
        return self._sink.taken()

    def _add(self, rows: Rows) -> None:
        if len(rows) > self._left:
            self._end_sheet()
            self._begin_sheet()
        assert self._sheet is not None  # noqa: S101 - one is open from the beginning to the end
        self._sheet.write("".join(_row(row) for row in rows).encode())
        self._left -= len(rows)

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._archive.open(f"xl/worksheets/sheet{self._sheets}.xml", "w", force_zip64=True)
        self._sheet.write(f'{XML}<worksheet xmlns="{MAIN}"><sheetData>{_row(self._columns)}'.encode())
        self._left = ROWS_OF_A_SHEET

    def _end_sheet(self) -> None:
        assert self._sheet is not None  # noqa: S101 - as above
        self._sheet.write(b"</sheetData></worksheet>")
        self._sheet.close()


class _Sink(io.RawIOBase):
    """What the archive writes to and the response takes from; it cannot go back."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
RELATIONS = (
    f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
)


def _content_types(numbers: Sequence[int]) -> str:
    sheets = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{SPREADSHEET}.worksheet+xml"/>'
        for number in numbers
    )
    return (
        f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{SPREADSHEET}.sheet.main+xml"/>{sheets}</Types>'
    )


def _sheet_list(numbers: Sequence[int]) -> str:
    sheets = "".join(f'<sheet name="{number}" sheetId="{number}" r:id="rId{number}"/>' for number in numbers)
    return f'{XML}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>'


def _sheet_relations(numbers: Sequence[int]) -> str:
    sheets = "".join(
        f'<Relationship Id="rId{number}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    return f'{XML}<Relationships xmlns="{PACKAGE}/relationships">{sheets}</Relationships>'


def _row(cells: Sequence[Any]) -> str:
    return f"<row>{''.join(map(_cell, cells))}</row>"


def _cell(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return "<c/>"
    if isinstance(plain, str):
        text = escape(NO_XML.sub("\ufffd", plain))
        return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    return f"<c><v>{plain}</v></c>"


def _plain(value: Any) -> str | int | Decimal | None:
    """A cell as a text or a number."""
    match value:
        case None | Decimal():
            return value
        case bool():
            return str(value).lower()
        case int():
            return value
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
    return str(value)


def _harmless(cell: str | int | Decimal | None) -> str | int | Decimal | None:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
