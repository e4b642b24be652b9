"""Use cases of imports: asking for one, ending one, and writing the next lines of one.

A client of a line is registered, and its loan granted, by the same functions as anybody's; see `job` for who calls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record

from backend_api.clients.service import registration
from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection
from backend_api.domain.errors import DomainError
from backend_api.domain.products import Product
from backend_api.http.idempotency import Answer
from backend_api.http.problems import NotFound
from backend_api.http.write import Aggregate, Change, Created, UseCase
from backend_api.imports import events, queries
from backend_api.imports.checks import Checked, Key, Problem, of_field, of_refusal
from backend_api.imports.files import FileRefused
from backend_api.imports.schemas import UNFINISHED, ImportIn, ImportStatus, Outcome, import_out
from backend_api.imports.upload import Received, plain_name
from backend_api.loans import service as loans
from backend_api.models import import_batches, import_lines, imports
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin
from backend_api.products import service as products

NOTHING_TO_TELL = Answer(204, b"", {})

DUPLICATES = ("rfc", "external_id")
"""Who has the same of these is taken for the same client; another client with the same e-mail address is not."""
SENTENCES = {
    "rfc": "A client has this RFC.",
    "external_id": "A client has this external id.",
    "email": "Another client has this e-mail address.",
    "loan_external_id": "Another loan has this external id.",
}


class ImportEnded(DomainError):
    """It has come to an end. Facts: `import_status`."""

    code = "import_ended"
    status = 409
    message = "The import has ended already."


class ImportRunning(DomainError):
    """What has become of its lines is not known yet. Facts: `import_status`."""

    code = "import_running"
    status = 409
    message = "The import has not ended yet."
    retry_after = 2


class ImportMoved(DomainError):
    """Somebody else works on it, or it was cancelled."""

    code = "import_moved"
    status = 409
    message = "The import has gone on without this process."


class DayMoved(DomainError):
    """What was decided was decided for a business day that has ended."""

    code = "day_moved"
    status = 409
    message = "The business day has ended."


class FileTaken(DomainError):
    """The same file is being imported, or was, to its last line. Facts: `import_id`."""

    code = "file_taken"
    status = 409
    message = "The same file is imported already."


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"imports_file_key": FileTaken}


def request_import(received: Received, options: ImportIn) -> UseCase:
    """Ask for the import of a file that was taken in; for one that is known, its import is the answer."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        known = None if options.dry_run else await queries.same_file(connection, received.digest)
        if known is not None and known["id"] != received.id:
            return answer(200, dict(known))
        values = {
            "status": ImportStatus.WAITING.value,
            "format": options.format.value,
            "encoding": received.encoding,
            "mode": options.mode.value,
            "dry_run": options.dry_run,
            "file_name": plain_name(options.file_name),
            "file_digest": received.digest,
            "file_bytes": received.size,
            "product": options.product,
            "interest_rate": options.interest_rate,
            "term_months": options.term_months,
            "lines_expected": received.lines,
            **dict.fromkeys(("lines_done", "accepted", "duplicates", "refused", "loans", "failures"), 0),
            "problem": None,
            "actor": origin.actor,
            "request_id": origin.request_id,
            "traceparent": origin.traceparent,
            "created_at": origin.at,
            "started_at": None,
            "finished_at": None,
        }
        return Change(
            aggregate=Aggregate("import", imports, received.id, 0, GENESIS),
            business_date=await queries.business_date(connection),
            values=values,
            facts=[events.import_requested(received.id, values)],
            answer=answer(202, {"id": received.id, **values}),
        )

    return use_case


