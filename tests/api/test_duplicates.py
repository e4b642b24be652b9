"""One RFC, one e-mail address, one external id: on creation, on change, and under concurrency."""

import asyncio
from typing import Any

import httpx2
import pytest
from backend_api.db.pools import Connection

from tests.support.builders import CLIENTS, LOANS, client_body, get, new_client, new_loan, pay
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem

UNIQUE = ["rfc", "email", "external_id"]


@pytest.fixture
async def first(api: httpx2.AsyncClient) -> dict[str, Any]:
    """A client with an external id."""
    body = client_body()
    return await new_client(api, **{**body, "external_id": f"EXT-{body['rfc']}"})


@pytest.mark.parametrize("field", UNIQUE)
async def test_a_second_client_of_the_same_name_is_refused_and_told_which_field(
    field: str, api: httpx2.AsyncClient, owner: Connection, first: dict[str, Any]
) -> None:
    before = await row_counts(owner)
    answer = await api.post(CLIENTS, json=client_body(**{field: first[field]}))
    assert problem(answer, 409, f"duplicate_{field}")["field"] == field
    assert pointers(answer) == [f"/{field}"]
    assert str(first[field]) not in answer.text
    assert await row_counts(owner) == before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("field", UNIQUE)
async def test_a_change_to_somebody_else_s_name_is_refused(
    field: str, method: str, api: httpx2.AsyncClient, owner: Connection, first: dict[str, Any]
) -> None:
    other = await new_client(api)
    before = await row_counts(owner)
    body = {field: first[field]} if method == "PATCH" else client_body(**{field: first[field]})
    answer = await api.request(method, f"{CLIENTS}/{other['id']}", json=body)
    assert problem(answer, 409, f"duplicate_{field}")["field"] == field
    assert await row_counts(owner) == before
    assert await get(api, f"{CLIENTS}/{other['id']}") == other


@pytest.mark.parametrize(
    ("field", "spelling"),
    [
        ("rfc", lambda text: text.lower()),
        ("rfc", lambda text: f"{text[:4]}-{text[4:10]} {text[10:]}"),
        ("email", lambda text: text.upper()),
        ("email", lambda text: f"  {text} "),
    ],
)
async def test_another_spelling_is_the_same_name(
    field: str, spelling: Any, api: httpx2.AsyncClient, first: dict[str, Any]
) -> None:
    answer = await api.post(CLIENTS, json=client_body(**{field: spelling(first[field])}))
    problem(answer, 409, f"duplicate_{field}")


async def test_a_client_may_be_given_its_own_names_again(api: httpx2.AsyncClient, first: dict[str, Any]) -> None:
    body = {name: first[name] for name in ("full_name", "email", "rfc", "external_id")}
    again = await api.put(f"{CLIENTS}/{first['id']}", json=body)
    assert (again.status_code, again.json()) == (200, first)
    changed = await api.patch(f"{CLIENTS}/{first['id']}", json={"email": first["email"], "phone": "5"})
    assert changed.status_code == 200


@pytest.mark.parametrize("field", UNIQUE)
async def test_of_four_concurrent_creations_one_wins_and_three_are_told_why(
    field: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    shared = client_body()
    value = shared.get(field, f"EXT-{shared['rfc']}")
    answers = await asyncio.gather(*(api.post(CLIENTS, json=client_body(**{field: value})) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            assert problem(answer, 409, f"duplicate_{field}")["field"] == field
    assert await owner.fetchval(f"SELECT count(*) FROM clients WHERE {field} = $1", value) == 1


async def test_of_four_concurrent_changes_to_one_rfc_one_wins(api: httpx2.AsyncClient) -> None:
    others = [await new_client(api) for _ in range(4)]
    rfc = client_body()["rfc"]
    answers = await asyncio.gather(*(api.patch(f"{CLIENTS}/{other['id']}", json={"rfc": rfc}) for other in others))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_a_deleted_client_frees_its_names_and_is_gone(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, owner: Connection, first: dict[str, Any]
) -> None:
    assert (await anonymous.get(f"{CLIENTS}/{first['rfc']}")).status_code == 200
    deleted = await api.delete(f"{CLIENTS}/{first['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for path in (f"{CLIENTS}/{first['id']}", f"{CLIENTS}/{first['rfc']}", f"{CLIENTS}/{first['id']}/balance"):
        problem(await api.get(path), 404)
    problem(await anonymous.get(f"{CLIENTS}/{first['rfc']}"), 404)
    problem(await api.delete(f"{CLIENTS}/{first['id']}"), 404)
    assert await owner.fetchval("SELECT deleted_at IS NOT NULL FROM clients WHERE id = $1", first["id"])
    again = await new_client(api, **{name: first[name] for name in UNIQUE})
    assert again["id"] != first["id"]
    assert (await anonymous.get(f"{CLIENTS}/{first['rfc']}")).json()["id"] == again["id"]


@pytest.mark.parametrize("status", ["ACTIVE", "PENDING"])
async def test_a_client_with_an_open_loan_is_not_deleted(status: str, api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, status=status)
    problem(await api.delete(f"{CLIENTS}/{loan['client_id']}"), 409, "client_has_open_loans")
    if status == "ACTIVE":
        assert (await pay(api, loan["id"], "1000")).status_code == 201
    else:
        assert (await api.post(f"{LOANS}/{loan['id']}/cancel")).status_code == 200
    assert (await api.delete(f"{CLIENTS}/{loan['client_id']}")).status_code == 204


async def test_two_loans_of_one_external_id_are_refused(api: httpx2.AsyncClient) -> None:
    name = f"LOAN-{client_body()['rfc']}"
    client = await new_client(api)
    await new_loan(api, client["id"], external_id=name)
    terms = {"client_id": client["id"], "amount": 5, "interest_rate": 0, "term_months": 1, "external_id": name}
    answer = await api.post(LOANS, json=terms)
    assert problem(answer, 409, "duplicate_external_id")["field"] == "external_id"
    assert pointers(answer) == ["/external_id"]


async def test_an_rfc_that_changes_is_found_by_its_new_name_only(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, first: dict[str, Any]
) -> None:
    assert (await anonymous.get(f"{CLIENTS}/{first['rfc']}")).status_code == 200
    renamed = client_body()["rfc"]
    assert (await api.patch(f"{CLIENTS}/{first['id']}", json={"rfc": renamed})).status_code == 200
    assert (await anonymous.get(f"{CLIENTS}/{renamed}")).json()["id"] == first["id"]
    problem(await anonymous.get(f"{CLIENTS}/{first['rfc']}"), 404)
