"""The MO App's contract: every call and every rule, field for field and type for type, over the books of all others."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import rfc8785
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.domain.products import Limits
from backend_api.domain.term_sheet import product_sheet, product_values
from backend_api.http.resources import Resources
from backend_api.legacy.mo_app import endpoints, schemas
from backend_api.outbox import envelope
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.support.builders import CLIENTS, LOANS, Json, get, new_client, new_loan, pay
from tests.support.postgres import row_counts
from tests.support.problems import pointers
from tests.support.replica import caught_up
from tests.support.service import client_of, running, sign_in, signed_in_as

SCOPES = ["clients:read", "clients:write", "loans:read", "loans:write", "payments:read", "payments:write", "users:read"]
CUSTOMER, LOAN, PAYMENT = "/customers/create_customer/", "/loans/create_loan/", "/payments/register_payment/"
NOBODY = str(uuid4())
CALLS = [
    ("POST", CUSTOMER), ("GET", "/customers/list_customer/"), ("GET", "/customers/get_balance/?customer=x"),
    ("POST", LOAN), ("GET", "/loans/list_loans/"), ("GET", "/loans/loan_by_id/?external_id=x"),
    ("GET", "/loans/customer_loans/?customer=x"), ("POST", PAYMENT), ("GET", "/api/user/list/"),
    ("GET", f"/api/user/detail/{NOBODY}/"),
]  # fmt: skip


async def new_key(api: httpx2.AsyncClient, **fields: Any) -> str:
    """An API key that was just made."""
    made = await api.post("/api/v1/api-keys", json={"name": "MO App", "scopes": SCOPES, **fields})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


@pytest.fixture(scope="module")
async def partner(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by the partner's system."""
    async with client_of(app, {"Authorization": f"Api-Key {await new_key(api)}"}) as client:
        yield client


async def done(partner: httpx2.AsyncClient, path: str, body: Json) -> Json:
    """The answer to something that is taken."""
    answer = await partner.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


def refused(answer: httpx2.Response, words: str = "", status: int = 400) -> None:
    """The answer to something that is not, with these words in its reason."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    [(name, text)] = answer.json().items()
    assert name == "detail"
    assert words in text, text


async def new_customer(partner: httpx2.AsyncClient, score: float = 750.0, status: int = 1) -> str:
    """The partner's id of a new customer."""
    external_id = str(uuid4())
    await done(partner, CUSTOMER, {"external_id": external_id, "score": score, "status": status})
    return external_id


async def lend(partner: httpx2.AsyncClient, customer: str, amount: float, status: int = 2, **fields: Any) -> str:
    """The external id of a new loan."""
    body = {"customer": customer, "amount": amount, "outstanding": amount, "status": status, **fields}
    loan: str = (await done(partner, LOAN, body))["external_id"]
    return loan


async def loans_of(partner: httpx2.AsyncClient, customer: str) -> dict[str, tuple[float, int]]:
    """What is outstanding of each of a customer's loans, and its status."""
    listed = (await partner.get("/loans/customer_loans/", params={"customer": customer})).json()
    return {loan["external_id"]: (loan["outstanding"], loan["status"]) for loan in listed}


async def balance_of(partner: httpx2.AsyncClient, customer: str) -> Json:
    """A customer's balance."""
    return await get(partner, "/customers/get_balance/", params={"customer": customer})


async def loan_of_office(api: httpx2.AsyncClient, resources: Resources, external_id: str) -> Json:
    """A partner's loan as the office sees it."""
    await caught_up(resources)
    [found] = (await get(api, LOANS, params={"external_id": external_id}))["data"]
    loan: Json = found
    return loan


async def client_id_of(owner: Connection, customer: str) -> UUID:
    """The client whom the partner calls so."""
    found: UUID = await owner.fetchval("SELECT id FROM clients WHERE external_id = $1", customer)
    return found


async def payments_of(owner: Connection, customer: str) -> list[tuple[str, Decimal, str | None]]:
    """State, amount and reason of everything a customer ever paid or tried to."""
    rows = await owner.fetch(
        "SELECT status, amount, reason FROM payments WHERE client_id = $1 ORDER BY id",
        await client_id_of(owner, customer),
    )
    return [tuple(row) for row in rows]


# Who may call, and how refusals look


