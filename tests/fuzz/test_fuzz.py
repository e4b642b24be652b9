"""Calls made up from the served document, right ones and wrong ones, by somebody of every role and by nobody.

Nothing may fail, everything must be answered as the document says, what the document forbids must be refused, and
whoever has no permission must not see an id of a borrower. `make fuzz` makes up 20 000 of them.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import httpx2
import pytest
import requests
import schemathesis
from backend_api.app import create_app
from backend_api.auth.permissions import Role
from backend_api.settings import Environment, Settings
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.target import ANONYMOUS, PASSWORD, Target
from tests.support.waiting import eventually

CASES = int(os.environ.get("FUZZ_CASES", "700"))
SEED = os.environ.get("FUZZ_SEED", "20261121")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
AnyCase: TypeAlias = Case[Any]
ROLES = [*(role.value for role in Role), ANONYMOUS]
PERSONAL = re.compile(
    r"[A-ZÑ&]{3,4}\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])[A-Z0-9]{2,8}|(?<!\d)\d{18}(?!\d)|[\w.+-]+@[\w-]+\.\w|eyJ[\w-]+\.eyJ"
)
"""RFC, CURP, CLABE, e-mail and access token, as anybody would look for them."""
LOOKUP = "getClient"
"""Answers everybody who knows the RFC, with the id and what is masked."""

SCHEMA = schemathesis.openapi.from_dict(create_app(Settings(environment=Environment.DEVELOPMENT)).openapi())
OPERATIONS: dict[str, Any] = {}
for _found in SCHEMA.get_all_operations():
    if isinstance(_found, Err):
        raise _found.err()
    OPERATIONS[_found.ok().definition.raw["operationId"]] = _found.ok()
QUIETLY = settings(
    max_examples=max(1, CASES // len(OPERATIONS)),
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""So many calls of each operation, no smaller ones looked for: the first that fails is told as it is."""
ANSWERED: Counter[int] = Counter()
"""How many answers of each class of status this run got: 2 for all that begin with it."""


def can_be_wrong(operation: Any) -> bool:
    """Whether the document forbids anything: a parameter that is any text cannot be sent wrongly."""
    raw = operation.definition.raw
    schemas = [parameter["schema"] for parameter in raw.get("parameters", [])]
    return "requestBody" in raw or any(schema.keys() - {"type", "title", "description"} for schema in schemas)


def cases(operation: Any, ids: dict[str, list[str]]) -> SearchStrategy[AnyCase]:
    """Right and wrong calls of an operation, about objects that exist and about any."""
    modes = [GenerationMode.POSITIVE] + [GenerationMode.NEGATIVE] * can_be_wrong(operation)
    known = {part.name: ids[part.name] for part in operation.path_parameters if part.name in ids}
    objects: list[dict[str, str] | None] = [None]
    if known:
        objects += [{name: values[number % len(values)] for name, values in known.items()} for number in range(3)]
    forms: list[SearchStrategy[AnyCase]] = [
        operation.as_strategy(generation_mode=mode, path_parameters=chosen) for mode in modes for chosen in objects
    ]
    return st.one_of(forms)


