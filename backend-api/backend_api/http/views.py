"""How a single view is answered: bytes, ETag, 304, and who may keep it."""

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from backend_api.http import etag
from backend_api.http.problems import NotFound
from backend_api.reads import View

VARY = "Authorization, X-API-Key, Accept"


def answer(request: Request, view: View | None) -> Response:
    """The response for a view, or `NotFound`; 304 when the caller holds it already."""
    if view is None:
        raise NotFound
    headers = {"ETag": view.etag, "X-Cache": view.source, "Vary": VARY, "Cache-Control": "private, no-cache"}
    if etag.not_modified(request.headers.get("if-none-match"), view.etag):
        return Response(None, 304, headers)
    return Response(view.body, 200, headers, "application/json")


def answer_model(request: Request, model: BaseModel, tag: str | None = None) -> Response:
    """The same for what is not cached."""
    headers = {"Vary": VARY, "Cache-Control": "private, no-cache"}
    if tag is not None:
        headers["ETag"] = tag
        if etag.not_modified(request.headers.get("if-none-match"), tag):
            return Response(None, 304, headers)
    return Response(model.model_dump_json(), 200, headers, "application/json")
