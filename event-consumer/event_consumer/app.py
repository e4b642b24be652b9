"""The wiring: what the process opens, runs side by side, and closes again when it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable
from contextlib import suppress

import aio_pika
import httpx2
import structlog
from aio_pika.abc import AbstractConnection

from event_consumer.couchdb import CouchDB
from event_consumer.handler import FINISH_SECONDS, Consumer, backoff, pause
from event_consumer.health import Health, Server, application
from event_consumer.settings import Settings
from event_consumer.topology import Topology, put_policy

DATABASE = "business_events"
_CONNECT_SECONDS = 5.0
_HEARTBEAT_SECONDS = 10
_POLICY_SECONDS = 60.0
_LEAVE_SECONDS = FINISH_SECONDS + 2.0

log = structlog.get_logger()


async def run(settings: Settings, topology: Topology | None = None, database: str = DATABASE) -> None:
    """Runs the consumer until SIGTERM or SIGINT; then the batch in hand is finished, at most for some seconds."""
    topology = topology or Topology()
    health = Health()
    couchdb = CouchDB(
        settings.couchdb_host,
        settings.couchdb_port,
        settings.couchdb_consumer_user,
        settings.couchdb_consumer_password.get_secret_value(),
        database,
    )
    server = Server(settings, application(health, couchdb))
    stopping = _stop_on_signals()
    consumer = Consumer(lambda: connect(settings), couchdb, topology, health)
    consume = asyncio.create_task(consumer.run(stopping))
    tell = asyncio.create_task(server.serve())
    keep = asyncio.create_task(_keep_policy(settings, topology, health, stopping))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({consume, stop}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(consume, _LEAVE_SECONDS)
    finally:
        server.should_exit = True
        for task in (consume, keep, stop):
            task.cancel()
        await asyncio.gather(consume, keep, stop, tell, return_exceptions=True)
        await couchdb.close()
        log.info("stopped", **health.done)


def connect(settings: Settings) -> Awaitable[AbstractConnection]:
    """A connection that fails at once if it cannot be made and never comes back by itself; the consumer loops."""
    return aio_pika.connect(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        login=settings.rabbitmq_default_user,
        password=settings.rabbitmq_default_pass.get_secret_value(),
        heartbeat=_HEARTBEAT_SECONDS,
        timeout=_CONNECT_SECONDS,
        client_properties={"connection_name": "event-consumer"},
    )


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _keep_policy(settings: Settings, topology: Topology, health: Health, stopping: asyncio.Event) -> None:
    """Sets the policy now and then again, because a broker may come back with nothing."""
    tries = 0
    while not stopping.is_set():
        try:
            await put_policy(settings, topology)
        except httpx2.HTTPError as error:
            health.policy = f"not set ({type(error).__name__})"
            await pause(stopping, backoff(tries))
            tries += 1
        else:
            health.policy = None
            await pause(stopping, _POLICY_SECONDS)
            tries = 0
