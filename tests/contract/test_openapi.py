"""The promise to callers: docs/openapi.json is what the code answers, and nothing breaks it without a decision."""

import copy
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from backend_api.domain.account import Movement, MovementKind, replay
from backend_api.domain.provisions import CONSUMER, provision
from backend_api.domain.term_sheet import terms_of
from backend_api.http import examples
from backend_api.loans.schemas import PAYOFF_EXAMPLE, SCHEDULE_EXAMPLE, TERMS_EXAMPLE
from backend_api.portfolio.schemas import FIGURES_EXAMPLE, SUMMARY_EXAMPLE

from tests.support import openapi_export
from tests.support.openapi_changes import breaking_changes
from tests.support.openapi_export import DOCUMENT, Refused, export, promised, seal, text, undecided

Json = dict[str, Any]


@pytest.fixture(scope="module")
def of_code() -> Json:
    """The document as the code makes it."""
    return openapi_export.of_code()


def test_no_break_of_the_promise_is_undecided(of_code: Json) -> None:
    assert undecided(breaking_changes(promised(), of_code)) == []


def test_the_exported_document_is_the_one_of_the_code(of_code: Json) -> None:
    written = (openapi_export.ROOT / DOCUMENT).read_text("utf-8")
    assert written == text(of_code), "run `make openapi`"


def test_the_figures_of_the_examples_are_those_of_the_engine() -> None:
    paid = Movement(UUID(int=1), MovementKind.PAYMENT, date.fromisoformat(examples.TODAY), 2, Decimal("2500.00"))
    account, _ = replay(terms_of(TERMS_EXAMPLE, paid.value_date), [paid])
    first, [shown] = account.rows[0], SCHEDULE_EXAMPLE["installments"]
    assert (shown["due_on"], shown["principal"]) == (str(first.due_on), str(first.principal))
    assert (shown["interest"], shown["vat"]) == (str(first.interest.net), str(first.interest.vat))
    assert shown["total"] == shown["open"] == str(first.open)

    quote = account.position(date.fromisoformat(PAYOFF_EXAMPLE["on"]))
    for name in ("principal", "interest", "vat", "payoff_amount", "next_due_total"):
        assert PAYOFF_EXAMPLE[name] == str(getattr(quote, name)), name
    assert PAYOFF_EXAMPLE["next_due_on"] == str(quote.next_due_on)

    late = account.position(date.fromisoformat(SUMMARY_EXAMPLE["on"]))
    for name in ("principal", "interest", "moratory"):
        assert FIGURES_EXAMPLE[name] == str(getattr(late, name)), name
    balance = late.principal + late.interest + late.moratory
    assert FIGURES_EXAMPLE["balance"] == FIGURES_EXAMPLE["buckets"]["0-30"]["balance"] == str(balance)
    assert FIGURES_EXAMPLE["provisions"] == str(provision(CONSUMER, balance, late.days_past_due))


