"""The documentation pages, Swagger UI and ReDoc: every byte of them is served by ourselves, and no script is inline.

The two programs come from the package `fastapi-standalone-docs`; only its files are used, not its code. The address of
an asset holds a digest of all of them, so that a browser may keep each for ever.
"""

import functools
import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from backend_api.http.problems import NotFound

PACKAGED = Path(str(files("fastapi_standalone_docs"))) / "static"
OWN = Path(__file__).parent / "documentation_assets"
ASSETS = {
    "swagger-ui.css": (PACKAGED / "swagger" / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (PACKAGED / "swagger" / "swagger-ui-bundle.js", "text/javascript"),
    "swagger.js": (OWN / "swagger.js", "text/javascript"),
    "redoc.standalone.js": (PACKAGED / "redoc" / "redoc.standalone.js", "text/javascript"),
    "page.css": (OWN / "page.css", "text/css"),
    "icon.svg": (OWN / "icon.svg", "image/svg+xml"),
}
LOGO = PACKAGED / "redoc" / "logo-mini.svg"
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # Swagger UI's icons stand in its style sheet
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
REDOC_POLICY = POLICY | {
    "style-src": "'self' 'unsafe-inline'",  # ReDoc makes its <style> elements while it runs, and stops without them
    "worker-src": "blob:",  # its search runs in a worker that it makes from a blob
}
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" type="image/svg+xml" href="{assets}/icon.svg">
<link rel="stylesheet" href="{assets}/page.css">
"""
SWAGGER = f"""{HEAD}<title>SOFIPO: calls to try out</title>
<link rel="stylesheet" href="{{assets}}/swagger-ui.css">
</head>
<body>
<div id="documentation"></div>
<script src="{{assets}}/swagger-ui-bundle.js"></script>
<script src="{{assets}}/swagger.js"></script>
</body>
</html>
"""
REDOC = f"""{HEAD}<title>SOFIPO: reference</title>
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="{{assets}}/redoc.standalone.js"></script>
</body>
</html>
"""
PAGES = {"/docs": (SWAGGER, POLICY), "/swagger": (SWAGGER, POLICY), "/redoc": (REDOC, REDOC_POLICY)}


def install(app: FastAPI) -> None:
    """Add the pages and their assets behind all other routes: routes are tried in order."""
    assets = f"/docs/assets/{_digest()}"
    for path, (page, policy) in PAGES.items():
        app.router.routes.append(Route(path, _page(page.format(assets=assets), policy)))
    app.router.routes.append(Route(assets + "/{name}", _asset))
    # ReDoc asks for its logo below the address of its page, whichever way that is spelled.
    for path in ("/redoc/logo-mini.svg", "/redoc//logo-mini.svg"):
        app.router.routes.append(Route(path, _logo))


def _page(content: str, policy: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-cache",
    }

    async def page(_: Request) -> Response:
        return HTMLResponse(content, headers=headers)

    return page


async def _asset(request: Request) -> Response:
    if request.path_params["name"] not in ASSETS:
        raise NotFound
    path, media_type = ASSETS[request.path_params["name"]]
    return FileResponse(path, media_type=media_type, headers=FOR_EVER)


async def _logo(_: Request) -> Response:
    return FileResponse(LOGO, media_type="image/svg+xml")


@functools.cache
def _digest() -> str:
    digest = hashlib.sha256()
    for path, _ in ASSETS.values():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
