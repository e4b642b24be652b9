"""The load generator: keep-alive connections over raw sockets, in a process of its own.

What it costs it takes from the servers beside it, equally for every variant, so it does as little as it can.
"""

import asyncio
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from time import perf_counter
from typing import Protocol, cast
from uuid import uuid4

import uvloop

from bench.processor import seconds_used

HOST = "127.0.0.1"
ANSWER_SECONDS = 20.0
"""Longer without an answer and the run has failed."""
WARM_UP_SHARE = 0.2
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status line and headers as they came, and the body."""

    status: int
    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # what every loop gives for TCP

    def data_received(self, data: bytes) -> None:
        """Called by the loop: answers when head and body are complete."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = self._received[:end]
        length = _LENGTH.search(head)
        total = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < total:
            return
        answer = Answer(int(head[9:12]), head, self._received[end + 4 : total])
        self._received = self._received[total:]
        if not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server closed the connection: {exc}"))

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and wait for its answer. Raises `ConnectionError`."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """A connection to a server on this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
    return connection


class Source(Protocol):
    """What a run asks for."""

    def requests(self, connection: int, connections: int) -> Iterator[bytes]:
        """Endless requests for one of the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Reads:
    """GET of these paths in turn; each connection has its own token."""

    paths: Sequence[str]
    tokens: Sequence[str]

    def requests(self, connection: int, connections: int) -> Iterator[bytes]:
        """Each connection begins elsewhere in the list."""
        authorization = f"Authorization: Bearer {self.tokens[connection % len(self.tokens)]}\r\n"
        tail = f" HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n{authorization}\r\n"
        start = connection * len(self.paths) // connections
        return cycle([f"GET {path}{tail}".encode() for path in [*self.paths[start:], *self.paths[:start]]])


@dataclass(frozen=True, slots=True)
class Payments:
    """POST of 0.01 to these paths, each under a new `Idempotency-Key`; connections share the paths out."""

    paths: Sequence[str]
    tokens: Sequence[str]

    def requests(self, connection: int, connections: int) -> Iterator[bytes]:
        """No two connections pay the same loan, unless there are fewer loans than connections."""
        token = self.tokens[connection % len(self.tokens)]
        run = uuid4().hex
        paths = cycle(self.paths[connection::connections] or self.paths)
        for number, path in zip(count(), paths, strict=False):
            yield post(path, token, b'{"amount": "0.01"}', f"{run}-{number}")


def post(path: str, token: str, body: bytes, key: str) -> bytes:
    """A POST of JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n\r\n"
    ).encode() + body


@dataclass(frozen=True, slots=True)
class Plan:
    """A closed-loop run. `watched` names the processes whose processor time is read, each with all below it."""

    port: int
    connections: int
    seconds: float
    source: Source
    watched: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run gave: times in milliseconds, processor time in microseconds per request."""

    rate: float
    p50: float
    p99: float
    processor: Mapping[str, float]
    statuses: Mapping[int, int] = field(default_factory=dict)
    hits: float | None = None


def run(plan: Plan) -> Sample:
    """Carry out a run; for the generator's own process. Every request sent is waited for, so counts are exact."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(plan))


async def _run(plan: Plan) -> Sample:
    connections = [await connect(plan.port) for _ in range(plan.connections)]
    meter = _Meter()
    try:
        async with asyncio.timeout(plan.seconds * 2 + ANSWER_SECONDS), asyncio.TaskGroup() as group:
            for number, connection in enumerate(connections):
                requests = plan.source.requests(number, plan.connections)
                group.create_task(_keep_asking(connection, requests, meter))
            await asyncio.sleep(plan.seconds * WARM_UP_SHARE)
            before = {name: seconds_used(pid) for name, pid in plan.watched.items()}
            begun = perf_counter()
            meter.begin()
            await asyncio.sleep(plan.seconds)
            measured = meter.end()
            lasted = perf_counter() - begun
            used = {name: seconds_used(pid) - before[name] for name, pid in plan.watched.items()}
    finally:
        for connection in connections:
            connection.close()
    done = len(measured)
    if not done:
        raise TimeoutError("not one request was answered in the measured time")
    cuts = statistics.quantiles(measured, n=100, method="inclusive") if done > 1 else measured * 99
    return Sample(
        rate=done / lasted,
        p50=cuts[49] * 1000,
        p99=cuts[98] * 1000,
        processor={name: seconds * 1e6 / done for name, seconds in used.items()},
        statuses=dict(meter.statuses),
        hits=meter.hits / meter.answers if meter.hits else None,
    )


class _Meter:
    """Takes the times of the requests between `begin` and `end`; counts all answers."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.answers = self.hits = 0
        self.over = False
        self._times: list[float] = []

    def begin(self) -> None:
        self._times = []

    def end(self) -> list[float]:
        self.over = True
        return self._times

    def count(self, answer: Answer, seconds: float) -> None:
        self.statuses[answer.status] += 1
        self.answers += 1
        self.hits += b"x-cache: hit" in answer.head
        if not self.over:
            self._times.append(seconds)


async def _keep_asking(connection: Connection, requests: Iterator[bytes], meter: _Meter) -> None:
    while not meter.over:
        sent = perf_counter()
        meter.count(await connection.exchange(next(requests)), perf_counter() - sent)


async def ask_all(port: int, requests: Sequence[bytes], connections: int, take: Callable[[Answer], None]) -> None:
    """Send each request once, over so many connections, and hand every answer out."""
    waiting = iter(requests)

    async def work(connection: Connection) -> None:
        for request in waiting:
            take(await connection.exchange(request))
        connection.close()

    async with asyncio.TaskGroup() as group:
        for connection in [await connect(port) for _ in range(connections)]:
            group.create_task(work(connection))
