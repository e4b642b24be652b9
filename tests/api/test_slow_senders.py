"""Real sockets: whoever sends slowly, too much or nothing is let go, and costs the others nothing they notice."""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest
from backend_api.http.protocol import MAX_HEADER_BYTES, MAX_HEADERS, PatientProtocol
from backend_api.settings import Settings
from fastapi import FastAPI
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.support.processes import api_process, free_port
from tests.support.waiting import eventually

GET = b"GET /livez HTTP/1.1\r\nHost: testserver\r\n"
POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: testserver\r\nContent-Type: application/x-www-form-urlencoded\r\n"
TRICKLING = 500
READS = 150
TRIES = 4
"""Other programs may begin between a measurement and its control, so the first good pair of some counts."""


class Hasty(PatientProtocol):
    """The same with less patience, so that a test need not have more."""

    header_seconds = 0.4
    request_seconds = 1.0


@asynccontextmanager
async def serving(app: FastAPI, protocol: type[HttpToolsProtocol]) -> AsyncIterator[int]:
    """The application on a port of its own, started already."""
    port = free_port()
    config = Config(app, port=port, http=protocol, lifespan="off", access_log=False, log_config=None)
    server = Server(config)
    server.config.load()
    config.loaded_app = app
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of our own, closed at the end whatever became of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_closed(port: int, *pieces: bytes, pause: float = 0.05) -> bytes:
    """What is answered to pieces that are sent over and over, one after the other, until the other side hangs up."""
    async with connection(port) as (reader, writer), asyncio.timeout(20.0):

        async def send() -> None:
            with contextlib.suppress(OSError):
                for piece in pieces[:-1]:
                    writer.write(piece)
                while not reader.at_eof():
                    writer.write(pieces[-1])
                    await writer.drain()
                    await asyncio.sleep(pause)

        sending = asyncio.create_task(send())
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := await reader.read(4096):
                received += part
        sending.cancel()
        return received


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ((b"",), b"HTTP/1.1 408 "),
        ((b"GET /", b"a"), b"HTTP/1.1 408 "),
        ((GET, b"X-Slow: 1\r\n"), b"HTTP/1.1 408 "),
        ((b"\r\n",), b"HTTP/1.1 408 "),
        ((POST + b"Content-Length: 1000000\r\n\r\n", b"a"), b""),
        ((POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), b""),
        ((GET + b"\r\n", b"\r\n"), b"HTTP/1.1 200 "),
    ],
    ids=["nothing", "a word without end", "a header now and then", "empty lines", "a body byte by byte",
         "a body in chunks", "empty lines after a request"],
)  # fmt: skip
async def test_a_request_that_does_not_come_is_not_waited_for(
    pieces: tuple[bytes, ...], answer: bytes, app: FastAPI
) -> None:
    async with serving(app, Hasty) as port:
        began = perf_counter()
        assert (await until_closed(port, *pieces)).startswith(answer)
        assert perf_counter() - began > 0.3, "it was let go for another reason"


async def test_the_server_s_own_protocol_would_wait_for_ever(app: FastAPI) -> None:
    """The control: the same trickle, and nobody hangs up."""
    async with serving(app, HttpToolsProtocol) as port, connection(port) as (reader, writer):
        began = perf_counter()
        writer.write(GET)
        while perf_counter() - began < 3 * Hasty.request_seconds:
            writer.write(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.1)
        writer.write(b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_in_good_order_lives_longer_than_a_request_may_take(app: FastAPI) -> None:
    async with serving(app, Hasty) as port, connection(port) as (reader, writer):
        began = perf_counter()
        while perf_counter() - began < 3 * Hasty.request_seconds:
            writer.write(GET + b"\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Large: " + b"x" * MAX_HEADER_BYTES + b"\r\n",
        b"X-Many: 1\r\n" * (MAX_HEADERS + 1),
        b"".join(b"X-%d: %s\r\n" % (number, b"x" * 600) for number in range(60)),
    ],
    ids=["one large", "many", "many large"],
)
async def test_headers_have_a_size_and_a_number(headers: bytes, app: FastAPI) -> None:
    async with serving(app, PatientProtocol) as port, connection(port) as (reader, writer):
        writer.write(GET + headers + b"\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 431 "), answer
        assert answer == b"" or b"connection: close" in answer.lower()


async def test_headers_without_an_end_are_refused_before_they_fill_the_memory(app: FastAPI) -> None:
    async with serving(app, PatientProtocol) as port:
        answer = await until_closed(port, GET, b"X-More: " + b"x" * 4000 + b"\r\n", pause=0.0)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b"", answer


async def test_headers_of_a_good_size_are_taken_however_they_are_cut(app: FastAPI) -> None:
    async with serving(app, PatientProtocol) as port, connection(port) as (reader, writer):
        for byte in GET + b"X-Some: " + b"x" * 1000 + b"\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")


async def test_five_hundred_that_trickle_slow_nobody_down(tmp_path: Path, settings: Settings) -> None:
    """The median of a read beside them is less than twice that of one alone, measured in turns on one server."""
    async with api_process(tmp_path, POSTGRES_DB=settings.postgres_db) as (_, address):
        port = int(address.rpartition(":")[2])
        for _ in range(TRIES):
            alone, beside, again = await reads_around_a_trickle(port)
            if beside < 2 * max(alone, again) + 0.002:
                break
        told = (
            f"a read: {alone * 1e3:.2f} ms alone, {beside * 1e3:.2f} ms beside {TRICKLING}, {again * 1e3:.2f} ms after"
        )
        print(told)
        assert beside < 2 * max(alone, again) + 0.002, told


async def reads_around_a_trickle(port: int) -> tuple[float, float, float]:
    """Seconds of a read in the middle of many: before, beside and after those who trickle."""
    alone = await median_read(port)
    async with contextlib.AsyncExitStack() as stack:
        writers = []
        for _ in range(TRICKLING):
            _, writer = await stack.enter_async_context(connection(port))
            writer.write(GET)
            writers.append(writer)

        async def trickle() -> None:
            while True:
                for writer in writers:
                    with contextlib.suppress(OSError):
                        writer.write(b"X")
                await asyncio.sleep(1.0)

        trickling = asyncio.create_task(trickle())
        beside = await median_read(port)
        trickling.cancel()
    return alone, beside, await median_read(port)


async def median_read(port: int) -> float:
    """Seconds of a read, in the middle of many."""
    async with connection(port) as (reader, writer):
        times = []
        for _ in range(READS):
            began = perf_counter()
            writer.write(GET + b"\r\n")
            await reader.readuntil(b"}")
            times.append(perf_counter() - began)
            await asyncio.sleep(0.005)
        return statistics.median(times)
