"""The work on an import: its file is read line by line, checked, and written in batches, each one commit.

    WAITING → CHECKING   all lines, when all have to be good or nothing is to be written; begins anew when it is cut off
            → WRITING    batch after batch; every commit moves `lines_done`, where the next process goes on
            → the end    one event tells the counts

A process may be killed anywhere: what it had not committed is done again by the next one, and nothing twice, because a
batch is written only if `lines_done` stands where it was read. One process works on imports at a time; a lock says who.
"""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from time import perf_counter
from typing import Any, BinaryIO
from uuid import UUID

import asyncpg
import structlog
from asyncpg import Record

from backend_api.db.pools import LOST_CONNECTION, Connection, DatabaseUnavailableError, connect
from backend_api.domain.errors import DomainError
from backend_api.http.problems import Busy
from backend_api.http.resources import Resources
from backend_api.http.write import Created, carry_out
from backend_api.imports import queries, service
from backend_api.imports.checks import Checked, Terms, check_client, check_customer
from backend_api.imports.files import FileRefused, Format, Line, read
from backend_api.imports.schemas import ImportStatus, Mode
from backend_api.outbox.record import Lane, Origin

log = structlog.get_logger(__name__)

CLIENTS_AT_ONCE = 2000
"""In one transaction: so few that it is over in a fifth of a second (four fifths when each has a loan; measured on a
quiet machine), so many that its dozen round trips do not count. It holds the row of the import, the business day as
every write does, and clients that nobody knows yet."""
TURN_SECONDS = 0.0005
"""So long at most, but for the arithmetic of one loan, nothing else on the event loop runs: the answers of the server,
too, that the batch before waits for."""
MAX_RACES = 10
"""How often a batch is decided anew because somebody else registered one of its clients meanwhile."""
MAX_FAILURES = 5
"""After so many unexpected errors an import is given up: it would fail for ever, and keep the others waiting."""
AWAY = (*LOST_CONNECTION, DatabaseUnavailableError, Busy)

Progress = Callable[[ImportStatus, int, int | None], None]
"""Called with what is being done, up to which line it is done, and how many lines there may be."""


class ImportsRunning(DomainError):
    """Another process works on imports now."""

    code = "imports_running"
    status = 409
    message = "Another process is working on imports."


async def run_next(resources: Resources) -> bool:
    """Work on the oldest import that has not ended. False: there is none, or another process works on imports.

    Raises what the servers being away raises; the import goes on at the next call. An unexpected error is logged.
    """
    async with resources.databases.writer.ask() as connection:
        import_id = await queries.oldest_unfinished(connection)
    if import_id is None:
        return False
    try:
        await run(resources, import_id, lambda *_: None)
    except ImportsRunning:
        return False
    except (*AWAY, service.ImportMoved, service.ImportEnded):
        raise
    except Exception:
        log.exception("import_failed", import_id=str(import_id))
        await _count_failure(resources, import_id)
    return True


async def run(resources: Resources, import_id: UUID, progress: Progress) -> None:
    """Work on an import until it has ended. Raises `ImportsRunning`, `ImportMoved`, `ImportEnded`."""
    async with _alone(resources) as connection, _rare_collections():
        row = await queries.for_change(connection, import_id)
        if row is None or row["finished_at"] is not None:
            raise service.ImportEnded(import_status=row["status"] if row else None)
        with tempfile.TemporaryFile(prefix="sofipo-import-") as file:
            async for chunk in queries.chunks(connection, import_id):
                file.write(chunk)
            work = _Work(resources, connection, row, progress)
            refused = None
            try:
                status = await work.through(file)
            except FileRefused as error:
                status, refused = (ImportStatus.FAILED if work.has_written else ImportStatus.REFUSED), error
        await carry_out(resources, _origin(resources, row), service.end_import(import_id, status, refused))
        await queries.drop_chunks(connection, import_id)