def faults(case: AnyCase, response: Response | httpx2.Response, role: str, private: frozenset[str]) -> Iterator[str]:
    """What is wrong with an answer."""
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        yield from (f"{type(failure).__name__}: {failure.title} {failure.message}" for failure in group.exceptions)
    if role != ANONYMOUS or case.operation.definition.raw["operationId"] != LOOKUP:
        text = response.content.decode("utf-8", "replace")
        yield from (f"{role} sees {secret}" for secret in sorted(private) if secret in text)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_whatever_is_called_is_answered_as_the_document_says(name: str, target: Target) -> None:
    operation = OPERATIONS[name]
    found: dict[str, str] = {}
    session = requests.Session()

    @seed(f"{SEED} {name}")
    @QUIETLY
    @given(case=cases(operation, target.ids), role=st.sampled_from(ROLES), about=st.integers(0, 9))
    def call(case: AnyCase, role: str, about: int) -> None:
        # Not in a wrong call: what is wrong about it may be the very field.
        is_right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
        if isinstance(case.body, dict) and is_right and about < 8:
            for field in case.body.keys() & target.ids.keys():
                case.body[field] = target.ids[field][about % len(target.ids[field])]
        response = case.call(base_url=target.address, session=session, headers=target.headers[role])
        ANSWERED[response.status_code // 100] += 1
        for fault in faults(case, response, role, target.private.get(role, frozenset())):
            found.setdefault(fault, f"as {role}: {case.as_curl_command()}")

    call()
    assert found == {}, f"again: FUZZ_SEED={SEED} FUZZ_CASES={CASES}"


async def test_the_log_of_it_all_parses_and_holds_nothing_private(target: Target) -> None:
    assert ANSWERED[2] > ANSWERED.total() // 20, "hardly a call was taken: this shows little"
    # What is typed into a decoy is logged: everything private, as people type it.
    async with httpx2.AsyncClient(base_url=target.address, timeout=30.0) as client:
        for secret in target.secrets - {PASSWORD}:
            await client.post("/wp-login.php", data={"log": secret, "pwd": PASSWORD})
    typed = len(target.secrets) - 1
    await eventually(lambda: logged_names(target) >= typed)
    written = target.process.output()
    lines = [json.loads(line) for line in written.splitlines()]
    assert {line["logger"] for line in lines} >= {"uvicorn.error", "passlib"}
    assert [secret for secret in target.secrets if secret in written] == []
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    assert [line for line in written.splitlines() if PERSONAL.search(line)] == []


def logged_names(target: Target) -> int:
    """How many names that somebody typed into a decoy stand in the log, in whatever form."""
    lines = (json.loads(line) for line in target.process.output().splitlines() if '"decoy_touched"' in line)
    return sum(len(line["usernames"]) for line in lines)


LOAN = "/api/v1/loans/019a8b1d-1111-7a00-8a11-0000000000a1"


def answered(status: int, body: str, media_type: str = "application/json") -> httpx2.Response:
    """An answer of the application that we made up."""
    request = httpx2.Request("GET", f"http://testserver{LOAN}")
    answer = httpx2.Response(status, content=body, headers={"Content-Type": media_type}, request=request)
    answer.elapsed = timedelta()
    return answer


@pytest.mark.parametrize(
    ("role", "answer", "fault"),
    [
        ("admin", answered(500, "{}"), "ServerError"),
        ("admin", answered(418, "{}", "application/problem+json"), "UndefinedStatusCode"),
        ("admin", answered(200, "<p>", "text/html"), "UndefinedContentType"),
        ("admin", answered(200, '{"id": 1}'), "JsonSchemaError"),
        ("admin", answered(404, '{"code": 1}', "application/problem+json"), "JsonSchemaError"),
        ("client", answered(200, '{"id": "somebody\'s"}'), "client sees somebody's"),
        ("anonymous", answered(200, '{"id": "somebody\'s"}'), "anonymous sees somebody's"),
    ],
)
def test_a_fault_is_seen(role: str, answer: httpx2.Response, fault: str) -> None:
    case = OPERATIONS["getLoan"].Case(path_parameters={"loan_id": LOAN.rpartition("/")[2]})
    assert any(found.startswith(fault) for found in faults(case, answer, role, frozenset({"somebody's"})))


def test_taking_what_the_document_forbids_is_seen() -> None:
    seen: list[str] = []

    @QUIETLY
    @given(case=OPERATIONS["chargeFee"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def take(case: AnyCase) -> None:
        seen.extend(faults(case, answered(200, "{}"), "admin", frozenset()))

    take()
    assert any(found.startswith("AcceptedNegativeData") for found in seen)
