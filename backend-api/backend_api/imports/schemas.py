"""What the calls about imports take and answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from backend_api.domain.products import STANDARD
from backend_api.http import examples
from backend_api.http.strict import StrictModel, Text
from backend_api.imports.files import Format
from backend_api.products.terms import Installments, ProductCode, StoredRate

IMPORT_EXAMPLE: dict[str, Any] = {
    "id": examples.IMPORT_ID,
    "status": "COMPLETED",
    "format": "csv",
    "mode": "accept_good",
    "dry_run": False,
    "file_name": "clientes.csv",
    "file_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "file_bytes": 14_200_000,
    "product": "STANDARD",
    "interest_rate": None,
    "term_months": None,
    "lines_expected": 100_000,
    "lines_done": 100_001,
    "accepted": 98_990,
    "duplicates": 10,
    "refused": 1_000,
    "loans": 0,
    "problem": None,
    "created_at": examples.GRANTED_AT,
    "started_at": examples.GRANTED_AT,
    "finished_at": examples.GRANTED_AT,
}
PROBLEM_EXAMPLE = {
    "column": "rfc",
    "code": "rfc_date",
    "detail": "The six digits of the RFC are not a date that exists (YYMMDD).",
}
LINE_EXAMPLE: dict[str, Any] = {
    "line": 17,
    "outcome": "refused",
    "client_id": None,
    "problems": [PROBLEM_EXAMPLE],
    "record": {"full_name": "Carlos Perez", "email": "carlos.perez@example.com", "rfc": "PEPJ801301HNE"},
}


class Mode(StrEnum):
    """What is to happen when some lines cannot be taken."""

    ALL_OR_NOTHING = "all_or_nothing"
    ACCEPT_GOOD = "accept_good"


class ImportStatus(StrEnum):
    """How far an import is. WAITING, CHECKING and WRITING go on by themselves; the others are the end."""

    WAITING = "WAITING"
    CHECKING = "CHECKING"
    WRITING = "WRITING"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


UNFINISHED = frozenset({ImportStatus.WAITING, ImportStatus.CHECKING, ImportStatus.WRITING})


class Outcome(StrEnum):
    """What became of a line."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class ImportIn(StrictModel):
    """What is asked for beside the file."""

    format: Format
    mode: Mode = Mode.ACCEPT_GOOD
    dry_run: bool = False
    file_name: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    product: ProductCode = STANDARD
    interest_rate: StoredRate | None = None
    term_months: Installments | None = None


class Asked(StrictModel):
    """An import as it is asked for: what the Idempotency-Key stands for."""

    sha256: str
    options: ImportIn


def _read(value: Any) -> Any:
    """asyncpg leaves JSON as text, SQLAlchemy reads it."""
    return orjson.loads(value) if isinstance(value, str) else value


class LineProblem(BaseModel):
    """One reason; `column` is empty for what concerns the whole line."""

    column: str
    code: str
    detail: str


class FileProblem(BaseModel):
    """Why the file was not taken, or not to its end."""

    line: int
    code: str
    detail: str


class ImportOut(BaseModel):
    """An import. The counts are of lines; `accepted` ones are clients now, or would be after a dry run."""

    model_config = ConfigDict(title="Import", json_schema_extra={"examples": [IMPORT_EXAMPLE]})

    id: UUID
    status: ImportStatus
    format: Format
    mode: Mode
    dry_run: bool
    file_name: str | None
    file_sha256: str
    file_bytes: int
    product: str
    interest_rate: str | None
    term_months: int | None
    lines_expected: int | None = Field(description="An estimate.")
    lines_done: int = Field(description="Everything up to this line of the file has been dealt with.")
    accepted: int
    duplicates: int
    refused: int
    loans: int = Field(description="Loans for opening balances.")
    problem: Annotated[FileProblem | None, BeforeValidator(_read)]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class LineOut(BaseModel):
    """A line that was not taken, with its reasons and, for thirty days, with what stood in it."""

    model_config = ConfigDict(title="ImportLine", json_schema_extra={"examples": [LINE_EXAMPLE]})

    line: int
    outcome: Outcome
    client_id: UUID | None = Field(description="Of a duplicate: the client that was there.")
    problems: Annotated[list[LineProblem], BeforeValidator(_read)]
    record: Annotated[dict[str, str] | None, BeforeValidator(_read)]


def import_out(row: Any) -> ImportOut:
    """An import from its row."""
    columns = {name: row[name] for name in ImportOut.model_fields if name not in ("file_sha256", "interest_rate")}
    rate = row["interest_rate"]
    return ImportOut(
        **columns,
        file_sha256=row["file_digest"].hex(),
        interest_rate=None if rate is None else f"{rate.normalize():f}",
    )
