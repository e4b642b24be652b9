"""A user of role client sees their own client, loans, payments and statement, and of everything else not even that it
is there."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from fastapi import FastAPI

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, Json, get, new_client, new_loan, pay
from tests.support.problems import problem
from tests.support.service import signed_in_as

READS = [
    "/api/v1/clients/{client}", "/api/v1/clients/{client}/balance", "/api/v1/clients/{client}/loans",
    "/api/v1/clients/{client}/payments", "/api/v1/clients/{client}/account-statement", "/api/v1/loans/{loan}",
    "/api/v1/loans/{loan}/schedule", "/api/v1/loans/{loan}/payoff-quote", "/api/v1/loans/{loan}/movements",
    "/api/v1/loans/{loan}/payments", "/api/v1/payments/{payment}", "/api/v1/clients/{rfc}",
]  # fmt: skip


async def owing(api: httpx2.AsyncClient) -> dict[str, Any]:
    """A client with a loan and a payment, by what a path calls them."""
    client = await new_client(api)
    loan = await new_loan(api, client["id"])
    paid = await pay(api, loan["id"], "10.00")
    return {"client": client["id"], "rfc": client["rfc"], "loan": loan["id"], "payment": paid.json()["id"]}


@pytest.fixture
async def mine(api: httpx2.AsyncClient) -> dict[str, Any]:
    """What belongs to the borrower."""
    return await owing(api)


@pytest.fixture
async def theirs(api: httpx2.AsyncClient) -> dict[str, Any]:
    """The same of somebody else."""
    return await owing(api)


@pytest.fixture
async def borrower(app: FastAPI, mine: dict[str, Any]) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by the borrower."""
    async with signed_in_as(app, Role.CLIENT, mine["client"]) as client:
        yield client


@pytest.mark.parametrize("path", READS)
async def test_what_is_mine_is_there_and_what_is_theirs_is_unknown(
    path: str, mine: dict[str, Any], theirs: dict[str, Any], borrower: httpx2.AsyncClient, api: httpx2.AsyncClient
) -> None:
    own = path.format(**mine)
    assert (await get(borrower, own)) == (await get(api, own))
    nobody = {name: "XEXX010101ABC" if name == "rfc" else str(uuid4()) for name in mine}
    foreign, unknown = [await borrower.get(path.format(**names)) for names in (theirs, nobody)]
    bodies = [problem(answer, 404, "not_found") | {"request_id": ""} for answer in (foreign, unknown)]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(("path", "name"), [(CLIENTS, "client"), (LOANS, "loan"), (PAYMENTS, "payment")])
async def test_lists_hold_only_what_is_mine_whatever_the_filter(
    path: str, name: str, mine: dict[str, Any], theirs: dict[str, Any], borrower: httpx2.AsyncClient
) -> None:
    assert [each["id"] for each in (await get(borrower, path))["data"]] == [mine[name]]
    if path != CLIENTS:
        listed = await get(borrower, path, params={"client_id": theirs["client"]})
        assert (listed["data"], listed["has_more"]) == ([], False)


async def test_the_cursor_and_the_key_of_somebody_else_are_unknown(
    mine: dict[str, Any], api: httpx2.AsyncClient, borrower: httpx2.AsyncClient
) -> None:
    cursor = (await get(api, LOANS, params={"limit": 1}))["next_cursor"]
    answer = await borrower.get(LOANS, params={"limit": 1, "cursor": cursor})
    assert problem(answer, 422)["errors"][0]["code"] == "cursor_invalid"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/approvals", None),
        ("GET", "/api/v1/approvals/{loan}", None),
        ("GET", "/api/v1/loan-products", None),
        ("GET", "/api/v1/portfolio/dashboard", None),
        ("GET", "/api/v1/portfolio/summary", None),
        ("GET", "/api/v1/portfolio/aging", None),
        ("GET", "/api/v1/ledger/entries", None),
        ("GET", "/api/v1/users", None),
        ("GET", "/api/v1/api-keys", None),
        ("PATCH", "/api/v1/clients/{client}", {"phone": "5"}),
        ("POST", "/api/v1/loans/{loan}/payments", {"amount": "5.00"}),
        ("POST", "/api/v1/payments/{payment}/reverse", {}),
    ],
)
async def test_what_is_not_for_borrowers_is_forbidden(
    method: str, path: str, body: Json | None, mine: dict[str, Any], borrower: httpx2.AsyncClient
) -> None:
    problem(await borrower.request(method, path.format(**mine), json=body), 403, "forbidden")


async def test_with_the_record_the_way_in_is_gone_too(app: FastAPI, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    async with signed_in_as(app, Role.CLIENT, client["id"]) as borrower:
        name = (await get(borrower, "/api/v1/auth/me"))["username"]
        assert (await api.delete(f"{CLIENTS}/{client['id']}")).status_code == 204
        problem(await borrower.get(f"{CLIENTS}/{client['id']}"), 404, "not_found")
        again = await borrower.post("/api/v1/auth/token", data={"username": name, "password": "correct horse"})
        problem(again, 401, "sign_in_refused")
        user = (await get(api, "/api/v1/users", params={"client_id": client["id"]}))["data"][0]["id"]
        assert (await api.delete(f"/api/v1/users/{user}")).status_code == 204
