"""The Postman collection, run from top to bottom by newman, as Postman runs it, against a fresh stack."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import installation
import pytest

from tests.e2e.conftest import Pipeline
from tests.support.postman_export import COLLECTION, FOLDER, IN_ORDER, ROOT
from tests.support.postman_walk import WALK

pytestmark = pytest.mark.timeout(600)  # the first run installs newman

ENVIRONMENT = ROOT / FOLDER / "local.postman_environment.json"
REQUESTS = sum(len(steps) for _, _, steps in WALK)


@dataclass
class Run:
    """What newman reports: how many requests and checks there were, and what failed."""

    requests: int
    checks: int
    failures: list[str]


@pytest.fixture(scope="module")
def newman() -> Path:
    """The program."""
    return installation.newman(print) / "newman"


async def run(newman: Path, folder: str, report: Path, *, times: int = 1, **variables: str) -> Run:
    """Run a folder of the collection with the local environment and these variables instead of its own."""
    given = (part for name, value in variables.items() for part in ("--env-var", f"{name}={value}"))
    options = ("--timeout-request", "15000", "--reporters", "json", "--reporter-json-export", str(report))
    process = await asyncio.create_subprocess_exec(
        str(newman), "run", str(ROOT / COLLECTION), "--environment", str(ENVIRONMENT), *given, "--folder", folder,
        "--iteration-count", str(times), *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    found = _read(report, output.decode())
    assert (process.returncode == 0) == (not found.failures)
    return found


def _read(report: Path, output: str) -> Run:
    assert report.exists(), output
    said: dict[str, Any] = json.loads(report.read_text("utf-8"))["run"]
    failures = [f"{one['source']['name']}: {one['error']['message']}" for one in said["failures"]]
    return Run(said["stats"]["requests"]["total"], said["stats"]["assertions"]["total"], failures)


async def test_every_request_in_order_is_answered_as_it_should(
    pipeline: Pipeline, newman: Path, tmp_path: Path
) -> None:
    walked = await run(newman, IN_ORDER, tmp_path / "report.json", base_url=pipeline.address)
    assert not walked.failures, "\n".join(walked.failures)
    assert walked.requests == REQUESTS
    assert walked.checks > REQUESTS


async def test_a_wrong_answer_would_be_seen(pipeline: Pipeline, newman: Path, tmp_path: Path) -> None:
    first_chapter = WALK[0][0]
    walked = await run(
        newman, first_chapter, tmp_path / "report.json", base_url=pipeline.address, password="not the password"
    )
    assert "Sign in (OAuth2 password form): expected 401 to be one of [ 200 ]" in walked.failures
