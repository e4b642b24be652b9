"""The whole chain on the real servers: API, relay and consumer over a database of a test's own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx2
import redis.asyncio
from backend_api.auth.permissions import Role
from backend_api.auth.tokens import Tokens
from backend_api.db.pools import Connection
from backend_api.outbox import broker
from backend_api.outbox.broker import EXCHANGE, QUEUE
from backend_api.settings import Environment, Settings

from tests.chaos.nursery import API, CONSUMER, RELAY, Nursery, Service
from tests.chaos.servers import Servers
from tests.support.postgres import connect_as_owner, drop_databases
from tests.support.processes import free_port, run_command
from tests.support.waiting import eventually

APPLICATION = "backend_api.app:create_app"
PARKED_QUEUE = f"{QUEUE}.parked"
DATABASE = "business_events"
Json = dict[str, Any]


@dataclass
class Chain:
    """A database, the services that run on it, and ways to look at every station an event passes."""

    settings: Settings
    owner: Connection
    servers: Servers
    folder: Path
    couchdb: httpx2.AsyncClient
    management: httpx2.AsyncClient
    cache: redis.asyncio.Redis
    relay: Service
    consumer: Service
    documents_before: int = 0

    async def start(self) -> None:
        """Start the consumer and the relay."""
        await self.consumer.start()
        await until_answers(f"http://127.0.0.1:{self.consumer.environment['CONSUMER_HEALTH_PORT']}/readyz")
        await self.relay.start()

    @asynccontextmanager
    async def api(self, application: str = APPLICATION, **environment: str) -> AsyncIterator["Api"]:
        """An API of one worker that is ready."""
        port = free_port()
        given = {**self.relay.environment, "APPLICATION": application, "PORT": str(port), **environment}
        api = Api(port, Service(self.relay.nursery, API, self.folder / f"api-{port}.log", given))
        try:
            await api.start()
            yield api
        finally:
            await api.kill()

    @asynccontextmanager
    async def apis(self, count: int = 2, application: str = APPLICATION) -> AsyncIterator[list["Api"]]:
        """So many APIs side by side: the workers of one machine, but each with an address of its own."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.api(application)) for _ in range(count)]

    def token(self, user_id: UUID | None = None) -> str:
        """An access token for somebody of whom nothing is known yet."""
        return Tokens(self.settings).issue(user_id or uuid4(), "somebody", Role.ADMIN, datetime.now(UTC))

    async def events(self) -> list[Mapping[str, Any]]:
        """All events, each client's in order."""
        return [dict(row) for row in await self.owner.fetch("SELECT * FROM events ORDER BY aggregate_id, sequence")]

    async def waiting(self) -> int:
        """Events in the outbox, parked ones too."""
        return int(await self.owner.fetchval("SELECT count(*) FROM outbox"))

    async def document_count(self) -> int:
        """Documents that came since the test began."""
        return await _document_count(self.couchdb) - self.documents_before

    async def documents(self, ids: Iterable[str]) -> dict[str, Json]:
        """The documents of these ids, as CouchDB returns them."""
        answer = await self.couchdb.post(f"/{DATABASE}/_all_docs?include_docs=true", json={"keys": list(ids)})
        return {row["id"]: row["doc"] for row in answer.raise_for_status().json()["rows"] if row.get("doc")}

    async def depth(self, queue: str = QUEUE) -> int:
        """Messages that are ready in a queue."""
        async with await aio_pika.connect(broker.url(self.settings)) as connection:
            channel = await connection.channel()
            found = await channel.declare_queue(queue, passive=True)
            return found.declaration_result.message_count or 0

    async def parked(self) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """Takes the parked messages."""
        async with await aio_pika.connect(broker.url(self.settings)) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(PARKED_QUEUE, passive=True)
            found = []
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                found.append(message)
            return found

    async def arrived(self) -> bool:
        """Whether every event is a document and nothing waits anywhere."""
        if await self.waiting():
            return False
        return await self.document_count() == int(await self.owner.fetchval("SELECT count(*) FROM events"))

    async def settle(self, seconds: float = 40.0) -> None:
        """Wait until every event has arrived."""
        await eventually(self.arrived, seconds)

    async def come_to_rest(self) -> None:
        """Wait until nothing is on its way any more, whether it arrived or was lost: the settling of the controls."""

        async def outbox_is_empty() -> bool:
            return await self.waiting() == 0

        async def queue_is_empty() -> bool:
            return await self.depth() == 0

        await eventually(outbox_is_empty, 30.0)
        while True:
            await eventually(queue_is_empty, 30.0)
            await self.consumer.stop()
            if await self.depth() == 0:
                return
            await self.consumer.start()  # it had messages in hand, which it gave back

    async def reconnect(self) -> None:
        """Connect anew to a primary that was away."""
        self.owner.terminate()
        self.owner = await connect_as_owner(self.settings)

    async def trust_the_cache(self) -> None:
        """Make the cache look whole for an hour: the replica is read only behind such a one."""
        generation = await self.owner.fetchval("SELECT generation FROM cache_guard")
        await self.cache.set(f"sentinel:{generation}", f"{token_hex(4)}:{int(time()) - 3600}")

    async def bind(self) -> None:
        """Bind the consumer's queue as the consumer does."""
        (await self.management.post(self._bindings, json={"routing_key": "sofipo.#"})).raise_for_status()

    async def unbind(self) -> None:
        """Remove that binding."""
        (await self.management.delete(f"{self._bindings}/sofipo.%23")).raise_for_status()

    @property
    def _bindings(self) -> str:
        return f"/bindings/%2F/e/{EXCHANGE}/q/{QUEUE}"


