"""The finishing of the OpenAPI document: who must sign in, what refusals look like, and an example of everything."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend_api.http import problems
from backend_api.http.examples import problem
from backend_api.http.idempotency import KeyReused, RequestInProgress
from backend_api.http.limits import RateLimited
from backend_api.http.problems import Busy, FieldError, FieldRefused, NotFound, PreconditionFailed, Problem

PATH = "/openapi.json"
ANONYMOUS = frozenset({"signIn", "refreshSession", "redeemOneTimeSecret", "espacioSignIn", "takeGatewayNotice"})
OPTIONAL = frozenset({"getClient"})
CALCULATIONS = frozenset({"previewLoan"})
"""Posted because their terms need a body; they store nothing."""
BORROWERS_READS = frozenset({"getOwnDebts", "getCart", "getCheckout", "getOwnPayment", "listOwnPayments"})
OWN = frozenset({"whoAmI", "listSessions"}) | BORROWERS_READS
"""About the caller only, and never older than what they did."""
CARTS = frozenset({"replaceCart", "emptyCart", "putIntoCart", "takeFromCart"})
"""No money moves by them, and doing it twice is doing it once."""
PLAIN = CALCULATIONS | OWN
"""For everybody who is signed in."""
KEYLESS = frozenset(
    {
        "signOut", "endSession", "endAllSessions", "changePassword", "createUser", "resetPassword", "createApiKey",
        "rotateApiKey",
    }
)  # fmt: skip
"""Their answers hold secrets or end sessions: none is stored, so none takes a key."""
ESPACIO = frozenset({"espacioDebts", "espacioCart", "espacioPay", "espacioUndo"})
"""The borrower's older web: a person signs in there, and the code of a transaction is what makes it safe to repeat."""
BORROWERS = BORROWERS_READS | CARTS | {"checkOutCart", "reverseOwnPayment"}
"""For role client alone."""
OF_PEOPLE = KEYLESS | ESPACIO | BORROWERS | {"updateUser", "disableUser", "revokeApiKey", "listSessions"}
"""Not for API keys."""
OLDER = frozenset({"MO App"})
"""Tags of older systems' calls: they bring the refusals of their contracts with them."""
IDEMPOTENT_METHODS = frozenset({"post", "patch", "put", "delete"})

DESCRIPTION = """\
Amounts are strings with two decimals. Refusals are `application/problem+json` with a stable `code`. Answers may gain
fields, and enumerations in answers may gain values, at any time: ignore what you do not know.
"""
TAGS = {
    "Auth": "Sign in, stay signed in, sign out.",
    "Users": "Who may sign in, and as what.",
    "API keys": "How programs call: with scopes, in the name of a person.",
    "Clients": "The people and companies who borrow: their records, what they owe, their statements.",
    "Loans": "Granting, activating, rejecting and cancelling loans, and what moved on them.",
    "Products": "The terms that loans copy, in versions, and the limits within which loans are granted.",
    "Customer space": "What borrowers do for themselves: see debts, fill a cart, pay it, take a payment back.",
    "Payments": "Money that came in: on one loan, or spread over a client's loans.",
    "Approvals": "What is above the configured amounts waits for a second person.",
    "Portfolio": "What is owed, how late it is, and what is reserved for it.",
    "Imports": "Clients from files, by the hundred thousand.",
    "Exports": "Lists as files that spreadsheets read and do not run.",
    "Ledger": "Double entry: accounts, entries, closed months.",
    "Decoys": "Doors that lead nowhere, and who tried them.",
    "MO App": "A partner's older contract: its ids, amounts as numbers, refusals as `detail` in Spanish.",
    "Espacio Clientes": "The borrower's older web: amounts as numbers, refusals as codes with a sentence in Spanish.",
    "System": "What this is and how it is.",
}
REFUSALS = {
    "401": "Sign in first.",
    "403": "You may not do this.",
    "404": "There is nothing here that you may see.",
    "409": "The current state does not allow this.",
    "412": "The resource has changed since you read it.",
    "413": "The body is too large.",
    "422": "The request has fields that cannot be accepted.",
    "429": "Too many requests: see Retry-After.",
    "503": "Try again: see Retry-After.",
}
UNKNOWN_FIELD = FieldError(pointer="/colour", code="extra_forbidden", detail="This field is not known here.")
LIMIT_TOO_HIGH = FieldError(
    pointer="query:limit", code="less_than_equal", detail="Input should be less than or equal to 100"
)
NO_UUID = "Input should be a valid UUID, invalid character: found `x` at 0"
FOREIGN_TOKEN = FieldRefused(
    "header:X-Consistency-Token", "token_invalid", "This consistency token was not issued here."
)
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "Send the same key to repeat a request safely: one effect, the same answer.",
}
HEADERS: dict[str, dict[str, object]] = {
    "Retry-After": {
        "description": "Seconds after which it may be tried again.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "RateLimit": {
        "description": "The class of the call, how many are left (r), for how many seconds (t); on answers of every "
        "status where the operator has set limits (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The class of the call, how many may be made (q) in a window of how many seconds (w).",
        "schema": {"type": "string"},
    },
}
HEADERS_OF = {"429": [*HEADERS], "503": ["Retry-After"]}
CONSISTENCY_TOKEN = {
    "name": "X-Consistency-Token",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The token of a write: this read will not be older.",
}

