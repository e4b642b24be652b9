"""Which changes of an OpenAPI document break somebody who calls the API as the old document said.

A caller is broken when something it sends is no longer taken as before, or when it gets something it was not told of.
New fields and new values of an enumeration in an answer break nobody: the document tells callers to expect them. What
this does not understand it reports. The tools that do this are programs for other platforms (oasdiff, openapi-changes)
or too young to trust with a promise.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Seen = frozenset[tuple[str | None, str | None]]

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
ANNOTATIONS = {"title", "description", "examples", "example", "deprecated", "default", "$comment"}
COMPARED = {*LOWER, *UPPER, "type", "enum", "const", "properties", "required", "additionalProperties", "items"}


def breaking_changes(old: Json, new: Json) -> list[str]:
    """One sentence for each change that breaks a caller; the same change has the same sentence in every run."""
    found: list[str] = []
    before, after = _operations(old), _operations(new)
    for key, (name, operation) in before.items():
        if key not in after:
            found.append(f"{name}: removed")
            continue
        changes = _operation_changes(old, new, operation, after[key][1])
        found += [f"{name}: {change}" for change in changes]
    found += [f"problems: {change}" for change in _problem_changes(old, new)]
    found += [f"sign-in: {change}" for change in _scheme_changes(old, new)]
    return list(dict.fromkeys(found))


def _operations(document: Json) -> dict[str, tuple[str, Json]]:
    """The operations by method and path, whatever the parts of the path are called, with the name people know."""
    return {
        f"{method} {re.sub(r'{[^}]*}', '{}', path)}": (f"{method.upper()} {path}", _with_positions(path, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _with_positions(path: str, operation: Json) -> Json:
    """The operation with its parameters by place and name; those of the path by their position in it."""
    positions = {name: str(number) for number, name in enumerate(re.findall(r"{([^}]*)}", path), start=1)}
    parameters = {
        f"{parameter['in']} parameter {positions.get(parameter['name'], parameter['name'])}": parameter
        for parameter in operation.get("parameters", [])
    }
    return {**operation, "parameters": parameters}


def _operation_changes(old: Json, new: Json, before: Json, after: Json) -> Iterator[str]:
    if before["operationId"] != after["operationId"]:
        yield f"operationId is {after['operationId']} and was {before['operationId']}"
    open_to_all: list[Json] = [{}]
    if any(way not in after.get("security", open_to_all) for way in before.get("security", open_to_all)):
        yield "credentials: a way to be let in is gone"
    yield from _parameter_changes(old, new, before["parameters"], after["parameters"])
    yield from _body_changes(old, new, before.get("requestBody"), after.get("requestBody"))
    for status, answer in before["responses"].items():
        if status.startswith("2"):
            yield from _answer_changes(old, new, status, answer, after["responses"].get(status))


def _parameter_changes(old: Json, new: Json, before: Json, after: Json) -> Iterator[str]:
    for name, parameter in before.items():
        if name not in after:
            yield f"{name}: removed"
            continue
        yield from _Fit(old, new, answers=False).gaps(parameter["schema"], after[name]["schema"], name)
    for name, parameter in after.items():
        if parameter.get("required") and not before.get(name, {}).get("required"):
            yield f"{name}: now required"


def _body_changes(old: Json, new: Json, before: Json | None, after: Json | None) -> Iterator[str]:
    if before is None or after is None:
        if before or (after and after.get("required")):
            yield "request: removed" if before else "request: now required"
        return
    if after.get("required") and not before.get("required"):
        yield "request: now required"
    yield from _content_changes(_Fit(old, new, answers=False), "request", before["content"], after["content"])


def _answer_changes(old: Json, new: Json, status: str, before: Json, after: Json | None) -> Iterator[str]:
    if after is None:
        yield f"{status}: removed"
        return
    fit = _Fit(new, old, answers=True)
    yield from _content_changes(fit, status, before.get("content", {}), after.get("content", {}))


def _content_changes(fit: "_Fit", where: str, before: Json, after: Json) -> Iterator[str]:
    for media_type, media in before.items():
        if media_type not in after:
            yield f"{where} {media_type}: removed"
            continue
        was, now = media.get("schema", {}), after[media_type].get("schema", {})
        yield from fit.gaps(now, was, where) if fit.answers else fit.gaps(was, now, where)


def _problem_changes(old: Json, new: Json) -> Iterator[str]:
    """All refusals have one form, so that a change of it is told once and not for every call."""
    was, now = (document.get("components", {}).get("schemas", {}).get("Problem", {}) for document in (old, new))
    yield from _Fit(new, old, answers=True).gaps(now, was, "refusal")


def _scheme_changes(old: Json, new: Json) -> Iterator[str]:
    before, after = (document.get("components", {}).get("securitySchemes", {}) for document in (old, new))
    for name, scheme in before.items():
        if _plain(scheme) != _plain(after.get(name, {})):
            yield f"{name}: changed or removed"


def _plain(scheme: Mapping[str, Any]) -> Json:
    return {name: value for name, value in scheme.items() if name != "description"}


@dataclass(frozen=True, slots=True)
class _Fit:
    """Whether one side takes all that the other side gives.

    Callers of the old document give requests, and the new service takes them; the new service gives answers, and
    callers of the old document take them.
    """

    giver: Json
    taker: Json
    answers: bool

    def gaps(self, given: Any, taken: Any, where: str, seen: Seen = frozenset()) -> Iterator[str]:
        """What is given and not taken, each with its place."""
        names = _name(given), _name(taken)
        if names in seen:
            return
        if all(names):
            seen |= {names}
        given, taken = _resolve(given, self.giver), _resolve(taken, self.taker)
        if not self.answers and given.get("default") != taken.get("default"):
            yield f"{where}: {self._change('default', given.get('default'), taken.get('default'))}"
        taking = list(_forms(taken, self.taker))
        for name, form in _forms(given, self.giver):
            # A model is compared with itself, even if another that it may be instead would hide what it lost.
            same = [other for known, other in taking if name is not None and known == name]
            others = same or [other for _, other in taking if _may_take(other, form)]
            gaps = [list(self._form_gaps(form, other, where, seen)) for other in others]
            if not all(gaps):
                continue
            said = "may now be" if self.answers else "may no longer be"
            yield from min(gaps, key=len, default=[f"{where}: {said} {form.get('type', 'anything')}"])

    def _form_gaps(self, given: Json, taken: Json, where: str, seen: Seen) -> Iterator[str]:
        yield from (f"{where}: {gap}" for gap in self._value_gaps(given, taken))
        if "items" in taken:
            yield from self.gaps(given.get("items", {}), taken["items"], f"{where}/*", seen)
        yield from self._field_gaps(given, taken, where, seen)

    def _value_gaps(self, given: Json, taken: Json) -> Iterator[str]:
        values, allowed = _values(given), _values(taken)
        if allowed is not None and (values is None or (not self.answers and set(values) - set(allowed))):
            yield self._change("values", values, allowed)
        for names, sign in ((LOWER, 1), (UPPER, -1)):
            for name in names:
                if name in taken and (name not in given or sign * taken[name] > sign * given[name]):
                    yield self._change(name, given.get(name), taken[name])
        for name in sorted(taken.keys() - COMPARED - ANNOTATIONS):
            if taken[name] != given.get(name):
                yield self._change(name, given.get(name), taken[name])

    def _field_gaps(self, given: Json, taken: Json, where: str, seen: Seen) -> Iterator[str]:
        here, there = given.get("properties", {}), taken.get("properties", {})
        for name in sorted(here.keys() & there.keys()):
            yield from self.gaps(here[name], there[name], f"{where}/{name}", seen)
        old_fields, new_fields = (there, here) if self.answers else (here, there)
        removed = sorted(old_fields.keys() - new_fields.keys())
        yield from (f"{where}/{name}: removed" for name in removed)
        said = "no longer always there" if self.answers else "now required"
        missing = set(taken.get("required", ())) - set(given.get("required", ())) - set(removed)
        yield from (f"{where}/{name}: {said}" for name in sorted(missing))
        others, allowed = given.get("additionalProperties", True), taken.get("additionalProperties", True)
        if allowed is False and others is not False:
            yield f"{where}: other fields {'may now be there' if self.answers else 'are now refused'}"
        elif isinstance(allowed, dict):
            yield from self.gaps(others if isinstance(others, dict) else {}, allowed, f"{where}/*", seen)

    def _change(self, what: str, given: Any, taken: Any) -> str:
        was, now = (taken, given) if self.answers else (given, taken)
        return f"{what} is {now!r} and was {was!r}"


def _resolve(schema: Any, document: Json) -> Json:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if "$ref" not in schema:
        return dict(schema)
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return _resolve(document["components"]["schemas"][_name(schema)], document) | beside


def _name(schema: Any) -> str | None:
    """The model that a schema refers to; None if it stands for itself."""
    return schema["$ref"].rpartition("/")[2] if isinstance(schema, dict) and "$ref" in schema else None


def _may_take(taken: Json, given: Json) -> bool:
    """Whether a form is of a type that holds all values of another's."""
    kinds = given.get("type"), taken.get("type")
    return kinds[1] in (None, kinds[0]) or kinds == ("integer", "number")


def _forms(schema: Json, document: Json, name: str | None = None) -> Iterator[tuple[str | None, Json]]:
    """The alternatives of a schema, each with what stands beside them, and with its name if it is a model."""
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            beside = {name: value for name, value in schema.items() if name != keyword}
            for form in schema[keyword]:
                yield from _forms({**beside, **_resolve(form, document)}, document, _name(form))
            return
    if isinstance(schema.get("type"), list):
        yield from ((name, {**schema, "type": kind}) for kind in schema["type"])
        return
    yield name, schema


def _values(schema: Json) -> list[Any] | None:
    """The values an enumeration allows; None if it is none."""
    return [schema["const"]] if "const" in schema else schema.get("enum")
