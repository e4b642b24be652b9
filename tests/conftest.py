"""The application on real servers: one database per run, one application, and clients that call it."""

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from secrets import token_hex

import httpx2
import pytest
import uvloop
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.settings import Environment, Settings
from fastapi import FastAPI

from tests.support.postgres import connect_as_app, connect_as_owner
from tests.support.processes import run_command
from tests.support.service import client_of, running, sign_in, signed_in_as


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """The application refuses every other loop, see `backend_api.app`."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
async def settings() -> AsyncIterator[Settings]:
    """Settings of the stack the tests run on, with an initialised database of this run's own."""
    stack = Settings(environment=Environment.DEVELOPMENT)
    name = f"test_{token_hex(6)}"
    server = await connect_as_owner(stack)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        yield stack.model_copy(update={"postgres_db": name})
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


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
