"""From a template to an answer: one environment, one policy of what may run, and assets that a browser keeps."""

import functools
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from backend_api.clients.statement import spanish
from backend_api.http.context import request_id
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.pages import door
from backend_api.pages.space import Space, space_of

HERE = Path(__file__).parent
ASSETS = {
    "sofipo.css": "text/css",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "chevron.svg": "image/svg+xml",
}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def page(
    request: Request, template: str, status: int = 200, *, leads_to: str | None = None, **context: Any
) -> HTMLResponse:
    """The answer that shows a template. `leads_to` is another site's address to which a form of the page may lead."""
    policy = POLICY
    if leads_to is not None:
        # Browsers hold redirects that answer a form to the page's policy too.
        parts = urlsplit(leads_to)
        policy = policy | {"form-action": f"'self' {parts.scheme}://{parts.netloc}"}
    headers = {
        "Cache-Control": "no-store",
        "Content-Language": "es-MX",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
    }
    space, principal = space_of(request), getattr(request.state, "principal", None)
    whole = {
        "assets": assets_path(space),
        "base": space.base,
        "csrf": door.form_token(request),
        "lender": resources_of(request).settings,
        "menu": [
            place
            for place in space.menu
            if principal and (place.permission is None or place.permission in principal.permissions)
        ],
        "notice": space.words.notices.get(request.query_params.get("aviso", "")),
        "path": request.url.path,
        "principal": principal,
        "reference": request_id(),
        "words": space.words,
        **context,
    }
    return HTMLResponse(_environment(space.templates).get_template(template).render(whole), status, headers)


def see_other(path: str, anchor: str = "", **query: str) -> Response:
    """The page to look at next (Post/Redirect/Get)."""
    address = f"{path}?{urlencode(query)}" if query else path
    return RedirectResponse(f"{address}#{anchor}" if anchor else address, 303, {"Cache-Control": "no-store"})


def assets(space: Space) -> Route:
    """The route of the style sheet and what else pages need; its path changes with the files."""
    return Route(assets_path(space) + "/{name}", _asset)


def assets_path(space: Space) -> str:
    """Where the assets stand. A digest of all of them is part of it, so that a browser may keep each for ever."""
    return f"{space.base}/recursos/{_digest()}"


@functools.cache
def _digest() -> str:
    digest = hashlib.sha256()
    for name in ASSETS:
        digest.update((HERE / "assets" / name).read_bytes())
    return digest.hexdigest()[:12]


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise NotFound
    return FileResponse(HERE / "assets" / name, media_type=ASSETS[name], headers=FOR_EVER)


@functools.cache
def _environment(own: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([own, HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "amount": spanish.amount,
        "percent": spanish.percent,
        "long_date": spanish.long_date,
        "short_date": spanish.short_date,
        "plain": spanish.plain,
    }
    environment.globals |= {"count": spanish.count}
    return environment
