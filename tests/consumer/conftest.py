"""Real RabbitMQ and CouchDB for the consumer's tests, with names of their own for every test."""

import os
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest
from aio_pika.abc import AbstractConnection
from event_consumer.app import connect
from event_consumer.settings import Settings
from event_consumer.topology import Topology, declare

from tests.consumer.stack import Stack
from tests.support.proxy import Proxy


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the stack the tests run on."""
    return Settings()


@pytest.fixture(scope="session")
async def connection(settings: Settings) -> AsyncIterator[AbstractConnection]:
    """The tests' own connection to the broker."""
    async with await connect(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
async def admin(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """CouchDB as its administrator sees it."""
    credentials = (os.environ.get("COUCHDB_USER", "admin"), os.environ.get("COUCHDB_PASSWORD", "password"))
    base = f"http://{settings.couchdb_host}:{settings.couchdb_port}"
    headers = {"Accept": "application/json"}
    # A connection for every call: an idle one might be closed by the server in the moment of its next use.
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(
        base_url=base, auth=credentials, headers=headers, limits=limits, timeout=30.0
    ) as client:
        yield client


@pytest.fixture(scope="session")
async def management(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """RabbitMQ's management API."""
    credentials = (settings.rabbitmq_default_user, settings.rabbitmq_default_pass.get_secret_value())
    base = f"http://{settings.rabbitmq_host}:{settings.rabbitmq_management_port}/api"
    async with httpx2.AsyncClient(base_url=base, auth=credentials, timeout=30.0) as client:
        yield client


@pytest.fixture
async def stack(
    settings: Settings, connection: AbstractConnection, admin: httpx2.AsyncClient, management: httpx2.AsyncClient
) -> AsyncIterator[Stack]:
    """The servers with an exchange, queues and a database of this test's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    topology = Topology(
        exchange=f"{name}.events",
        queue=f"{name}.log",
        parked_exchange=f"{name}.parked",
        parked_queue=f"{name}.log.parked",
    )
    (await admin.put(f"/{name}")).raise_for_status()
    members = {
        "admins": {"names": [], "roles": []},
        "members": {"names": [settings.couchdb_consumer_user], "roles": []},
    }
    (await admin.put(f"/{name}/_security", json=members)).raise_for_status()
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        await declare(channel, topology)
        yield Stack(settings, topology, name, channel, admin, management)
    async with connection.channel() as channel:
        for queue in (topology.queue, topology.parked_queue):
            await channel.queue_delete(queue)
        for exchange in (topology.exchange, topology.parked_exchange):
            await channel.exchange_delete(exchange)
    await management.delete(f"/policies/%2F/{topology.queue}")
    await admin.delete(f"/{name}")


@pytest.fixture
async def couchdb_proxy(settings: Settings) -> AsyncIterator[Proxy]:
    """A proxy before CouchDB."""
    async with Proxy(settings.couchdb_host, settings.couchdb_port) as proxy:
        yield proxy


@pytest.fixture
async def broker_proxy(settings: Settings) -> AsyncIterator[Proxy]:
    """A proxy before RabbitMQ."""
    async with Proxy(settings.rabbitmq_host, settings.rabbitmq_port) as proxy:
        yield proxy
