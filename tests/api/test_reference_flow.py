"""The calls by which new users meet the project work to the letter."""

import httpx2
import pytest
from backend_api.db.pools import Connection


@pytest.mark.usefixtures("patience")
async def test_the_reference_flow_gives_its_documented_answers(
    anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    signed_in = await anonymous.post("/api/v1/auth/token", data={"username": "admin", "password": "string"})
    assert signed_in.status_code == 200
    assert signed_in.json()["token_type"] == "bearer"
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

    person = {"full_name": "Carlos Perez", "email": "carlos.perez@example.com", "rfc": "PEPJ800101HNE"}
    created = await anonymous.post("/api/v1/clients/", json=person, headers=headers)
    assert created.status_code == 201
    client = created.json()
    assert client.items() >= {**person, "status": "ACTIVE"}.items()
    assert {warning["code"] for warning in client["warnings"]} == {"rfc_looks_like_curp"}
    assert created.headers["location"] == f"/api/v1/clients/{client['id']}"

    masked = {"id": client["id"], "rfc": "PE**********E", "full_name": "C. P.", "status": "ACTIVE"}
    first = await anonymous.get("/api/v1/clients/PEPJ800101HNE")
    assert (first.status_code, first.json(), first.headers["x-cache"]) == (200, masked, "miss")
    second = await anonymous.get("/api/v1/clients/PEPJ800101HNE")
    assert (second.status_code, second.content, second.headers["x-cache"]) == (200, first.content, "hit")

    terms = f'{{"client_id":"{client["id"]}","amount":50000.00,"interest_rate":0.15,"term_months":24}}'
    granted = await anonymous.post(
        "/api/v1/loans/", content=terms, headers={**headers, "Content-Type": "application/json"}
    )
    assert granted.status_code == 201
    loan = granted.json()
    expected = {"status": "ACTIVE", "current_balance": "50000.00", "amount": "50000.00", "interest_rate": "0.15"}
    assert loan.items() >= expected.items()

    paid = await anonymous.post(
        f"/api/v1/loans/{loan['id']}/payments",
        content='{"amount":2500.00}',
        headers={**headers, "Content-Type": "application/json"},
    )
    assert paid.status_code == 201
    assert paid.json()["amount"] == "2500.00"
    after = await anonymous.get(f"/api/v1/loans/{loan['id']}", headers=headers)
    assert after.json()["current_balance"] == "47500.00"

    events = await owner.fetch("SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence", client["id"])
    assert [row["event_type"] for row in events] == [
        "client_created", "loan_created", "loan_activated", "payment_registered",
    ]  # fmt: skip


async def test_every_path_answers_with_and_without_a_trailing_slash_and_never_redirects(
    api: httpx2.AsyncClient,
) -> None:
    for path in ("/api/v1/clients", "/api/v1/loans", "/api/v1/payments", "/api/v1/auth/me", "/livez", "/readyz"):
        for spelling in (path, f"{path}/"):
            answer = await api.get(spelling)
            assert answer.status_code == 200, spelling


async def test_the_root_says_what_this_is_and_where_the_documentation_stands(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/")
    assert answer.json()["name"] == "SOFIPO"
    assert (await anonymous.get(answer.json()["openapi"])).status_code == 200
    assert (await anonymous.get(answer.json()["health"])).status_code == 200
