"""The document that describes the calls is complete: names, security, refusals, and an example of everything."""

import asyncio
import copy
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import httpx2
import pytest
from backend_api.app import create_app
from backend_api.http import problems
from backend_api.settings import Settings
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.builders import get
from tests.support.service import client_of
from tests.support.waiting import least

Operation = tuple[str, str, dict[str, Any]]
BORROWERS = {"getOwnDebts", "getCart", "getCheckout", "getOwnPayment", "listOwnPayments"}
"""What role client reads of its own, always from the primary."""
PLAIN = {"whoAmI", "listSessions", "previewLoan"} | BORROWERS
"""For everybody who is signed in, or about them alone; nothing is stored."""
OPEN = {"signIn", "refreshSession", "redeemOneTimeSecret", "takeGatewayNotice"}
"""For everybody."""
CARTS = {"replaceCart", "emptyCart", "putIntoCart", "takeFromCart"}
"""No money moves, and twice is once."""
KEYLESS = {
    "signOut", "endSession", "endAllSessions", "changePassword", "createUser", "resetPassword", "createApiKey",
    "rotateApiKey",
}  # fmt: skip
"""Their answers are not stored, so they take no key."""
PEOPLE = (
    KEYLESS
    | BORROWERS
    | CARTS
    | {"checkOutCart", "reverseOwnPayment", "updateUser", "disableUser", "revokeApiKey", "listSessions"}
)
"""Not for API keys."""


@pytest.fixture(scope="module")
async def document(anonymous: httpx2.AsyncClient) -> dict[str, Any]:
    """The served document."""
    return await get(anonymous, "/openapi.json")


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of an operation, under a name for the person who reads a failure."""
    name = operation["operationId"]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"the request of {name}", media
    for status, answer in operation["responses"].items():
        for media in answer.get("content", {}).values():
            yield f"the {status} of {name}", media


def examples(document: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    """The examples of a body."""
    found = [media["example"]] if "example" in media else []
    for example in media.get("examples", {}).values():
        shared = example.get("$ref", "").rpartition("/")[2]
        found.append((document["components"]["examples"][shared] if shared else example)["value"])
    return found


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every model closed, so that an example cannot hold a field that is gone. Problems stay open:
    a refusal tells its facts beside the fields that all have."""
    closed = copy.deepcopy(document)
    for name, schema in closed["components"]["schemas"].items():
        if "properties" in schema and name != "Problem":
            schema.setdefault("additionalProperties", False)
    return closed


def complaints(document: dict[str, Any], schema: dict[str, Any], example: Any) -> list[str]:
    """What is wrong with an example."""
    whole = {**schema, "components": document["components"]}
    validator = Draft202012Validator(whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(example)]


async def test_making_the_document_keeps_nobody_waiting(settings: Settings) -> None:
    """As a share of what it takes, which is the machine's affair: half a second of work in one piece is too much."""

    async def longest_wait() -> float:
        app = create_app(settings)
        began = perf_counter()
        create_app(settings).openapi()
        taken = perf_counter() - began
        waits = [0.0]
        async with client_of(app) as http, asyncio.TaskGroup() as group:
            made = group.create_task(http.get("/openapi.json"))
            while not made.done():
                before = perf_counter()
                await asyncio.sleep(0)
                waits.append(perf_counter() - before)
        assert made.result().status_code == 200
        return max(waits) / taken

    assert await least(longest_wait, 0.25) < 0.25


async def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


async def test_every_operation_has_a_name_of_its_own_a_summary_a_description_and_a_tag(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) > 20
    described = {tag["name"] for tag in document["tags"]}
    for path, _, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert set(operation["tags"]) <= described, f"{path}: describe its tag in backend_api/http/openapi.py"
        assert operation["tags"], path


async def test_every_call_says_who_may_make_it_and_how_it_is_refused(document: dict[str, Any]) -> None:
    open_calls = set()
    for path, method, operation in operations(document):
        if not path.startswith("/api/v1/"):
            continue
        name = operation["operationId"]
        headers = {parameter["name"] for parameter in operation.get("parameters", [])}
        ways: list[dict[str, list[str]]] = [{"bearer": []}] if name in PEOPLE else [{"bearer": []}, {"apiKey": []}]
        if operation.get("security") != ways:
            open_calls.add(name)
        expected = {
            "401": True,
            "403": name not in (PLAIN - PEOPLE) | OPEN,
            "404": "{" in path,
            "409": method != "get" and name not in PLAIN | OPEN | KEYLESS | CARTS,
            "412": "If-Match" in headers,
            "422": bool(operation.get("parameters")) or "requestBody" in operation,
            "503": True,
        }
        refusals = {status for status in operation["responses"] if int(status) >= 400}
        assert {status for status, holds in expected.items() if holds} <= refusals, name
        for status in refusals:
            assert problems.MEDIA_TYPE in operation["responses"][status]["content"], f"{status} of {name}"
    assert open_calls == OPEN | {"getClient"}
    assert document["components"]["securitySchemes"]["bearer"]["flows"]["password"]["tokenUrl"] == "/api/v1/auth/token"


