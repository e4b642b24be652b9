"""RabbitMQ: counts over AMQP, where they are exact, the rest by GETs of the management interface."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx2
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, ProbableAuthenticationError

from backend_api.cli.doctor.verdicts import Setup, Verdict, judge_version, not_checked, ok, start, warning, wrong
from backend_api.cli.doctor.web import ANSWER_SECONDS, web
from backend_api.outbox.broker import EXCHANGE, PARKED_QUEUE, QUEUE, url

BACKLOG = 10_000
"""So many waiting messages the consumer has behind it in seconds; more means that it is slow or stuck."""
BINDING = "sofipo.#"
THE_QUEUE = f"/queues/%2F/{QUEUE}?disable_stats=true"
"""With its statistics the answer would be some seconds old."""
QUEUE_ARGUMENTS = {"x-queue-type": "quorum"}
QUEUE_POLICY = {
    "overflow": "reject-publish",
    "max-length": 1_000_000,
    "delivery-limit": 1000,
    "dead-letter-exchange": "sofipo_parked_exchange",
    "dead-letter-strategy": "at-least-once",
}
"""What the consumer sets. The two services share no code; a test holds the two together."""
RESTART = "`make down && make up`, or `docker compose restart event-consumer`"


@asynccontextmanager
async def _channel(setup: Setup) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(
        url(setup.settings), timeout=ANSWER_SECONDS, client_properties={"connection_name": "sofipo-doctor"}
    )
    async with connection:
        yield await connection.channel()


async def _ask(setup: Setup, path: str) -> httpx2.Response:
    settings = setup.settings
    address = f"http://{settings.rabbitmq_host}:{settings.rabbitmq_management_port}/api"
    user, password = settings.rabbitmq_default_user, settings.rabbitmq_default_pass.get_secret_value()
    async with web(address, user, password) as client:
        return await client.get(path)


async def _describe(setup: Setup, path: str) -> Any:
    """A thing on the broker, or None when it is not there."""
    answer = await _ask(setup, path)
    return None if answer.status_code == 404 else answer.raise_for_status().json()


async def server(setup: Setup) -> Verdict:
    """It takes us in."""
    where = f"{setup.settings.rabbitmq_host}:{setup.settings.rabbitmq_port}"
    try:
        async with _channel(setup):
            return ok(f"RabbitMQ answers at {where}.")
    except ProbableAuthenticationError:
        return wrong(
            f"RabbitMQ at {where} refuses our user or password: events wait in the outbox.",
            "Set RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS as they were at the server's first start.",
        )
    except (AMQPError, OSError, TimeoutError):
        return wrong(
            f"No RabbitMQ answers at {where}: events wait in the outbox.",
            f"{start('rabbitmq')}, or set RABBITMQ_HOST and RABBITMQ_PORT.",
        )


async def management(setup: Setup) -> Verdict:
    """Its management interface answers our user."""
    where = f"{setup.settings.rabbitmq_host}:{setup.settings.rabbitmq_management_port}"
    try:
        answer = await _ask(setup, "/overview")
    except httpx2.HTTPError:
        return wrong(
            f"RabbitMQ's management interface does not answer at {where}: the consumer cannot set the queue's limits.",
            "Set RABBITMQ_MANAGEMENT_PORT, or enable it: `rabbitmq-plugins enable rabbitmq_management`.",
        )
    if answer.status_code != 200 or "rabbitmq_version" not in answer.text:
        return wrong(
            f"RabbitMQ's management interface at {where} answers {answer.status_code} to our user, or is not one.",
            "Give RABBITMQ_DEFAULT_USER the tag `administrator`, or set RABBITMQ_MANAGEMENT_PORT.",
        )
    return ok(f"RabbitMQ's management interface answers at {where}.")


async def version(setup: Setup) -> Verdict:
    """The server is new enough."""
    return judge_version("RabbitMQ", (await _describe(setup, "/overview"))["rabbitmq_version"])


async def exchange(setup: Setup) -> Verdict:
    """The exchange is there, of the right kind."""
    found = await _describe(setup, f"/exchanges/%2F/{EXCHANGE}")
    if found is None:
        return wrong(f"There is no exchange {EXCHANGE}.", f"Start relay or consumer, they make it: {RESTART}.")
    if (found["type"], found["durable"]) != ("topic", True):
        return wrong(
            f"The exchange {EXCHANGE} is not a durable topic exchange.",
            f"Stop relay and consumer, delete the exchange, and start them again: {RESTART}.",
        )
    return ok(f"The exchange {EXCHANGE} is there.")


async def queue(setup: Setup) -> Verdict:
    """The queue is there with the only argument it may have."""
    found = await _describe(setup, THE_QUEUE)
    if found is None:
        return wrong(f"There is no queue {QUEUE}.", f"Start the consumer, it makes it: {RESTART}.")
    if found["arguments"] != QUEUE_ARGUMENTS:
        surplus = ", ".join(f"{name}={value}" for name, value in found["arguments"].items()) or "none"
        return wrong(
            f"The queue {QUEUE} has other arguments than x-queue-type=quorum ({surplus}): the consumer cannot use it.",
            "Stop the consumer, move what waits elsewhere (shovel), delete the queue, start the consumer: it makes it.",
        )
    return ok(f"The queue {QUEUE} is there.")


async def binding(setup: Setup) -> Verdict:
    """Every event reaches the queue."""
    for name, path in (("exchange", f"/exchanges/%2F/{EXCHANGE}"), ("queue", THE_QUEUE)):
        if await _describe(setup, path) is None:
            return not_checked(f"See the finding about {name}.")
    found = await _describe(setup, f"/bindings/%2F/e/{EXCHANGE}/q/{QUEUE}")
    if BINDING not in {one["routing_key"] for one in found or ()}:
        return wrong(
            f"The queue {QUEUE} is not bound to {EXCHANGE} with {BINDING}: the relay keeps what finds no queue.",
            f"Restart the consumer, it binds the queue: {RESTART}.",
        )
    return ok(f"The queue is bound with {BINDING}.")


async def policy(setup: Setup) -> Verdict:
    """The policy in effect limits the queue and parks what cannot be delivered."""
    # Not asked of the queue: what the broker tells there is up to five seconds old.
    matching = [
        one
        for one in await _describe(setup, "/policies/%2F")
        if one["apply-to"] in ("all", "queues", "quorum_queues") and re.search(one["pattern"], QUEUE)
    ]
    # Of several the strongest applies, alone.
    strongest = max(matching, key=lambda one: int(one["priority"]), default=None)
    effective = strongest["definition"] if strongest else {}
    deviating = sorted(name for name, value in QUEUE_POLICY.items() if effective.get(name) != value)
    if deviating:
        why = f"because of the policy {strongest['name']}" if strongest else "because no policy applies"
        return wrong(
            f"The queue {QUEUE} does not have its limits, {why}: {', '.join(deviating)}.",
            "Delete other policies that match it; the consumer sets its own within a minute, or at its start: "
            f"{RESTART}.",
        )
    return ok("The queue has its limits by policy.")


async def consumer(setup: Setup) -> Verdict:
    """Somebody takes the events out of the queue, and keeps up."""
    async with _channel(setup) as channel:
        try:
            found = (await channel.declare_queue(QUEUE, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return not_checked("See the finding about queue.")
    waiting = found.message_count or 0
    if not found.consumer_count:
        return wrong(
            f"No consumer takes events out of {QUEUE}: {waiting} waiting.",
            f"{start('event-consumer')}; if it runs, its log says why it does not consume.",
        )
    if waiting > BACKLOG:
        return warning(
            f"The consumer does not keep up with {QUEUE}: {waiting} waiting.",
            "See whether CouchDB is slow or its disk full; the consumer's log says what it waits for.",
        )
    return ok(f"A consumer takes events out of {QUEUE}: {waiting} waiting.")


async def parked(setup: Setup) -> Verdict:
    """Nothing was set aside on its way into CouchDB."""
    async with _channel(setup) as channel:
        try:
            count = (await channel.declare_queue(PARKED_QUEUE, passive=True)).declaration_result.message_count or 0
        except ChannelNotFoundEntity:
            return not_checked(f"There is no {PARKED_QUEUE} yet: the consumer makes it.")
    if count:
        return wrong(
            f"Messages are parked in {PARKED_QUEUE} and missing in CouchDB: {count}.",
            "See `sofipo outbox parked`; after mending the cause `sofipo outbox replay --all`.",
        )
    return ok("No message is parked.")
