"""A database and a virtual host of its own for every test of the relay, on the real servers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aio_pika
import httpx2
import pytest
import structlog
from backend_api.outbox import broker
from backend_api.settings import Environment, Settings

from tests.relay.house import House
from tests.support.postgres import connect_as_owner, drop_databases

ALEMBIC_INI = Path(__file__).parents[2] / "backend-api" / "alembic.ini"


@pytest.fixture(scope="session")
async def template() -> AsyncIterator[str]:
    """The name of a database with the real schema, to be copied."""
    settings = Settings(environment=Environment.DEVELOPMENT)
    name = f"test_relay_{uuid4().hex[:12]}"
    admin = await connect_as_owner(settings)
    await admin.execute(f"CREATE DATABASE {name}")
    migration = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(ALEMBIC_INI), "upgrade", "head",
        env={**os.environ, "ENVIRONMENT": "development", "POSTGRES_DB": name},
    )  # fmt: skip
    assert await migration.wait() == 0
    # A migration tells of what it inserts; these tests count what they publish themselves.
    fresh = await connect_as_owner(settings.model_copy(update={"postgres_db": name}))
    await fresh.execute("DELETE FROM outbox")
    await fresh.close()
    yield name
    await drop_databases(admin, name)
    await admin.close()


@pytest.fixture
async def house(template: str) -> AsyncIterator[House]:
    """The servers as one test sees them."""
    async with housed(template) as made:
        yield made


@pytest.fixture
async def idle(template: str) -> AsyncIterator[House]:
    """A second house of the same test, for a relay that has nothing to do."""
    async with housed(template) as made:
        yield made


@asynccontextmanager
async def housed(template: str) -> AsyncIterator[House]:
    """A database and a virtual host that are gone at the end."""
    name = f"{template}_{uuid4().hex[:8]}"
    base = Settings(environment=Environment.DEVELOPMENT)
    settings = base.model_copy(update={"postgres_db": name})
    admin = await connect_as_owner(base)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await admin.close()
    credentials = (base.rabbitmq_default_user, base.rabbitmq_default_pass.get_secret_value())
    management = f"http://{base.rabbitmq_host}:{os.environ.get('RABBITMQ_MANAGEMENT_PORT', '15672')}/api"
    async with httpx2.AsyncClient(base_url=management, auth=credentials, timeout=30.0) as client:
        (await client.put(f"/vhosts/{name}")).raise_for_status()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        (await client.put(f"/permissions/{name}/{base.rabbitmq_default_user}", json=everything)).raise_for_status()
        url = broker.url(base).replace("/?", f"/{name}?")
        owner = await connect_as_owner(settings)
        async with await aio_pika.connect_robust(url) as connection:
            channel = await connection.channel()
            with structlog.testing.capture_logs() as log:
                yield House(settings, owner, url, channel, log=log)
        await owner.close()
        await client.delete(f"/vhosts/{name}")