def lacking(document: dict[str, Any]) -> list[str]:
    """The bodies without an example."""
    bodies = (body for _, _, operation in operations(document) for body in contents(operation))
    return [where for where, media in bodies if not examples(document, media)]


async def test_every_body_and_every_answer_has_an_example(document: dict[str, Any]) -> None:
    remedy = "give the model one (json_schema_extra) or the operation (backend_api/http/examples.py)"
    assert lacking(document) == [], remedy


async def test_a_body_without_an_example_would_be_seen(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    pay = changed["paths"]["/api/v1/loans/{loan_id}/payments"]["post"]
    del pay["requestBody"]["content"]["application/json"]["example"]
    del pay["responses"]["409"]["content"][problems.MEDIA_TYPE]["examples"]
    assert lacking(changed) == ["the request of payLoan", "the 409 of payLoan"]


async def test_every_example_has_the_form_it_is_an_example_of(document: dict[str, Any]) -> None:
    closed = strict(document)
    wrong = [
        f"{where}: {complaint}"
        for _, _, operation in operations(document)
        for where, media in contents(operation)
        for example in examples(document, media)
        for complaint in complaints(closed, media["schema"], example)
    ]
    assert not wrong


async def test_an_example_of_a_refusal_says_the_status_it_stands_under(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            for example in examples(document, answer.get("content", {}).get(problems.MEDIA_TYPE, {})):
                assert str(example["status"]) == status, operation["operationId"]
                assert example["type"] == f"urn:sofipo:problem:{example['code']}"


NOBODY = "019a8b1c-0d5e-7c3a-9f21-000000000000"
REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "listLoans": ("GET", "/api/v1/loans?limit=1000", {}),
    "getLoan": ("GET", "/api/v1/loans/x", {}),
    "getPayment": ("GET", f"/api/v1/payments/{NOBODY}", {}),
    "getClient": ("GET", "/api/v1/clients/PEPJ800101HNE", {"headers": {"X-Consistency-Token": "x"}}),
    "updateClient": ("PATCH", f"/api/v1/clients/{NOBODY}", {"json": {"colour": "green"}}),
    "payLoan": ("POST", f"/api/v1/loans/{NOBODY}/payments", {"json": {}}),
    "payClient": ("POST", f"/api/v1/clients/{NOBODY}/payments", {"json": {"amount": "1.00"}}),
    "whoAmI": ("GET", "/api/v1/auth/me", {"headers": {"Authorization": "Bearer x"}}),
    "signIn": ("POST", "/api/v1/auth/token", {"data": {"username": "admin", "password": "wrong"}}),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_answered_as_its_example_says(
    document: dict[str, Any], api: httpx2.AsyncClient, name: str
) -> None:
    method, path, request = REFUSED[name]
    answer = await api.request(method, path, **request)
    [operation] = [each for _, _, each in operations(document) if each["operationId"] == name]
    told = examples(document, operation["responses"][str(answer.status_code)]["content"][problems.MEDIA_TYPE])
    assert {**answer.json(), "request_id": told[0]["request_id"]} in told


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        ({"amount": 2500.00, "colour": "green"}, "colour"),
        ({"amount": "2,500.00"}, "not valid"),
        ({}, "'amount' is a required property"),
        ({"amount": 2500.00, "paid_on": "31.01.2026"}, "not valid"),
    ],
)
async def test_a_wrong_example_would_be_seen(document: dict[str, Any], example: Any, complaint: str) -> None:
    [found] = complaints(strict(document), {"$ref": "#/components/schemas/PaymentIn"}, example)
    assert complaint in found


async def test_writes_take_a_key_and_reads_take_a_token(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/api/v1/") or operation["operationId"] in PLAIN | OPEN | KEYLESS | CARTS:
            continue
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert ("X-Consistency-Token" if method == "get" else "Idempotency-Key") in names, path


async def test_amounts_are_described_as_exact(document: dict[str, Any]) -> None:
    amount = document["components"]["schemas"]["PaymentIn"]["properties"]["amount"]
    assert {form["type"] for form in amount["anyOf"]} == {"string", "number"}


async def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    known = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    assert found <= known
