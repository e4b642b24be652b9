"""Settings of the sandbox gateway, read from environment variables under the names of `.env.example`."""

from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Addresses and the secret that is shared with the API, as on one machine."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    environment: Literal["development", "production"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    gateway_secret: SecretStr = SecretStr("development-only-gateway-secret-of-32-bytes")
    """Signs orders and notices; the same in the API."""
    sandbox_gateway_host: str = "127.0.0.1"
    sandbox_gateway_port: int = 8002
    """Where it listens."""
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    """Where the notices go."""

    @property
    def notices_url(self) -> str:
        """The address that is told of payments; a real gateway has it from a merchant's account."""
        return f"http://{self.api_host}:{self.api_port}/api/v1/gateway/notices"
