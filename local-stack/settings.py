"""The settings every process of a stack is started with, and where they come from."""

import os
from collections.abc import Mapping
from pathlib import Path

import ports
from places import CHECKOUT

# Development defaults; `.env.example` says what each of them means.
DEFAULTS = {
    "ENVIRONMENT": "development",
    "POSTGRES_DB": "sofipo",
    "POSTGRES_USER": "sofipo",
    "POSTGRES_PASSWORD": "sofipo",
    "POSTGRES_APP_USER": "sofipo_app",
    "POSTGRES_APP_PASSWORD": "sofipo_app",
    "POSTGRES_REPLICA_USER": "replicator",
    "POSTGRES_REPLICA_PASSWORD": "replicator",
    "REDIS_PASSWORD": "sofipo",
    "RABBITMQ_DEFAULT_USER": "guest",
    "RABBITMQ_DEFAULT_PASS": "guest",
    "COUCHDB_USER": "admin",
    "COUCHDB_PASSWORD": "password",
    "COUCHDB_CONSUMER_USER": "event_consumer",
    "COUCHDB_CONSUMER_PASSWORD": "event_consumer",
    "COUCHDB_AUDITOR_USER": "event_auditor",
    "COUCHDB_AUDITOR_PASSWORD": "event_auditor",
}
# Settings without a default here: the services know their own.
OPTIONAL = (
    "API_SECRET_KEY",
    "API_SECRET_KEYS_OLD",
    "API_KEY_PEPPER",
    "API_ALGORITHM",
    "API_ACCESS_TOKEN_EXPIRE_MINUTES",
    "TOKEN_ISSUER",
    "TOKEN_AUDIENCE",
    "ALLOWED_ORIGINS",
    "ALLOWED_HOSTS",
    "TRUSTED_PROXIES",
    "RATE_LIMIT_READS",
    "RATE_LIMIT_WRITES",
    "RATE_LIMIT_ANONYMOUS",
    "RFC_STRICT",
    "ANONYMOUS_CLIENT_LOOKUP",
    "BUSINESS_TIME_ZONE",
    "END_OF_DAY_AT",
    "LOG_LEVEL",
    "WRITER_CONNECTIONS",
    "READER_CONNECTIONS",
    "CACHE_TTL_SECONDS",
    "BACKDATING_DAYS",
    "APPROVE_ACTIVATION_ABOVE",
    "APPROVE_REVERSAL_ABOVE",
    "APPROVE_WRITE_OFF_ABOVE",
    "APPROVE_WAIVER_ABOVE",
    "APPROVE_RESTRUCTURE_ABOVE",
    "LENDER_NAME",
    "LENDER_ADDRESS",
    "UNE_PHONE",
    "UNE_EMAIL",
    "UNE_ADDRESS",
    "CONDUSEF_PHONE",
    "CONDUSEF_EMAIL",
    "CONDUSEF_SITE",
    "BACKOFFICE_PATH",
    "GATEWAY_URL",
    "GATEWAY_SECRET",
    "PUBLIC_URL",
    "CART_COMMISSION",
    "CUSTOMER_REVERSAL_DAYS",
)
# The stack that follows the operator's settings; every other name is an isolated one with the defaults.
CONFIGURED_STACK = "dev"
LOOPBACK = "127.0.0.1"


def of(stack_name: str, offset: int, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All settings of a stack: process environment first, then `.env`, then the development defaults."""
    port = ports.at(offset)
    chosen = DEFAULTS | _public_addresses(port)
    if stack_name == CONFIGURED_STACK:
        known = {*DEFAULTS, *OPTIONAL}
        for source in (_read_env_file(CHECKOUT / ".env"), environment):
            chosen.update({key: value for key, value in source.items() if key in known and value})
    return chosen | _addresses(port)


def _public_addresses(port: Mapping[str, int]) -> dict[str, str]:
    """Where browsers are sent, unless the operator says otherwise."""
    return {
        "PUBLIC_URL": f"http://{LOOPBACK}:{port['api']}",
        "GATEWAY_URL": f"http://{LOOPBACK}:{port['sandbox-gateway']}/pay",
    }


def _addresses(port: Mapping[str, int]) -> dict[str, str]:
    return {
        "POSTGRES_HOST": LOOPBACK,
        "POSTGRES_PORT": str(port["primary"]),
        "POSTGRES_REPLICA_HOST": LOOPBACK,
        "POSTGRES_REPLICA_PORT": str(port["replica"]),
        "REDIS_HOST": LOOPBACK,
        "REDIS_PORT": str(port["redis"]),
        "RABBITMQ_HOST": LOOPBACK,
        "RABBITMQ_PORT": str(port["amqp"]),
        "RABBITMQ_MANAGEMENT_PORT": str(port["rabbitmq-management"]),
        "COUCHDB_HOST": LOOPBACK,
        "COUCHDB_PORT": str(port["couchdb"]),
        "CONSUMER_HEALTH_HOST": LOOPBACK,
        "CONSUMER_HEALTH_PORT": str(port["consumer-health"]),
        "API_HOST": LOOPBACK,
        "API_PORT": str(port["api"]),
        "SANDBOX_GATEWAY_HOST": LOOPBACK,
        "SANDBOX_GATEWAY_PORT": str(port["sandbox-gateway"]),
    }


def _read_env_file(path: Path) -> dict[str, str]:
    """The subset of the format that compose and shells agree on: KEY=VALUE, comments, optional quotes."""
    if not path.is_file():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}
