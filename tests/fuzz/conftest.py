"""The API as it is deployed, over a database of its own, for calls that nobody in their right mind would make."""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest
from backend_api.settings import Environment, Settings

from tests.fuzz.target import Target, prepare
from tests.support.postgres import connect_as_owner
from tests.support.processes import api_process, run_command


@pytest.fixture(scope="session")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """One process that says all it has to say, an account of every role, and borrowers to find out about."""
    name = f"test_fuzz_{token_hex(6)}"
    settings = Settings(environment=Environment.DEVELOPMENT).model_copy(update={"postgres_db": name})
    server = await connect_as_owner(Settings(environment=Environment.DEVELOPMENT))
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        folder = tmp_path_factory.mktemp("fuzz")
        async with api_process(folder, POSTGRES_DB=name, LOG_LEVEL="DEBUG") as (process, address):
            yield await prepare(process, address, settings)
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()
