"""The reference of the cached read: an async FastAPI endpoint that returns bytes of the same size, and nothing else.

FastAPI's built-in telemetry stays at its default.
"""

import os

from fastapi import FastAPI, Response

BODY_BYTES = "BENCH_BODY_BYTES"


def create_app() -> FastAPI:
    """The application; the environment says how many bytes it answers."""
    app = FastAPI()
    body = b'"' + b"x" * (int(os.environ[BODY_BYTES]) - 2) + b'"'

    @app.get("/")
    async def empty() -> Response:
        return Response(body, media_type="application/json")

    return app
