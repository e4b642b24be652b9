"""docs/asyncapi.yaml is what the services send: by the official parser, by the golden events, and by the code."""

import ast
import copy
import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import installation
import pytest
import yaml
from backend_api.outbox import broker, envelope
from event_consumer.topology import Topology
from jsonschema import Draft202012Validator

from tests.contract import test_events
from tests.support import asyncapi_export, golden

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "asyncapi.yaml"
DOCUMENT: Json = yaml.safe_load(FILE.read_text("utf-8"))
MESSAGES: Json = DOCUMENT["components"]["messages"]
GOLDEN = golden.load()
INSTALLATION_SECONDS = 600


BROKEN = {
    "a reference to nothing": ("#/components/schemas/LoanClosed'", "#/components/schemas/Nothing'"),
    "a binding of no version": ("bindingVersion: 0.3.0", "bindingVersion: 9.9.9"),
    "an unknown key": ("defaultContentType:", "contentType:"),
    "an action that is none": ("action: send", "action: shout"),
    "an example that does not fit": ("amount: { $ref: '#/components/schemas/Money' }", "amount: { type: integer }"),
    "an example that is not there": ("events/loan_created.json", "events/absent.json"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What the official parser says of the document (`""`) and of each broken one, in one run: it starts slowly."""
    text = FILE.read_text("utf-8").replace("../tests/", f"{ROOT}/tests/")
    files = {"": FILE}
    for number, (what, change) in enumerate(BROKEN.items()):
        assert change[0] in text
        files[what] = tmp_path_factory.mktemp("broken") / f"{number}.yaml"
        files[what].write_text(text.replace(*change), "utf-8")
    folder = installation.asyncapi_parser(print)
    command = ["node", "check.mjs", *map(str, files.values())]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return dict(zip(files, json.loads(done.stdout), strict=True))


def complaints(part: Json, value: Any) -> list[str]:
    """What is wrong with a value. Every payload is closed here, so that a field that nobody described is seen."""
    schemas = copy.deepcopy(DOCUMENT["components"]["schemas"])
    for schema in schemas.values():
        if "properties" in schema:
            schema["unevaluatedProperties"] = False
    whole = {**part, "unevaluatedProperties": False, "components": {"schemas": schemas}}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


@pytest.mark.timeout(INSTALLATION_SECONDS)
def test_the_official_parser_accepts_the_document(said: dict[str, Json]) -> None:
    assert said[""]["complaints"] == []
    assert sorted(said[""]["messages"]) == sorted(GOLDEN)


@pytest.mark.timeout(INSTALLATION_SECONDS)
@pytest.mark.parametrize("what", BROKEN)
def test_the_official_parser_refuses_a_broken_document(said: dict[str, Json], what: str) -> None:
    assert said[what]["complaints"]


def test_the_document_is_up_to_date_and_every_event_is_described() -> None:
    text = FILE.read_text("utf-8")
    assert asyncapi_export.up_to_date(text, GOLDEN) == text, "make asyncapi"
    assert asyncapi_export.UNWRITTEN not in text


def test_an_event_that_is_new_gets_a_message_and_one_that_is_gone_loses_it() -> None:
    sold = {**GOLDEN["loan_updated"], "payload": {"loan_id": str(UUID(int=1)), "price": "10.00", "on": "2026-01-31"}}
    events = {name: event for name, event in GOLDEN.items() if name != "cart_paid"} | {"loan_sold": sold}
    text = asyncapi_export.up_to_date(FILE.read_text("utf-8"), events)
    document = yaml.safe_load(text)
    assert set(document["components"]["messages"]) == set(events)
    assert set(document["channels"]["events"]["messages"]) == set(events)
    message = document["components"]["messages"]["loan_sold"]
    assert message["summary"] == asyncapi_export.UNWRITTEN
    assert document["components"]["schemas"]["LoanSold"]["properties"] == {
        "loan_id": {"$ref": "#/components/schemas/Uuid"},
        "price": {"$ref": "#/components/schemas/Money"},
        "on": {"$ref": "#/components/schemas/Day"},
    }


def test_code_golden_files_and_document_know_the_same_events() -> None:
    assert set(MESSAGES) == set(GOLDEN) == set(test_events.FACTS)
    for channel in DOCUMENT["channels"].values():
        assert channel["messages"] == {name: {"$ref": f"#/components/messages/{name}"} for name in MESSAGES}


def fact_makers(folder: Path) -> Iterator[str]:
    """Every function below a folder that makes a fact."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(_makes_a_fact(part) for part in ast.walk(node)):
                yield node.name


def _makes_a_fact(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fact"


def untested(makers: Iterator[str]) -> list[str]:
    """Those whose facts are not held against a golden event."""
    text = Path(test_events.__file__).read_text("utf-8")
    return [maker for maker in makers if f"_events.{maker}(" not in text]


def test_every_function_that_makes_a_fact_has_golden_events(tmp_path: Path) -> None:
    assert len(list(fact_makers(ROOT / "backend-api"))) >= 10
    assert untested(fact_makers(ROOT / "backend-api")) == []

    (tmp_path / "events.py").write_text("def loan_sold():\n    return Fact('loan_sold', None, {})\n", "utf-8")
    assert untested(fact_makers(tmp_path)) == ["loan_sold"]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_golden_event_is_what_the_document_says(name: str) -> None:
    message = MESSAGES[name]
    assert message["name"] == name
    assert [example["payload"] for example in message["examples"]] == [
        {"$ref": f"../tests/contract/events/{name}.json"}
    ]
    assert complaints(message["payload"], GOLDEN[name]) == []


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_headers_are_what_the_document_says(name: str) -> None:
    event = GOLDEN[name]
    row = {
        **event,
        "aggregate_id": UUID(event["aggregate_id"]),
        "occurred_at": datetime.fromisoformat(event["timestamp"]),
    }
    assert complaints(MESSAGES[name]["headers"], envelope.headers(row)) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"amount": 2500.0}, "$.payload.amount"),
        ({"amount": "2500"}, "$.payload.amount"),
        ({"value_date": "31.01.2026"}, "$.payload.value_date"),
        ({"full_name": "Carlos Perez"}, "$.payload: Unevaluated properties"),
    ],
)
def test_a_payload_that_nobody_described_is_seen(change: Json, complaint: str) -> None:
    event = GOLDEN["payment_registered"]
    wrong = {**event, "payload": {**event["payload"], **change}}
    assert any(found.startswith(complaint) for found in complaints(MESSAGES["payment_registered"]["payload"], wrong))


def test_exchange_queue_and_binding_are_those_of_the_services() -> None:
    topology = Topology()
    events, log = DOCUMENT["channels"]["events"], DOCUMENT["channels"]["eventLog"]
    exchange, queue = events["bindings"]["amqp"]["exchange"], log["bindings"]["amqp"]["queue"]
    assert exchange["name"] == broker.EXCHANGE == topology.exchange == log["x-binding"]["exchange"]
    assert exchange["type"] == "topic"
    assert queue["name"] == log["address"] == broker.QUEUE == topology.queue
    assert log["x-binding"]["routingKey"] == topology.binding
    entities = {envelope.routing_key(name).split(".")[1] for name in GOLDEN}
    assert set(events["parameters"]["entity"]["enum"]) == entities
