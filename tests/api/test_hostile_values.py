"""Whatever a caller puts into any field of any call is taken or refused with a problem: it never makes us fail.

The calls and their fields are those of docs/openapi.json, so that a new one is tried here without being named.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.http import examples
from fastapi import FastAPI

from tests.support.builders import Json, new_loan, pay, random_rfc
from tests.support.documents import ROOT
from tests.support.problems import problem
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
    loan = await new_loan(api, amount="50000.00", status="PENDING" if operation == "updateLoan" else "ACTIVE")
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

# An approval that waits needs a limit and a second user (tests/engine/test_approvals.py), the others a secret that is
# used up by being taken (tests/api/test_users.py, test_sessions.py).
TAKEN_ELSEWHERE = {"grantApproval", "refuseApproval", "changePassword", "redeemOneTimeSecret", "refreshSession"}


@pytest.mark.parametrize("name", WITH_BODY)
async def test_no_value_in_a_body_makes_a_call_fail(name: str, app: FastAPI, api: httpx2.AsyncClient) -> None:
    # Whoever changes their password is signed out: nobody whom other tests need.
    async with signed_in_as(app, Role.OFFICER) as passer_by:
        await try_all_values(name, passer_by if name == "changePassword" else api, api)


async def try_all_values(name: str, caller: httpx2.AsyncClient, api: httpx2.AsyncClient) -> None:
    method, path, operation = OPERATIONS[name]
    media = operation["requestBody"]["content"]["application/json"]
    names = await story(api, name)
    taken, failures = 0, []
    for place in fields(media["schema"]):
        body = json.dumps(placed(media["example"], place))
        for what, value in VALUES.items():
            content = told(body, names).replace(json.dumps(PLACE), value)
            answer = await caller.request(
                method, told(told(path, PATHS), names), content=content, headers={"Content-Type": "application/json"}
            )
            if answer.status_code >= 500:
                failures.append((place, what))
            elif answer.status_code >= 400:
                problem(answer)
            else:
                taken += 1
                names = await story(api, name)
    assert failures == []
    assert taken or name in TAKEN_ELSEWHERE, "nothing ever came as far as storing"


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
                problem(answer)


@pytest.mark.parametrize("name", [name for name, (_, path, _) in OPERATIONS.items() if "{" in path])
async def test_no_value_in_a_path_makes_a_call_fail(name: str, api: httpx2.AsyncClient) -> None:
    method, path, operation = OPERATIONS[name]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    for parameter in PATHS.keys() & {f"{{{part['name']}}}" for part in operation["parameters"] if part["in"] == "path"}:
        for value in NAMES:
            answer = await api.request(method, told(path, {**PATHS, parameter: value}), json=body)
            assert answer.status_code < 500, (parameter, value, answer.text)
            if answer.status_code >= 400:
                problem(answer)


async def test_what_would_not_fit_into_an_amount_is_refused_before_it_is_written(api: httpx2.AsyncClient) -> None:
    loan = f"/api/v1/loans/{(await new_loan(api, amount='9999999999999.99'))['id']}"
    problem(await api.post(f"{loan}/fees", json={"amount": "9999999999999.99"}), 409, "amount_too_large")
    assert (await api.post(f"{loan}/fees", json={"amount": "1.00"})).status_code == 200
    problem(await api.post(f"{loan}/write-off", json={}), 409, "amount_too_large")
    again = {"interest_rate": "0.10", "term_months": 12}
    problem(await api.post(f"{loan}/restructure", json=again), 409, "amount_too_large")
