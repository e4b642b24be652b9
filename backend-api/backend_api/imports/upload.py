"""Taking a file in: part by part into the database, so that whoever works on it may be on another machine."""

import codecs
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http.problems import FieldRefused, OutcomeUnknown
from backend_api.http.resources import Resources
from backend_api.imports import queries
from backend_api.imports.files import MAX_FILE_BYTES, Format

CHUNK_BYTES = 256 * 1024
MEDIA_TYPES = {
    "text/plain": Format.TXT,
    "text/tab-separated-values": Format.TXT,
    "text/csv": Format.CSV,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Format.XLSX,
}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileTooLarge(DomainError):
    """More bytes than are taken."""

    code = "file_too_large"
    status = 413
    message = "The file is larger than 64 MiB: split it."


class FormatUnknown(FieldRefused):
    """Nothing says how the file is written."""

    def __init__(self) -> None:
        super().__init__("query:format", "format_unknown", "Say `format`: txt, csv or xlsx.")


@dataclass(frozen=True, slots=True)
class Received:
    """A file that is in the database. `lines` is how many line ends it has, `encoding` None for a workbook."""

    id: UUID
    digest: bytes
    size: int
    encoding: str | None
    lines: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that is being sent: its parts, its name and what was said of its format."""

    parts: AsyncIterator[bytes]
    name: str | None
    media_type: str

    def format(self, asked: Format | None) -> Format:
        """What was asked for, or what the media type or the ending of the name says. Raises `FormatUnknown`."""
        ending = (self.name or "").rpartition(".")[2].lower()
        by_name = Format(ending) if ending in Format.__members__.values() else None
        found = asked or by_name or MEDIA_TYPES.get(self.media_type)
        if found is None:
            raise FormatUnknown
        return found


class _Bounded(Request):
    """A request whose body ends where it gets too large. Raises `FileTooLarge`, and 415 for an encoded body."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        if self.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415)
        received = 0
        async for part in super().stream():
            received += len(part)
            # Around a file in a form stand its headers, and the names of its fields.
            if received > MAX_FILE_BYTES + CHUNK_BYTES:
                raise FileTooLarge
            yield part


@asynccontextmanager
async def sent(request: Request) -> AsyncIterator[Sent]:
    """The file of a request: the field `file` of a form, or the body itself. Raises `FieldRefused`."""
    if int(request.headers.get("content-length", "0")) > MAX_FILE_BYTES + CHUNK_BYTES:
        raise FileTooLarge
    bounded = _Bounded(request.scope, request.receive)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        yield Sent(bounded.stream(), None, media_type)
        return
    try:
        form = await bounded.form(max_files=1, max_fields=1)
    except (MultiPartException, HTTPException) as error:
        raise FieldRefused("/file", "form_malformed", "Send one form field, `file`.") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise FieldRefused("/file", "missing", "Send the file as the form field `file`.")
        yield Sent(_parts(file), file.filename or None, (file.content_type or "").partition(";")[0].lower())
    finally:
        await form.close()


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(CHUNK_BYTES):
        yield part


async def receive(resources: Resources, parts: AsyncIterator[bytes], form: Format) -> Received:
    """Take a file in. Raises `FileTooLarge`; nothing of it stays then, nor when the sender is gone."""
    now = resources.clock()
    import_id, number, reading = uuid7(now), 0, _Reading(form)
    try:
        async for chunk in _chunks(parts):
            reading.add(chunk)
            async with resources.databases.writer.ask() as connection:
                await queries.keep_chunk(connection, import_id, number, chunk, now)
            number += 1
    except BaseException:
        async with resources.databases.writer.ask() as connection:
            await queries.drop_chunks(connection, import_id)
        raise
    return Received(import_id, reading.digest.digest(), reading.size, reading.encoding, reading.lines)


@asynccontextmanager
async def forgotten_unless_asked(resources: Resources, received: Received) -> AsyncIterator[None]:
    """At the end of the block the file is forgotten, unless it belongs to an import; or may yet, when nobody knows what
    came of asking: housekeeping forgets it a day later then."""
    known = True
    try:
        yield
    except OutcomeUnknown:
        known = False
        raise
    finally:
        if known:
            async with resources.databases.writer.ask() as connection:
                await queries.drop_unasked_chunks(connection, received.id)


async def _chunks(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in parts of one size."""
    waiting = bytearray()
    async for part in parts:
        waiting += part
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


class _Reading:
    """What can be told of a file while it passes by."""

    def __init__(self, form: Format) -> None:
        self.digest = sha256()
        self.size = 0
        self._is_text = form is not Format.XLSX
        self._utf_16 = False
        self._utf_8: Any = codecs.getincrementaldecoder("utf-8")() if self._is_text else None
        self._line_ends = 0

    def add(self, chunk: bytes) -> None:
        """Look at the next part. Raises `FileTooLarge`."""
        if not self.size:
            self._utf_16 = chunk.startswith(UTF_16)
        self.size += len(chunk)
        if self.size > MAX_FILE_BYTES:
            raise FileTooLarge
        self.digest.update(chunk)
        self._line_ends += chunk.count(b"\n")
        if self._utf_8:
            try:
                self._utf_8.decode(chunk)
            except UnicodeDecodeError:
                self._utf_8 = None

    @property
    def encoding(self) -> str | None:
        """UTF-16 if the file says so, UTF-8 if it is, else what spreadsheets in Mexico write: Windows-1252."""
        if not self._is_text:
            return None
        if self._utf_16:
            return "utf-16"
        return "utf-8-sig" if self._utf_8 else "cp1252"

    @property
    def lines(self) -> int | None:
        """How many lines the file may have."""
        return self._line_ends if self._is_text else None


def plain_name(name: str | None) -> str | None:
    """The name of a file without what it should not have: a path, control characters, more than 200 letters."""
    if name is None:
        return None
    return re.sub(r"[^\w .()-]", "_", re.split(r"[/\\]", name)[-1])[-200:].strip() or None
