"""`make asyncapi`: docs/asyncapi.yaml brought up to date with the golden events.

What follows from the events is written anew: the lists of messages, the entities, and of each message its headers,
envelope and example. Titles, sentences and payloads are written by people and stay. A new event gets a message with a
payload as its golden event suggests, and a sentence that the contract tests refuse until somebody writes a better one.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from backend_api.outbox import envelope

from tests.support import golden
from tests.support.documents import ROOT

FILE = ROOT / "docs" / "asyncapi.yaml"
UNWRITTEN = "To be described."
MESSAGE = """\
    {name}:
      name: {name}
      title: {title}
      summary: {summary}
      headers:
        allOf:
          - $ref: '#/components/schemas/Headers'
          - properties:
              cloudEvents:type: {{ const: {routing_key} }}
      payload:
        allOf:
          - $ref: '#/components/schemas/Envelope'
          - properties:
              event_type: {{ const: {name} }}
              aggregate_type: {{ const: {aggregate_type} }}
              payload: {{ $ref: '#/components/schemas/{schema}' }}
      examples:
        - name: {name}
          payload: {{ $ref: ../tests/contract/events/{name}.json }}
"""
SUGGESTED = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{ $ref: '#/components/schemas/Uuid' }"),
    (r"[0-9]+\.[0-9]{2}", "{ $ref: '#/components/schemas/Money' }"),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "{ $ref: '#/components/schemas/Day' }"),
    (r".*", "{ type: string }"),
)

Events = Mapping[str, Mapping[str, Any]]


def up_to_date(text: str, events: Events) -> str:
    """The document with everything in it that follows from these events. Those that are gone lose their messages."""
    known: dict[str, Any] = yaml.safe_load(text)["components"]["messages"]
    names = [name for name in known if name in events] + [name for name in events if name not in known]
    schemas = {name: _schema_of(known[name]) if name in known else _camel(name) for name in names}
    listed = "".join(f"      {name}: {{ $ref: '#/components/messages/{name}' }}\n" for name in names)
    entities = ", ".join(sorted({envelope.routing_key(name).split(".")[1] for name in names}))
    written = "".join(_message(name, known.get(name, {}), schemas[name], events[name]) for name in names)
    text = _between(text, "    messages: &messages\n", "    bindings:\n", listed)
    text = re.sub(r"(?m)^        enum: \[.*\]$", f"        enum: [{entities}]", text, count=1)
    text = _between(text, "  messages:\n    ", "  schemas:\n", written.removeprefix("    "))
    new = {schemas[name]: events[name]["payload"] for name in names if name not in known}
    return text.rstrip("\n") + "\n" + "".join(_payload(schema, payload) for schema, payload in new.items())


def _between(text: str, start: str, end: str, content: str) -> str:
    head, _, rest = text.partition(start)
    return head + start + content + rest[rest.index(end) :]


def _message(name: str, known: Mapping[str, Any], schema: str, event: Mapping[str, Any]) -> str:
    return MESSAGE.format(
        name=name,
        title=_scalar(known.get("title", name.replace("_", " ").capitalize())),
        summary=_scalar(known.get("summary", UNWRITTEN)),
        routing_key=envelope.routing_key(name),
        aggregate_type=event["aggregate_type"],
        schema=schema,
    )


def _scalar(text: str) -> str:
    """A sentence as YAML, in quotes where it needs them."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("...\n").strip()


def _schema_of(message: Mapping[str, Any]) -> str:
    reference: str = message["payload"]["allOf"][1]["properties"]["payload"]["$ref"]
    return reference.rpartition("/")[2]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _payload(schema: str, payload: Mapping[str, Any]) -> str:
    """The schema that an example suggests; a person makes it say what the event means."""
    lines = [f"    {schema}:", "      type: object", f"      required: [{', '.join(payload)}]", "      properties:"]
    lines += [f"        {_scalar(field)}: {_suggested(value)}" for field, value in payload.items()]
    return "\n".join(lines) + "\n"


def _suggested(value: object) -> str:
    match value:
        case bool():
            return "{ type: boolean }"
        case int():
            return "{ type: integer }"
        case str():
            return next(kind for pattern, kind in SUGGESTED if re.fullmatch(pattern, value, re.DOTALL))
        case list() if value:
            return f"{{ type: array, items: {_suggested(value[0])} }}"
    return "{ type: object }"


if __name__ == "__main__":
    FILE.write_text(up_to_date(FILE.read_text("utf-8"), golden.load()), "utf-8")
