"""Lists: every row once in both directions, and cursors that only fit the list they were made for."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import httpx2
import pytest

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, get, new_client, new_loan, pay
from tests.support.problems import pointers

Rows = list[dict[str, Any]]


async def crawl(api: httpx2.AsyncClient, path: str, **parameters: Any) -> Rows:
    """All rows of a list, page by page."""
    rows: Rows = []
    cursor = None
    while True:
        page = await get(api, path, params={**parameters, **({"cursor": cursor} if cursor else {})})
        rows.extend(page["data"])
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
        if cursor is None:
            return rows
        assert len(page["data"]) == parameters["limit"]


@pytest.fixture(scope="module")
async def history(api: httpx2.AsyncClient) -> dict[str, Any]:
    """A client with 7 loans, two of each amount, and 11 payments, some of the same day and amount."""
    client = await new_client(api, full_name="Zoe Historia")
    loans = [await new_loan(api, client["id"], amount=f"{1000 + 100 * (number // 2)}.00") for number in range(7)]
    payments = [(await pay(api, loans[0]["id"], f"{5 + number // 3}")).json() for number in range(10)]
    payments.append((await pay(api, loans[0]["id"], "9999")).json())
    return {"client": client["id"], "loans": [loan["id"] for loan in loans], "payments": payments}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("path", "sort"),
    [
        (LOANS, "created_at"), (LOANS, "folio"), (LOANS, "amount"), (PAYMENTS, "created_at"), (PAYMENTS, "paid_on"),
        (PAYMENTS, "amount"),
    ],
)  # fmt: skip
async def test_a_full_crawl_sees_every_row_once_in_both_directions(
    limit: int, path: str, sort: str, api: httpx2.AsyncClient, history: dict[str, Any]
) -> None:
    forward = await crawl(api, path, client_id=history["client"], sort=sort, limit=limit)
    backward = await crawl(api, path, client_id=history["client"], sort=f"-{sort}", limit=limit)
    ids = [row["id"] for row in forward]
    assert len(ids) == len(set(ids)) == (7 if path == LOANS else 11)
    assert [row["id"] for row in backward] == ids[::-1]
    values = [float(row[sort]) if sort in ("amount", "folio") else row[sort] for row in forward]
    assert values == sorted(values)


async def test_a_full_crawl_of_clients_by_name_sees_every_row_once(api: httpx2.AsyncClient) -> None:
    mine = [(await new_client(api, full_name=f"Ñoño Lista {number // 2}"))["id"] for number in range(6)]
    for sort in ("full_name", "-full_name", "created_at", "-created_at"):
        rows = await crawl(api, CLIENTS, name="Ñoño Lista", sort=sort, limit=2)
        assert sorted(row["id"] for row in rows) == sorted(mine)


async def test_a_name_filter_takes_wildcards_literally(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, full_name="100%_real\\ Name")
    assert [row["id"] for row in await crawl(api, CLIENTS, name="100%_real\\", limit=5)] == [client["id"]]
    assert await crawl(api, CLIENTS, name="%%%", limit=5) == []


async def test_filters_choose_rows(api: httpx2.AsyncClient, history: dict[str, Any]) -> None:
    client = history["client"]
    rejected = await crawl(api, PAYMENTS, client_id=client, status="REJECTED", limit=5)
    assert [row["reason"] for row in rejected] == ["payment_exceeds_debt"]
    assert len(await crawl(api, f"{CLIENTS}/{client}/loans", status="ACTIVE", limit=5)) == 7
    assert await crawl(api, f"{CLIENTS}/{client}/loans", status="PENDING", limit=5) == []
    assert len(await crawl(api, f"{CLIENTS}/{client}/payments", limit=5)) == 11
    of_loan = await crawl(api, f"{LOANS}/{history['loans'][0]}/payments", limit=5)
    assert len(of_loan) == 10, "a rejected payment reached no loan"
    movements = await crawl(api, f"{LOANS}/{history['loans'][0]}/movements", limit=3)
    assert [row["kind"] for row in movements] == ["DISBURSEMENT"] + ["PAYMENT"] * 10


async def test_filters_find_one_by_its_names(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, external_id="EXT-filter-1")
    loan = await new_loan(api, client["id"], external_id="LOAN-filter-1")
    payment = (await pay(api, loan["id"], reference="SPEI-filter-1")).json()
    assert [row["id"] for row in await crawl(api, CLIENTS, external_id="EXT-filter-1", limit=2)] == [client["id"]]
    assert [row["id"] for row in await crawl(api, CLIENTS, email=client["email"].upper(), limit=2)] == [client["id"]]
    assert [row["id"] for row in await crawl(api, LOANS, external_id="LOAN-filter-1", limit=2)] == [loan["id"]]
    found = await crawl(api, PAYMENTS, reference="SPEI-filter-1", limit=2)
    assert [row["id"] for row in found] == [payment["id"]]
    assert client["id"] in {row["id"] for row in await crawl(api, CLIENTS, status="ACTIVE", name="Ana", limit=100)}


async def test_a_cursor_that_was_tampered_with_is_refused(api: httpx2.AsyncClient, history: dict[str, Any]) -> None:
    here = {"client_id": history["client"], "limit": 2}
    cursor = (await get(api, LOANS, params=here))["next_cursor"]
    raw = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[-1] ^= 1
    forged = urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    for wrong in (forged, cursor[:-1], cursor + "A", cursor + "=", cursor[1:], "", "x", "é", "A" * 1000, f" {cursor}"):
        assert pointers(await api.get(LOANS, params={**here, "cursor": wrong})) == ["query:cursor"], wrong
    assert pointers(await api.get(LOANS, params={**here, "cursor": "A" * 1001})) == ["query:cursor"]


async def test_a_cursor_fits_only_its_list_filter_sort_and_principal(
    api: httpx2.AsyncClient, history: dict[str, Any], officer: httpx2.AsyncClient
) -> None:
    here = {"client_id": history["client"], "limit": 2}
    cursor = (await get(api, LOANS, params=here))["next_cursor"]
    others = [
        (api, LOANS, {**here, "status": "ACTIVE"}),
        (api, LOANS, {"limit": 2}),
        (api, LOANS, {**here, "sort": "-created_at"}),
        (api, LOANS, {**here, "sort": "folio"}),
        (api, PAYMENTS, here),
        (api, f"{CLIENTS}/{history['client']}/loans", {"limit": 2}),
        (officer, LOANS, here),
    ]
    for client, path, parameters in others:
        assert pointers(await client.get(path, params={**parameters, "cursor": cursor})) == ["query:cursor"], path
    assert (await api.get(LOANS, params={**here, "cursor": cursor, "limit": 3})).status_code == 200


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000000000000000000", "1.5", "x", "", "1e2", "0x10", "NaN"])
async def test_a_limit_out_of_bounds_is_refused(limit: str, api: httpx2.AsyncClient) -> None:
    for path in (CLIENTS, LOANS, PAYMENTS):
        assert pointers(await api.get(path, params={"limit": limit})) == ["query:limit"]


@pytest.mark.parametrize(
    "sort",
    [
        "-", "id", "rfc", "--created_at", "created_at,full_name", "password_hash", "x" * 41,
    ],
)  # fmt: skip
async def test_an_unknown_sort_is_refused(sort: str, api: httpx2.AsyncClient) -> None:
    for path in (CLIENTS, LOANS, PAYMENTS):
        assert pointers(await api.get(path, params={"sort": sort})) == ["query:sort"]
