"""Reading the files: text in two columns, CSV, XLSX. One line at a time, so that memory holds no file.

What a file cannot be read for is told of the file (`FileRefused`); everything that is wrong with a line only is left to
`checks`.
"""

import csv
import io
import unicodedata
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, BinaryIO, ClassVar

from openpyxl import load_workbook

from backend_api.domain.errors import DomainError

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_LINES = 200_000
"""Of clients in one file; it bounds what checking for twins within the file holds in memory."""
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
"""Of a workbook, which is a ZIP archive: a small one may unpack to anything."""
MAX_PARTS = 1000
MAX_COLUMNS = 64

TEXT_COLUMNS = ("external_id", "score")
COLUMNS = (
    "full_name", "email", "rfc", "external_id", "status", "credit_limit", "kind", "curp", "clabe", "phone",
    "birth_date", "address", "opening_balance", "product", "interest_rate", "term_months", "loan_external_id",
)  # fmt: skip
REQUIRED = frozenset({"full_name", "email", "rfc"})
SPANISH = {
    "nombre": "full_name", "nombre_completo": "full_name", "correo": "email", "correo_electronico": "email",
    "id_externo": "external_id", "estado": "status", "limite_de_credito": "credit_limit", "tipo": "kind",
    "telefono": "phone", "fecha_de_nacimiento": "birth_date", "domicilio": "address",
    "saldo_inicial": "opening_balance", "producto": "product", "tasa": "interest_rate", "plazo": "term_months",
    "prestamo": "loan_external_id",
}  # fmt: skip
SEPARATORS = "\t;,|"
FORMULA = ("=", "+", "-", "@")


class Format(StrEnum):
    """How a file is written."""

    TXT = "txt"
    CSV = "csv"
    XLSX = "xlsx"


class FileRefused(DomainError):
    """The file cannot be read, or not to its end; `code` says why, `line` how far it could."""

    reasons: ClassVar[dict[str, str]] = {
        "file_empty": "The file holds no clients.",
        "encoding_unknown": "The text is neither UTF-8 nor Windows-1252.",
        "columns_missing": "The first line must name the columns, at least full_name, email and rfc.",
        "column_unknown": "The first line names a column that is not known.",
        "column_repeated": "The first line names a column twice.",
        "csv_malformed": "From this line on the file is no CSV: is a quotation mark left open?",
        "workbook_malformed": "The file is no workbook that can be read, or is damaged from this row on.",
        "workbook_too_large": "The workbook unpacks to more than 512 MiB.",
        "too_many_lines": "The file has more than 200,000 clients: split it.",
    }

    def __init__(self, code: str, line: int = 0) -> None:
        self.code = code
        self.line = line
        self.message = self.reasons[code]
        super().__init__()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of clients: its number in the file, and what stands in which column; empty cells are left out."""

    number: int
    values: dict[str, str]
    surplus: bool = False
    """There are more cells than columns."""


Lines = Generator[Line, None, None]


def read(file: BinaryIO, form: Format, encoding: str | None) -> Lines:
    """The lines of a file. Raises `FileRefused`, maybe after some lines."""
    text_encoding, count = encoding or "utf-8-sig", 0
    with closing(_workbook(file) if form is Format.XLSX else _text(file, form, text_encoding)) as lines:
        for line in lines:
            count += 1
            if count > MAX_LINES:
                raise FileRefused("too_many_lines", line.number)
            yield line
    if not count:
        raise FileRefused("file_empty")


def _text(file: BinaryIO, form: Format, encoding: str) -> Lines:
    text = io.TextIOWrapper(file, encoding, newline="")
    try:
        yield from _customers(text) if form is Format.TXT else _csv(text)
    except UnicodeDecodeError as error:
        raise FileRefused("encoding_unknown") from error
    finally:
        text.detach()


def _customers(text: io.TextIOWrapper) -> Iterator[Line]:
    """`external_id` and `score`, separated by tab, comma or semicolon; the first line may name them."""
    for number, line in enumerate(text, start=1):
        separator = next((one for one in "\t;," if one in line), "\t")
        cells = [cell.strip() for cell in line.split(separator)]
        if not any(cells):
            continue
        is_header = number == 1 and not any(character.isdigit() for character in cells[-1])
        if not is_header:
            yield _line(number, TEXT_COLUMNS, cells)


def _csv(text: io.TextIOWrapper) -> Iterator[Line]:
    first = text.readline()
    separator = max(SEPARATORS, key=first.count)
    columns = _columns(next(csv.reader([first], delimiter=separator), []))
    reader = csv.reader(text, delimiter=separator)
    number = 2
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileRefused("csv_malformed", number) from error
        if any(cells):
            yield _line(number, columns, cells)
        number = reader.line_num + 2


def _workbook(file: BinaryIO) -> Lines:
    number = 0
    _refuse_bomb(file)
    try:
        workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        rows = workbook.worksheets[0].iter_rows(max_col=MAX_COLUMNS, values_only=True)
        columns = _columns([_spelled(cell) for cell in next(rows, ())])
        for number, row in enumerate(rows, start=2):
            cells = [_spelled(cell) for cell in row]
            if any(cells):
                yield _line(number, columns, cells)
    except FileRefused:
        raise
    except Exception as error:  # the library complains of damage in whatever way its parts happen to
        raise FileRefused("workbook_malformed", number) from error


def _refuse_bomb(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise FileRefused("workbook_malformed") from error
    # No part yields more than it declares: `zipfile` stops there.
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise FileRefused("workbook_too_large")


def _columns(cells: Sequence[str]) -> list[str]:
    columns = [_column(cell) for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if not set(columns) >= REQUIRED:
        raise FileRefused("columns_missing", 1)
    if not set(columns) <= set(COLUMNS):
        raise FileRefused("column_unknown", 1)
    if len(set(columns)) < len(columns):
        raise FileRefused("column_repeated", 1)
    return columns


def _column(heading: str) -> str:
    """Our name of a column that is called so, in English or Spanish; accents, case and spaces do not matter."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    name = "_".join(plain.strip().lower().split())
    return SPANISH.get(name, name)


def _line(number: int, columns: Sequence[str], cells: Sequence[str]) -> Line:
    values = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
    for column, cell in values.items():
        # What an export put in front of a text that a spreadsheet would take for a formula.
        if cell[0] == "'" and cell[1:].startswith(FORMULA):
            values[column] = cell[1:]
    return Line(number, values, any(cells[len(columns) :]))


def _spelled(cell: Any) -> str:
    """A cell of a workbook as a person would write it."""
    match cell:
        case None:
            return ""
        case str():
            return cell
        case float():
            number = Decimal(repr(cell)) if cell == cell and abs(cell) < 1e15 else None  # NaN equals nothing
            return str(cell) if number is None else f"{number.normalize():f}"
        case datetime():
            return cell.date().isoformat()
        case date():
            return cell.isoformat()
    return str(cell)
