"""The same request with the same key: one effect, one answer, however often and from wherever it comes."""

import asyncio
from secrets import token_hex
from typing import Any

import httpx2
import pytest
from backend_api.db.pools import Connection
from backend_api.settings import Settings

from tests.support.builders import CLIENTS, LOANS, client_body, get, new_client, new_loan, pay
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem
from tests.support.service import client_of, running


def keyed(key: str | None = None) -> dict[str, str]:
    """Headers with a key that nobody used."""
    return {"Idempotency-Key": key or f"key-{token_hex(8)}"}


@pytest.mark.usefixtures("patience")
async def test_of_100_concurrent_twins_one_has_an_effect_and_99_are_replays(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    path, headers = f"{LOANS}/{loan['id']}/payments", keyed()
    answers = await asyncio.gather(*(api.post(path, json={"amount": "100"}, headers=headers) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == 99
    assert all("x-consistency-token" in answer.headers for answer in answers)
    assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == "900.00"
    assert await owner.fetchval("SELECT count(*) FROM payments WHERE client_id = $1", loan["client_id"]) == 1


@pytest.mark.usefixtures("patience")
async def test_twins_that_reach_two_processes_have_one_effect_too(
    api: httpx2.AsyncClient, admin: dict[str, str], settings: Settings, owner: Connection
) -> None:
    async with running(settings) as second, client_of(second, admin) as elsewhere:
        for _ in range(5):
            body, headers = client_body(), keyed()
            answers = await asyncio.gather(
                *(client.post(CLIENTS, json=body, headers=headers) for client in (api, elsewhere) * 10)
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.content for answer in answers}) == 1
            assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
            assert await owner.fetchval("SELECT count(*) FROM clients WHERE rfc = $1", body["rfc"]) == 1


async def test_a_replay_is_the_stored_answer_with_its_headers(api: httpx2.AsyncClient) -> None:
    body, headers = client_body(), keyed()
    first = await api.post(CLIENTS, json=body, headers=headers)
    assert (await api.patch(first.headers["location"], json={"full_name": "Another Name"})).status_code == 200
    again = await api.post(CLIENTS, json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    for name in ("location", "etag", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_same_content_spelled_otherwise_is_the_same_request(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    path = f"{LOANS}/{loan['id']}/payments"
    headers = {**keyed(), "Content-Type": "application/json"}
    spellings = [
        '{"amount":100,"reference":"e\u0301"}',
        '{ "reference" : "\\u00e9", "amount" : "100.00" }',
        '{"amount":1e2,"reference":" é "}',
    ]
    answers = [await api.post(path, content=spelling.encode(), headers=headers) for spelling in spellings]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.content for answer in answers}) == 1
    slash = await api.post(path + "/", content=spellings[0].encode(), headers=headers)
    assert slash.content == answers[0].content


async def test_a_key_that_stands_for_another_request_is_refused(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    other = await new_loan(api)
    path, headers = f"{LOANS}/{loan['id']}/payments", keyed()
    assert (await api.post(path, json={"amount": 100}, headers=headers)).status_code == 201
    before = await row_counts(owner)
    calls: list[tuple[str, str, Any]] = [
        ("POST", path, {"amount": 101}),
        ("POST", path, {"amount": 100, "method": "transfer"}),
        ("POST", f"{LOANS}/{other['id']}/payments", {"amount": 100}),
        ("POST", f"{CLIENTS}/{loan['client_id']}/payments", {"amount": 100}),
        ("PATCH", f"{CLIENTS}/{loan['client_id']}", {"phone": "5"}),
        ("PUT", f"{CLIENTS}/{loan['client_id']}", client_body()),
        ("DELETE", f"{CLIENTS}/{other['client_id']}", None),
        ("POST", f"{LOANS}/{loan['id']}/cancel", None),
    ]
    for method, other_path, body in calls:
        answer = await api.request(method, other_path, json=body, headers=headers)
        problem(answer, 422, "idempotency_key_reused")
    assert await row_counts(owner) == before


async def test_a_rejected_payment_is_recorded_once_and_replayed(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    headers = keyed()
    answers = [
        await api.post(f"{LOANS}/{loan['id']}/payments", json={"amount": "1000.01"}, headers=headers) for _ in range(3)
    ]
    assert len({answer.content for answer in answers}) == 1
    problem_body = answers[0].json()
    assert (problem_body["status"], problem_body["code"]) == (409, "payment_exceeds_debt")
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", "true"]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    rows = await owner.fetch("SELECT id, status FROM payments WHERE client_id = $1", loan["client_id"])
    assert [(str(row["id"]), row["status"]) for row in rows] == [(problem_body["payment_id"], "REJECTED")]


async def test_a_refusal_is_replayed_also_when_its_reason_is_gone(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, status="INACTIVE")
    terms = {"client_id": client["id"], "amount": 5, "interest_rate": 0, "term_months": 1}
    headers = keyed()
    refused = await api.post(LOANS, json=terms, headers=headers)
    problem(refused, 409, "client_inactive")
    await api.patch(f"{CLIENTS}/{client['id']}", json={"status": "ACTIVE"})
    again = await api.post(LOANS, json=terms, headers=headers)
    assert (again.status_code, again.content) == (409, refused.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert (await api.post(LOANS, json=terms, headers=keyed())).status_code == 201


async def test_duplicates_found_by_the_database_are_stored_as_refusals_too(api: httpx2.AsyncClient) -> None:
    """Four different requests for one RFC at once, each with a key of its own, each sent again afterwards."""
    rfc = client_body()["rfc"]
    requests = [(client_body(rfc=rfc), keyed()) for _ in range(4)]
    first = await asyncio.gather(*(api.post(CLIENTS, json=body, headers=headers) for body, headers in requests))
    second = [await api.post(CLIENTS, json=body, headers=headers) for body, headers in requests]
    assert sorted(answer.status_code for answer in first) == [201, 409, 409, 409]
    assert [answer.content for answer in second] == [answer.content for answer in first]


@pytest.mark.parametrize("status", [404, 412, 422])
async def test_what_may_be_mended_is_not_stored(status: int, api: httpx2.AsyncClient) -> None:
    headers = keyed()
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    if status == 404:
        problem(await api.post(f"{LOANS}/{client['id']}/payments", json={"amount": 5}, headers=headers), 404)
    elif status == 412:
        problem(await api.patch(path, json={"phone": "5"}, headers={**headers, "If-Match": '"9"'}), 412)
    else:
        problem(await api.patch(path, json={"phone": "letters"}, headers=headers), 422)
    assert (await api.patch(path, json={"phone": "5"}, headers=headers)).status_code == 200


async def test_a_change_that_changes_nothing_is_replayed(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, phone="5")
    headers = keyed()
    path = f"{CLIENTS}/{client['id']}"
    first = await api.patch(path, json={"phone": "5"}, headers=headers)
    await api.patch(path, json={"full_name": "Another Name"})
    again = await api.patch(path, json={"phone": "5"}, headers=headers)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")


async def test_a_deletion_is_replayed(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    headers = keyed()
    answers = [await api.delete(f"{CLIENTS}/{client['id']}", headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


async def test_a_key_belongs_to_its_principal(api: httpx2.AsyncClient, officer: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    headers = keyed()
    mine = await api.post(f"{LOANS}/{loan['id']}/payments", json={"amount": 100}, headers=headers)
    theirs = await officer.post(f"{LOANS}/{loan['id']}/payments", json={"amount": 100}, headers=headers)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]
    assert "idempotent-replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 129, "é", "\t", "a\u00a0b"])
async def test_a_malformed_key_is_refused(key: str, api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    before = await row_counts(owner)
    answer = await api.post(
        f"{LOANS}/{loan['id']}/payments", json={"amount": 5}, headers=[(b"Idempotency-Key", key.encode())]
    )
    assert pointers(answer) == ["header:Idempotency-Key"]
    assert await row_counts(owner) == before


async def test_the_longest_key_is_accepted(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    answer = await api.post(f"{LOANS}/{loan['id']}/payments", json={"amount": 5}, headers=keyed("!~" + token_hex(63)))
    assert answer.status_code == 201


async def test_without_a_key_every_request_counts(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    ids = {(await pay(api, loan["id"], "5")).json()["id"] for _ in range(3)}
    assert len(ids) == 3
