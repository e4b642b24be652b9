"""The clients and loans of a run, made through the API like anybody's."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import uvloop
from backend_api.auth.permissions import Role
from backend_api.auth.tokens import Tokens
from backend_api.settings import Settings

from bench.load import Answer, ask_all, post

CONNECTIONS = 24
LOAN = {"amount": "5000.00", "interest_rate": "0.15", "term_months": 24}


@dataclass(frozen=True, slots=True)
class Borrower:
    """A client with one active loan."""

    rfc: str
    client_id: str
    loan_id: str


class RefusedError(Exception):
    """The API answered something else than was expected."""


def tokens(settings: Settings, count: int) -> list[str]:
    """Access tokens of different people; verified by signature, so these people need not be stored."""
    issuer, now = Tokens(settings), datetime.now(UTC)
    return [issuer.issue(uuid4(), f"bench{number}", Role.OFFICER, now) for number in range(count)]


def borrowers(port: int, token: str, count: int) -> list[Borrower]:
    """Create so many clients and grant each a loan."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_borrowers(port, token, count))


async def _borrowers(port: int, token: str, count: int) -> list[Borrower]:
    clients = await _create(port, token, "/api/v1/clients", [_client(number) for number in range(count)])
    wanted = [{**LOAN, "client_id": client["id"]} for client in clients]
    loans = await _create(port, token, "/api/v1/loans", wanted)
    rfc_of = {client["id"]: client["rfc"] for client in clients}
    return [Borrower(rfc_of[loan["client_id"]], loan["client_id"], loan["id"]) for loan in loans]


async def _create(port: int, token: str, path: str, bodies: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    created: list[dict[str, str]] = []

    def take(answer: Answer) -> None:
        if answer.status != 201:
            raise RefusedError(f"POST {path} answered {answer.status}: {answer.body.decode()}")
        created.append(orjson.loads(answer.body))

    requests = [post(path, token, orjson.dumps(body), uuid4().hex) for body in bodies]
    await ask_all(port, requests, CONNECTIONS, take)
    return created


def _client(number: int) -> dict[str, str]:
    """Different birth dates make different RFCs: 28 days, 12 months, 70 years."""
    rest, day = divmod(number, 28)
    year, month = divmod(rest, 12)
    rfc = f"BEPX{year + 20:02}{month + 1:02}{day + 1:02}AB1"
    return {"full_name": f"Beatriz Pérez {number}", "email": f"client{number}@example.com", "rfc": rfc}


def warm(port: int, paths: Sequence[str], token: str) -> bytes:
    """Read each path twice, so that a cached view answers from now on; returns the last body."""
    bodies: list[bytes] = []

    def take(answer: Answer) -> None:
        if answer.status != 200:
            raise RefusedError(f"a read answered {answer.status}: {answer.body.decode()}")
        bodies.append(answer.body)

    head = f" HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    requests = [f"GET {path}{head}".encode() for path in [*paths, *paths]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_all(port, requests, CONNECTIONS, take))
    return bodies[-1]
