"""The document that describes the calls is complete: names, examples, security, refusals."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.builders import get

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
async def document(anonymous: httpx2.AsyncClient) -> dict[str, Any]:
    """The served document."""
    return await get(anonymous, "/openapi.json")


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_every_operation_has_a_name_of_its_own_a_summary_and_a_tag(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) > 20
    for path, _, operation in operations(document):
        assert operation["summary"], path
        assert operation["tags"], path


async def test_every_call_says_who_may_make_it_and_how_it_is_refused(document: dict[str, Any]) -> None:
    open_calls = set()
    for path, _, operation in operations(document):
        if not path.startswith("/api/"):
            continue
        if operation.get("security") != [{"bearer": []}]:
            open_calls.add(operation["operationId"])
        for status in ("401", "403", "404", "409", "412", "422", "503"):
            assert "application/problem+json" in operation["responses"][status]["content"], path
    assert open_calls == {"signIn", "getClient"}
    assert document["components"]["securitySchemes"]["bearer"]["flows"]["password"]["tokenUrl"] == "/api/v1/auth/token"


async def test_every_body_has_an_example_and_every_answer_a_form(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, _, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            schema = schemas[media["schema"]["$ref"].rpartition("/")[2]]
            has_own = "examples" in schema or all("examples" in part for part in schema["properties"].values())
            assert has_own or schema["title"] == "ClientPaymentIn", path
        success = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert success, path
        for answer in success:
            for media in answer.get("content", {}).values():
                assert media["schema"], path


async def test_writes_take_a_key_and_reads_take_a_token(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/api/") or operation["operationId"] == "signIn":
            continue
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert ("X-Consistency-Token" if method == "get" else "Idempotency-Key") in names, path


async def test_amounts_are_described_as_exact(document: dict[str, Any]) -> None:
    amount = document["components"]["schemas"]["PaymentIn"]["properties"]["amount"]
    assert {form["type"] for form in amount["anyOf"]} == {"string", "number"}


async def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    known = document["components"]["schemas"]
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"].rpartition("/")[2])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert found <= set(known)
