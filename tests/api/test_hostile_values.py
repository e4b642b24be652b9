"""Whatever a caller puts into any field of any call is taken or refused with a problem: it never makes us fail.

The calls and their fields are those of docs/openapi.json, so that a new one is tried here without being named.
"""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.http import examples
from backend_api.legacy.mo_app.schemas import CUSTOMER_ID, LOAN_ID
from fastapi import FastAPI

from tests.support.builders import Json, new_client, new_loan, pay, random_rfc
from tests.support.customer_space import notice_of, order_of, signed
from tests.support.customer_space import told as gateway_told
from tests.support.documents import ROOT
from tests.support.problems import problem, refusal
from tests.support.service import signed_in_as

DOCUMENT: Json = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, tuple[str, str, Json]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
WITH_BODY = [
    name
    for name, (_, _, operation) in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]
PLACE = "the hostile value stands here"
VALUES = {
    "null": "null",
    "nothing": '""',
    "a blank": '" "',
    "a wide blank": r'"\u2003"',
    "NUL": r'"a\u0000b"',
    "a lone surrogate": r'"\ud800"',
    "two halves in the wrong order": r'"\udc00\ud800"',
    "a line feed": r'"a\nb"',
    "61 letters": f'"{"x" * 61}"',
    "501 letters": f'"{"x" * 501}"',
    "1001 letters": f'"{"x" * 1001}"',
    "100 000 letters": f'"{"x" * 100_000}"',
    "500 letters that are two without their marks": '"' + "e\u0301" * 500 + '"',
    "text": '"no such thing"',
    "digits": '"12"',
    "zero": "0",
    "less than nothing": "-1",
    "a fraction": "0.123456789",
    "almost nothing": "1e-400",
    "more than a word of the machine": "2147483648",
    "18 digits": "999999999999999999",
    "19 digits": "9999999999999999999",
    "beyond all numbers": "1e400",
    "a costly power": "1e999999999",
    "not a number": "NaN",
    "endless": "-Infinity",
    "NaN as text": '"NaN"',
    "the most money": '"9999999999999.99"',
    "more money": '"10000000000000.00"',
    "the first day": '"0001-01-01"',
    "an early day": '"1970-01-01"',
    "a late day": '"2200-12-31"',
    "the last day": '"9999-12-31"',
    "an identifier": f'"{uuid4()}"',
    "yes": "true",
    "a list": "[]",
    "a list of lists": "[[1], null]",
    "an object": "{}",
    "another object": '{"every": null, "unit": 5, "rate": [], "x": {}}',
}
QUERIES = [
    "", "%20", "%00", "a%00b", "%ed%a0%80", "%ff", "%E2%80%AE", "x" * 5000, "-1", "0", "2147483648", "9" * 30, "1e400",
    "NaN", "0001-01-01", "1970-01-01", "2200-12-31", "9999-12-31", "2026-02-30", "true", "null", "[]",
    "00000000-0000-0000-0000-000000000000", "-created_at", "PENDING", "'%20OR%201=1--",
]  # fmt: skip


def fields(schema: Json) -> Iterator[list[str | int]]:
    """The place of every field of a body, those inside of others after them."""
    for form in (resolved(form) for form in resolved(schema).get("anyOf", [schema])):
        for name, part in form.get("properties", {}).items():
            yield [name]
            yield from ([name, *below] for below in fields(part))
        if "items" in form:
            yield [0]
            yield from ([0, *below] for below in fields(form["items"]))


def resolved(schema: Json) -> Json:
    found: Json = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def placed(value: Any, place: list[str | int]) -> Any:
    """The value with the mark at a place, which is made if it is not there."""
    if not place:
        return PLACE
    first, *rest = place
    if isinstance(first, int):
        return [placed(value[0] if isinstance(value, list) and value else None, rest)]
    known = value if isinstance(value, dict) else {}
    return {**known, first: placed(known.get(first), rest)}


async def story(api: httpx2.AsyncClient, operation: str) -> dict[str, str]:
    """People and loans of the examples, as they are called here: the operation finds what it is about."""
    customer, external_id = str(uuid4()), str(uuid4())
    client = await new_client(api, external_id=customer)
    status = "PENDING" if operation == "updateLoan" else "ACTIVE"
    loan = await new_loan(api, client["id"], amount="50000.00", status=status, external_id=external_id)
    payment = {"id": str(uuid4())}
    if operation == "reversePayment":
        payment = (await pay(api, loan["id"])).json()
    if operation == "waive":
        await done(api, f"/api/v1/loans/{loan['id']}/fees", amount="350.00")
    if operation == "reverseWriteOff":
        await done(api, f"/api/v1/loans/{loan['id']}/write-off")
    code = f"P{uuid4().hex.upper()}"
    if operation == "replaceProduct":
        await done(api, "/api/v1/loan-products", code=code, name="Payroll loan")
    user = key = {"id": str(uuid4())}
    if operation in ("updateUser", "resetPassword"):
        user = await done(api, "/api/v1/users", username=f"ines-{uuid4().hex}", role="officer")
    if operation == "rotateApiKey":
        key = await done(api, "/api/v1/api-keys", name="partner", scopes=["clients:read"])
    return {
        examples.OFFICER_ID: user["id"],
        examples.API_KEY_ID: key["id"],
        examples.CLIENT_ID: loan["client_id"],
        examples.LOAN_ID: loan["id"],
        examples.PAYMENT_ID: payment["id"],
        "PEPJ800101HNE": random_rfc(),
        "carlos.perez@example.com": f"{uuid4().hex}@example.com",
        "PAYROLL": code,
        CUSTOMER_ID: str(uuid4()) if operation == "moCreateCustomer" else customer,
        LOAN_ID: external_id,
    }


