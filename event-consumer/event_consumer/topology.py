"""Exchange, queues and policy the consumer lives on; all declarations are idempotent.

Limits come by policy and not by queue arguments, because arguments of an existing queue cannot be changed.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from event_consumer.settings import Settings

_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Topology:
    """The names on the broker. The event queue is also the name of its policy."""

    exchange: str = "sofipo_events_exchange"
    binding: str = "sofipo.#"
    queue: str = "couchdb_event_log_queue"
    parked_exchange: str = "sofipo_parked_exchange"
    parked_queue: str = "couchdb_event_log_queue.parked"


def policy(topology: Topology) -> dict[str, Any]:
    """The policy of the event queue.

    A full queue refuses publishers, who keep their events. The delivery limit is a backstop only: quorum queues count
    every delivery that was not acknowledged, also the ones of a consumer that was killed.
    """
    return {
        "pattern": f"^{re.escape(topology.queue)}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {
            "overflow": "reject-publish",
            "max-length": 1_000_000,
            "delivery-limit": 1000,
            "dead-letter-exchange": topology.parked_exchange,
            "dead-letter-strategy": "at-least-once",
        },
    }


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declares exchanges, quorum queues and bindings. Raises the channel's error if one exists with other arguments."""
    quorum: dict[str, Any] = {"x-queue-type": "quorum"}
    parked = await channel.declare_exchange(topology.parked_exchange, ExchangeType.FANOUT, durable=True)
    parked_queue = await channel.declare_queue(topology.parked_queue, durable=True, arguments=quorum)
    await parked_queue.bind(parked)
    exchange = await channel.declare_exchange(topology.exchange, ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(topology.queue, durable=True, arguments=quorum)
    await queue.bind(exchange, topology.binding)


async def put_policy(settings: Settings, topology: Topology) -> None:
    """Sets the policy through the management API. Raises httpx2.HTTPError."""
    base = f"http://{settings.rabbitmq_host}:{settings.rabbitmq_management_port}"
    credentials = (settings.rabbitmq_default_user, settings.rabbitmq_default_pass.get_secret_value())
    async with httpx2.AsyncClient(base_url=base, auth=credentials, timeout=_TIMEOUT_SECONDS) as client:
        answer = await client.put(f"/api/policies/%2F/{quote(topology.queue, safe='')}", json=policy(topology))
        answer.raise_for_status()
