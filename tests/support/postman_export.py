"""`make postman`: docs/postman/, a collection for Postman and its environments, from the OpenAPI document.

What a call is - its address, parameters, headers, body, answer - comes from the document; which calls are made one
after the other, with what, stands in `tests.support.postman_walk`. A call of the document that stands in neither of its
two lists is refused, so that the collection always holds all of them.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import ports
import yaml
from backend_api.settings import DEVELOPMENT_GATEWAY_SECRET

from tests.support import openapi_export
from tests.support.postman_walk import APART, COLLECTION_VARIABLES, SHARED_SCRIPT, WALK, Step

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("docs/postman")
COLLECTION = FOLDER / "sofipo.postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
SECRET = ("password", "gateway_secret")
IN_ORDER = "In order"
APART_FOLDER = "Not run in order"
ABOUT = """Every call of the API, made from docs/openapi.json by `make postman`.

The folder `In order` runs from top to bottom against a fresh stack (`make up`, or `docker compose up`): each request
checks its answer and keeps what the next ones need in the collection's variables. It may be run again: names are new
each time. The folder `Not run in order` holds the other calls, each with the reason."""
APART_ABOUT = "Calls that need what no fresh stack has, or that should not be made by the way. Each says which."


class Refused(Exception):
    """The collection cannot be made; the message says why and what to do."""


def files(document: Json) -> dict[Path, str]:
    """Every file of docs/postman/ with its content. Raises `Refused` for calls that stand nowhere, or twice."""
    made: dict[Path, Json] = {COLLECTION: collection(document)}
    for name, address in _addresses().items():
        made[FOLDER / f"{name}.postman_environment.json"] = _environment(name, address)
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in made.items()}


def collection(document: Json) -> Json:
    """The collection, in the form 2.1. Raises `Refused` for calls that stand nowhere, or twice."""
    calls = {call["operationId"]: (method, path, call) for method, path, call in _calls(document)}
    walked = {step.operation for _, _, steps in WALK for step in steps}
    _refuse_gaps(set(calls), walked, set(APART))
    chapters = [
        {
            "name": title,
            "description": description,
            "item": [_request(document, *calls[step.operation], step) for step in steps],
        }
        for title, description, steps in WALK
    ]
    apart = [
        _request(document, *calls[name], Step(name, note=f"Not run in order: {reason}"), run=False)
        for name, reason in APART.items()
    ]
    return {
        "info": {
            "_postman_id": _id("collection"),
            "name": document["info"]["title"],
            "description": ABOUT,
            "schema": SCHEMA,
        },
        "auth": _bearer("access_token"),
        "event": [_script("prerequest", SHARED_SCRIPT)],
        "variable": [{"key": name, "value": ""} for name in COLLECTION_VARIABLES],
        "item": [
            {"name": IN_ORDER, "item": chapters},
            {"name": APART_FOLDER, "description": APART_ABOUT, "item": apart},
        ],
    }


def _calls(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield method.upper(), path, call


def _refuse_gaps(known: set[str], walked: set[str], apart: set[str]) -> None:
    for wrong, sentence in (
        (known - walked - apart, "put them into WALK or APART of tests/support/postman_walk.py"),
        ((walked | apart) - known, "the document does not know them, take them out"),
        (walked & apart, "they stand in WALK and in APART"),
    ):
        if wrong:
            raise Refused(f"{', '.join(sorted(wrong))}: {sentence}")


def _request(document: Json, method: str, path: str, call: Json, step: Step, *, run: bool = True) -> Json:
    """A request of the collection: the call as the document describes it, with what the step says."""
    status, answer = _success(call)
    request: Json = {"method": method, "header": _headers(call, step), "url": _url(path, call, step)}
    if auth := _auth(call, step):
        request["auth"] = auth
    if body := _body(document, call, step):
        request["body"] = body
    request["description"] = "\n\n".join(filter(None, (call.get("description", ""), step.note)))
    item: Json = {"name": step.title or call["summary"], "request": request, "response": []}
    events = [_script("prerequest", step.before)] if step.before else []
    if run:
        events.append(_script("test", _checks(step, step.status or (status,))))
    if events:
        item["event"] = events
    if example := _saved_answer(item["name"], request, status, answer):
        item["response"].append(example)
    return item


def _success(call: Json) -> tuple[int, Json]:
    """The first good status and its answer."""
    return next((int(status), answer) for status, answer in call["responses"].items() if status < "300")


def _url(path: str, call: Json, step: Step) -> Json:
    segments = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    named = _parameters(call, "path")
    query = [
        {
            "key": name,
            "value": step.query.get(name, ""),
            "description": parameter.get("description", ""),
            "disabled": name not in step.query,
        }
        for name, parameter in _parameters(call, "query").items()
    ]
    shown = "&".join(f"{name}={value}" for name, value in step.query.items())
    # A path that ends with a slash keeps it: an empty last segment.
    end = [""] if path.endswith("/") and path != "/" else []
    url: Json = {
        "raw": "/".join(["{{base_url}}", *segments, *end]) + (f"?{shown}" if shown else ""),
        "host": ["{{base_url}}"],
        "path": [*segments, *end],
    }
    if query:
        url["query"] = query
    if named:
        url["variable"] = [
            {
                "key": name,
                "value": step.path.get(name, f"{{{{{name}}}}}"),
                "description": parameter.get("description", ""),
            }
            for name, parameter in named.items()
        ]
    return url


def _parameters(call: Json, place: str) -> dict[str, Json]:
    return {parameter["name"]: parameter for parameter in call.get("parameters", []) if parameter["in"] == place}


def _headers(call: Json, step: Step) -> list[Json]:
    """The headers of the document; only a write's key is sent unless the step says more."""
    sent = {**step.headers}
    headers = []
    for name, parameter in _parameters(call, "header").items():
        if name == "Idempotency-Key":
            sent.setdefault(name, "{{$guid}}")
        headers.append(
            {
                "key": name,
                "value": sent.pop(name, ""),
                "description": parameter.get("description", ""),
                "disabled": name != "Idempotency-Key" and name not in step.headers,
            }
        )
    return headers + [{"key": name, "value": value} for name, value in sent.items()]