Json = dict[str, Any]


def install(app: FastAPI) -> None:
    """Make the application serve the finished document, behind all other routes."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _finish(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    description=DESCRIPTION,
                    routes=app.routes,
                    servers=[{"url": "/"}],
                    tags=[{"name": name, "description": description} for name, description in TAGS.items()],
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this very assignment
    app.router.routes.append(Route(PATH, _served(document)))


def _served(document: Callable[[], Json]) -> Callable[[Request], Awaitable[Response]]:
    """Makes it at the first call, in a thread: it is half a second's work, and everybody else's calls go on."""

    @cache
    def text() -> bytes:
        return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()

    async def served(_: Request) -> Response:
        return Response(await asyncio.to_thread(text), media_type="application/json")

    return served


def _finish(document: Json) -> Json:
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {
            "type": "oauth2",
            "description": "POST /api/v1/auth/token, then Authorization: Bearer …",
            "flows": {"password": {"tokenUrl": "/api/v1/auth/token", "scopes": {}}},
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "Or Authorization: Api-Key …; POST /api/v1/api-keys makes one.",
        },
    }
    components["headers"] = HEADERS
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= definition.pop("$defs", {})
    schemas["Problem"] = definition
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if OLDER & set(operation.get("tags", ())):
                operation["security"] = [{"bearer": []}, {"apiKey": []}]
                operation["responses"].pop("422", None)
            elif path.startswith("/api/") or "Espacio Clientes" in operation["tags"]:
                _add_security_and_headers(method, operation)
                _add_refusals(path, operation, components)
            _add_examples(operation, schemas)
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [_with_nulls(example, schema, schemas) for example in schema["examples"]]
    return document


def _add_security_and_headers(method: str, operation: Json) -> None:
    name = operation["operationId"]
    if name in ANONYMOUS:
        return
    ways: list[Json] = [{"bearer": []}] if name in OF_PEOPLE else [{"bearer": []}, {"apiKey": []}]
    operation["security"] = [*ways, {}] if name in OPTIONAL else ways
    if name not in OWN | KEYLESS | CARTS | ESPACIO:
        stores = method in IDEMPOTENT_METHODS and name not in CALCULATIONS
        shared = IDEMPOTENCY_KEY if stores else CONSISTENCY_TOKEN
        operation.setdefault("parameters", []).append(shared)


def _add_refusals(path: str, operation: Json, components: Json) -> None:
    """Every refusal the operation can answer with, each with the problem it is; its own ones stand there already."""
    responses = operation["responses"]
    for status, general in _general_refusals(path, operation, components["schemas"]).items():
        own = responses.get(status, {}).get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", {})
        components.setdefault("examples", {}).update(general)
        examples = own | {name: {"$ref": f"#/components/examples/{name}"} for name in general}
        media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
        responses[status] = {"description": REFUSALS[status], "content": {problems.MEDIA_TYPE: media}}
        if status in HEADERS_OF:
            named = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS_OF[status]}
            responses[status]["headers"] = named
    operation["responses"] = dict(sorted(responses.items()))


def _general_refusals(path: str, operation: Json, schemas: Json) -> dict[str, Json]:
    """The refusals that follow from the form of the operation, by status."""
    name = operation["operationId"]
    headers = {parameter["name"] for parameter in operation.get("parameters", [])}
    found: dict[str, Json] = {status: {} for status in operation["responses"] if status in REFUSALS}
    if name not in ANONYMOUS:
        found["401"] = _standard(401)
    if name not in ANONYMOUS | (PLAIN - OF_PEOPLE):
        found["403"] = _standard(403)
    if "{" in path:
        found["404"] = problem(problems.of_refusal(NotFound()))
    if operation.get("parameters") or "requestBody" in operation:
        found["422"] = _refused_field(operation, schemas)
    if IDEMPOTENCY_KEY["name"] in headers:
        found["409"] = problem(problems.of_refusal(RequestInProgress()))
        found["422"] |= problem(problems.of_refusal(KeyReused()))
    if "If-Match" in headers:
        found["412"] = problem(problems.of_refusal(PreconditionFailed()))
    found["429"] = problem(problems.of_refusal(RateLimited(30)))
    found["503"] = problem(problems.of_refusal(Busy()))
    return found


def _standard(status: int) -> Json:
    return problem(problems.body(status, *problems.TEXTS[status]))


def _refused_field(operation: Json, schemas: Json) -> Json:
    """What this operation says of something it cannot take: in its body, its query, its path or its headers."""
    parameters = {parameter["name"]: parameter["schema"] for parameter in operation.get("parameters", [])}
    ids = [name for name, schema in parameters.items() if schema.get("format") == "uuid"]
    if "requestBody" in operation:
        [media, *_] = operation["requestBody"]["content"].values()
        required = _resolved(media["schema"], schemas).get("required")
        error = _missing(required[0]) if required else UNKNOWN_FIELD
    elif "limit" in parameters:
        error = LIMIT_TOO_HIGH
    elif ids:
        error = FieldError(pointer=f"path:{ids[0]}", code="uuid_parsing", detail=NO_UUID)
    elif required := [one["name"] for one in operation["parameters"] if one["in"] == "query" and one["required"]]:
        error = FieldError(pointer=f"query:{required[0]}", code="missing", detail="Field required")
    else:
        return problem(problems.of_refusal(FOREIGN_TOKEN))
    return problem(problems.body(422, *problems.TEXTS[422], errors=[error]))


def _missing(name: str) -> FieldError:
    return FieldError(pointer=f"/{name}", code="missing", detail="Field required")


def _add_examples(operation: Json, schemas: Json) -> None:
    """Give body and answers the example of their model, unless the operation brought its own."""
    for media in _media(operation):
        if "examples" in media:
            for example in media["examples"].values():
                example["value"] = _with_nulls(example["value"], media["schema"], schemas)
            continue
        with suppress(LookupError):
            example = media["example"] if "example" in media else _example(media["schema"], schemas)
            media["example"] = _with_nulls(example, media["schema"], schemas)


def _media(operation: Json) -> Iterator[Json]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation["responses"].values():
        yield from (media for name, media in response.get("content", {}).items() if name != problems.MEDIA_TYPE)


def _example(schema: Json, schemas: Json) -> Any:
    """The first example of a schema, its own or put together from its parts. Raises LookupError if a part has none."""
    schema = _resolved(schema, schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    return {name: _example(part, schemas) for name, part in schema["properties"].items()}


def _with_nulls(value: Any, schema: Json, schemas: Json) -> Any:
    """The example with the nulls that belong into it: FastAPI drops them from the whole document."""
    schema = _resolved(schema, schemas)
    if "anyOf" in schema and isinstance(value, dict):
        forms = [_resolved(form, schemas) for form in schema["anyOf"]]
        fitting = [form for form in forms if value.keys() <= form.get("properties", {}).keys()]
        schema = min(fitting, key=lambda form: len(form["properties"]), default=schema)
    if isinstance(value, list) and "items" in schema:
        return [_with_nulls(item, schema["items"], schemas) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    properties, required = schema["properties"], schema.get("required", ())
    known = {
        name: _with_nulls(value.get(name), part, schemas)
        for name, part in properties.items()
        if name in value or name in required
    }
    return known | {name: item for name, item in value.items() if name not in properties}


def _resolved(schema: Json, schemas: Json) -> Json:
    """The schema itself, whatever it was referred to by."""
    if "$ref" in schema:
        return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    return schema