@asynccontextmanager
async def _alone(resources: Resources) -> AsyncIterator[Connection]:
    connection = await connect(resources.settings, name="sofipo-imports", session=queries.SESSION)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", queries.IMPORT_LOCK):
            raise ImportsRunning
        yield connection
    finally:
        connection.terminate()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines that are ready to be written."""

    lines: Sequence[Checked]
    known: service.Known
    decided: service.Decided
    created: Created

    @property
    def through(self) -> int:
        """The last line."""
        return self.lines[-1].line.number


class _Pace:
    """Lets everything else on the event loop have its turn while much is computed on it."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time to give way. Asked for each line, and a call that is waited for costs more."""
        return perf_counter() > self._until

    async def give_way(self) -> None:
        """Let the others have their turn, and begin a new one."""
        await asyncio.sleep(0)
        self._until = perf_counter() + TURN_SECONDS


class _Reading:
    """Lines by the batch, the next batch being read ahead: reading goes on while the server is asked about lines, and
    while it writes others. What came before a place where the file cannot be read on is a batch too."""

    def __init__(self, lines: Iterator[Line | None], after: int, check: Callable[[Line], Checked], pace: _Pace) -> None:
        self._lines = lines
        self._after = after
        self._check = check
        self._pace = pace
        self._refusal: FileRefused | None = None
        self._ahead = asyncio.create_task(self._read())

    async def batch(self) -> list[Checked]:
        """The next lines, none at the end. Raises `FileRefused`."""
        batch = await self._ahead
        if batch:
            self._ahead = asyncio.create_task(self._read())
        return batch

    async def close(self) -> None:
        """Read no further."""
        self._ahead.cancel()
        await asyncio.gather(self._ahead, return_exceptions=True)

    async def _read(self) -> list[Checked]:
        if self._refusal:
            raise self._refusal
        batch: list[Checked] = []
        try:
            while len(batch) < CLIENTS_AT_ONCE and (line := next(self._lines, None)):
                if line.number > self._after:
                    batch.append(self._check(line))
                if self._pace.is_over:
                    await self._pace.give_way()
        except FileRefused as refusal:
            self._refusal = refusal
            if not batch:
                raise
        return batch


