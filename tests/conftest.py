"""The application on real servers: one database per run, one application, and clients that call it."""

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
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

from tests.support.event_database import EventDatabase, event_database
from tests.support.postgres import connect_as_app, connect_as_owner, fresh_database
from tests.support.service import client_of, running, sign_in, signed_in_as

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


@pytest.fixture(scope="session")
async def anonymous(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls without credentials."""
    async with client_of(app) as client:
        yield client


@pytest.fixture(scope="session")
async def token(anonymous: httpx2.AsyncClient) -> str:
    """An access token of the development user `admin`."""
    return await sign_in(anonymous, "admin", "string")


@pytest.fixture(scope="session")
def admin(token: str) -> dict[str, str]:
    """The headers of a request by `admin`."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
async def api(app: FastAPI, admin: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by `admin`."""
    async with client_of(app, admin) as client:
        yield client


@pytest.fixture(scope="session")
async def officer(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by a loan officer."""
    async with signed_in_as(app, Role.OFFICER) as client:
        yield client


@pytest.fixture(scope="session")
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
