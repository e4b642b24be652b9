"""The commands that a deployment begins with refuse what production refuses, in one sentence."""

import pytest

from tests.support.processes import try_command


@pytest.mark.parametrize("command", ["check-settings", "api"])
async def test_an_unsafe_production_is_refused_before_anything_starts(command: str) -> None:
    code, said = await try_command(
        "-m", "backend_api.cli", command, ENVIRONMENT="production", COUCHDB_PASSWORD="password", REDIS_PASSWORD="x" * 12
    )
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("ENVIRONMENT=production refuses")
    assert "COUCHDB_PASSWORD" in said
    assert "REDIS_PASSWORD" not in said


async def test_development_settings_are_fit_for_development() -> None:
    assert await try_command("-m", "backend_api.cli", "check-settings") == (0, "settings: fit for development\n")
