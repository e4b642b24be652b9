"""What the consumer is able to do right now, told over HTTP: /livez, /readyz."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from event_consumer.couchdb import CouchDB, CouchDBAway
from event_consumer.settings import Settings


@dataclass(slots=True)
class Health:
    """The consumer's troubles as sentences, None where there is none, and what it has done since its start."""

    broker: str | None = "not connected yet"
    couchdb: str | None = "not asked yet"
    policy: str | None = "not set yet"
    done: dict[str, int] = field(default_factory=lambda: {"stored": 0, "already_stored": 0, "parked": 0, "retried": 0})

    def report(self) -> tuple[int, dict[str, object]]:
        """HTTP status and body of /readyz. Without the policy events flow, so its lack only degrades."""
        troubles = {"broker": self.broker, "couchdb": self.couchdb, "policy": self.policy}
        ready = self.broker is None and self.couchdb is None
        status = "unready" if not ready else "ready" if self.policy is None else "degraded"
        parts = {name: trouble or "ok" for name, trouble in troubles.items()}
        return 200 if ready else 503, {"status": status, **parts, "done": self.done}


def application(health: Health, couchdb: CouchDB) -> Starlette:
    """The two endpoints. /readyz asks CouchDB itself, because an idle consumer has no reason to notice its absence."""

    async def livez(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> JSONResponse:
        status, body = health.report()
        try:
            await couchdb.up()
        except CouchDBAway as away:
            status, body = 503, {**body, "status": "unready", "couchdb": str(away)}
        return JSONResponse(body, status_code=status)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz)])


class Server(uvicorn.Server):
    """The HTTP server of these endpoints; signals are the consumer's own business."""

    def __init__(self, settings: Settings, application: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host=settings.consumer_health_host,
                port=settings.consumer_health_port,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no handlers."""
        yield
