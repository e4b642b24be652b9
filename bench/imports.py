"""`python -m bench.imports LINES [ROUNDS]`: an import beside COPY of the very same rows, on a running stack.

One line in a hundred cannot be taken. Each round makes a database, has `sofipo import` take a file, and copies the
clients and events that came of it into other new databases with the same indexes: once from files in COPY's binary
format, which is the least that PostgreSQL needs for these rows, and once from Python, as a program would that has them
in memory and checks nothing. The goal is about the first. The import's time is the job's own, from its first line to
its end; starting Python and reading the file into the database are told beside it. Meanwhile somebody edits another
client again and again: the longest of these edits says how long anybody waits for the import.
"""

import asyncio
import csv
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from secrets import token_hex

import asyncpg
from backend_api.settings import Environment, Settings

GOAL = 0.4
BAD_EVERY = 100
TABLES = {
    "clients": "SELECT * FROM clients WHERE external_id <> 'bench'",
    "events": """
    SELECT e.* FROM events e JOIN clients c ON c.id = e.aggregate_id WHERE c.external_id <> 'bench'""",
}
SOMEBODY = """
INSERT INTO clients (id, full_name, external_id, status, warnings, version, event_sequence, chain_head, created_at,
                     updated_at)
VALUES (gen_random_uuid(), 'Somebody', 'bench', 'ACTIVE', '[]', 1, 1, decode(repeat('00', 32), 'hex'), now(), now())
"""
EDIT = "UPDATE clients SET updated_at = clock_timestamp() WHERE external_id = 'bench' AND deleted_at IS NULL"


def main() -> int:
    """Measure so many rounds; 1 when the goal is missed."""
    lines, rounds = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    ratio = asyncio.run(_measure(lines, rounds))
    print(f"import beside COPY: {ratio:.2f}, to be reached {GOAL}: {'met' if ratio >= GOAL else 'MISSED'}")
    return int(ratio < GOAL)


async def _measure(lines: int, rounds: int) -> float:
    settings, ratios = Settings(environment=Environment.DEVELOPMENT), []
    with tempfile.TemporaryDirectory(prefix="sofipo-bench-") as folder:
        file = Path(folder) / "clients.csv"
        _write(file, lines)
        for _ in range(rounds):
            imported, bare, driven = await _round(settings, file, Path(folder))
            ratios.append(bare / imported)
            print(
                f"  per second: import {lines / imported:.0f}, COPY {lines / bare:.0f} (ratio {ratios[-1]:.2f}), "
                f"COPY from Python {lines / driven:.0f} (ratio {driven / imported:.2f})",
                flush=True,
            )
    return statistics.median(ratios)


async def _round(settings: Settings, file: Path, folder: Path) -> tuple[float, float, float]:
    """Seconds that the import took, COPY from files, and COPY from Python."""
    server = await _connect(settings, settings.postgres_db)
    names = [f"sofipo_bench_{token_hex(4)}" for _ in range(3)]
    try:
        for name in names:
            await server.execute(f"CREATE DATABASE {name}")
            _command(name, "init")
        imported = await _import(settings, names[0], file, folder)
        bare = await _copy(settings, names[1], folder)
        return imported, bare, await _copy_from_python(settings, names[0], names[2])
    finally:
        for name in names:
            await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await server.close()


async def _import(settings: Settings, name: str, file: Path, folder: Path) -> float:
    owner = await _connect(settings, name)
    await owner.execute(SOMEBODY)
    began = time.perf_counter()
    importing = asyncio.create_task(asyncio.to_thread(_command, name, "import", "clients", str(file), "--json"))
    longest = await _edit_until(owner, importing)
    told = json.loads(await importing)
    whole, expected = time.perf_counter() - began, told["lines_done"] - 1
    if told["accepted"] + told["refused"] != expected or told["refused"] != -(-expected // BAD_EVERY):
        raise RuntimeError(f"the import has other counts than its file: {told}")
    seconds: float = await owner.fetchval("SELECT extract(epoch FROM finished_at - started_at)::float FROM imports")
    for table, query in TABLES.items():
        await owner.copy_from_query(query, output=folder / table, format="binary")
    await owner.close()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"  {told['accepted']} accepted, {told['refused']} refused in {seconds:.1f} s, with start and upload "
        f"{whole:.1f} s; largest process so far {memory:.0f} MB; longest edit of another client {1000 * longest:.0f} ms"
    )
    return seconds


async def _edit_until(owner: "asyncpg.Connection[asyncpg.Record]", work: "asyncio.Task[str]") -> float:
    longest = 0.0
    while not work.done():
        began = time.perf_counter()
        await owner.execute(EDIT)
        longest = max(longest, time.perf_counter() - began)
        await asyncio.sleep(0.05)
    return longest


async def _copy(settings: Settings, name: str, folder: Path) -> float:
    owner = await _connect(settings, name)
    began = time.perf_counter()
    for table in TABLES:
        await owner.copy_to_table(table, source=folder / table, format="binary")
    seconds = time.perf_counter() - began
    await owner.close()
    return seconds


async def _copy_from_python(settings: Settings, source: str, target: str) -> float:
    owner = await _connect(settings, source)
    rows = {table: await owner.fetch(query) for table, query in TABLES.items()}
    await owner.close()
    owner = await _connect(settings, target)
    began = time.perf_counter()
    for table, records in rows.items():
        await owner.copy_records_to_table(table, records=map(tuple, records), columns=list(records[0].keys()))
    seconds = time.perf_counter() - began
    await owner.close()
    return seconds


def _write(file: Path, lines: int) -> None:
    """Clients with all that an RFC asks for, in an order of their own, so that no index is filled from one end."""
    numbers = list(range(lines))
    random.Random(7).shuffle(numbers)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["full_name", "email", "rfc", "external_id", "credit_limit", "phone"])
        for number in numbers:
            letters, rest = "".join("ABCDEFGHIJ"[int(digit)] for digit in f"{number // 10_000:03}"), number % 10_000
            day = date(1960, 1, 1) + timedelta(days=rest)
            rfc = "nonsense" if number % BAD_EVERY == 0 else f"T{letters}{day:%y%m%d}AB1"
            writer.writerow(
                [f"Beatriz Pérez {number}", f"client{number}@example.com", rfc, f"partner-{number}", 5000 + number,
                 "+52 55 1234 5678"]
            )  # fmt: skip


def _command(name: str, *arguments: str) -> str:
    environment = {**os.environ, "ENVIRONMENT": "development", "POSTGRES_DB": name}
    command = [sys.executable, "-m", "backend_api.cli", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}")
    return done.stdout.decode()


async def _connect(settings: Settings, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=database,
    )


if __name__ == "__main__":
    sys.exit(main())