# The rules are shown on a document of their own, so that they hold still while the API grows.
LOANS, LOAN = "/loans", "/loans/{loan_id}"
SCHEMAS: Json = {
    "Kind": {"type": "string", "enum": ["cash", "card"]},
    "LoanIn": {
        "type": "object",
        "required": ["amount"],
        "properties": {
            "amount": {"anyOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "number", "minimum": 0}]},
            "months": {"type": "integer", "minimum": 1, "maximum": 600},
            "kind": {"$ref": "#/components/schemas/Kind", "default": "cash"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/LoanIn"}},
        },
    },
    "LoanOut": {
        "type": "object",
        "required": ["id", "folio", "kind"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "folio": {"type": "integer"},
            "kind": {"$ref": "#/components/schemas/Kind"},
            "closed_on": {"type": ["string", "null"]},
        },
    },
    "Lookup": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
    "Page": {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/LoanOut"}}},
    },
    "Problem": {"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}}},
}


def _json(model: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}


EITHER = {"anyOf": [{"$ref": "#/components/schemas/LoanOut"}, {"$ref": "#/components/schemas/Lookup"}]}
OLD: Json = {
    "openapi": "3.1.0",
    "paths": {
        LOANS: {
            "get": {
                "operationId": "listLoans",
                "security": [{"bearer": []}, {}],
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
                    {"name": "kind", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"content": _json("Page")}},
            },
            "post": {
                "operationId": "createLoan",
                "security": [{"bearer": []}],
                "requestBody": {"required": True, "content": _json("LoanIn")},
                "responses": {"201": {"content": _json("LoanOut")}},
            },
        },
        LOAN: {
            "get": {
                "operationId": "getLoan",
                "parameters": [{"name": "loan_id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"content": {"application/json": {"schema": EITHER}}}},
            },
            "delete": {"operationId": "deleteLoan", "responses": {"204": {}}},
        },
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {"bearer": {"type": "oauth2", "flows": {"password": {"tokenUrl": "/token"}}}},
    },
}


def model(document: Json, name: str) -> Json:
    """A model of the document."""
    found: Json = document["components"]["schemas"][name]
    return found


def field(document: Json, name: str, of: str = "LoanIn") -> Json:
    """A field of a model."""
    found: Json = model(document, of)["properties"][name]
    return found


def operation(document: Json, method: str, path: str = LOANS) -> Json:
    """An operation of the document."""
    found: Json = document["paths"][path][method]
    return found


BREAKS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a path": (lambda new: new["paths"].pop(LOAN), f"GET {LOAN}: removed"),
    "a method": (lambda new: new["paths"][LOAN].pop("delete"), f"DELETE {LOAN}: removed"),
    "the name of an operation": (
        lambda new: operation(new, "post").update(operationId="grantLoan"),
        "POST /loans: operationId is grantLoan and was createLoan",
    ),
    "an answered field": (
        lambda new: model(new, "LoanOut")["properties"].pop("folio"),
        f"GET {LOAN}: 200/folio: removed",
    ),
    "an answered field that could be absent": (
        lambda new: model(new, "LoanOut")["properties"].pop("closed_on"),
        f"GET {LOAN}: 200/closed_on: removed",
    ),
    "an answered field in a list": (
        lambda new: model(new, "LoanOut")["properties"].pop("folio"),
        "GET /loans: 200/data/*/folio: removed",
    ),
    "an answered field that is now optional": (
        lambda new: model(new, "LoanOut")["required"].remove("folio"),
        f"GET {LOAN}: 200/folio: no longer always there",
    ),
    "an answered field that may now be null": (
        lambda new: field(new, "folio", "LoanOut").update(type=["integer", "null"]),
        f"GET {LOAN}: 200/folio: may now be null",
    ),
    "an answered type": (
        lambda new: field(new, "folio", "LoanOut").update(type="string"),
        f"GET {LOAN}: 200/folio: may now be string",
    ),
    "an answered number that was whole": (
        lambda new: field(new, "folio", "LoanOut").update(type="number"),
        f"GET {LOAN}: 200/folio: may now be number",
    ),
    "an answered format": (
        lambda new: field(new, "id", "LoanOut").pop("format"),
        f"GET {LOAN}: 200/id: format is None and was 'uuid'",
    ),
    "an answered enumeration that is none any more": (
        lambda new: model(new, "Kind").pop("enum"),
        f"GET {LOAN}: 200/kind: values is None and was ['cash', 'card']",
    ),
    "a status of success": (
        lambda new: operation(new, "post").update(responses={"200": {"content": _json("LoanOut")}}),
        "POST /loans: 201: removed",
    ),
    "the body of an answer": (
        lambda new: operation(new, "post")["responses"]["201"].pop("content"),
        "POST /loans: 201 application/json: removed",
    ),
    "a required field": (
        lambda new: model(new, "LoanIn")["required"].append("months"),
        "POST /loans: request/months: now required",
    ),
    "a new required field": (
        lambda new: (
            model(new, "LoanIn")["required"].append("x"),
            model(new, "LoanIn")["properties"].update(x={"type": "string"}),
        ),
        "POST /loans: request/x: now required",
    ),
    "a field of a request": (
        lambda new: model(new, "LoanIn")["properties"].pop("note"),
        "POST /loans: request/note: removed",
    ),
    "a narrower number": (
        lambda new: field(new, "months").update(maximum=12),
        "POST /loans: request/months: maximum is 12 and was 600",
    ),
    "a higher least number": (
        lambda new: field(new, "months").update(minimum=2),
        "POST /loans: request/months: minimum is 2 and was 1",
    ),
    "a bound where none was": (
        lambda new: field(new, "months").update(multipleOf=6),
        "POST /loans: request/months: multipleOf is 6 and was None",
    ),
    "a pattern": (
        lambda new: field(new, "amount")["anyOf"][0].update(pattern="^[1-9]+$"),
        "POST /loans: request/amount: pattern is '^[1-9]+$' and was '^[0-9]+$'",
    ),
    "a value of a request": (
        lambda new: model(new, "Kind")["enum"].remove("card"),
        "POST /loans: request/kind: values is ['cash'] and was ['cash', 'card']",
    ),
    "a form of a field": (
        lambda new: field(new, "amount")["anyOf"].pop(),
        "POST /loans: request/amount: may no longer be number",
    ),
    "null in a request": (
        lambda new: field(new, "note")["anyOf"].pop(),
        "POST /loans: request/note: may no longer be null",
    ),
    "a default": (
        lambda new: field(new, "kind").update(default="card"),
        "POST /loans: request/kind: default is 'card' and was 'cash'",
    ),
    "unknown fields": (
        lambda new: model(new, "LoanIn").update(additionalProperties=False),
        "POST /loans: request: other fields are now refused",
    ),
    "a form of a body": (
        lambda new: operation(new, "post")["requestBody"].update(content={"text/csv": {}}),
        "POST /loans: request application/json: removed",
    ),
    "a body where none was": (
        lambda new: operation(new, "delete", LOAN).update(requestBody=operation(new, "post")["requestBody"]),
        f"DELETE {LOAN}: request: now required",
    ),
    "a parameter": (
        lambda new: operation(new, "get")["parameters"].pop(),
        "GET /loans: query parameter kind: removed",
    ),
    "a narrower parameter": (
        lambda new: operation(new, "get")["parameters"][0]["schema"].update(maximum=50),
        "GET /loans: query parameter limit: maximum is 50 and was 100",
    ),
    "a required parameter": (
        lambda new: operation(new, "get")["parameters"][1].update(required=True),
        "GET /loans: query parameter kind: now required",
    ),
    "access for everybody": (
        lambda new: operation(new, "get").update(security=[{"bearer": []}]),
        "GET /loans: credentials: a way to be let in is gone",
    ),
    "access without a word": (
        lambda new: operation(new, "get", LOAN).update(security=[{"bearer": []}]),
        f"GET {LOAN}: credentials: a way to be let in is gone",
    ),
    "the address to sign in at": (
        lambda new: new["components"]["securitySchemes"]["bearer"]["flows"]["password"].update(tokenUrl="/t"),
        "sign-in: bearer: changed or removed",
    ),
    "a field of all refusals": (
        lambda new: model(new, "Problem")["properties"].pop("code"),
        "problems: refusal/code: removed",
    ),
    "what the check does not know": (
        lambda new: field(new, "months").update({"not": {"const": 13}}),
        "POST /loans: request/months: not is {'const': 13} and was None",
    ),
}


def _renamed(new: Json) -> None:
    new["paths"]["/loans/{id}"] = new["paths"].pop(LOAN)
    operation(new, "get", "/loans/{id}")["parameters"][0]["name"] = "id"


GROWTH: dict[str, Callable[[Json], Any]] = {
    "nothing": lambda new: None,
    "a path": lambda new: new["paths"].update({"/cards": new["paths"][LOANS]}),
    "an answered field": lambda new: model(new, "LoanOut")["properties"].update(x={"type": "string"}),
    "an answered field that is now always there": lambda new: model(new, "LoanOut")["required"].append("closed_on"),
    "a value": lambda new: model(new, "Kind")["enum"].append("cheque"),
    "an answered number with bounds": lambda new: field(new, "folio", "LoanOut").update(minimum=1),
    "an answered field that is never null": lambda new: field(new, "closed_on", "LoanOut").update(type="string"),
    "an optional field": lambda new: model(new, "LoanIn")["properties"].update(x={"type": "string"}),
    "a field that may be left out": lambda new: model(new, "LoanIn")["required"].remove("amount"),
    "a wider number": lambda new: field(new, "months").update(maximum=1200),
    "a number that need not be whole": lambda new: field(new, "months").update(type="number"),
    "another form of a field": lambda new: field(new, "note")["anyOf"].append({"type": "integer"}),
    "another name in a path": _renamed,
    "an optional parameter": lambda new: operation(new, "get")["parameters"].append(
        {"name": "x", "in": "query", "schema": {"type": "string"}}
    ),
    "access without a token": lambda new: operation(new, "post")["security"].append({}),
    "texts": lambda new: operation(new, "post").update(summary="x", description="y", tags=["z"]),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_change_that_breaks_callers_is_named(what: str) -> None:
    change, sentence = BREAKS[what]
    new = copy.deepcopy(OLD)
    change(new)
    assert sentence in breaking_changes(OLD, new)


@pytest.mark.parametrize("what", GROWTH)
def test_growth_breaks_nobody(what: str) -> None:
    new = copy.deepcopy(OLD)
    GROWTH[what](new)
    assert breaking_changes(OLD, new) == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another repository, with the promise `OLD` and no decisions."""
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    (tmp_path / DOCUMENT).write_text(text(OLD), "utf-8")
    (tmp_path / f"{DOCUMENT}.sha256").write_text(seal(text(OLD)), "utf-8")
    return tmp_path


def test_growth_is_exported(elsewhere: Path) -> None:
    new = copy.deepcopy(OLD)
    GROWTH["an answered field"](new)
    export(new, elsewhere)
    assert promised(elsewhere) == new


def test_a_break_is_exported_only_when_a_decision_record_holds_it(elsewhere: Path) -> None:
    change, sentence = BREAKS["a narrower number"]
    new = copy.deepcopy(OLD)
    change(new)
    with pytest.raises(Refused, match=sentence):
        export(new, elsewhere)
    assert promised(elsewhere) == OLD

    record = elsewhere / "docs" / "decisions" / "0099-short-loans.md"
    record.write_text(f"# 99. Loans are short\n\n    {sentence}\n", "utf-8")
    export(new, elsewhere)
    assert promised(elsewhere) == new


def test_a_record_decides_only_what_it_holds(elsewhere: Path) -> None:
    record = elsewhere / "docs" / "decisions" / "0099-short-loans.md"
    record.write_text(f"# 99. Loans are short\n\n    {BREAKS['a narrower number'][1]}0\n    x{OLD}\n", "utf-8")
    assert undecided([BREAKS["a narrower number"][1]], elsewhere)
    assert undecided([BREAKS["a path"][1]], elsewhere)


def test_a_document_that_was_written_by_other_means_is_refused(elsewhere: Path) -> None:
    new = copy.deepcopy(OLD)
    BREAKS["a path"][0](new)
    (elsewhere / DOCUMENT).write_text(text(new), "utf-8")
    with pytest.raises(Refused, match="was not written by `make openapi`"):
        promised(elsewhere)
    with pytest.raises(Refused, match="was not written by `make openapi`"):
        export(new, elsewhere)
