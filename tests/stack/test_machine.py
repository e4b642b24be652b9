"""What the machine lacks: one sentence that names the tools and the remedy, and no attempt to install without root."""

import machine
import pytest
from refusal import Refusal


def say(what: str) -> None:
    raise AssertionError(f"nothing should be done, but: {what}")


def test_missing_tools_without_root_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_root", lambda: False)
    monkeypatch.setattr(machine, "missing_packages", lambda: ["redis-server", "nodejs"])
    with pytest.raises(Refusal) as refused:
        machine.prepare(say)
    assert str(refused.value) == (
        "Missing tools: redis-server nodejs; "
        "run `sudo apt-get install --no-install-recommends redis-server nodejs` first."
    )


def test_missing_tools_on_another_system_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "missing_packages", lambda: ["postgresql-15"])
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refusal, match="Missing tools: postgresql-15 "):
        machine.prepare(say)


def test_a_missing_browser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_root", lambda: False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refusal, match="Missing tools: chromium"):
        machine.browser(say)


def test_tools_that_are_not_on_the_path_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert {"redis-server", "npm", "curl"} <= set(machine.missing_packages())


def test_nothing_is_done_when_nothing_is_missing() -> None:
    machine.prepare(say)
