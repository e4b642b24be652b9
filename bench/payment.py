"""A registered payment beside pgbench running the ten fixed statements in the same server."""

import asyncio
from collections.abc import Iterator, Sequence

import asyncpg

from bench import pgbench, plain, seed, tables
from bench.correctness import errors
from bench.load import Payments, Plan, Sample
from bench.processes import Server, web_server
from bench.processor import parent_of
from bench.seed import Borrower
from bench.turns import Bench, Goal, Table, Variant, measure

CONNECTIONS = 16
TOKENS = 16
WORKERS = 2
REFERENCE, SERVICE, CONTROL = "pgbench, ten statements", "registered payment", "control: SQLAlchemy, ten statements"
# What the ratio must be now and in the end.
DIFFERENT_CLIENTS = 0.45, 0.6
ONE_CLIENT = 0.45, 1.0


def payment_tables(bench: Bench, api: Server, borrowers: Sequence[Borrower]) -> Iterator[Table]:
    """Different clients, one hot client, and a table without lines: the errors found in the books afterwards."""
    asyncio.run(tables.create(bench.settings, len(borrowers)))
    postmaster = asyncio.run(_postmaster(bench))
    with web_server("plain", "bench.plain:create_app", WORKERS, bench.logs) as control:
        many = _table(bench, api, control, postmaster, borrowers, "different clients", DIFFERENT_CLIENTS)
        yield many
        hot = _table(bench, api, control, postmaster, borrowers[:1], "one hot client", ONE_CLIENT)
        yield hot
    accepted = many.answers[SERVICE] + hot.answers[SERVICE]
    found = asyncio.run(errors(bench.settings, accepted))
    notes = [f"{accepted} payments by the service, then:", *(f"{count} {what}" for what, count in found.items())]
    yield Table(
        "The books after that load", [], [Goal("errors in the books", sum(found.values()), 0, 0, below=True)], notes
    )


def _table(
    bench: Bench,
    api: Server,
    control: Server,
    postmaster: int,
    borrowers: Sequence[Borrower],
    what: str,
    goal: tuple[float, float],
) -> Table:
    tokens = seed.tokens(bench.settings, TOKENS)
    paid = Payments([f"/api/v1/loans/{borrower.loan_id}/payments" for borrower in borrowers], tokens)
    plain_tokens = [plain.token(f"user{number}") for number in range(TOKENS)]
    plainly = Payments([f"/loans/{number + 1}/payments" for number in range(len(borrowers))], plain_tokens)

    def run(server: Server, source: Payments) -> Sample:
        watched = {"workers": server.pid, "postgres": postmaster}
        return bench.load(Plan(server.port, CONNECTIONS, bench.seconds, source, watched))

    def reference() -> Sample:
        return pgbench.run(
            bench.settings, postmaster, clients=len(borrowers), connections=CONNECTIONS, seconds=bench.seconds
        )

    lines, answers = measure(
        [
            Variant(REFERENCE, reference, expected=201),
            Variant(SERVICE, lambda: run(api, paid), expected=201),
            Variant(CONTROL, lambda: run(control, plainly), expected=201),
        ],
        bench.rounds,
    )
    title = f"Registered payment, {what}, {CONNECTIONS} connections, {WORKERS} workers"
    return Table(title, lines, [Goal(f"payment, {what}: ratio", lines[1].ratio, *goal)], answers=answers)


async def _postmaster(bench: Bench) -> int:
    """Every backend's parent: what it and all its children use is what PostgreSQL uses."""
    connection = await asyncpg.connect(tables.owner_dsn(bench.settings))
    try:
        return parent_of(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()
