"""Clients, loans and payments for tests: every test makes its own, so none needs an empty database."""

from datetime import date, timedelta
from random import Random
from string import ascii_uppercase
from typing import Any
from uuid import uuid4

import httpx2
from backend_api.demo.people import rfc

Json = dict[str, Any]
CLIENTS = "/api/v1/clients"
LOANS = "/api/v1/loans"
PAYMENTS = "/api/v1/payments"
CHANCE = Random()


def random_rfc() -> str:
    """An RFC without any doubt; no inconvenient word begins with T."""
    letters = "T" + "".join(CHANCE.choices(ascii_uppercase, k=3))
    return rfc(CHANCE, letters, date(1950, 1, 1) + timedelta(days=CHANCE.randrange(18_000)))


def client_body(**fields: Any) -> Json:
    """A body for `POST /clients` that collides with nobody."""
    return {"full_name": "Ana Torres", "email": f"{uuid4().hex}@example.com", "rfc": random_rfc(), **fields}


async def new_client(api: httpx2.AsyncClient, **fields: Any) -> Json:
    """A client that was just created."""
    return _created(await api.post(CLIENTS, json=client_body(**fields)))


async def new_loan(api: httpx2.AsyncClient, client_id: str | None = None, **fields: Any) -> Json:
    """A loan that was just created, of 1000 unless said otherwise, for a new client unless one is given."""
    client_id = client_id or (await new_client(api))["id"]
    terms = {"amount": "1000.00", "interest_rate": "0.15", "term_months": 12}
    return _created(await api.post(LOANS, json={"client_id": client_id, **terms, **fields}))


async def pay(api: httpx2.AsyncClient, loan_id: str, amount: str = "100.00", **fields: Any) -> httpx2.Response:
    """The answer to a payment on a loan; it may be a refusal."""
    return await api.post(f"{LOANS}/{loan_id}/payments", json={"amount": amount, **fields})


async def get(api: httpx2.AsyncClient, path: str, **options: Any) -> Json:
    """The body of a read that must succeed."""
    answer = await api.get(path, **options)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def _created(answer: httpx2.Response) -> Json:
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body