async def test_a_key_in_either_header_and_a_token_are_taken_with_and_without_the_slash(
    app: FastAPI, api: httpx2.AsyncClient
) -> None:
    key = await new_key(api)
    token = api.headers["Authorization"]
    for headers in ({"Authorization": f"Api-Key {key}"}, {"X-API-Key": key}, {"Authorization": token}):
        async with client_of(app, headers) as caller:
            for path in ("/customers/list_customer/", "/customers/list_customer", "/api/user/list", "/api/user/list/"):
                assert (await caller.get(path)).status_code == 200


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_nobody_and_a_wrong_key_get_401_and_a_key_without_the_scope_403(
    method: str, path: str, anonymous: httpx2.AsyncClient, app: FastAPI, api: httpx2.AsyncClient
) -> None:
    body: Json | None = {} if method == "POST" else None
    answer = await anonymous.request(method, path, json=body)
    refused(answer, "credenciales", 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    wrong = {"X-API-Key": "sofipo_live_000000000000_" + "0" * 64}
    refused(await anonymous.request(method, path, json=body, headers=wrong), "credenciales", 401)
    async with client_of(app, {"X-API-Key": await new_key(api, scopes=["products:read"])}) as other:
        refused(await other.request(method, path, json=body), "permiso", 403)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (CUSTOMER, {"score": 1}, "external_id: este campo es obligatorio."),
        (CUSTOMER, {"external_id": "x"}, "score: este campo es obligatorio."),
        (CUSTOMER, {"external_id": "", "score": 1}, "external_id: no puede estar vacío."),
        (CUSTOMER, {"external_id": "x" * 61, "score": 1}, "external_id: es demasiado largo."),
        (CUSTOMER, {"external_id": 5, "score": 1}, "external_id: debe ser texto."),
        (CUSTOMER, {"external_id": "a\u0000b", "score": 1}, "external_id: contiene un carácter"),
        (CUSTOMER, {"external_id": "x", "score": -1}, "score: debe ser un importe"),
        (CUSTOMER, {"external_id": "x", "score": 1.234}, "score: debe ser un importe"),
        (CUSTOMER, {"external_id": "x", "score": 1, "status": 3}, "status: este valor no se puede pedir aquí."),
        (CUSTOMER, {"external_id": "x", "score": 1, "status": True}, "status: debe ser un número entero."),
        (CUSTOMER, [], "debe ser un objeto."),
        (LOAN, {"customer": "x", "amount": 0}, "amount: debe ser mayor que cero."),
        (LOAN, {"customer": "x", "amount": 5, "outstanding": 4, "status": 2}, "outstanding debe ser igual a amount."),
        (LOAN, {"customer": "x", "amount": 5, "outstanding": 5, "status": 3}, "status: este valor no se puede pedir"),
        (LOAN, {"customer": "x", "amount": 5, "outstanding": 5, "status": 4}, "status: este valor no se puede pedir"),
        (LOAN, {"customer": "x", "amount": 5, "outstanding": 5, "status": 2}, "customer: el cliente no existe."),
        (PAYMENT, {"customer": "x", "amount": 5, "status": 2}, "status: este valor no se puede pedir aquí."),
        (PAYMENT, {"customer": "x", "amount": 5, "status": 1}, "customer: el cliente no existe."),
        (PAYMENT, {"customer": "x", "amount": 5, "payment_details": {}}, "payment_details: debe ser una lista."),
        (
            PAYMENT,
            {"customer": "x", "amount": 5, "payment_details": [{"loan_id": "y"}]},
            "payment_details.0.payment_amount: este campo es obligatorio.",
        ),
    ],
)
async def test_what_cannot_be_taken_is_400_and_names_the_field(
    partner: httpx2.AsyncClient, owner: Connection, path: str, body: Any, words: str
) -> None:
    before = await row_counts(owner)
    refused(await partner.post(path, json=body), words)
    assert await row_counts(owner) == before


async def test_the_document_says_who_may_call_and_how_it_is_refused(anonymous: httpx2.AsyncClient) -> None:
    document = await get(anonymous, "/openapi.json")
    found = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "MO App" in operation["tags"]
    ]
    called = {(method, path.partition("?")[0].rstrip("/").replace(NOBODY, "{user_id}")) for method, path in CALLS}
    assert {(method, path) for method, path, _ in found} == called
    for _, path, operation in found:
        assert operation["security"] == [{"bearer": []}, {"apiKey": []}], path
        refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"400", "401", "403", "429", "503"} <= refusals.keys(), path
        for answer in refusals.values():
            schema = answer["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Detail"}, path
    amount = document["components"]["schemas"]["MoLoan"]["properties"]["amount"]
    assert amount["type"] == "number"


