"""Names of the broker's things that both services agree on, and how to reach it."""

from urllib.parse import quote

from backend_api.settings import Settings

EXCHANGE = "sofipo_events_exchange"
QUEUE = "couchdb_event_log_queue"
PARKED_QUEUE = f"{QUEUE}.parked"
PARKED_REASON_HEADER = "x-parked-reason"
PARKED_AT_HEADER = "x-parked-at"

CONNECT_SECONDS = 5.0
CONFIRM_SECONDS = 5.0
"""Longer without a confirm and the message counts as not sent: an alarmed broker blocks without an error."""


def url(settings: Settings) -> str:
    """Address of the broker with credentials; its heartbeat notices a dead peer in seconds."""
    user = quote(settings.rabbitmq_default_user, safe="")
    password = quote(settings.rabbitmq_default_pass.get_secret_value(), safe="")
    return f"amqp://{user}:{password}@{settings.rabbitmq_host}:{settings.rabbitmq_port}/?heartbeat=10"
