"""Every setting of the API, the relay, the worker and the command line, read from the environment once at start-up."""

from datetime import time
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend_api.domain.errors import MoneyMalformed
from backend_api.domain.money import ZERO, parse_money

DEVELOPMENT_SECRET = "development-only-secret-of-32-bytes-or-more"  # noqa: S105 - refused outside development, see below
DEVELOPMENT_PEPPER = "development-only-pepper-of-32-bytes-or-more"
DEVELOPMENT_GATEWAY_SECRET = "development-only-gateway-secret-of-32-bytes"  # noqa: S105 - the same
DEVELOPMENT_PASSWORDS = frozenset(
    {"sofipo", "sofipo_app", "replicator", "guest", "password", "event_consumer", "event_auditor", "string"}
)
DEVELOPMENT_KEYS = frozenset({DEVELOPMENT_SECRET, DEVELOPMENT_PEPPER, DEVELOPMENT_GATEWAY_SECRET})
MINIMUM_SECRET_BYTES = 32
MINIMUM_PASSWORD_CHARACTERS = 12
PASSWORDS = (
    "postgres_password",
    "postgres_app_password",
    "postgres_replica_password",
    "redis_password",
    "rabbitmq_default_pass",
    "couchdb_password",
    "couchdb_consumer_password",
    "couchdb_auditor_password",
)


