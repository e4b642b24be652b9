"""The five calls of the README, as they stand there, against a fresh stack."""

import asyncio
import json
import re
from pathlib import Path

from tests.e2e.conftest import Pipeline

README = Path(__file__).resolve().parents[2] / "README.md"
DEVELOPMENT_ADDRESS = "http://127.0.0.1:8000"


def _calls() -> str:
    [block] = re.findall(r"tests/e2e/test_readme\.py[^\n]*\n```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    return str(block)


async def test_the_five_calls_answer_what_the_readme_says(pipeline: Pipeline, tmp_path: Path) -> None:
    script = _calls()
    assert DEVELOPMENT_ADDRESS in script
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script.replace(DEVELOPMENT_ADDRESS, pipeline.address),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()

    client = json.loads((tmp_path / "client.json").read_text())
    assert (client["full_name"], client["rfc"], client["status"]) == ("Carlos Perez", "PEPJ800101HNE", "ACTIVE")
    assert [warning["code"] for warning in client["warnings"]] == ["rfc_looks_like_curp"]
    loan = json.loads((tmp_path / "loan.json").read_text())
    assert (loan["client_id"], loan["status"]) == (client["id"], "ACTIVE")
    assert (loan["amount"], loan["interest_rate"], loan["current_balance"]) == ("50000.00", "0.15", "50000.00")
    said = output.decode()
    assert (
        json.dumps(
            {"id": client["id"], "rfc": "PE**********E", "full_name": "C. P.", "status": "ACTIVE"},
            separators=(",", ":"),
        )
        in said
    )
    assert "x-cache: hit" in said
    assert '"status":"REGISTERED","amount":"2500.00"' in said
    assert said.rstrip().endswith("47500.00")