async def test_what_is_no_json_is_400(partner: httpx2.AsyncClient) -> None:
    for content in (b"{", b"\xff", b'{"score": NaN}', b'{"score": 1, "score": 2}'):
        headers = {"Content-Type": "application/json"}
        refused(await partner.post(CUSTOMER, content=content, headers=headers), "JSON")
    refused(await partner.post(CUSTOMER, content=b" " * 2**21), "demasiado grande", 413)


async def test_what_is_not_there_is_404_and_a_missing_parameter_400(partner: httpx2.AsyncClient) -> None:
    for path, parameter in (
        ("/customers/get_balance/", "customer"),
        ("/loans/customer_loans/", "customer"),
        ("/loans/loan_by_id/", "external_id"),
    ):
        refused(await partner.get(path, params={parameter: str(uuid4())}), "No encontrado.", 404)
        refused(await partner.get(path), f"{parameter}: este campo es obligatorio.")
        refused(await partner.get(path, params={parameter: "x" * 61}), f"{parameter}: es demasiado largo.")
    for user in (str(uuid4()), "1"):
        refused(await partner.get(f"/api/user/detail/{user}/"), "No encontrado.", 404)


# Customers


async def test_a_customer_is_answered_as_it_was_sent_with_two_instants(partner: httpx2.AsyncClient) -> None:
    external_id = str(uuid4())
    answer = await partner.post(CUSTOMER, json={"external_id": external_id, "score": 750.00, "status": 1, "colour": 5})
    made = answer.json()
    assert list(made) == ["external_id", "score", "status", "created_at", "updated_at"]
    assert (made["external_id"], made["score"], made["status"]) == (external_id, 750.0, 1)
    assert f'"external_id":"{external_id}","score":750.0,"status":1,' in answer.text
    assert made["created_at"] == made["updated_at"]
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    assert made in (await partner.get("/customers/list_customer/")).json()
    refused(await partner.post(CUSTOMER, json={"external_id": external_id, "score": 1, "status": 1}), external_id)


