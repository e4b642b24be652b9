"""A lender of one's own: a database whose business date the test moves, and the application on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest
from backend_api.db.pools import Connection
from backend_api.settings import Environment, Settings

from tests.engine.lender import STORY, Lender
from tests.support.postgres import connect_as_owner, drop_databases
from tests.support.processes import run_command
from tests.support.service import client_of, running, sign_in

STACK = Settings(environment=Environment.DEVELOPMENT, api_access_token_expire_minutes=30)
"""Who signs in once here calls for as long as all these tests take."""


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[Connection]:
    """The database server, for making and dropping databases."""
    connection = await connect_as_owner(STACK)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def pattern(server: Connection) -> AsyncIterator[str]:
    """The name of an initialised database that is only copied."""
    name = f"test_engine_{token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        yield name
    finally:
        await drop_databases(server, name)


async def copy(server: Connection, original: str) -> str:
    """The name of a copy of a database that nobody is connected to; it is dropped with the original."""
    name = f"{original}_{token_hex(3)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
    return name


@asynccontextmanager
async def lending(server: Connection, pattern: str) -> AsyncIterator[Lender]:
    """A lender on a copy of a database, which nobody is connected to any more at the end."""
    settings = STACK.model_copy(update={"postgres_db": await copy(server, pattern)})
    owner = await connect_as_owner(settings)
    try:
        async with running(settings) as app, client_of(app) as client:
            client.headers["Authorization"] = f"Bearer {await sign_in(client, 'admin', 'string')}"
            yield Lender(client, owner, app.state.resources)
    finally:
        await owner.close()


@pytest.fixture(scope="session")
async def lender(server: Connection, pattern: str) -> AsyncIterator[Lender]:
    """One for many tests: days only pass, so each test counts from the day it finds."""
    async with lending(server, pattern) as opened:
        yield opened


@pytest.fixture
async def new_lender(server: Connection, pattern: str) -> AsyncIterator[Lender]:
    """One without any loans, for tests that look at sums over all of them."""
    async with lending(server, pattern) as opened:
        yield opened


@pytest.fixture(scope="session")
async def told(server: Connection, pattern: str) -> AsyncIterator[Lender]:
    """An invented lender with a history; only read."""
    async with lending(server, pattern) as opened:
        await opened.tell(STORY)
        yield opened