class Environment(StrEnum):
    """Where the process runs. Production refuses development secrets by name."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class AnonymousLookup(StrEnum):
    """What a caller without credentials learns from `GET /clients/{rfc}`."""

    OFF = "off"
    MASKED = "masked"
    FULL = "full"


def _limit(value: object) -> object:
    """Pesos as they are written everywhere; empty is not set. Raises ValueError for anything else."""
    if not isinstance(value, str):
        return value
    try:
        return parse_money(value) if value else None
    except MoneyMalformed as error:
        raise ValueError(error.message) from error


Limit = Annotated[Decimal | None, BeforeValidator(_limit)]
"""An amount of pesos above which something is so; None is never."""

Pesos = Annotated[Decimal, BeforeValidator(lambda value: _limit(value) or ZERO)]
"""An amount of pesos; empty is nothing."""

RateLimit = Annotated[
    Annotated[int, Field(ge=0, le=1_000_000)] | None, BeforeValidator(lambda value: None if value == "" else value)
]
"""Requests a minute; None is what the environment brings: a limit in production, none in development."""
PRODUCTION_QUOTAS = {"reads": 6000, "writes": 1200, "anonymous": 600}


class Settings(BaseSettings):
    """Settings with the names their users know; `.env.example` documents each.

    Raises a validation error that names every variable with which production would be open: default or short secrets,
    any origin or host, no TLS in front, debugging.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    environment: Environment = Environment.PRODUCTION
    log_level: str = "INFO"

    postgres_host: str = "127.0.0.1"
    postgres_port: int = 27001
    postgres_db: str = "sofipo"
    postgres_user: str = "sofipo"
    postgres_password: SecretStr = SecretStr("sofipo")
    postgres_app_user: str = "sofipo_app"
    postgres_app_password: SecretStr = SecretStr("sofipo_app")
    postgres_replica_host: str = "127.0.0.1"
    postgres_replica_port: int = 27002
    postgres_replica_password: SecretStr | None = None
    """Of no use here, like that of CouchDB's administrator; `sofipo check-settings` judges them like the others."""

    redis_host: str = "127.0.0.1"
    redis_port: int = 27003
    redis_password: SecretStr = SecretStr("sofipo")

    rabbitmq_host: str = "127.0.0.1"
    rabbitmq_port: int = 27004
    rabbitmq_management_port: int = 15672
    rabbitmq_default_user: str = "guest"
    rabbitmq_default_pass: SecretStr = SecretStr("guest")

    couchdb_host: str = "127.0.0.1"
    couchdb_port: int = 5984
    couchdb_password: SecretStr | None = None
    couchdb_consumer_user: str = "event_consumer"
    couchdb_consumer_password: SecretStr | None = None
    """The consumer's account is a member of the event database; `sofipo doctor` looks at CouchDB as it."""
    couchdb_auditor_user: str = "event_auditor"
    couchdb_auditor_password: SecretStr = SecretStr("event_auditor")
    """The auditor's may only read it: histories and `sofipo verify` do."""

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    """Where `sofipo doctor` asks the API for its health; where it listens is said by the command that starts it."""
    api_secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    api_secret_keys_old: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Secrets that sign nothing any more; what they signed is taken as long as they stand here."""
    api_key_pepper: SecretStr = SecretStr(DEVELOPMENT_PEPPER)
    """API keys are stored as an HMAC under it: with another one every key is refused."""
    api_algorithm: Annotated[str, Field(pattern="^HS(256|384|512)$")] = "HS256"
    api_access_token_expire_minutes: Annotated[int, Field(ge=1, le=30)] = 15
    token_issuer: str = "sofipo"  # noqa: S105 - a name
    token_audience: str = "sofipo-api"  # noqa: S105 - a name
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names under which the API is called; requests to others are refused. Empty: any."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of the proxies that end TLS in front of the API: what they say of the caller is believed."""
    rate_limit_reads: RateLimit = None
    rate_limit_writes: RateLimit = None
    rate_limit_anonymous: RateLimit = None
    """Requests a minute: of one user or API key, and of one address without either. 0 is no limit."""

    rfc_strict: bool = False
    anonymous_client_lookup: AnonymousLookup = AnonymousLookup.MASKED
    business_time_zone: str = "America/Mexico_City"
    end_of_day_at: Annotated[str, Field(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|never)$")] = "00:05"
    """From when on the worker closes the day before, in the business time zone; `never` leaves it to the operator."""

    writer_connections: Annotated[int, Field(ge=1, le=64)] = 6
    """Connections to the primary for writes, per worker; 4 to 8 are best on two cores (measured)."""
    reader_connections: Annotated[int, Field(ge=1, le=64)] = 6
    """Connections for reads, per worker and server."""
    backdating_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """How far before the business date a payment may be dated."""
    approve_activation_above: Limit = None
    """Above these amounts a second person has to agree; unset, nobody is asked."""
    approve_reversal_above: Limit = None
    approve_write_off_above: Limit = None
    approve_waiver_above: Limit = None
    approve_restructure_above: Limit = None
    cache_ttl_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Hard bound on how long a view may be answered from Redis."""

    backoffice_path: Annotated[str, Field(pattern="^(/[a-z0-9-]+)+$")] = "/oficina"
    """Where the pages of the back office lie."""
    public_url: Annotated[str, Field(pattern="^https?://[^/?#]+$")] = "http://127.0.0.1:8000"
    """Where borrowers find this: the payment gateway sends them back to a page below it."""
    gateway_url: Annotated[str, Field(pattern="^https?://[^?#]+$")] = "http://127.0.0.1:8002/pay"
    """The payment gateway's page, as a browser finds it."""
    gateway_secret: SecretStr = SecretStr(DEVELOPMENT_GATEWAY_SECRET)
    """Signs orders for the payment gateway, and its notices."""
    sandbox_gateway_host: str = "127.0.0.1"
    sandbox_gateway_port: int = 8002
    """Where `sofipo doctor` asks the sandbox of a gateway, in development."""
    cart_commission: Pesos = ZERO
    """What a cart costs besides what is paid with it, without VAT."""
    customer_reversal_days: Annotated[int, Field(ge=0, le=365)] = 0
    """How many business days after the one of a payment its borrower may take it back; 0 is the same day only."""

    lender_name: str = "SOFIPO de desarrollo, S.A. de C.V., S.F.P."
    """Who issues account statements, with the legal form. These defaults are those of a lender that does not exist."""
    lender_address: str = "Calle de los Libros 1, Col. Centro, 06000 Ciudad de México"
    une_phone: str = "55 5555 0100"
    une_email: str = "une@example.com"
    une_address: str = "Calle de los Libros 1, Col. Centro, 06000 Ciudad de México"
    """The lender's unit for clients (Unidad Especializada de Atención a Usuarios), which takes their claims."""
    condusef_phone: str = "800 999 8080 y 55 5340 0999"
    condusef_email: str = "asesoria@condusef.gob.mx"
    condusef_site: str = "www.condusef.gob.mx"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret that signs, and those of which the signature is still taken."""
        return tuple(key.get_secret_value() for key in (self.api_secret_key, *self.api_secret_keys_old))

    @property
    def quotas(self) -> dict[str, int]:
        """Requests a minute by class of route; a class without a limit is missing."""
        standard = {} if self.is_development else PRODUCTION_QUOTAS
        chosen = {kind: getattr(self, f"rate_limit_{kind}") for kind in PRODUCTION_QUOTAS}
        quotas = {kind: standard.get(kind, 0) if quota is None else quota for kind, quota in chosen.items()}
        return {kind: quota for kind, quota in quotas.items() if quota}

    @property
    def zone(self) -> ZoneInfo:
        """Time zone in which business dates are reckoned."""
        return ZoneInfo(self.business_time_zone)

    @property
    def closes_days_at(self) -> time | None:
        """From when on the worker closes the day before; None when it does not."""
        return None if self.end_of_day_at == "never" else time.fromisoformat(self.end_of_day_at)

    @property
    def is_development(self) -> bool:
        """Whether development conveniences (the user `admin`, default secrets) are allowed."""
        return self.environment is Environment.DEVELOPMENT

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("allowed_origins", "allowed_hosts", "trusted_proxies"):
            text = values.get(name)
            if isinstance(text, str):
                values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
        old = values.get("api_secret_keys_old")
        if isinstance(old, str):
            values["api_secret_keys_old"] = tuple(SecretStr(part.strip()) for part in old.split(",") if part.strip())
        return values

    @model_validator(mode="after")
    def _refuse_unsafe_production(self) -> Self:
        if self.is_development:
            return self
        unsafe = [name.upper() for name in PASSWORDS if _is_unsafe(getattr(self, name))]
        if _is_weak(self.api_secret_key):
            unsafe.append("API_SECRET_KEY")
        if any(_is_weak(secret) for secret in self.api_secret_keys_old):
            unsafe.append("API_SECRET_KEYS_OLD")
        if _is_weak(self.api_key_pepper):
            unsafe.append("API_KEY_PEPPER")
        if _is_weak(self.gateway_secret):
            unsafe.append("GATEWAY_SECRET")
        reasons = []
        if unsafe:
            reasons.append(
                f"default, empty or short secrets: set {', '.join(sorted(unsafe))} "
                f"(passwords need {MINIMUM_PASSWORD_CHARACTERS} characters or more, secret keys and the pepper "
                f"{MINIMUM_SECRET_BYTES} bytes)"
            )
        reasons += [sentence for is_open, sentence in self._open_doors() if is_open]
        if reasons:
            raise ValueError(f"ENVIRONMENT=production refuses {'; '.join(reasons)}; or set ENVIRONMENT=development")
        return self

    def _open_doors(self) -> tuple[tuple[bool, str], ...]:
        """What would let in more than it should, and the sentence about it."""
        origins = self.allowed_origins
        everybody = any(network.prefixlen == 0 for network in self.trusted_proxies)
        return (
            (
                any(not origin.startswith("https://") or "*" in origin for origin in origins),
                "origins that are open or not encrypted: ALLOWED_ORIGINS names each as https://host",
            ),
            (
                not self.allowed_hosts or any("*" in host for host in self.allowed_hosts),
                "any host: ALLOWED_HOSTS names those under which the API is called",
            ),
            (
                not self.trusted_proxies or everybody,
                "a network without TLS: TRUSTED_PROXIES names the proxies that end it in front of the API",
            ),
            (
                any(not url.startswith("https://") for url in (self.public_url, self.gateway_url)),
                "payments without TLS: PUBLIC_URL and GATEWAY_URL begin with https://",
            ),
            (self.log_level.upper() in ("DEBUG", "NOTSET"), "debugging: LOG_LEVEL is INFO or higher"),
        )


def _is_weak(secret: SecretStr) -> bool:
    """Whether a key is known to everybody or short."""
    text = secret.get_secret_value()
    return text in DEVELOPMENT_KEYS or len(text.encode()) < MINIMUM_SECRET_BYTES


def _is_unsafe(password: SecretStr | None) -> bool:
    """Whether it is known to everybody or short; one that this process does not hold is not judged."""
    if password is None:
        return False
    text = password.get_secret_value()
    return text in DEVELOPMENT_PASSWORDS or len(text) < MINIMUM_PASSWORD_CHARACTERS
