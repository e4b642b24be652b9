"""docs/postman/ is what `make postman` writes: every call of the API, in the form that Postman reads."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import openapi_export, postman_export
from tests.support.postman_export import COLLECTION, FOLDER, ROOT, Refused, collection, files
from tests.support.postman_walk import APART, COLLECTION_VARIABLES, WALK

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    """The OpenAPI document as the code makes it."""
    return openapi_export.of_code()


@pytest.fixture(scope="module")
def made(document: Json) -> dict[Path, str]:
    """What `make postman` would write."""
    return files(document)


def requests(item: Json) -> Iterator[Json]:
    """Every request of a folder."""
    for part in item["item"]:
        if "request" in part:
            yield part
        else:
            yield from requests(part)


def test_the_files_are_those_of_the_code(made: dict[Path, str]) -> None:
    assert sorted(made) == sorted(path.relative_to(ROOT) for path in (ROOT / FOLDER).iterdir())
    for path, content in made.items():
        assert (ROOT / path).read_text("utf-8") == content, f"{path}: run `make postman`"


def test_they_are_the_same_every_time(document: Json, made: dict[Path, str]) -> None:
    assert files(copy.deepcopy(document)) == made


def test_every_call_is_there_and_those_that_are_not_run_say_why(document: Json) -> None:
    in_order, apart = collection(document)["item"]
    asked = [
        (one["request"]["method"], one["request"]["url"]["raw"]) for one in [*requests(in_order), *requests(apart)]
    ]
    count = sum(len(methods) for methods in document["paths"].values())
    assert len({(method, raw.partition("?")[0]) for method, raw in asked}) == count
    assert [one["request"]["description"].rpartition("Not run in order: ")[2] for one in requests(apart)] == list(
        APART.values()
    )


def test_what_runs_is_checked_and_what_it_names_is_known(made: dict[Path, str]) -> None:
    written = json.loads(made[COLLECTION])
    in_order, apart = written["item"]
    for one in requests(in_order):
        [script] = [event["script"]["exec"] for event in one["event"] if event["listen"] == "test"]
        assert script[0].startswith("pm.test("), one["name"]
    environment = json.loads(made[FOLDER / "local.postman_environment.json"])
    known = {each["key"] for each in environment["values"]} | set(COLLECTION_VARIABLES) | {"$guid", "$timestamp"}
    # Parts of the addresses of calls that are not run: the reader fills them in.
    known |= {each["key"] for one in requests(apart) for each in one["request"]["url"].get("variable", [])}
    assert set(_variables(written)) - known == set()


def _variables(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield from (piece.partition("}}")[0] for piece in part.split("{{")[1:])
    elif isinstance(part, dict):
        for value in part.values():
            yield from _variables(value)
    elif isinstance(part, list):
        for value in part:
            yield from _variables(value)


def test_variables_are_kept_before_they_are_sent() -> None:
    kept = {"run", "rfc", "other_rfc", "signature", "base_url", "username", "password"}
    for _, _, steps in WALK:
        for step in steps:
            sent = set(_variables([step.body, *step.path.values(), *step.query.values(), *step.headers.values()]))
            assert sent - {"$guid"} <= kept, step
            kept |= set(step.keeps)


def test_a_call_that_stands_nowhere_is_refused(document: Json) -> None:
    grown = copy.deepcopy(document)
    grown["paths"]["/livez"]["post"] = {**grown["paths"]["/livez"]["get"], "operationId": "wakeUp"}
    with pytest.raises(Refused, match="wakeUp: put them into WALK or APART"):
        collection(grown)
    shrunk = copy.deepcopy(document)
    del shrunk["paths"]["/livez"]
    with pytest.raises(Refused, match="isAlive: the document does not know them"):
        collection(shrunk)


def test_a_call_that_stands_in_both_lists_is_refused(document: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postman_export, "APART", {**APART, "isAlive": "it is too easy."})
    with pytest.raises(Refused, match="isAlive: they stand in WALK and in APART"):
        collection(document)


def test_the_environments_say_where_the_api_is_published(made: dict[Path, str]) -> None:
    addresses = {
        json.loads(content)["name"]: json.loads(content)["values"][0]["value"]
        for path, content in made.items()
        if path != COLLECTION
    }
    assert addresses == {"SOFIPO local": "http://127.0.0.1:8000", "SOFIPO compose": "http://127.0.0.1:8000"}
