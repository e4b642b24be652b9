"""The reference of the payment: pgbench runs the ten fixed statements, prepared, on tables of its own."""

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from backend_api.settings import Settings

from bench.load import Sample
from bench.processor import seconds_used
from bench.tables import TEN_STATEMENTS


class PgbenchError(Exception):
    """pgbench is not installed or did not do its work."""


def run(settings: Settings, postmaster: int, *, clients: int, connections: int, seconds: float) -> Sample:
    """Pay for so many clients over so many connections. Raises `PgbenchError`.

    Processor time: pgbench's own under `workers`, and what PostgreSQL used under `postgres`.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "payment.sql"
        script.write_text(TEN_STATEMENTS)
        command = [
            *(_program(), "--no-vacuum", "--protocol=prepared", f"--file={script}", f"--define=clients={clients}"),
            *(f"--client={connections}", f"--jobs={min(connections, 2)}", f"--time={max(1, round(seconds))}"),
            *("--log", f"--log-prefix={folder}/log", "--sampling-rate=0.5"),
            *("-h", settings.postgres_host, "-p", str(settings.postgres_port), "-U", settings.postgres_user),
            settings.postgres_db,
        ]
        environment = {**os.environ, "PGPASSWORD": settings.postgres_password.get_secret_value()}
        before, own_before = seconds_used(postmaster), seconds_used(os.getpid())
        # No session of its own: its processor time must come to us when it ends, and Ctrl-C may reach it.
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        if done.returncode:
            raise PgbenchError(f"pgbench failed:\n{done.stderr}")
        used, own = seconds_used(postmaster) - before, seconds_used(os.getpid()) - own_before
        times = [
            int(line.split()[2]) / 1000 for log in Path(folder).glob("log.*") for line in log.read_text().splitlines()
        ]
    transactions = int(_number(r"transactions actually processed: (\d+)", done.stdout))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return Sample(
        rate=_number(r"tps = ([0-9.]+) \(without initial", done.stdout),
        p50=cuts[49],
        p99=cuts[98],
        processor={"workers": own * 1e6 / transactions, "postgres": used * 1e6 / transactions},
        statuses={201: transactions},
    )


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if found is None:
        raise ValueError(f"pgbench said something unexpected:\n{output}")
    return float(found[1])


def _program() -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for name in ("pgbench", *(str(folder / "pgbench") for folder in folders)):
        if found := shutil.which(name):
            return found
    raise PgbenchError("pgbench was not found; Debian has it in postgresql-15")