def _auth(call: Json, step: Step) -> Json | None:
    """How the request is let in, where that is not by the token of the collection."""
    if "security" not in call or step.by is None:
        return {"type": "noauth"}
    if step.by.endswith("_key"):
        parts = {"key": "X-API-Key", "value": f"{{{{{step.by}}}}}", "in": "header"}
        return {"type": "apikey", "apikey": [{"key": key, "value": value} for key, value in parts.items()]}
    return None if step.by == "access_token" else _bearer(step.by)


def _bearer(variable: str) -> Json:
    return {"type": "bearer", "bearer": [{"key": "token", "value": f"{{{{{variable}}}}}", "type": "string"}]}


def _body(document: Json, call: Json, step: Step) -> Json | None:
    """The body of the step, else the example of the document."""
    if step.text:
        return {"mode": "raw", "raw": step.text, "options": {"raw": {"language": "text"}}}
    contents: Mapping[str, Json] = call.get("requestBody", {}).get("content", {})
    for media_type, media in contents.items():
        fields = _example(document, media) if step.body is None else step.body
        if media_type == "application/json":
            written = json.dumps(fields, indent=2, ensure_ascii=False)
            return {"mode": "raw", "raw": written, "options": {"raw": {"language": "json"}}}
        if media_type == "application/x-www-form-urlencoded":
            pairs = [{"key": name, "value": str(value)} for name, value in fields.items()]
            return {"mode": "urlencoded", "urlencoded": pairs}
        raise Refused(f"{call['operationId']}: no way is known to write a body of {media_type}")
    return None


def _example(document: Json, media: Json) -> Any:
    """The first example of a body."""
    if "example" in media:
        return media["example"]
    for example in media.get("examples", {}).values():
        shared = example.get("$ref", "").rpartition("/")[2]
        return (document["components"]["examples"][shared] if shared else example)["value"]
    return {}


def _saved_answer(name: str, request: Json, status: int, answer: Json) -> Json | None:
    """The answer of the document's example, for the reader."""
    media = answer.get("content", {}).get("application/json", {})
    if "example" not in media:
        return None
    return {
        "name": name,
        "originalRequest": {part: request[part] for part in ("method", "header", "url", "body") if part in request},
        "status": HTTPStatus(status).phrase,
        "code": status,
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": json.dumps(media["example"], indent=2, ensure_ascii=False),
    }


def _checks(step: Step, statuses: tuple[int, ...]) -> str:
    """The script that looks at the answer: its status, the values that the step says, and what is kept of it."""
    said = " or ".join(f"{status} {HTTPStatus(status).phrase}" for status in statuses)
    lines = [f"pm.test({_js(said)}, () => pm.expect(pm.response.code).to.be.oneOf({_js(list(statuses))}));"]
    if step.holds or step.keeps:
        lines.append("const answer = pm.response.json();")
    for place, value in step.holds.items():
        expected = f"pm.variables.replaceIn({_js(value)})" if isinstance(value, str) else _js(value)
        found = f"answer{_accessor(place)}"
        lines.append(f"pm.test({_js(f'{place} is {value}')}, () => pm.expect({found}).to.eql({expected}));")
    for name, place in step.keeps.items():
        lines.append(f"pm.collectionVariables.set({_js(name)}, answer{_accessor(place)});")
    return "\n".join(lines)


def _accessor(place: str) -> str:
    """`data.0.id` as JavaScript reaches it."""
    return "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in place.split("."))


def _js(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _script(listen: str, text: str) -> Json:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": text.strip().split("\n")}}


def _addresses() -> dict[str, str]:
    """Where the API answers, by environment: as `make up` and as the compose file publish it."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    [published] = services["backend-api"]["ports"]
    host, port = re.fullmatch(r"([\d.]+):\$\{API_PORT:-(\d+)\}:\d+", published).groups()  # type: ignore[union-attr] # else stop
    return {"local": f"http://127.0.0.1:{ports.BASE['api'][0]}", "compose": f"http://{host}:{port}"}


def _environment(name: str, address: str) -> Json:
    values = {
        "base_url": address,
        "username": "admin",
        "password": "string",
        "gateway_secret": DEVELOPMENT_GATEWAY_SECRET,
    }
    return {
        "id": _id(name),
        "name": f"SOFIPO {name}",
        "values": [
            {"key": key, "value": value, "type": "secret" if key in SECRET else "default", "enabled": True}
            for key, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def _id(name: str) -> str:
    """The same every time, so that Postman replaces what it imported before."""
    return str(uuid5(NAMESPACE_URL, f"urn:sofipo:postman:{name}"))


def export(document: Json, root: Path = ROOT) -> None:
    """Write the files. Raises `Refused`."""
    for path, content in files(document).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, "utf-8")


if __name__ == "__main__":
    try:
        export(openapi_export.of_code())
    except Refused as refusal:
        sys.exit(f"{FOLDER} stays as it is: {refusal}")