@pytest.mark.parametrize("score", ["0", "0.01", "0.1", "750", "9007199254740.93", "9999999999999.99"])
async def test_an_amount_is_a_number_and_the_same_one(partner: httpx2.AsyncClient, score: str) -> None:
    content = f'{{"external_id": "{uuid4()}", "score": {score}, "status": 2}}'
    answer = await partner.post(CUSTOMER, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert f'"score":{float(score)!r},"status":2' in answer.text
    assert Decimal(repr(answer.json()["score"])) == Decimal(score)


async def test_a_customer_is_a_client_whose_identity_is_not_known_yet(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    customer = await new_customer(partner)
    path = f"{CLIENTS}/{await client_id_of(owner, customer)}"
    await caught_up(resources)
    record = await get(api, path)
    unknown = {"rfc", "email", "kind", "curp", "clabe", "phone", "birth_date", "address"}
    assert {name for name, value in record.items() if value is None} == unknown
    assert (record["full_name"], record["external_id"]) == (customer, customer)
    assert (record["credit_limit"], record["status"], record["warnings"]) == ("750.00", "ACTIVE", [])
    [listed] = (await get(api, CLIENTS, params={"external_id": customer}))["data"]
    assert listed == record

    balance = await get(api, f"{path}/balance")
    assert (balance["total_debt"], balance["available_credit"]) == ("0.00", "750.00")
    assert (await get(api, f"{path}/personal-data"))["client"] == record
    assert (await get(api, f"{path}/account-statement"))["lines"] == []
    for form in ("html", "pdf"):
        assert (await api.get(f"{path}/account-statement", params={"format": form})).status_code == 200

    noted = await api.patch(path, json={"phone": "5512345678"})
    assert (noted.status_code, noted.json()["phone"], noted.json()["rfc"]) == (200, "5512345678", None)
    put = await api.put(path, json={"full_name": "Ana Torres"})
    assert pointers(put) == ["/email", "/rfc"], "the native contract asks for them"
    other = await new_customer(partner)
    assert (await api.delete(path)).status_code == 204
    await done(partner, CUSTOMER, {"external_id": customer, "score": 1, "status": 1})
    refused(await partner.post(CUSTOMER, json={"external_id": other, "score": 1, "status": 1}), other)


@pytest.mark.no_cover  # see `tests/conftest.py`
async def test_lists_are_whole_and_in_order_however_many_parts_they_are_read_in(
    partner: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = [await new_customer(partner) for _ in range(7)]
    loans = [await lend(partner, customers[0], 1.0, external_id=f"{number}-{uuid4()}") for number in range(6)]
    for at_once in (500, 3, 2, 1):
        monkeypatch.setattr(endpoints, "AT_ONCE", at_once)
        listed = [row["external_id"] for row in (await partner.get("/customers/list_customer/")).json()]
        assert [name for name in listed if name in customers] == customers
        assert len(listed) == len(set(listed))
        everybody_s = [row["external_id"] for row in (await partner.get("/loans/list_loans/")).json()]
        assert [name for name in everybody_s if name in loans] == loans
        assert len(everybody_s) == len(set(everybody_s))
        assert list(await loans_of(partner, customers[0])) == loans
        assert await loans_of(partner, customers[1]) == {}
        names = [row["username"] for row in (await partner.get("/api/user/list/")).json()]
        assert "admin" in names
        assert len(names) == len(set(names))


async def test_a_balance_is_what_is_owed_and_what_is_left(partner: httpx2.AsyncClient) -> None:
    customer = await new_customer(partner, 750.0)
    assert await balance_of(partner, customer) == {
        "external_id": customer, "score": 750.0, "available_amount": 750.0, "total_debt": 0.0,
    }  # fmt: skip
    await lend(partner, customer, 500.0)
    await lend(partner, customer, 100.5, status=1)
    answer = await partner.get("/customers/get_balance/", params={"customer": customer})
    assert answer.text == (
        f'{{"external_id":"{customer}","score":750.0,"available_amount":149.5,"total_debt":500.0}}'
    ), "a pending loan takes of the score and is not owed"


async def test_a_client_without_a_credit_line_has_a_score_of_null(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient
) -> None:
    customer = str(uuid4())
    client = await new_client(api, external_id=customer)
    await new_loan(api, client["id"], amount="5000.00")
    balance = await balance_of(partner, customer)
    assert (balance["score"], balance["available_amount"], balance["total_debt"]) == (None, None, 5000.0)
    [listed] = [
        row for row in (await partner.get("/customers/list_customer/")).json() if row["external_id"] == customer
    ]
    assert (listed["score"], listed["status"]) == (None, 1)


# Loans


async def test_a_loan_is_answered_as_it_was_sent(partner: httpx2.AsyncClient) -> None:
    customer, external_id = await new_customer(partner), f"préstamo {uuid4()}"
    body = {"customer": customer, "amount": 500.0, "outstanding": 500.0, "status": 2, "rate": 5}
    answer = await partner.post(LOAN, json={**body, "external_id": external_id})
    assert answer.status_code == 201
    assert list(answer.json()) == ["external_id", "customer_external_id", "amount", "outstanding", "status"]
    assert '"amount":500.0,"outstanding":500.0,"status":2}' in answer.text
    assert (answer.json()["external_id"], answer.json()["customer_external_id"]) == (external_id, customer)
    assert await get(partner, "/loans/loan_by_id/", params={"external_id": external_id}) == answer.json()
    assert answer.json() in (await partner.get("/loans/list_loans/")).json()
    refused(await partner.post(LOAN, json={**body, "amount": 1, "outstanding": 1, "external_id": external_id}), "ya")
    generated = await lend(partner, customer, 1.0)
    assert str(UUID(generated)) == generated
    pending = await done(partner, LOAN, {"customer": customer, "amount": "1.50", "status": 1})
    assert (pending["amount"], pending["outstanding"], pending["status"]) == (1.5, 1.5, 1)


async def test_a_loan_needs_a_customer_who_is_active_and_whose_score_reaches(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    inactive = await new_customer(partner, status=2)
    refused(await partner.post(LOAN, json={"customer": inactive, "amount": 1, "status": 2}), "inactivo")
    customer = await new_customer(partner, 750.0)
    await lend(partner, customer, 400.0)
    await lend(partner, customer, 100.0, status=1)
    too_much = {"customer": customer, "amount": 250.01, "outstanding": 250.01, "status": 1}
    refused(await partner.post(LOAN, json=too_much), "rebasa el crédito disponible")
    assert len(await loans_of(partner, customer)) == 2
    await lend(partner, customer, 250.0)
    assert (await balance_of(partner, customer))["available_amount"] == 0.0
    await done(partner, PAYMENT, {"customer": customer, "amount": 0.01, "status": 1})
    await lend(partner, customer, 0.01)

    defaulted = await new_customer(partner, 750.0)
    loan = await lend(partner, defaulted, 1.0)
    found = await loan_of_office(api, resources, loan)
    assert (await api.post(f"{LOANS}/{found['id']}/write-off", json={})).status_code == 200
    refused(await partner.post(LOAN, json={"customer": defaulted, "amount": 1, "status": 2}), "incumplimiento")


async def test_what_the_office_does_to_a_loan_shows_in_its_status(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, resources: Resources
) -> None:
    customer = await new_customer(partner)
    loans = [await lend(partner, customer, 10.0, status=1) for _ in range(4)]
    for loan, action in zip(loans, ("activate", "reject", "cancel"), strict=False):
        found = await loan_of_office(api, resources, loan)
        assert (await api.post(f"{LOANS}/{found['id']}/{action}")).status_code == 200
    await caught_up(resources)
    states = [state for _, state in (await loans_of(partner, customer)).values()]
    assert states == [2, 3, 3, 1]
    assert set(schemas.LOAN_STATES.values()) == {1, 2, 3, 4}


async def test_a_loan_that_the_office_granted_is_named_by_its_own_id(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    customer = await new_customer(partner)
    client_id = str(await client_id_of(owner, customer))
    loan = await new_loan(api, client_id, amount="100.00")
    await caught_up(resources)
    assert await loans_of(partner, customer) == {loan["id"]: (100.0, 2)}
    assert (await get(partner, "/loans/loan_by_id/", params={"external_id": loan["id"]}))["amount"] == 100.0
    detail = {"loan_id": loan["id"], "payment_amount": 30}
    paid = await done(partner, PAYMENT, {"customer": customer, "amount": 30, "payment_details": [detail]})
    assert paid["payment_details"] == [{"loan_external_id": loan["id"], "payment_amount": 30.0}]


# Payments


async def test_the_details_come_first_and_the_rest_goes_to_the_oldest(partner: httpx2.AsyncClient) -> None:
    customer = await new_customer(partner)
    first, second, third = [await lend(partner, customer, 100.0, external_id=str(uuid4())) for _ in range(3)]
    external_id = f"P-{uuid4()}"
    answer = await partner.post(
        PAYMENT,
        json={
            "external_id": external_id,
            "customer": customer,
            "amount": 150.00,
            "status": 1,
            "payment_details": [{"loan_id": second, "payment_amount": 30.25, "note": "x"}],
        },
    )
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "external_id": external_id,
        "customer_external_id": customer,
        "amount": 150.0,
        "status": 1,
        "payment_details": [
            {"loan_external_id": first, "payment_amount": 100.0},
            {"loan_external_id": second, "payment_amount": 50.0},
        ],
    }
    assert '"amount":150.0,"status":1,' in answer.text
    assert '"payment_amount":50.0}' in answer.text
    assert await loans_of(partner, customer) == {first: (0.0, 4), second: (50.0, 2), third: (100.0, 2)}
    paid = await done(partner, PAYMENT, {"customer": customer, "amount": 150, "status": 1})
    assert str(UUID(paid["external_id"])) == paid["external_id"]
    assert await loans_of(partner, customer) == {first: (0.0, 4), second: (0.0, 4), third: (0.0, 4)}
    assert (await balance_of(partner, customer))["available_amount"] == 750.0
    assert sum(part["payment_amount"] for part in paid["payment_details"]) == 150.0


async def test_more_than_is_owed_is_kept_as_rejected_and_nothing_is_applied(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    customer = await new_customer(partner)
    refused(await partner.post(PAYMENT, json={"customer": customer, "amount": 1}), "registrado como rechazado")
    loan = await lend(partner, customer, 100.0)
    other = await lend(partner, customer, 50.0)
    detail = [{"loan_id": loan, "payment_amount": 100.01}]
    for body in ({"amount": 150.01}, {"amount": 150, "payment_details": detail}):
        refused(await partner.post(PAYMENT, json={"customer": customer, "status": 1, **body}), "mayor que la deuda")
    assert await loans_of(partner, customer) == {loan: (100.0, 2), other: (50.0, 2)}
    assert await payments_of(owner, customer) == [
        ("REJECTED", Decimal(amount), "payment_exceeds_debt") for amount in ("1.00", "150.01", "150.00")
    ]
    client_id = await client_id_of(owner, customer)
    await caught_up(resources)
    listed = await get(api, f"{CLIENTS}/{client_id}/payments")
    assert [payment["status"] for payment in listed["data"]] == ["REJECTED"] * 3
    external_id = str(uuid4())
    refused(
        await partner.post(PAYMENT, json={"customer": customer, "amount": 151, "external_id": external_id}), "150.00"
    )
    await done(partner, PAYMENT, {"customer": customer, "amount": 150, "external_id": external_id})
    refused(
        await partner.post(PAYMENT, json={"customer": customer, "amount": 1, "external_id": external_id}), external_id
    )


async def test_a_detail_on_a_loan_that_takes_no_payment_refuses_all_of_it(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    customer, stranger = await new_customer(partner), await new_customer(partner)
    good = await lend(partner, customer, 100.0)
    foreign = await lend(partner, stranger, 100.0)
    pending, rejected = [await lend(partner, customer, 10.0, status=1) for _ in range(2)]
    found = await loan_of_office(api, resources, rejected)
    assert (await api.post(f"{LOANS}/{found['id']}/reject")).status_code == 200
    paid = await lend(partner, customer, 10.0)
    detail = [{"loan_id": paid, "payment_amount": 10}]
    await done(partner, PAYMENT, {"customer": customer, "amount": 10, "payment_details": detail})
    before = await loans_of(partner, customer)
    for bad in (foreign, pending, rejected, paid):
        details = [{"loan_id": good, "payment_amount": 5}, {"loan_id": bad, "payment_amount": 5}]
        body = {"customer": customer, "amount": 20, "status": 1, "payment_details": details}
        refused(await partner.post(PAYMENT, json=body), "no es de este cliente o no está activo")
    assert await loans_of(partner, customer) == before
    assert await loans_of(partner, stranger) == {foreign: (100.0, 2)}
    tried = [(status, reason) for status, _, reason in await payments_of(owner, customer)]
    assert tried == [("REGISTERED", None), *[("REJECTED", "detail_loan_not_owing")] * 4]


async def test_details_that_cannot_be_meant_are_refused_and_not_even_kept(
    partner: httpx2.AsyncClient, owner: Connection
) -> None:
    customer = await new_customer(partner)
    loan, other = await lend(partner, customer, 100.0), await lend(partner, customer, 100.0)
    for details, words in (
        ([(loan, 6), (other, 5)], "suman más que el pago"),
        ([(loan, 5), (loan, 5)], "aparece dos veces"),
        ([(loan, 5), (str(uuid4()), 5)], "el préstamo no existe"),
        ([(loan, 5)] * 51, "payment_details: es demasiado largo."),
    ):
        parts = [{"loan_id": name, "payment_amount": amount} for name, amount in details]
        body = {"customer": customer, "amount": 10, "status": 1, "payment_details": parts}
        refused(await partner.post(PAYMENT, json=body), words)
    assert await payments_of(owner, customer) == []
    assert await loans_of(partner, customer) == {loan: (100.0, 2), other: (100.0, 2)}


async def test_an_inactive_customer_may_pay(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    customer = await new_customer(partner)
    loan = await lend(partner, customer, 100.0)
    path = f"{CLIENTS}/{await client_id_of(owner, customer)}"
    assert (await api.patch(path, json={"status": "INACTIVE"})).status_code == 200
    await done(partner, PAYMENT, {"customer": customer, "amount": 40, "payment_details": None})
    assert await loans_of(partner, customer) == {loan: (60.0, 2)}


async def test_an_idempotency_key_counts_here_too(partner: httpx2.AsyncClient, owner: Connection) -> None:
    customer = await new_customer(partner)
    loan = await lend(partner, customer, 100.0)
    headers = {"Idempotency-Key": uuid4().hex}
    body = {"customer": customer, "amount": 10, "status": 1}
    answers = [await partner.post(PAYMENT, json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert await loans_of(partner, customer) == {loan: (90.0, 2)}
    refused(await partner.post(PAYMENT, json={**body, "amount": 11}, headers=headers), "Idempotency-Key")
    too_much = {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        refused(await partner.post(PAYMENT, json={**body, "amount": 91}, headers=too_much), "mayor que la deuda")
    assert len(await payments_of(owner, customer)) == 2


# The same books


async def told(owner: Connection, client_id: UUID | str) -> list[tuple[str, list[str], str | None]]:
    """Types of a client's events, the names in their payloads, and the state they tell, after checking the chain."""
    rows = await owner.fetch("SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence", client_id)
    head = bytes(32)
    for row in rows:
        assert row["prev_hash"] == head
        head = sha256(rfc8785.dumps(envelope.canonical(dict(row)))).digest()
        assert row["hash"] == head
    payloads = [envelope.canonical(dict(row))["payload"] for row in rows]
    found = zip(rows, payloads, strict=True)
    return [(row["event_type"], sorted(payload), payload.get("status")) for row, payload in found]


async def test_the_events_and_postings_are_those_of_the_native_calls(
    partner: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    native = await new_client(api, credit_limit="750.00")
    loan = (await api.post(LOANS, json={"client_id": native["id"], "product": "MO_ZERO", "amount": "500.00"})).json()
    assert loan["term_months"] == 12
    assert (await pay(api, loan["id"], "501.00")).status_code == 409
    for amount in ("100.00", "400.00"):
        assert (await pay(api, loan["id"], amount)).status_code == 201

    customer = await new_customer(partner)
    await lend(partner, customer, 500.0)
    refused(await partner.post(PAYMENT, json={"customer": customer, "amount": 501.0}), "mayor que la deuda")
    for paid in (100.0, 400.0):
        await done(partner, PAYMENT, {"customer": customer, "amount": paid})
    client_id = await client_id_of(owner, customer)
    events = await told(owner, client_id)
    assert [event_type for event_type, _, _ in events] == [
        "client_created", "loan_created", "loan_activated", "payment_rejected", "payment_registered",
        "payment_registered", "loan_paid_off",
    ]  # fmt: skip
    assert events == await told(owner, native["id"])
    postings = """
        SELECT m.kind, p.account, p.amount FROM postings p JOIN ledger_entries e ON e.id = p.entry_id
          JOIN loan_movements m ON m.id = e.movement_id JOIN loans l ON l.id = m.loan_id
         WHERE l.client_id = $1 ORDER BY e.id, p.line
    """
    of_partner = [tuple(row) for row in await owner.fetch(postings, client_id)]
    assert of_partner == [tuple(row) for row in await owner.fetch(postings, UUID(native["id"]))]
    assert len(of_partner) >= 6


async def test_the_product_without_interest_is_there_from_the_start(api: httpx2.AsyncClient, owner: Connection) -> None:
    product = await get(api, "/api/v1/loan-products/MO_ZERO")
    values = {"interest_rate": "0", "installments": 1, "frequency": {"every": 12, "unit": "month"}, "vat_rate": "0"}
    said = product_values({**product_sheet({}), **values, "moratory_rate": "0"})
    assert product["terms"] == product_sheet(said)
    assert (product["status"], product["version"], product["limits"]) == ("ACTIVE", 1, Limits().sheet())
    row = await owner.fetchrow("SELECT * FROM events WHERE aggregate_id = $1", UUID(product["id"]))
    assert row is not None
    event = envelope.canonical(dict(row))
    assert sha256(rfc8785.dumps(event)).digest() == row["hash"]
    assert row["hash"] == await owner.fetchval("SELECT chain_head FROM loan_products WHERE code = 'MO_ZERO'")
    assert event["payload"]["fields"] == sorted({"name", "moratory_rate", *values})


async def test_loans_are_of_the_product_that_the_key_is_bound_to(
    app: FastAPI, api: httpx2.AsyncClient, partner: httpx2.AsyncClient, resources: Resources
) -> None:
    code = f"MO_{uuid4().hex.upper()[:12]}"
    terms = {"interest_rate": "0.36", "installments": 4, "frequency": {"unit": "week"}}
    made = await api.post("/api/v1/loan-products", json={"code": code, "name": "MO App, weekly", "terms": terms})
    assert made.status_code == 201, made.text
    unknown = {"name": "x", "scopes": ["*"], "product": "NOSUCH"}
    assert pointers(await api.post("/api/v1/api-keys", json=unknown)) == ["/product"]
    key = (await api.post("/api/v1/api-keys", json={"name": "MO App", "scopes": SCOPES, "product": code})).json()
    assert key["product"] == code
    assert (await get(api, f"/api/v1/api-keys/{key['id']}"))["product"] == code
    customer = await new_customer(partner)
    async with client_of(app, {"X-API-Key": key["key"]}) as weekly:
        loan = await lend(weekly, customer, 100.0)
        found = await loan_of_office(api, resources, loan)
        assert (found["product"], found["interest_rate"], found["term_months"]) == (code, "0.36", None)
        assert (await api.delete(f"/api/v1/loan-products/{code}")).status_code == 204
        refused(await weekly.post(LOAN, json={"customer": customer, "amount": 1, "status": 2}), "retirado")
    without = await lend(partner, customer, 100.0)
    found = await loan_of_office(api, resources, without)
    assert (found["product"], found["interest_rate"]) == ("MO_ZERO", "0")
    assert (await api.post("/api/v1/api-keys", json={"name": "x", "scopes": ["*"]})).json()["product"] is None


async def test_above_the_amount_of_a_second_person_a_loan_waits(settings: Settings, api: httpx2.AsyncClient) -> None:
    asking = settings.model_copy(update={"approve_activation_above": Decimal("500.00")})
    async with running(asking) as app, client_of(app) as caller:
        caller.headers["Authorization"] = f"Bearer {await sign_in(caller, 'admin', 'string')}"
        customer = await new_customer(caller, 5000.0)
        body = {"customer": customer, "amount": 500.01, "outstanding": 500.01, "status": 2}
        assert (await done(caller, LOAN, body))["status"] == 1
        assert (await done(caller, LOAN, {**body, "amount": 500, "outstanding": 500}))["status"] == 2


# Many at once


async def test_two_loans_race_for_the_last_of_a_score_and_one_gets_it(partner: httpx2.AsyncClient) -> None:
    for _ in range(4):
        customer = await new_customer(partner, 100.0)
        body = {"customer": customer, "amount": 60.0, "outstanding": 60.0, "status": 2}
        answers = await asyncio.gather(*(partner.post(LOAN, json=body) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
        assert list((await loans_of(partner, customer)).values()) == [(60.0, 2)]


async def test_two_payments_race_for_the_last_of_a_debt_and_one_is_rejected(
    partner: httpx2.AsyncClient, owner: Connection
) -> None:
    for _ in range(4):
        customer = await new_customer(partner)
        loan = await lend(partner, customer, 100.0)
        body = {"customer": customer, "amount": 60.0, "status": 1}
        answers = await asyncio.gather(*(partner.post(PAYMENT, json=body) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
        assert await loans_of(partner, customer) == {loan: (40.0, 2)}
        tried = sorted(status for status, _, _ in await payments_of(owner, customer))
        assert tried == ["REGISTERED", "REJECTED", "REJECTED", "REJECTED"]


async def test_one_id_given_by_many_at_once_counts_once(partner: httpx2.AsyncClient) -> None:
    customer = str(uuid4())
    body = {"external_id": customer, "score": 100.0, "status": 1}
    answers = await asyncio.gather(*(partner.post(CUSTOMER, json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    other, external_id = await new_customer(partner), str(uuid4())
    wanted = [{"customer": name, "amount": 1, "status": 2, "external_id": external_id} for name in (customer, other)]
    answers = await asyncio.gather(*(partner.post(LOAN, json=each) for each in wanted * 2))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    for answer in answers:
        if answer.status_code == 400:
            refused(answer, external_id)


# People


async def test_users_are_told_without_anything_secret(partner: httpx2.AsyncClient, api: httpx2.AsyncClient) -> None:
    admin = await get(api, "/api/v1/auth/me")
    shown = await get(partner, f"/api/user/detail/{admin['id']}/")
    assert shown in (await partner.get("/api/user/list/")).json()
    assert (shown["id"], shown["username"], shown["role"]) == (admin["id"], "admin", "admin")
    assert not any("hash" in name or "secret" in name or name == "password" for name in shown)


async def test_a_borrower_sees_their_own_and_nothing_of_others(
    app: FastAPI, partner: httpx2.AsyncClient, owner: Connection
) -> None:
    own, other = await new_customer(partner), await new_customer(partner)
    loan, foreign = await lend(partner, own, 100.0), await lend(partner, other, 100.0)
    async with signed_in_as(app, Role.CLIENT, await client_id_of(owner, own)) as borrower:
        assert [row["external_id"] for row in (await borrower.get("/customers/list_customer/")).json()] == [own]
        assert [row["external_id"] for row in (await borrower.get("/loans/list_loans/")).json()] == [loan]
        assert (await balance_of(borrower, own))["total_debt"] == 100.0
        assert await loans_of(borrower, own) == {loan: (100.0, 2)}
        assert (await get(borrower, "/loans/loan_by_id/", params={"external_id": loan}))["amount"] == 100.0
        for path, name in (
            ("/customers/get_balance/?customer=", other),
            ("/loans/customer_loans/?customer=", other),
            ("/loans/loan_by_id/?external_id=", foreign),
        ):
            refused(await borrower.get(path + name), "No encontrado.", 404)
        for path, body in ((CUSTOMER, {"external_id": "x", "score": 1}), (LOAN, {}), (PAYMENT, {})):
            refused(await borrower.post(path, json=body), "permiso", 403)
