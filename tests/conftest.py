"""The application on real servers: one database per run, one application, and clients that call it."""

import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import uvloop
from backend_api.audit.archive import open_archive
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Environment, Settings
from fastapi import FastAPI
from hypothesis import is_hypothesis_test
from hypothesis import settings as hypothesis

from tests.support.clock import StoppedClock
from tests.support.event_database import EventDatabase, event_database
from tests.support.postgres import connect_as_app, connect_as_owner, fresh_database
from tests.support.service import client_of, running, sign_in, signed_in_as

# How many examples property tests try: few by default, always the same ones; thousands on demand. None has a deadline:
# what one example takes says more of the machine than of us.
hypothesis.register_profile("quick", max_examples=100, derandomize=True, deadline=None)
hypothesis.register_profile("thorough", max_examples=3000, derandomize=True, deadline=None)
hypothesis.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

HERE = Path(__file__).parent
NOT_FOLLOWED = (
    *("browser", "chaos", "contract", "fuzz", "stack"),
    *("api/test_authorization_matrix.py", "api/test_hostile_values.py", "api/test_stuffing.py"),
    *("engine/test_end_of_day_crashes.py", "engine/test_import_crashes.py", "engine/test_races.py"),
)
"""Tests that look at programs or documents from outside, or do the same very often. Following every line doubles what
they take (the longest: 10 s without, 29 s with); the coverage that is asked for comes from the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Neither are property tests followed."""
    outside = tuple(HERE / part for part in NOT_FOLLOWED)
    for item in items:
        often = isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
        if often or any(part in (item.path, *item.path.parents) for part in outside):
            item.add_marker(pytest.mark.no_cover)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """The application refuses every other loop, see `backend_api.app`."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
async def settings() -> AsyncIterator[Settings]:
    """Settings of the stack the tests run on, with an initialised database of this run's own."""
    stack = Settings(environment=Environment.DEVELOPMENT)
    async with fresh_database(stack) as name:
        yield stack.model_copy(update={"postgres_db": name})


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started."""
    async with running(settings) as application:
        yield application


@pytest.fixture(scope="session")
def resources(app: FastAPI) -> Resources:
    """What the application's lifespan opened."""
    opened: Resources = app.state.resources
    return opened


@pytest.fixture
def clock(app: FastAPI, resources: Resources) -> Iterator[StoppedClock]:
    """The time of every call of this test: it stands still."""
    stopped = StoppedClock(resources.clock())
    app.state.resources = replace(resources, clock=stopped)
    yield stopped
    app.state.resources = resources


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sent away, or to the primary, because this machine is slow: who waits for a turn or a connection waits
    for as long as it takes, and what the servers last said counts. When all that ends is shown where it is the matter.
    """
    for name in ("http.turns.WAIT_SECONDS", "db.pools.POOL_WAIT_SECONDS", "db.sampler.STALE_SECONDS"):
        monkeypatch.setattr(f"backend_api.{name}", 60.0)


@pytest.fixture(scope="session")
async def anonymous(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls without credentials."""
    async with client_of(app) as client:
        yield client


@pytest.fixture(scope="module")
async def token(anonymous: httpx2.AsyncClient) -> str:
    """An access token of the development user `admin`, for as long as the tests of one file take: it counts for a
    quarter of an hour, and all of them may take longer."""
    return await sign_in(anonymous, "admin", "string")


@pytest.fixture(scope="module")
def admin(token: str) -> dict[str, str]:
    """The headers of a request by `admin`."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
async def api(app: FastAPI, admin: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by `admin`."""
    async with client_of(app, admin) as client:
        yield client


@pytest.fixture(scope="module")
async def officer(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by a loan officer."""
    async with signed_in_as(app, Role.OFFICER) as client:
        yield client


@pytest.fixture(scope="module")
async def auditor(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by an auditor, who may read everything and change nothing."""
    async with signed_in_as(app, Role.AUDITOR) as client:
        yield client


@pytest.fixture(scope="session")
async def owner(settings: Settings) -> AsyncIterator[Connection]:
    """The test database as the owner of its schema."""
    connection = await connect_as_owner(settings)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def app_role(settings: Settings) -> AsyncIterator[Connection]:
    """The test database as the application's role."""
    connection = await connect_as_app(settings)
    yield connection
    await connection.close()


@pytest.fixture
async def couch(app: FastAPI, settings: Settings) -> AsyncIterator[EventDatabase]:
    """An event database of this test's own, which the application reads."""
    usual = app.state.archive
    async with event_database(settings) as couch, open_archive(settings, couch.name) as opened:
        app.state.archive = opened
        yield couch
        app.state.archive = usual
