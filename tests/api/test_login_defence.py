"""Guessing passwords: a wait that grows and ends, the same for users that there are not, and few hashes at a time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter, process_time
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth import defence, passwords, service
from backend_api.auth.defence import network
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from fastapi import FastAPI

from tests.support.clock import StoppedClock
from tests.support.problems import problem
from tests.support.service import ADDRESS, create_user

TOKEN = "/api/v1/auth/token"
PASSWORD = "correct horse"
WRONG = "not this one"
TRIES = int(os.environ.get("LOGIN_TRIES", "20"))
LONG = TRIES >= 500
TOLERANCE = 0.05 if LONG else 0.30
"""The least of few differ by themselves; a hash that is left out makes far more."""
pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
async def username(resources: Resources) -> str:
    """The name of a new officer."""
    name = f"officer-{uuid4().hex}"
    await create_user(resources, name, PASSWORD, Role.OFFICER)
    return name


@asynccontextmanager
async def calling_from(app: FastAPI, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls from an address."""
    transport = httpx2.ASGITransport(app, client=(address, 50_000))
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield client


async def attempt(client: httpx2.AsyncClient, username: str, password: str = WRONG) -> httpx2.Response:
    """The answer to an attempt to sign in."""
    return await client.post(TOKEN, data={"username": username, "password": password})


@pytest.fixture(autouse=True)
async def _no_failures(owner: Connection) -> AsyncIterator[None]:
    await owner.execute("DELETE FROM login_failures")
    yield
    await owner.execute("DELETE FROM login_failures")


async def test_the_wait_grows_and_ends(username: str, app: FastAPI, clock: StoppedClock) -> None:
    async with calling_from(app, "192.0.2.1") as client:
        for _ in range(defence.FREE_FOR_ACCOUNT):
            problem(await attempt(client, username), 401, "sign_in_refused")
        waits = []
        for _ in range(3):
            problem(await attempt(client, username), 401, "sign_in_refused")
            early = await attempt(client, username, PASSWORD)
            problem(early, 429, "sign_in_delayed")
            waits.append(int(early.headers["retry-after"]))
            clock.advance(waits[-1])
        assert waits == sorted(waits)
        assert waits[-1] > waits[0] >= 1
        assert (await attempt(client, username, PASSWORD)).status_code == 200
        problem(await attempt(client, username), 401, "sign_in_refused")


async def test_nobody_is_locked_out_for_good(
    username: str, app: FastAPI, owner: Connection, clock: StoppedClock
) -> None:
    async with calling_from(app, "192.0.2.2") as client:
        await attempt(client, username)
        await owner.execute("UPDATE login_failures SET failures = 100000")
        problem(await attempt(client, username), 401, "sign_in_refused")
        early = await attempt(client, username, PASSWORD)
        assert 0 < int(early.headers["retry-after"]) <= defence.LONGEST_WAIT_SECONDS
        clock.advance(defence.LONGEST_WAIT_SECONDS)
        assert (await attempt(client, username, PASSWORD)).status_code == 200


async def test_attempts_that_come_early_make_the_wait_no_longer(
    username: str, app: FastAPI, owner: Connection, clock: StoppedClock
) -> None:
    async with calling_from(app, "192.0.2.3") as client:
        for number in range(defence.FREE_FOR_ACCOUNT + 4):
            problem(await attempt(client, username), 401, "sign_in_refused")
            if number < defence.FREE_FOR_ACCOUNT + 3:
                clock.advance(60)
        before = await owner.fetch("SELECT * FROM login_failures ORDER BY subject")
        for _ in range(5):
            problem(await attempt(client, username), 429, "sign_in_delayed")
        assert await owner.fetch("SELECT * FROM login_failures ORDER BY subject") == before


async def test_who_tries_many_at_once_learns_no_more_than_one_after_the_other(
    username: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defence, "FREE_FOR_ACCOUNT", 1)
    verify = passwords.verify_password
    async with calling_from(app, "192.0.2.4") as client:

        async def in_its_turn(password: str, stored: str | None) -> bool:
            monkeypatch.setattr(service, "verify_password", verify)
            for other in await asyncio.gather(*(attempt(client, username) for _ in range(2))):
                problem(other, 401, "sign_in_refused")
            return await verify(password, stored)

        monkeypatch.setattr(service, "verify_password", in_its_turn)
        problem(await attempt(client, username, PASSWORD), 429, "sign_in_delayed")


