"""The command line as an operator meets it, in a process of its own."""

import fcntl
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import ports
import pytest
import settings
from places import CHECKOUT, Stack, state_folder

TOOL = CHECKOUT / "local-stack" / "stack.py"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack that nobody else uses and that must not come to be."""
    stack = Stack(f"never-{uuid.uuid4().hex[:8]}")
    yield stack
    assert not stack.folder.exists()
    (stack.folder.parent / f"{stack.name}.lock").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "command", [(), ("up",), ("down",), ("status",), ("logs",), ("reset",), ("env",), ("stop",), ("sofipo",)]
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    answer = run(*command, "--help")
    assert answer.returncode == 0
    assert "usage: stack.py" in answer.stdout


def test_a_taken_port_is_one_sentence_and_nothing_starts(stack: Stack) -> None:
    offset = ports.free_offset(stack.name)
    with socket.create_server(("127.0.0.1", ports.at(offset)["redis"])):
        answer = run("up", "--servers-only", "--name", stack.name, PORT_OFFSET=str(offset))
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert f"Port {ports.at(offset)['redis']}, which redis needs, is taken by " in answer.stderr
    assert re.search(
        rf"PORT_OFFSET=\d+ python3 local-stack/stack.py up --servers-only --name {stack.name}\.$", answer.stderr
    )
    assert all(ports.is_free(port) for port in ports.at(offset).values())


def test_stacks_of_one_checkout_come_up_one_after_the_other(stack: Stack) -> None:
    """What they install is shared, and each would choose the ports that the other is about to take."""
    offset = ports.free_offset(stack.name)
    command = [sys.executable, str(TOOL), "up", "--servers-only", "--name", stack.name]
    with socket.create_server(("127.0.0.1", ports.at(offset)["redis"])), (state_folder() / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {**os.environ, "PORT_OFFSET": str(offset)}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as second:
            assert second.stdout is not None
            assert "waiting for another command" in second.stdout.readline()
            assert second.poll() is None
            fcntl.flock(lock, fcntl.LOCK_UN)
            _, refused = second.communicate()
    assert "which redis needs, is taken by " in refused


def test_an_impossible_offset_is_one_sentence(stack: Stack) -> None:
    answer = run("up", "--name", stack.name, PORT_OFFSET="many")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("command", [("env",), ("logs",), ("start", "redis"), ("stop", "redis")])
def test_a_stack_that_never_was_is_said(stack: Stack, command: tuple[str, ...]) -> None:
    answer = run(*command, "--name", stack.name)
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)


def test_a_command_of_an_application_that_never_ran_is_refused_in_a_sentence(stack: Stack) -> None:
    answer = run("sofipo", "--name", stack.name, "doctor", "--json")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert "make up" in answer.stderr


def test_down_and_reset_of_nothing_do_no_harm(stack: Stack) -> None:
    assert run("down", "--name", stack.name).returncode == 0
    assert run("reset", "--yes", "--name", stack.name).returncode == 0
    assert run("status", "--name", stack.name).returncode == 3


def test_a_name_that_is_no_folder_name_is_refused() -> None:
    assert run("status", "--name", "../other").returncode == 2


def test_isolated_stacks_ignore_the_operators_settings() -> None:
    operator = {"ENVIRONMENT": "production", "REDIS_PASSWORD": "mine"}
    assert settings.of("dev", 0, operator)["REDIS_PASSWORD"] == "mine"
    assert settings.of("test", 40, operator)["REDIS_PASSWORD"] == settings.DEFAULTS["REDIS_PASSWORD"]
    assert settings.of("test", 40, operator)["ENVIRONMENT"] == "development"
    assert settings.of("test", 40, operator)["API_PORT"] == "8040"


def test_every_setting_of_the_stack_is_documented() -> None:
    documented = Path(CHECKOUT / ".env.example").read_text()
    missing = [name for name in {*settings.of("test", 0), *settings.OPTIONAL} if f"{name}=" not in documented]
    assert missing == []