def end_import(import_id: UUID, status: ImportStatus, problem: FileRefused | None = None) -> UseCase:
    """Bring an import to its end; what was written stands. Raises `NotFound`, `ImportEnded`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await queries.for_change(connection, import_id)
        if row is None:
            raise NotFound
        if row["status"] not in UNFINISHED:
            raise ImportEnded(import_status=row["status"])
        told = {"line": problem.line, "code": problem.code, "detail": problem.message} if problem else None
        values = {
            "status": status.value,
            "problem": orjson.dumps(told).decode() if told else None,
            "finished_at": origin.at,
        }
        ended = {**dict(row), **values}
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            values=values,
            # The counts are told with it: nothing may be written between.
            guard={"lines_done": row["lines_done"], "status": row["status"]},
            facts=[events.import_completed(import_id, ended)],
            answer=answer(200, ended),
        )

    return use_case


@dataclass(frozen=True, slots=True)
class Known:
    """What is taken already: by clients and loans, by earlier lines of the file that these cannot see there yet, and by
    these lines themselves. Lines are told by the hashes of their keys, which are a tenth of the memory."""

    owners: Mapping[Key, UUID | None]
    earlier: Set[int]
    taken: set[int] = field(default_factory=set)

    @classmethod
    async def of(cls, connection: Connection, lines: Sequence[Checked], earlier: Set[int]) -> "Known":
        """Of everything that these lines would take."""
        values: dict[str, list[str]] = {column: [] for column in SENTENCES}
        for line in lines:
            for column, value in line.keys:
                values[column].append(value)
        owners = await queries.known(connection, values["rfc"], values["external_id"], values["email"])
        if values["loan_external_id"]:
            owners |= await queries.known_loans(connection, values["loan_external_id"])
        return cls(owners, earlier)

    def take(self, line: Checked) -> tuple[UUID | None, tuple[Problem, ...]]:
        """Take what this line needs: no problems; or why not, and who has it."""
        hashes = [hash(key) for key in line.keys]
        taken = [
            key
            for key, found in zip(line.keys, hashes, strict=True)
            if found in self.taken or found in self.earlier or key in self.owners
        ]
        if taken:
            same = next((key for key in taken if key[0] in DUPLICATES), None)
            problems = tuple(Problem(column, "duplicate", SENTENCES[column]) for column, _ in taken)
            return (self.owners.get(same) if same else None), problems
        self.taken.update(hashes)
        return None, ()


@dataclass(frozen=True, slots=True)
class ForLoans:
    """What granting loans needs to know: the products, or why there is none of that code, running numbers, and the
    amount from which on a loan waits for a second person."""

    products: Mapping[str, Product | DomainError]
    folios: Iterator[int]
    limit: Decimal | None


async def find_products(connection: Connection, lines: Sequence[Checked]) -> dict[str, Product | DomainError]:
    """The products that these lines name, or why they cannot be had."""
    codes = sorted({line.loan.product for line in lines if line.loan})
    return {code: await _product(connection, code) for code in codes}


async def _product(connection: Connection, code: str) -> Product | DomainError:
    try:
        return await products.for_new_loan(connection, code)
    except DomainError as refusal:
        return refusal


class Decided:
    """What becomes of some lines, decided one after the other: changes to write, what tells of each line, counts."""

    def __init__(self, import_id: UUID, known: Known, of_loans: ForLoans, today: date, origin: Origin) -> None:
        self._import_id = import_id
        self._known = known
        self._of_loans = of_loans
        self._origin = origin
        self.today = today
        self.changes: list[Change] = []
        self.not_taken: list[dict[str, Any]] = []
        self.taken: dict[str, list[Any]] = {"lines": [], "client_ids": [], "loan_ids": []}
        self.counts = dict.fromkeys(("accepted", "duplicates", "refused", "loans"), 0)

    def decide(self, line: Checked) -> None:
        """What becomes of the next line."""
        client_id, problems, change, granted = None, line.problems, None, None
        if not problems:
            change = registration(line.fields, line.rfc, self.today, self._origin)
            if line.loan:
                granted, problems = _granted(line, change, self._of_loans, self._origin)
        if not problems:
            client_id, problems = self._known.take(line)
        if problems or change is None:
            self._refuse(line, client_id, problems)
            return
        if granted:
            change = replace(change, facts=[*change.facts, *granted.facts], inserts=granted.inserts)
        self._accept(line, change, granted)

    def _refuse(self, line: Checked, client_id: UUID | None, problems: Sequence[Problem]) -> None:
        duplicate = any(problem.code == "duplicate" and problem.column in DUPLICATES for problem in problems)
        self.counts["duplicates" if duplicate else "refused"] += 1
        self.not_taken.append(
            {
                "import_id": self._import_id,
                "line": line.line.number,
                "outcome": (Outcome.DUPLICATE if duplicate else Outcome.REFUSED).value,
                "client_id": client_id,
                "problems": orjson.dumps([problem.json() for problem in problems]).decode(),
                "record": orjson.dumps(_storable(line.line.values)).decode(),
            }
        )

    def _accept(self, line: Checked, change: Change, loan: loans.Granted | None) -> None:
        self.counts["accepted"] += 1
        self.counts["loans"] += loan is not None
        self.changes.append(change)
        self.taken["lines"].append(line.line.number)
        self.taken["client_ids"].append(change.aggregate.id)
        self.taken["loan_ids"].append(loan.row["id"] if loan else None)


def write_lines(import_id: UUID, after: int, through: int, decided: Decided, created: Created) -> UseCase:
    """Register the clients `created` of the lines that come after line `after`, and tell what became of each line.

    Everything up to line `through` is done then, in one commit with the clients. Whoever came since it was asked what
    is known already, a unique index tells. Raises `ImportMoved`, `DayMoved`.
    """

    async def use_case(connection: Connection, _: Origin) -> Change | Answer:
        row = await queries.for_change(connection, import_id)
        if row is None or row["status"] != ImportStatus.WRITING:
            raise ImportMoved
        if row["lines_done"] == through:
            return NOTHING_TO_TELL  # this very commit was made, and only its answer was lost
        if row["lines_done"] != after:
            raise ImportMoved
        if row["today"] != decided.today:
            raise DayMoved
        counts = {name: row[name] + count for name, count in decided.counts.items()}
        return Change(
            aggregate=_aggregate(row),
            business_date=decided.today,
            values={"lines_done": through, **counts},
            guard={"lines_done": after, "status": row["status"]},
            inserts=[
                Insert(import_lines, decided.not_taken),
                Insert(import_batches, [{"import_id": import_id, "through": through, **decided.taken}]),
            ],
            created=created,
            facts=(),
            answer=NOTHING_TO_TELL,
        )

    return use_case


def _granted(
    line: Checked, change: Change, of_loans: ForLoans, origin: Origin
) -> tuple[loans.Granted | None, tuple[Problem, ...]]:
    """The loan of a line for the client that it makes; or why there is none."""
    assert line.loan is not None  # noqa: S101 - only asked for lines with a loan
    product, folio = of_loans.products[line.loan.product], next(of_loans.folios)
    try:
        if isinstance(product, DomainError):
            raise product
        body = line.loan.model_copy(update={"client_id": change.aggregate.id})
        terms = loans.agreed(body, change.business_date, product)
        return loans.grant(body, terms, product, of_loans.limit, folio, change.business_date, 1, origin), ()
    except DomainError as refusal:
        return None, of_loan_refusal(refusal)


def of_loan_refusal(refusal: DomainError) -> tuple[Problem, ...]:
    """Why there is no loan, by column where the refusal names fields."""
    named = getattr(refusal, "errors", None) or []
    return tuple(of_field(error.pointer, error.code, error.detail) for error in named) or (of_refusal(refusal),)


def _storable(values: Mapping[str, str]) -> dict[str, str]:
    """What stood in a line, as JSON can hold it."""
    return {column: value.replace("\x00", "\ufffd") for column, value in values.items()}


def _aggregate(row: Record) -> Aggregate:
    return Aggregate("import", imports, row["id"], row["event_sequence"], row["chain_head"])


def answer(status: int, row: Mapping[str, Any]) -> Answer:
    """An import as it is answered."""
    headers = {"Location": f"/api/v1/imports/{row['id']}"} if status != 200 else {}
    return Answer(status, import_out(row).model_dump_json().encode(), headers)
