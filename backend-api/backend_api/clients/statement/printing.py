"""PDFs beside the event loop, each in a process of its own.

Setting a long statement takes a second of pure Python. A thread would hold the interpreter's lock all that time and
could not be stopped; a process leaves the loop alone, can be killed, takes a limit on its memory, and gives all of it
back. It gets none of our environment, so no password, and has nothing to read but the document.
"""

import asyncio
import math
import os
import pickle
import sys

import structlog

from backend_api.clients.statement.content import Content
from backend_api.clients.statement.document import StatementDocument
from backend_api.domain.errors import DomainError

log = structlog.get_logger(__name__)

SECONDS = 20.0
"""How long a caller waits for a PDF, waiting for a turn included."""
AT_ONCE = 1
"""PDFs that one worker sets at the same time: they take the processors that payments need."""
MAX_MEMORY = 512 * 1024 * 1024
"""Address space of a process, in bytes."""
MAX_BYTES = 16 * 1024 * 1024
"""The largest PDF that is answered."""


class PrintingFailed(DomainError):
    """No PDF within the limits of time, memory and size."""

    code = "printing_failed"
    status = 503
    message = "The PDF could not be made in time. Try again later, or ask for a shorter period."


class Printer:
    """Makes PDFs for one worker, so many at once."""

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._seconds = seconds

    async def pdf(self, document: StatementDocument | Content) -> bytes:
        """The statement, or another document of its blocks, as a PDF file. Raises `PrintingFailed`."""
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                return await _print(document)
        except TimeoutError as error:
            log.warning("statement_not_printed", cause="time")
            raise PrintingFailed from error


async def _print(document: StatementDocument | Content) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "backend_api.clients.statement.press",
        str(MAX_MEMORY),
        str(math.ceil(SECONDS)),
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, errors = await process.communicate(pickle.dumps(document))
    except RuntimeError as error:
        # What the event loop says when the process ended before it was handed the document.
        log.warning("statement_not_printed", cause="gone")
        raise PrintingFailed from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or len(printed) > MAX_BYTES:
        # The name of the error alone: what comes after it may be the client's.
        cause = errors.decode(errors="replace").strip().rpartition("\n")[2].partition(":")[0]
        log.warning("statement_not_printed", cause=cause, status=process.returncode, size=len(printed))
        raise PrintingFailed
    return printed
