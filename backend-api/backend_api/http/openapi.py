"""The finishing of the OpenAPI document: who must sign in, and what refusals look like."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from backend_api.http import problems
from backend_api.http.problems import Problem

ANONYMOUS = frozenset({"signIn"})
OPTIONAL = frozenset({"getClient"})
IDEMPOTENT_METHODS = frozenset({"post", "patch", "put", "delete"})

REFUSALS = {
    "401": "Sign in first.",
    "403": "You may not do this.",
    "404": "There is nothing here that you may see.",
    "409": "The current state does not allow this.",
    "412": "The resource has changed since you read it.",
    "422": "The request has fields that cannot be accepted.",
    "503": "Try again: see Retry-After.",
}
EXAMPLE = {
    "type": "urn:sofipo:problem:validation_failed",
    "title": "Unprocessable Content",
    "status": 422,
    "code": "validation_failed",
    "detail": "The request has fields that cannot be accepted.",
    "request_id": "5f0c1d2e3a4b5c6d",
    "errors": [{"pointer": "/amount", "code": "money_malformed", "detail": "An amount is zero or more."}],
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "Send the same key to repeat a request safely: one effect, the same answer.",
}
CONSISTENCY_TOKEN = {
    "name": "X-Consistency-Token",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The token of a write: this read will not be older.",
}


def install(app: FastAPI) -> None:
    """Make the application serve the finished document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finish(
                get_openapi(
                    title=app.title, version=app.version, summary=app.summary, routes=app.routes, servers=[{"url": "/"}]
                )
            )
        return app.openapi_schema

    async def swagger() -> HTMLResponse:
        """The page of /docs under the name that older users know."""
        return get_swagger_ui_html(openapi_url="/openapi.json", title=app.title)

    app.add_api_route("/swagger", swagger, include_in_schema=False)
    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this very assignment


def _finish(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {
            "type": "oauth2",
            "description": "POST /api/v1/auth/token, then Authorization: Bearer …",
            "flows": {"password": {"tokenUrl": "/api/v1/auth/token", "scopes": {}}},
        }
    }
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= definition.pop("$defs", {})
    schemas["Problem"] = definition
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/"):
                _finish_operation(method, operation)
    return schema


def _finish_operation(method: str, operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    responses = operation["responses"]
    responses.pop("422", None)
    for status, description in REFUSALS.items():
        responses[status] = {
            "description": description,
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": EXAMPLE}},
        }
    if name in ANONYMOUS:
        return
    operation["security"] = [{"bearer": []}, {}] if name in OPTIONAL else [{"bearer": []}]
    shared = IDEMPOTENCY_KEY if method in IDEMPOTENT_METHODS else CONSISTENCY_TOKEN
    operation.setdefault("parameters", []).append(shared)
