"""Every command, answer and address of the README, against a fresh stack."""

import asyncio
import json
import os
import re
from pathlib import Path

import httpx2
import ports
import pytest

from tests.e2e.conftest import Pipeline
from tests.support.documents import ROOT, block, blocks
from tests.support.processes import run_command

README = "README.md"
TEXT = (ROOT / README).read_text("utf-8")
CALLS = "tests/e2e/test_readme.py runs: the five calls"
ANSWERS = "tests/e2e/test_readme.py compares: the answers"
LIFE = "tests/e2e/test_readme.py runs: the life of a loan"
LIFE_ANSWERS = "tests/e2e/test_readme.py compares: the life of a loan"
DEVELOPMENT_ADDRESS = "http://127.0.0.1:8000"
# Inline commands that need what a test of the suite does not have; where they are run instead.
ELSEWHERE = {"docker compose up --build -d": "tests/compose/test_deployment.py"}


def readme_calls() -> str:
    """The block of the README, as somebody would paste it."""
    return block(README, CALLS)


async def test_the_calls_answer_what_the_readme_says(pipeline: Pipeline, tmp_path: Path) -> None:
    script = readme_calls() + block(README, LIFE)
    assert DEVELOPMENT_ADDRESS in script
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script.replace(DEVELOPMENT_ADDRESS, pipeline.address),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, errors.decode()

    # The first answer goes into a variable there, so it is asked for again.
    signed_in = await pipeline.http.post("/api/v1/auth/token", data={"username": "admin", "password": "string"})
    said = signed_in.text + output.decode().replace("\r\n", "\n").replace("\n", "")
    assert re.fullmatch(_pattern(), said), said
    client, loan = (json.loads((tmp_path / name).read_text()) for name in ("client.json", "loan.json"))
    assert loan["client_id"] == client["id"]


def test_every_block_is_run_or_names_targets_of_make() -> None:
    # That these exist is shown for all documents by tests/contract/test_docs.py.
    for marker, _, text in blocks(README):
        if marker:
            assert marker in (ROOT / marker.partition(" ")[0]).read_text("utf-8")
        else:
            assert all(line.startswith("make ") for line in text.splitlines()), text


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`((?:sofipo|docker|python3) [^`]+)`", TEXT))))
async def test_a_command_between_the_lines_exists(command: str) -> None:
    if command in ELSEWHERE:
        elsewhere = (ROOT / ELSEWHERE[command]).read_text("utf-8")
        assert command in elsewhere
    else:
        tool, *arguments = command.split()
        assert tool == "sofipo", f"{command} is run by no test"
        await run_command("-m", "backend_api.cli", *arguments, "--help")


@pytest.mark.parametrize("url", sorted(set(re.findall(r"<(http://127\.0\.0\.1:[^>]+)>", TEXT))))
async def test_an_address_answers(pipeline: Pipeline, url: str) -> None:
    base, path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(.*)", url).groups()  # type: ignore[union-attr] # it did above
    [listener] = [name for name, (port, _) in ports.BASE.items() if port == int(base)]
    variables = {"rabbitmq-management": "RABBITMQ_MANAGEMENT_PORT", "couchdb": "COUCHDB_PORT"}
    here = pipeline.address if listener == "api" else f"http://127.0.0.1:{os.environ[variables[listener]]}"
    async with httpx2.AsyncClient(follow_redirects=True, timeout=15.0) as client:
        assert (await client.get(f"{here}{path}")).status_code == 200


def _pattern() -> str:
    """The answers as they are shown, one behind the other, as a pattern: … stands for anything."""
    lines = (block(README, ANSWERS) + block(README, LIFE_ANSWERS)).splitlines()
    shown = "".join(re.sub(r"^(\d\. |\s+)", "", line) for line in lines)
    return re.escape(shown).replace("…", ".*?")