@dataclass
class Api:
    """A worker of the API at an address of its own; it can be killed and started again there."""

    port: int
    service: Service

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await self.service.start()
        await until_answers(f"{self.address}/livez")

    async def kill(self) -> None:
        """`kill -9`; returns when it is gone."""
        await self.service.kill()

    def client(self, token: str) -> httpx2.AsyncClient:
        """Calls with this token."""
        return client_at(self.address, token)


def client_at(address: str, token: str) -> httpx2.AsyncClient:
    """Calls with this token to an API at this address."""
    return httpx2.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=15.0)


@asynccontextmanager
async def template() -> AsyncIterator[str]:
    """The name of an initialised database, to be copied."""
    server = await connect_as_owner(stack_settings())
    name = f"chain_{token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        yield name
    finally:
        # The connection may have died with the primary in the meantime.
        server.terminate()
        server = await connect_as_owner(stack_settings())
        await drop_databases(server, name)
        await server.close()


@asynccontextmanager
async def chain(
    template: str, nursery: Nursery, folder: Path, *, relay: str = RELAY, consumer: str = CONSUMER
) -> AsyncIterator[Chain]:
    """A fresh copy of the database, dropped with it, and empty queues; nothing runs on them yet."""
    base = stack_settings()
    name = f"{template}_{token_hex(4)}"
    settings = base.model_copy(update={"postgres_db": name})
    server = await connect_as_owner(base)
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await server.close()
    owner = await connect_as_owner(settings)
    port = str(free_port())
    environment = {"ENVIRONMENT": "development", "POSTGRES_DB": name, "CONSUMER_HEALTH_PORT": port}
    async with _couchdb() as couchdb, _management(base) as management, _redis(base) as cache:
        await cache.flushall()
        for queue in (QUEUE, PARKED_QUEUE):
            await management.delete(f"/queues/%2F/{queue}/contents")
        made = Chain(
            settings, owner, Servers(os.environ.get("SOFIPO_STACK_NAME", "test")), folder, couchdb, management,
            cache, Service(nursery, relay, folder / "relay.log", environment),
            Service(nursery, consumer, folder / "consumer.log", environment),
        )  # fmt: skip
        try:
            # The events of the template may be documents already, by another test over a copy of it.
            known = await made.documents(f"{e['aggregate_id']}:{e['sequence']:012d}" for e in await made.events())
            made.documents_before = await _document_count(couchdb) - len(known)
            yield made
        finally:
            await asyncio.gather(made.relay.kill(), made.consumer.kill())
            made.owner.terminate()


def stack_settings() -> Settings:
    """The settings of the stack the tests run on."""
    return Settings(environment=Environment.DEVELOPMENT)


async def until_answers(url: str, seconds: float = 30.0) -> None:
    """Wait until the URL answers 200."""

    async def answers() -> bool:
        try:
            return (await client.get(url)).status_code == 200
        except httpx2.TransportError:
            return False

    async with httpx2.AsyncClient(timeout=2.0) as client:
        await eventually(answers, seconds)


async def _document_count(couchdb: httpx2.AsyncClient) -> int:
    return int((await couchdb.get(f"/{DATABASE}")).raise_for_status().json()["doc_count"])


def _couchdb() -> httpx2.AsyncClient:
    base = f"http://{os.environ.get('COUCHDB_HOST', '127.0.0.1')}:{os.environ.get('COUCHDB_PORT', '5984')}"
    credentials = (os.environ.get("COUCHDB_USER", "admin"), os.environ.get("COUCHDB_PASSWORD", "password"))
    # A connection for every call: an idle one might be closed by the server in the moment of its next use.
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.AsyncClient(
        base_url=base, auth=credentials, headers={"Accept": "application/json"}, limits=limits, timeout=30.0
    )


def _management(settings: Settings) -> httpx2.AsyncClient:
    credentials = (settings.rabbitmq_default_user, settings.rabbitmq_default_pass.get_secret_value())
    port = os.environ.get("RABBITMQ_MANAGEMENT_PORT", "15672")
    return httpx2.AsyncClient(base_url=f"http://{settings.rabbitmq_host}:{port}/api", auth=credentials, timeout=10.0)


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        password=settings.redis_password.get_secret_value() or None,
        socket_timeout=5.0,
    )
    try:
        yield client
    finally:
        await client.aclose()
