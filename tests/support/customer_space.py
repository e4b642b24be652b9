"""Borrowers who fill carts, and the payment gateway that tells what came of their orders."""

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from time import time
from typing import Any

import httpx2
from backend_api.db.pools import Connection, Pool
from backend_api.http.idempotency import Answer
from backend_api.http.resources import Resources
from backend_api.http.write import Change, UseCase
from backend_api.outbox.record import Origin
from backend_api.settings import DEVELOPMENT_GATEWAY_SECRET

from tests.support.builders import Json

ME = "/api/v1/me"
NOTICES = "/api/v1/gateway/notices"
Happening = Callable[[], Awaitable[Any]]


async def put(borrower: httpx2.AsyncClient, loan: Json, installments: int = 1) -> Json:
    """The cart after so many of the loan's installments were put into it."""
    answer = await borrower.post(f"{ME}/cart/items", json={"loan_id": loan["id"], "installments": installments})
    assert answer.status_code == 200, answer.text
    cart: Json = answer.json()
    return cart


async def check_out(borrower: httpx2.AsyncClient, **body: Any) -> Json:
    """The order of the borrower's cart."""
    answer = await borrower.post(f"{ME}/cart/checkout", json=body)
    assert answer.status_code == 201, answer.text
    order: Json = answer.json()
    return order


async def order_of(borrower: httpx2.AsyncClient, loan: Json, installments: int = 1) -> Json:
    """An order for so many of the loan's installments."""
    cart = await put(borrower, loan, installments)
    return await check_out(borrower, cart_number=cart["number"], total=cart["total"])


def notice_of(order: Json, code: str, status: str = "paid", **fields: Any) -> Json:
    """A notice about an order."""
    told = {"order_id": order["id"], "status": status, "transaction_code": code, "amount": order["total"]}
    return {**told, "sequence": 1, **fields}


async def tell(api: httpx2.AsyncClient, notice: Json) -> httpx2.Response:
    """The answer to a notice that the gateway signed just now."""
    body = json.dumps(notice).encode()
    return await api.post(NOTICES, content=body, headers=signed(body))


async def told(api: httpx2.AsyncClient, notice: Json) -> Json:
    """The same for one that must be taken."""
    answer = await tell(api, notice)
    assert answer.status_code == 200, answer.text
    outcome: Json = answer.json()
    return outcome


def signed(body: bytes, age: float = 0, secret: str = DEVELOPMENT_GATEWAY_SECRET) -> dict[str, str]:
    """The headers of a notice that was signed so many seconds ago."""
    return signed_at(int(time() - age), body, secret)


def signed_at(at: int, body: bytes, secret: str = DEVELOPMENT_GATEWAY_SECRET) -> dict[str, str]:
    """The headers of a notice that was signed at this Unix time."""
    signature = hmac.digest(secret.encode(), b"%d." % at + body, sha256).hex()
    return {"Sofipo-Signature": f"t={at},v1={signature}", "Content-Type": "application/json"}


def interrupted(use_case: UseCase, happening: Happening, reading: int) -> UseCase:
    """A use case during which something else happens once: right before its n-th reading, where the writing of what it
    decided counts as one more."""
    before = _countdown(happening, reading)

    async def run(connection: Connection, origin: Origin) -> Change | Answer:
        between: Any = _Between(connection, before)
        decided = await use_case(between, origin)
        await before()
        return decided

    return run


def interrupted_cart(resources: Resources, happening: Happening, reading: int) -> Resources:
    """The same for a change of a cart, which is no use case."""
    writer: Any = _Interrupted(resources.databases.writer, _countdown(happening, reading))
    return replace(resources, databases=replace(resources.databases, writer=writer))


def _countdown(happening: Happening, left: int) -> Happening:
    async def before() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            await happening()

    return before


class _Between:
    """A connection that lets somebody else go first."""

    def __init__(self, connection: Connection, before: Happening) -> None:
        self._connection = connection
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, *arguments: Any) -> Any:
        await self._before()
        return await self._connection.fetch(*arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        await self._before()
        return await self._connection.fetchrow(*arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        await self._before()
        return await self._connection.fetchval(*arguments)


class _Interrupted:
    """A pool of such connections."""

    def __init__(self, pool: Pool, before: Happening) -> None:
        self._pool = pool
        self._before = before

    @asynccontextmanager
    async def ask(self) -> AsyncIterator[_Between]:
        async with self._pool.ask() as connection:
            yield _Between(connection, self._before)