async def test_who_guesses_elsewhere_does_not_lock_out_the_user(username: str, app: FastAPI) -> None:
    async with calling_from(app, "198.51.100.7") as home, calling_from(app, "203.0.113.9") as elsewhere:
        assert (await attempt(home, username, PASSWORD)).status_code == 200
        for _ in range(defence.FREE_FOR_ACCOUNT + 1):
            await attempt(elsewhere, username)
        problem(await attempt(elsewhere, username, PASSWORD), 429, "sign_in_delayed")
        assert (await attempt(home, username, PASSWORD)).status_code == 200


async def test_a_name_that_nobody_has_is_made_to_wait_alike(username: str, app: FastAPI) -> None:
    answers = []
    for number, name in enumerate((username, f"nobody-{uuid4().hex}")):
        async with calling_from(app, f"192.0.2.{10 + number}") as client:
            tries = [await attempt(client, name) for _ in range(defence.FREE_FOR_ACCOUNT + 2)]
        answers.append([(each.status_code, each.json()["code"], each.headers.get("retry-after")) for each in tries])
    assert answers[0] == answers[1]
    assert answers[0][-1] == (429, "sign_in_delayed", "1")


async def test_an_address_and_a_network_that_try_many_names_have_to_wait(
    username: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defence, "FREE_FOR_ADDRESS", 3)
    monkeypatch.setattr(defence, "FREE_FOR_NETWORK", 6)
    async with calling_from(app, "192.0.2.20") as client:
        statuses = [(await attempt(client, uuid4().hex)).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 401, 429]
    async with calling_from(app, "192.0.2.21") as neighbour:
        statuses = [(await attempt(neighbour, uuid4().hex)).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429], "the seventh failure of the network was one too many"
        problem(await attempt(neighbour, username, PASSWORD), 429, "sign_in_delayed")
    async with calling_from(app, "192.0.3.1") as stranger:
        assert (await attempt(stranger, username, PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::1", "::/48"),
        ("unknown", "unknown"),
    ],
)
async def test_the_network_of_an_address(address: str, expected: str) -> None:
    assert network(address) == expected


async def test_no_name_or_password_stands_in_the_counts(username: str, app: FastAPI, owner: Connection) -> None:
    async with calling_from(app, "192.0.2.30") as client:
        await attempt(client, username)
    subjects = str(await owner.fetch("SELECT subject FROM login_failures"))
    assert username not in subjects
    assert "192.0.2.30" in subjects


async def test_few_hash_at_a_time_and_who_is_too_many_comes_again(
    app: FastAPI, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    async with calling_from(app, "192.0.2.40") as client:
        storm = asyncio.gather(*(attempt(client, uuid4().hex) for _ in range(40)))
        assert (await anonymous.get("/livez")).status_code == 200
        answers = await storm
    refused = [each for each in answers if each.status_code == 503]
    assert {each.status_code for each in answers} == {401, 503}
    assert len(answers) - len(refused) <= 2 * (passwords.CONCURRENT_HASHES + passwords.WAITING_HASHES)
    assert {each.headers["retry-after"] for each in refused} == {"1"}


async def typical(app: FastAPI, owner: Connection, username: str) -> tuple[float, float]:
    """Seconds that a wrong password takes, for this user and for a name that nobody has: the median of many by the
    clock, or the least of few by the processor, which does not count while other programs run."""
    stopwatch = perf_counter if LONG else process_time
    seconds: dict[str, list[float]] = {username: [], f"nobody-{uuid4().hex}": []}
    async with calling_from(app, "192.0.2.50") as client:
        for name in seconds:
            await attempt(client, name)
        for _ in range(TRIES):
            await owner.execute("DELETE FROM login_failures")
            for name, taken in seconds.items():
                began = stopwatch()
                problem(await attempt(client, name), 401, "sign_in_refused")
                taken.append(stopwatch() - began)
    known, unknown = ((median if LONG else min)(taken) for taken in seconds.values())
    return known, unknown


async def test_signing_in_takes_as_long_for_a_name_that_nobody_has(
    username: str, app: FastAPI, owner: Connection
) -> None:
    known, unknown = await typical(app, owner, username)
    assert abs(known - unknown) / known < TOLERANCE, (known, unknown)


async def test_control_without_a_hash_to_compare_with_they_are_told_apart(
    username: str, app: FastAPI, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hasty(password: str, stored: str | None) -> bool:
        return stored is not None and await passwords.verify_password(password, stored)

    monkeypatch.setattr(service, "verify_password", hasty)
    known, unknown = await typical(app, owner, username)
    assert (known - unknown) / known > TOLERANCE, (known, unknown)
