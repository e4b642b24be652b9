"""The compose file, `.env.example` and the settings of the services say the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from backend_api.settings import PASSWORDS
from backend_api.settings import Settings as BackendSettings
from event_consumer.settings import Settings as ConsumerSettings
from sandbox_gateway.settings import Settings as SandboxSettings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
CHECK = "check-settings"
LOOPBACK_IS_ENOUGH = {"CONSUMER_HEALTH_HOST"}
"""Asked by the health check in the same container only."""


def _used() -> set[tuple[str, str]]:
    """Every variable of the compose file with its default; the same one may stand there often."""
    return set(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", TEXT))


def _documented() -> set[tuple[str, str]]:
    """Every setting of `.env.example` that is not commented out."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return {(name, value) for name, _, value in (line.partition("=") for line in lines if re.match(r"\w+=", line))}


def test_the_file_and_the_example_have_the_same_settings_and_defaults() -> None:
    assert _used() - _documented() == set(), "not in .env.example, or with another default"
    assert _documented() - _used() == set(), "not in docker-compose.yml, or with another default"


def test_no_key_stands_there_twice() -> None:
    """Compose refuses it, where the parser of this test takes the last one."""
    for mapping in _mappings(yaml.compose(TEXT)):
        names = [key.value for key, _ in mapping.value]
        assert sorted(names) == sorted(set(names)), str(mapping.start_mark)


def test_every_setting_has_one_default() -> None:
    names = [name for name, _ in _used()]
    assert sorted(names) == sorted(set(names))
    assert re.findall(r"(?<!\$)\$(?:\w+|\{\w+(?!:-|\w)[^}]*\})", TEXT) == [], "would be empty on a plain clone"


def test_every_setting_of_the_services_can_be_given_from_outside() -> None:
    backend = {name.upper() for name in BackendSettings.model_fields}
    consumer = {name.upper() for name in ConsumerSettings.model_fields} - LOOPBACK_IS_ENOUGH
    sandbox = {name.upper() for name in SandboxSettings.model_fields}
    assert backend - SERVICES[CHECK]["environment"].keys() == set()
    assert consumer - SERVICES["event-consumer"]["environment"].keys() == set()
    assert sandbox - SERVICES["sandbox-gateway"]["environment"].keys() == set()


def test_every_secret_is_judged() -> None:
    secrets = {name for name, _ in _used() if name.endswith(("PASSWORD", "PASS", "SECRET", "SECRET_KEY"))}
    assert secrets == {name.upper() for name in (*PASSWORDS, "api_secret_key", "gateway_secret")}
    assert secrets <= SERVICES[CHECK]["environment"].keys()


@pytest.mark.parametrize("service", SERVICES.keys() - {CHECK})
def test_nothing_starts_before_the_secrets_were_judged(service: str) -> None:
    assert CHECK in set(_before(service))


def _before(service: str) -> Iterator[str]:
    """The services that come before this one, directly or not."""
    for one in SERVICES[service].get("depends_on", {}):
        yield one
        yield from _before(one)


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping of a parsed file."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)
