"""The examples of the documentation tell one story, the one of the golden events: Carlos Perez borrows 50 000 and pays
2 500. Here are its people and days, and how an operation says what is its own about it.

The example of an answer is the one of its model (`json_schema_extra`), unless the operation gives another.
"""

import re
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

import orjson

from backend_api.domain.errors import DomainError
from backend_api.http import problems

CLIENT_ID = "019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c01"
OFFICER_ID = "019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c02"
ADMIN_ID = "019a8b1c-0d5e-7c3a-9f21-4b6d8e0a1c03"
LOAN_ID = "019a8b1d-1111-7a00-8a11-0000000000a1"
NEW_LOAN_ID = "019a8b1d-2222-7a00-8a11-0000000000b1"
DISBURSEMENT_ID = "019a8b1d-1111-7a00-8a11-0000000000a2"
PAYMENT_ID = "019a8b1e-4444-7b00-9b22-0000000000e4"
PRODUCT_ID = "019a8b1c-6666-7c00-8c33-0000000000c1"
APPROVAL_ID = "019a8b2a-7777-7d00-8d44-0000000000d1"
CHECKOUT_ID = "019a8b2d-aaaa-7f00-8f77-0000000000a1"
SESSION_ID = "019a8b2b-8888-7e00-8e55-0000000000e1"
API_KEY_ID = "019a8b2c-9999-7f00-8f66-0000000000f1"
DECOY_ID = "019a8b2b-8888-7e00-8e55-0000000000f1"
IMPORT_ID = "019a8b1c-7777-7d00-8d44-0000000000e1"
FOLIO = 1001

TODAY = "2026-01-31"
REGISTERED_AT = "2026-01-31T18:01:00.123457Z"
GRANTED_AT = "2026-01-31T18:06:00.123462Z"
PAID_AT = "2026-01-31T18:08:00.123464Z"

Responses = dict[int | str, dict[str, Any]]


def answer(status: int, example: Mapping[str, Any]) -> Responses:
    """The `responses` of an operation whose answer is another than its model's example."""
    return {status: {"content": {"application/json": {"example": dict(example)}}}}


def answers(status: int, examples: Mapping[str, Mapping[str, Any]]) -> Responses:
    """The same for an operation that has several, by the sentence that tells when."""
    named = {
        f"case_{number}": {"summary": when, "value": dict(value)}
        for number, (when, value) in enumerate(examples.items(), start=1)
    }
    return {status: {"content": {"application/json": {"examples": named}}}}


def refusals(*kinds: DomainError) -> Responses:
    """The `responses` of an operation for the refusals of its own, each as it is answered."""
    found: Responses = {}
    for kind in kinds:
        # In a context of its own: this runs while modules load, and the id of a request would stay in force after it.
        body = copy_context().run(problems.of_refusal, kind)
        answer_of_status = found.setdefault(kind.status, {"content": {problems.MEDIA_TYPE: {"examples": {}}}})
        answer_of_status["content"][problems.MEDIA_TYPE]["examples"] |= problem(body)
    return found


def problem(body: bytes) -> dict[str, Any]:
    """A problem as a named example, under an id of a request that stays the same."""
    value = {**orjson.loads(body), "request_id": "5f0c1d2e3a4b5c6d"}
    if value["code"] != "validation_failed":
        return {value["code"]: {"summary": value["detail"], "value": value}}
    error = value["errors"][0]
    return {re.sub(r"\W+", "_", f"{error['code']} {error['pointer']}"): {"summary": error["detail"], "value": value}}
