"""Development works without any settings; production refuses what everybody knows, by name."""

import pytest
from backend_api.settings import Environment, Settings
from pydantic import SecretStr, ValidationError

SAFE = {
    "environment": "production",
    "postgres_password": "owner-secret",
    "postgres_app_password": "app-role-secret",
    "redis_password": "redis-secret",
    "rabbitmq_default_pass": "rabbit-secret",
    "couchdb_auditor_password": "auditor-secret",
    "api_secret_key": "k" * 32,
    "allowed_hosts": "api.example.com",
    "trusted_proxies": "10.0.0.0/8",
    "api_key_pepper": "p" * 32,
    "gateway_secret": "g" * 32,
    "gateway_url": "https://gateway.example.com/pay",
    "public_url": "https://api.example.com",
}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as they are on a machine where nobody set any."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_development_needs_nothing_but_its_name() -> None:
    settings = Settings(environment=Environment.DEVELOPMENT)
    assert settings.is_development
    assert settings.api_access_token_expire_minutes == 15
    assert str(settings.zone) == "America/Mexico_City"


def test_production_is_the_default_and_refuses_default_secrets_by_name() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings()
    for name in (
        "API_SECRET_KEY",
        "API_KEY_PEPPER",
        "GATEWAY_SECRET",
        "POSTGRES_PASSWORD",
        "POSTGRES_APP_PASSWORD",
        "REDIS_PASSWORD",
        "RABBITMQ_DEFAULT_PASS",
        "COUCHDB_AUDITOR_PASSWORD",
    ):
        assert name in str(refused.value)


def test_production_with_secrets_of_its_own_starts() -> None:
    assert not Settings(**SAFE).is_development  # type: ignore[arg-type]  # as the environment gives them: text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("postgres_password", "sofipo"),
        ("postgres_password", ""),
        ("postgres_app_password", "sofipo_app"),
        ("redis_password", "sofipo"),
        ("postgres_app_password", "eleven-long"),
        ("postgres_replica_password", "replicator"),
        ("redis_password", ""),
        ("rabbitmq_default_pass", "guest"),
        ("rabbitmq_default_pass", "password"),
        ("couchdb_password", "password"),
        ("couchdb_consumer_password", "event_consumer"),
        ("couchdb_auditor_password", "event_auditor"),
        ("api_secret_key", "short"),
        ("api_secret_key", "k" * 31),
        ("api_secret_key", "development-only-secret-of-32-bytes-or-more"),
        ("api_secret_keys_old", "k" * 40 + ",short"),
        ("api_secret_keys_old", "development-only-secret-of-32-bytes-or-more"),
        ("api_key_pepper", "p" * 31),
        ("api_key_pepper", "development-only-pepper-of-32-bytes-or-more"),
        ("gateway_secret", "g" * 31),
        ("gateway_secret", "development-only-gateway-secret-of-32-bytes"),
    ],
)
def test_one_unsafe_secret_is_enough_and_the_sentence_names_only_it(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**{**SAFE, name: value})  # type: ignore[arg-type]  # as the environment gives them: text
    sentence = refused.value.errors()[0]["msg"].partition("set ")[2].partition(" (")[0]
    assert sentence == name.upper()


def test_secrets_are_not_printed() -> None:
    settings = Settings(**SAFE)  # type: ignore[arg-type]  # as the environment gives them: text
    assert "secret" not in repr(settings).replace("api_secret_key", "").replace("gateway_secret", "")
    assert "gggg" not in repr(settings)
    assert isinstance(settings.api_secret_key, SecretStr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_ALGORITHM", "none"),
        ("API_ALGORITHM", "RS256"),
        ("API_ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("API_ACCESS_TOKEN_EXPIRE_MINUTES", "31"),
        ("ANONYMOUS_CLIENT_LOOKUP", "everything"),
        ("ENVIRONMENT", "staging"),
        ("CACHE_TTL_SECONDS", "0"),
        ("CART_COMMISSION", "-1"),
        ("CART_COMMISSION", "two"),
        ("CUSTOMER_REVERSAL_DAYS", "-1"),
        ("PUBLIC_URL", "api.example.com"),
        ("PUBLIC_URL", "https://api.example.com/"),
        ("GATEWAY_URL", "javascript:alert(1)"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_origins_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example,")
    assert Settings().allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_origins", "*"),
        ("allowed_origins", "https://app.example.com,http://app.example.com"),
        ("allowed_origins", "https://*.example.com"),
        ("allowed_hosts", ""),
        ("allowed_hosts", "*"),
        ("trusted_proxies", ""),
        ("trusted_proxies", "0.0.0.0/0"),
        ("trusted_proxies", "::/0"),
        ("log_level", "debug"),
        ("public_url", "http://api.example.com"),
        ("gateway_url", "http://127.0.0.1:8002/pay"),
    ],
)
def test_production_refuses_what_leaves_a_door_open_by_name(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**{**SAFE, name: value})  # type: ignore[arg-type]  # as the environment gives them: text
    sentence = refused.value.errors()[0]["msg"]
    open_doors = {"allowed_origins", "allowed_hosts", "trusted_proxies", "log_level", "public_url", "gateway_url"}
    named = {door for door in open_doors if door.upper() in sentence}
    assert named == ({"public_url", "gateway_url"} if name.endswith("_url") else {name})


def test_production_names_everything_it_refuses_in_one_message() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(log_level="DEBUG", allowed_origins="*")  # type: ignore[arg-type]  # as the environment gives them: text
    [error] = refused.value.errors()
    for name in (
        "API_SECRET_KEY",
        "REDIS_PASSWORD",
        "ALLOWED_ORIGINS",
        "ALLOWED_HOSTS",
        "TRUSTED_PROXIES",
        "LOG_LEVEL",
        "PUBLIC_URL",
        "GATEWAY_URL",
    ):
        assert name in error["msg"]


def test_quotas_hold_in_production_and_where_they_are_set() -> None:
    assert Settings(environment=Environment.DEVELOPMENT).quotas == {}
    assert Settings(environment=Environment.DEVELOPMENT, rate_limit_reads=5).quotas == {"reads": 5}
    production = {**SAFE, "rate_limit_writes": "0", "rate_limit_anonymous": ""}
    assert Settings(**production).quotas == {"reads": 6000, "anonymous": 600}  # type: ignore[arg-type]  # as above