async def done(api: httpx2.AsyncClient, path: str, **body: str | list[str]) -> Json:
    answer = await api.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    result: Json = answer.json()
    return result


def told(text: str, names: dict[str, str]) -> str:
    for example, name in names.items():
        text = text.replace(example, name)
    return text


NAMES = [
    "%00", "a%00b", "%ff", "%ed%a0%80", "%E2%80%AE", "x" * 5000, "-1", "0", "2147483648", "9" * 30, "1e3", "null", "{}",
    "1970-01", "2199-12", "2026-13", "0000-01", "9999-12", "2026-01-01", "1", "..%2f..",
]  # fmt: skip
PATHS = {
    "{client_id}": examples.CLIENT_ID,
    "{loan_id}": examples.LOAN_ID,
    "{payment_id}": examples.PAYMENT_ID,
    "{approval_id}": examples.APPROVAL_ID,
    "{user_id}": examples.OFFICER_ID,
    "{api_key_id}": examples.API_KEY_ID,
    "{code}": "PAYROLL",
    "{version}": "1",
    "{period}": "2199-12",
}

OF_BORROWERS = {"replaceCart", "putIntoCart", "checkOutCart", "reverseOwnPayment", "takeGatewayNotice"}
# An approval that waits needs a limit and a second user (tests/engine/test_approvals.py), a cart to be checked out its
# number and price (test_customer_space.py), the others a secret that is used up by being taken (test_users.py,
# test_sessions.py).
TAKEN_ELSEWHERE = {
    "grantApproval", "refuseApproval", "checkOutCart", "changePassword", "redeemOneTimeSecret", "refreshSession",
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_BODY)
async def test_no_value_in_a_body_makes_a_call_fail(name: str, app: FastAPI, api: httpx2.AsyncClient) -> None:
    method, path, operation = OPERATIONS[name]
    media = operation["requestBody"]["content"]["application/json"]
    taken, failures = 0, []
    async with AsyncExitStack() as callers:
        caller, names = await scene(name, app, api, callers)
        for place in fields(media["schema"]):
            body = json.dumps(placed(media["example"], place))
            for what, value in VALUES.items():
                content = told(body, names).replace(json.dumps(PLACE), value).encode()
                headers = signed(content) if name == "takeGatewayNotice" else {"Content-Type": "application/json"}
                answer = await caller.request(method, told(told(path, PATHS), names), content=content, headers=headers)
                if answer.status_code >= 500:
                    failures.append((place, what))
                elif answer.status_code >= 400:
                    refusal(answer)
                else:
                    taken += 1
                    caller, names = await scene(name, app, api, callers)
    assert failures == []
    assert taken or name in TAKEN_ELSEWHERE, "nothing ever came as far as storing"


async def scene(
    name: str, app: FastAPI, api: httpx2.AsyncClient, callers: AsyncExitStack
) -> tuple[httpx2.AsyncClient, dict[str, str]]:
    """Who makes the call, and what it is about."""
    names = await story(api, name)
    if name == "changePassword":
        # Whoever changes their password is signed out: nobody whom other tests need.
        return await callers.enter_async_context(signed_in_as(app, Role.OFFICER)), names
    if name not in OF_BORROWERS:
        return api, names
    client_id, loan = UUID(names[examples.CLIENT_ID]), {"id": names[examples.LOAN_ID]}
    borrower = await callers.enter_async_context(signed_in_as(app, Role.CLIENT, client_id))
    if name in ("reverseOwnPayment", "takeGatewayNotice"):
        order = await order_of(borrower, loan)
        names[examples.CHECKOUT_ID] = order["id"]
        if name == "reverseOwnPayment":
            names[examples.PAYMENT_ID] = (await gateway_told(api, notice_of(order, uuid4().hex)))["payment_id"]
    return borrower, names


@pytest.mark.parametrize("name", [name for name, (method, _, _) in OPERATIONS.items() if method == "GET"])
async def test_no_value_in_a_query_makes_a_call_fail(name: str, api: httpx2.AsyncClient) -> None:
    _, path, operation = OPERATIONS[name]
    asked = told(told(path, PATHS), await story(api, name))
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "query":
            continue
        for value in QUERIES:
            answer = await api.get(f"{asked}?{parameter['name']}={value}")
            assert answer.status_code < 500, (parameter["name"], value, answer.text)
            if answer.status_code >= 400:
                refusal(answer)


@pytest.mark.parametrize("name", [name for name, (_, path, _) in OPERATIONS.items() if "{" in path])
async def test_no_value_in_a_path_makes_a_call_fail(name: str, api: httpx2.AsyncClient) -> None:
    method, path, operation = OPERATIONS[name]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    for parameter in PATHS.keys() & {f"{{{part['name']}}}" for part in operation["parameters"] if part["in"] == "path"}:
        for value in NAMES:
            answer = await api.request(method, told(path, {**PATHS, parameter: value}), json=body)
            assert answer.status_code < 500, (parameter, value, answer.text)
            if answer.status_code >= 400:
                refusal(answer)


async def test_what_would_not_fit_into_an_amount_is_refused_before_it_is_written(api: httpx2.AsyncClient) -> None:
    loan = f"/api/v1/loans/{(await new_loan(api, amount='9999999999999.99'))['id']}"
    problem(await api.post(f"{loan}/fees", json={"amount": "9999999999999.99"}), 409, "amount_too_large")
    assert (await api.post(f"{loan}/fees", json={"amount": "1.00"})).status_code == 200
    problem(await api.post(f"{loan}/write-off", json={}), 409, "amount_too_large")
    again = {"interest_rate": "0.10", "term_months": 12}
    problem(await api.post(f"{loan}/restructure", json=again), 409, "amount_too_large")