@asynccontextmanager
async def _rare_collections() -> AsyncIterator[None]:
    """Thousands of lines wait at any time, none of them in a cycle, and each collection would look at them again."""
    usual = gc.get_threshold()
    gc.set_threshold(100 * CLIENTS_AT_ONCE, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class _Work:
    """One process's work on one import."""

    def __init__(self, resources: Resources, connection: Connection, row: Record, progress: Progress) -> None:
        self._resources = resources
        self._connection = connection
        self._row = row
        self._id: UUID = row["id"]
        self._progress = progress
        self.has_written = row["status"] == ImportStatus.WRITING and row["lines_done"] > 0
        self._asking = asyncio.Lock()
        self._pace = _Pace()
        self._terms = Terms(row["product"], row["interest_rate"], row["term_months"])

    async def through(self, file: BinaryIO) -> ImportStatus:
        """From where it stands to its end. Raises `FileRefused`, `ImportMoved`."""
        row = self._row
        is_writing = row["status"] == ImportStatus.WRITING
        if not is_writing and (row["dry_run"] or row["mode"] == Mode.ALL_OR_NOTHING):
            async with self._reading(file, 0) as lines:
                all_good = await self._check(lines)
            if row["dry_run"]:
                return ImportStatus.COMPLETED
            if not all_good:
                return ImportStatus.REFUSED
        if not is_writing:
            await self._begin(ImportStatus.WRITING)
        after = row["lines_done"] if is_writing else 0
        async with self._reading(file, after) as lines:
            await self._write(lines, after)
        return ImportStatus.COMPLETED

    async def _begin(self, status: ImportStatus) -> None:
        if not await queries.begin(self._connection, self._id, status.value, self._resources.clock()):
            raise service.ImportMoved

    async def _check(self, lines: _Reading) -> bool:
        """Whether every line can be taken; those that cannot are recorded."""
        await self._begin(ImportStatus.CHECKING)
        earlier: set[int] = set()
        all_good = True
        while batch := await lines.batch():
            good = [line for line in batch if not line.problems]
            known = await service.Known.of(self._connection, good, earlier)
            products = await service.find_products(self._connection, good)
            decided = await self._decided(batch, known, service.ForLoans(products, repeat(0), None))
            earlier |= known.taken
            through, counts = batch[-1].line.number, [*decided.counts.values()]
            if not await queries.checked(self._connection, self._id, through, counts, decided.not_taken):
                raise service.ImportMoved
            all_good &= not decided.not_taken
            self._progress(ImportStatus.CHECKING, through, self._row["lines_expected"])
        return all_good

    async def _write(self, lines: _Reading, after: int) -> None:
        """While a batch is being written, the next one is read, checked, decided and sealed."""
        batch = await self._next(lines, None)
        while batch:
            ahead = asyncio.create_task(self._next(lines, batch))
            try:
                written = await self._write_batch(after, batch)
                self.has_written = True
                self._progress(ImportStatus.WRITING, written.through, self._row["lines_expected"])
                following = await ahead
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
            if following and written is not batch:
                following = await self._prepared(following.lines, written)
            after, batch = written.through, following

    async def _write_batch(self, after: int, batch: _Batch) -> _Batch:
        """Write these lines; the batch as it was written, which is another if it had to be decided anew."""
        for race in range(1, MAX_RACES + 1):
            use_case = service.write_lines(self._id, after, batch.through, batch.decided, batch.created)
            try:
                await carry_out(self._resources, self._origin(), use_case, lane=Lane.BULK)
                break
            except (asyncpg.UniqueViolationError, service.DayMoved):
                # Somebody registered one of them since it was asked, or ended the day.
                if race == MAX_RACES:
                    raise
                batch = await self._prepared(batch.lines, None)
        return batch

    async def _next(self, lines: _Reading, before: _Batch | None) -> _Batch | None:
        batch = await lines.batch()
        return await self._prepared(batch, before) if batch else None

    async def _prepared(self, lines: Sequence[Checked], before: _Batch | None) -> _Batch:
        """These lines, ready to be written; the ones `before` them may not be there yet."""
        good = [line for line in lines if not line.problems]
        async with self._asking:
            known = await service.Known.of(self._connection, good, before.known.taken if before else frozenset())
            products = await service.find_products(self._connection, good)
            folios = await queries.folios(self._connection, sum(line.loan is not None for line in good))
        limit = self._resources.settings.approve_activation_above
        decided = await self._decided(lines, known, service.ForLoans(products, iter(folios), limit))
        created = Created(self._origin(), Lane.BULK)
        for change in sorted(decided.changes, key=lambda change: change.aggregate.id):
            created.add(change)
            if self._pace.is_over:
                await self._pace.give_way()
        return _Batch(lines, known, decided, created)

    async def _decided(
        self, lines: Sequence[Checked], known: service.Known, of_loans: service.ForLoans
    ) -> service.Decided:
        async with self._asking:
            today = await queries.business_date(self._connection)
        decided = service.Decided(self._id, known, of_loans, today, self._origin())
        for line in lines:
            decided.decide(line)
            if self._pace.is_over:
                await self._pace.give_way()
        return decided

    @asynccontextmanager
    async def _reading(self, file: BinaryIO, after: int) -> AsyncIterator[_Reading]:
        file.seek(0)
        lines = read(file, Format(self._row["format"]), self._row["encoding"])
        # Before its first line a workbook is unpacked: that takes long, and such a thread cannot be stopped.
        opening = asyncio.create_task(asyncio.to_thread(next, lines, None))
        try:
            first = await asyncio.shield(opening)
            reading = _Reading(chain((first,), lines), after, self._checked, self._pace)
            try:
                yield reading
            finally:
                await reading.close()
        finally:
            await asyncio.gather(opening, return_exceptions=True)
            lines.close()

    def _checked(self, line: Line) -> Checked:
        if self._row["format"] == Format.TXT:
            return check_customer(line)
        return check_client(line, self._terms, rfc_strict=self._resources.settings.rfc_strict)

    def _origin(self) -> Origin:
        return _origin(self._resources, self._row)


async def _count_failure(resources: Resources, import_id: UUID) -> None:
    async with resources.databases.writer.ask() as connection:
        failures = await queries.count_failure(connection, import_id)
        row = await queries.for_change(connection, import_id)
    if row is not None and failures is not None and failures >= MAX_FAILURES:
        given_up = service.end_import(import_id, ImportStatus.FAILED)
        await carry_out(resources, _origin(resources, row), given_up)


def _origin(resources: Resources, row: Any) -> Origin:
    """Whoever asked for the import did what it does."""
    return Origin(row["actor"], row["request_id"], row["traceparent"], resources.clock())
