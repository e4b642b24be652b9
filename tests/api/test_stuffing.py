"""Credential stuffing: many names, many passwords, many addresses, against the API as it is deployed."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth.defence import LONGEST_WAIT_SECONDS
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Settings

from tests.support.builders import new_client
from tests.support.processes import api_process, run_command
from tests.support.service import create_user
from tests.support.stuffer import sign_in
from tests.support.waiting import eventually

TRIES = int(os.environ.get("STUFFING_TRIES", "500"))
LONG = TRIES >= 10_000
RATE = 30 if LONG else 60
"""Tries a second: 30 are two and a half million a day."""
ADDRESSES = TRIES // 10
READS_ALONE = 2000 if LONG else 100
SLOWER = 2.0 if LONG else 10.0
"""How many times its p99 a read may take meanwhile: of few tries beside other tests, that is mostly the other tests."""
PASSWORD = "correct horse"
NAMES = TRIES // 50
"""Half of them are somebody's."""


@pytest.fixture
async def victims(resources: Resources) -> list[str]:
    """Names that somebody has."""
    names = [f"victim-{uuid4().hex}" for _ in range(NAMES // 2)]
    for name in names:
        await create_user(resources, name, PASSWORD, Role.OFFICER)
    return names


@pytest.fixture(autouse=True)
async def _no_failures(owner: Connection) -> AsyncIterator[None]:
    yield
    await owner.execute("DELETE FROM login_failures")


def p99(taken: list[float]) -> float:
    """Milliseconds that all but one in a hundred stay below."""
    return sorted(taken)[int(len(taken) * 0.99)] * 1000


@asynccontextmanager
async def reading(address: str, path: str, headers: Mapping[str, str]) -> AsyncIterator[list[float]]:
    """Reads one after the other until the end of the block; how long each took."""
    taken: list[float] = []
    port = int(address.rpartition(":")[2])
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **headers}.items())
    request = f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def read() -> None:
        while True:
            began = perf_counter()
            writer.write(request)
            answer = await reader.readuntil(b"}")
            taken.append(perf_counter() - began)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            await asyncio.sleep(0.005)

    task = asyncio.create_task(read())
    try:
        yield taken
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        writer.close()
    assert isinstance(ended, asyncio.CancelledError), ended


@pytest.mark.timeout(900)
async def test_stuffing_locks_nobody_out_for_good_and_slows_no_reader_down(
    victims: list[str],
    settings: Settings,
    api: httpx2.AsyncClient,
    admin: dict[str, str],
    owner: Connection,
    tmp_path: Path,
) -> None:
    client = await new_client(api)
    path = f"/api/v1/clients/{client['rfc']}"
    names = victims + [f"nobody-{number}" for number in range(NAMES - len(victims))]
    async with api_process(tmp_path, workers=2, POSTGRES_DB=settings.postgres_db, TRUSTED_PROXIES="127.0.0.1/32") as (
        _,
        base,
    ):
        async with reading(base, path, admin) as alone:
            await eventually(lambda: len(alone) >= READS_ALONE, 120)
        async with reading(base, path, admin) as beside:
            began = perf_counter()
            answers, longest_wait = await stuffed(base, names)
            seconds = perf_counter() - began
        async with reading(base, path, admin) as after:
            await eventually(lambda: len(after) >= READS_ALONE, 120)
        undisturbed = max(p99(alone), p99(after))  # other programs may begin in between
        told = (
            f"{answers.total()} tries from {ADDRESSES} addresses in {seconds:.0f} s: {dict(answers)}; longest wait "
            f"{longest_wait} s; p99 of a read {p99(alone):.1f} ms alone ({len(alone)}), {p99(beside):.1f} ms beside "
            f"({len(beside)}), {p99(after):.1f} ms after"
        )
        print(told)
        assert set(answers) <= {"401", "429", "503"}, told
        assert answers["429"], "the defence was never met: this shows little"
        assert longest_wait <= LONGEST_WAIT_SECONDS, told
        # As if the longest wait had passed: whoever has the password gets in, from anywhere.
        await owner.execute(
            "UPDATE login_failures SET blocked_until = blocked_until - $1 * interval '1 s'", LONGEST_WAIT_SECONDS
        )
        async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
            entered = [await sign_in(http, name, PASSWORD, "172.16.0.9") for name in victims]
        assert {answer.status_code for answer in entered} == {200}, told
        assert p99(beside) < SLOWER * undisturbed, told


async def stuffed(base: str, names: list[str]) -> tuple[Counter[str], int]:
    """What the attackers were answered, and the longest wait. They are a process of their own, so that a reader does
    not wait for them here."""
    said = json.loads(
        await run_command(
            "-m", "tests.support.stuffer", base, str(TRIES), str(RATE), str(ADDRESSES), NAMES=",".join(names)
        )
    )
    return Counter(said["answers"]), said["longest_wait"]
