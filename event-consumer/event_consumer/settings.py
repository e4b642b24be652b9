"""Settings of the consumer, read from environment variables under the names of `.env.example`."""

from typing import Literal, Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_DEVELOPMENT_SECRETS = {"rabbitmq_default_pass": "guest", "couchdb_consumer_password": "event_consumer"}
_SHORTEST_SECRET = 12


class Settings(BaseSettings):
    """Addresses and credentials, as on one machine; whoever does not say `development` gets production's checks."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    environment: Literal["development", "production"] = "production"
    rabbitmq_host: str = "127.0.0.1"
    rabbitmq_port: int = 27004
    rabbitmq_management_port: int = 15672
    rabbitmq_default_user: str = "guest"
    rabbitmq_default_pass: SecretStr = SecretStr("guest")
    couchdb_host: str = "127.0.0.1"
    couchdb_port: int = 5984
    couchdb_consumer_user: str = "event_consumer"
    couchdb_consumer_password: SecretStr = SecretStr("event_consumer")
    consumer_health_host: str = "127.0.0.1"
    consumer_health_port: int = 27008
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _production_has_its_own_secrets(self) -> Self:
        if self.environment == "production":
            secrets = {name: getattr(self, name).get_secret_value() for name in _DEVELOPMENT_SECRETS}
            unsafe = [
                name.upper()
                for name, secret in secrets.items()
                if secret == _DEVELOPMENT_SECRETS[name] or len(secret) < _SHORTEST_SECRET
            ]
            if unsafe:
                raise ValueError(
                    f"ENVIRONMENT=production refuses default, empty or short secrets: set {', '.join(sorted(unsafe))} "
                    f"({_SHORTEST_SECRET} characters or more), or set ENVIRONMENT=development"
                )
        return self
