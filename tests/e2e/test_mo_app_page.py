"""The calls of the MO App as its page shows them: run in order, on an empty database, from nothing but an API key."""

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import pytest
from backend_api.settings import Environment, Settings

from tests.support.documents import block, blocks
from tests.support.postgres import connect_as_owner
from tests.support.processes import api_process, run_command

PAGE = "docs/older-contracts.md"
RUNS, COMPARES = "tests/e2e/test_mo_app_page.py runs: ", "tests/e2e/test_mo_app_page.py compares: "
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Partner:
    """What a partner is told: an address and a key."""

    address: str
    key: str


@pytest.fixture
async def partner(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Partner]:
    """The API over a fresh database, with a key that was made as the page says."""
    name = f"test_mo_app_{token_hex(6)}"
    server = await connect_as_owner(Settings(environment=Environment.DEVELOPMENT))
    await server.execute(f"CREATE DATABASE {name}")
    try:
        await run_command("-m", "backend_api.cli", "init", POSTGRES_DB=name)
        program, *arguments = shlex.split(block(PAGE, f"{RUNS}the key").replace("\\\n", " "))
        assert program == "sofipo"
        key = await run_command("-m", "backend_api.cli", *arguments, POSTGRES_DB=name)
        async with api_process(tmp_path_factory.mktemp("mo-app"), POSTGRES_DB=name) as (_, address):
            yield Partner(address, key.strip())
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


def differences(shown: Any, answered: Any, place: str = "") -> list[str]:
    """Where an answer is not what is shown, in value or in type; … stands for anything."""
    if shown == ANYTHING:
        return []
    if isinstance(shown, dict) and isinstance(answered, dict) and list(shown) == list(answered):
        return [line for name in shown for line in differences(shown[name], answered[name], f"{place}/{name}")]
    if isinstance(shown, list) and isinstance(answered, list) and len(shown) == len(answered):
        pairs = enumerate(zip(shown, answered, strict=True))
        return [line for number, pair in pairs for line in differences(*pair, f"{place}/{number}")]
    return [] if (type(shown), shown) == (type(answered), answered) else [f"{place}: {answered!r}, shown {shown!r}"]


async def test_the_calls_answer_what_the_page_says(partner: Partner) -> None:
    calls = [(marker.removeprefix(RUNS), text) for marker, _, text in blocks(PAGE) if marker.startswith(RUNS)]
    steps = [(name, text) for name, text in calls if name.isdigit()]
    assert [name for name, _ in steps] == [str(number) for number in range(1, len(steps) + 1)]
    environment = {**os.environ, "SOFIPO": partner.address, "KEY": partner.key}
    found = []
    for name, text in steps:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", text, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 100)
        assert process.returncode == 0, errors.decode()
        shown = json.loads(block(PAGE, f"{COMPARES}{name}"))
        found += differences(shown, json.loads(output), name)
    assert found == []


def test_another_value_or_type_would_be_seen() -> None:
    shown = {"a": [{"id": "…", "amount": 5.0}]}
    assert differences(shown, {"a": [{"id": "x", "amount": 5.0}]}) == []
    for wrong in ({"id": "x", "amount": "5.0"}, {"id": "x", "amount": 6.0}, {"id": "x"}, {"amount": 5.0, "id": "x"}):
        assert differences(shown, {"a": [wrong]}) != []
    assert differences(shown, {"a": []}) != []
