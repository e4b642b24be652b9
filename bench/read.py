"""The cached client read beside an empty FastAPI endpoint that returns as many bytes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from redis import Redis

from bench import plain, seed
from bench.load import Plan, Reads, Sample
from bench.processes import Server, web_server
from bench.reference import BODY_BYTES
from bench.seed import Borrower
from bench.turns import Bench, Goal, Table, Variant, measure

CONNECTIONS = 32
TOKENS = 32
CLIENTS = 1000
REFERENCE, SERVICE, CONTROL = "empty endpoint, bytes", "cached client read", "control: plain design"
RATIO_NOW, RATIO_LATER = 0.65, 1.3
P99_LATER = 1.0


def tables(bench: Bench, api: Server, borrowers: Sequence[Borrower]) -> Iterator[Table]:
    """One table with one worker, one with two; `api` is the service with two."""
    paths = [f"/api/v1/clients/{borrower.rfc}" for borrower in borrowers[:CLIENTS]]
    with Redis(
        host=bench.settings.redis_host,
        port=bench.settings.redis_port,
        password=bench.settings.redis_password.get_secret_value() or None,
    ) as redis:
        redis_pid = int(redis.info("server")["process_id"])
        body = seed.warm(api.port, paths, seed.tokens(bench.settings, 1)[0])
        _fill_control(redis, borrowers[:CLIENTS], body)
        with web_server("api-1", "backend_api.app:create_app", 1, bench.logs) as single:
            yield _table(bench, 1, single, redis_pid, paths, body)
        yield _table(bench, 2, api, redis_pid, paths, body)


def _fill_control(redis: Redis, borrowers: Sequence[Borrower], body: bytes) -> None:
    """The control's own copies: all clients with the bytes of one, so that every answer has the same size."""
    redis.mset({plain.value_key(borrower.rfc): body for borrower in borrowers})
    redis.mset({plain.version_key(borrower.rfc): 3 for borrower in borrowers})


def _table(bench: Bench, workers: int, api: Server, redis_pid: int, paths: list[str], body: bytes) -> Table:
    size = {BODY_BYTES: str(len(body))}
    tokens = seed.tokens(bench.settings, TOKENS)
    with ExitStack() as stack:
        empty = stack.enter_context(web_server("reference", "bench.reference:create_app", workers, bench.logs, size))
        control = stack.enter_context(web_server("plain", "bench.plain:create_app", workers, bench.logs))
        seed.warm(api.port, paths, tokens[0])

        def run(server: Server, source: Reads, *, with_redis: bool = True) -> Sample:
            watched = {"workers": server.pid, **({"redis": redis_pid} if with_redis else {})}
            return bench.load(Plan(server.port, CONNECTIONS, bench.seconds, source, watched))

        plain_reads = Reads(
            [path.removeprefix("/api/v1") for path in paths], [plain.token(f"user{n}") for n in range(TOKENS)]
        )
        lines, _ = measure(
            [
                # The same headers arrive there, so that parsing them is no difference.
                Variant(REFERENCE, lambda: run(empty, Reads(["/"], tokens), with_redis=False)),
                Variant(SERVICE, lambda: run(api, Reads(paths, tokens))),
                Variant(CONTROL, lambda: run(control, plain_reads)),
            ],
            bench.rounds,
        )
    title = f"Cached client read, {CONNECTIONS} connections, {workers} worker{'s' * (workers > 1)}, {len(body)} B"
    reference, service = lines[0], lines[1]
    goals = [
        Goal(f"read, {workers} w: ratio", service.ratio, RATIO_NOW, RATIO_LATER),
        Goal(f"read, {workers} w: p99 of the reference's", service.p99 / reference.p99, 6.0, P99_LATER, below=True),
    ]
    return Table(title, lines, goals)
