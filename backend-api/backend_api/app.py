"""The API: `create_app` and the lifespan, the only place where anything of it is opened or closed."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.middleware.cors import CORSMiddleware

from backend_api import logs
from backend_api.approvals import endpoints as approvals
from backend_api.audit.archive import open_archive
from backend_api.audit.endpoints import router as audit
from backend_api.auth.access import open_access
from backend_api.auth.api_keys.endpoints import router as api_keys
from backend_api.auth.dependencies import check_declared
from backend_api.auth.endpoints import router as auth
from backend_api.auth.users.endpoints import router as users
from backend_api.backoffice import endpoints as backoffice
from backend_api.clients.endpoints import router as clients
from backend_api.clients.readers import open_readers
from backend_api.customer_space import endpoints as customer_space
from backend_api.customer_space.pages import endpoints as customer_pages
from backend_api.decoys import endpoints as decoys
from backend_api.decoys.service import open_recorder
from backend_api.exports.endpoints import router as exports
from backend_api.http import documentation, health, openapi, problems
from backend_api.http.edge import Edge
from backend_api.http.limits import open_limits
from backend_api.imports.endpoints import router as imports
from backend_api.ledger.endpoints import router as ledger
from backend_api.legacy.espacio_clientes.endpoints import router as espacio_clientes
from backend_api.legacy.mo_app.endpoints import router as mo_app
from backend_api.loans import approvable as approvable_loans
from backend_api.loans.endpoints import router as loans
from backend_api.opening import open_resources
from backend_api.payments import approvable as approvable_payments
from backend_api.payments.endpoints import router as payments
from backend_api.portfolio.endpoints import router as portfolio
from backend_api.products.endpoints import router as products
from backend_api.settings import Settings

CORS_REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-API-Key", "X-Consistency-Token",
    "X-Request-ID", "traceparent",
)  # fmt: skip
CORS_ANSWER_HEADERS = (
    "ETag", "Idempotent-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Cache",
    "X-Consistency-Token", "X-Request-ID",
)  # fmt: skip
HOT = frozenset({"getClient", "payLoan"})
APPROVABLE = {**approvable_loans.USE_CASES, **approvable_payments.USE_CASES}


class Welcome(BaseModel):
    """What stands at the root."""

    name: str = Field(examples=["SOFIPO"])
    documentation: str = Field(examples=["/docs"])
    openapi: str = Field(examples=["/openapi.json"])
    health: str = Field(examples=["/readyz"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the resources for as long as the process serves."""
    _require_uvloop()
    settings: Settings = app.state.settings
    logs.configure(settings.log_level)
    async with (
        open_resources(settings) as resources,
        open_access(settings, resources.databases.writer) as access,
        open_limits(settings, resources.redis) as limits,
        open_recorder(resources) as recorder,
        open_readers(resources.databases.writer) as readers,
        open_archive(settings) as archive,
    ):
        app.state.resources = resources
        app.state.access = access
        app.state.limits = limits
        app.state.decoys = recorder
        app.state.readers = readers
        app.state.archive = archive
        # What start-up allocated lives for ever: without this every full collection walks over it (p99 39 → 10 ms).
        gc.collect()
        gc.freeze()
        yield


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Settings come from the environment unless they are passed in."""
    app = FastAPI(
        title="SOFIPO",
        version="0.1.0",
        summary="Loan servicing: clients, loans and payments, every change an event.",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.settings = settings or Settings()
    problems.install(app)
    # Flat: FastAPI matches an included router twice per level, a quarter of a cached read (measured). Routes are tried
    # in order, so the two hot paths stand in front.
    decisions = approvals.router_for(APPROVABLE, approvable_loans.CONFLICTS)
    routers = (
        clients, payments, loans, decisions, products, portfolio, ledger, audit, imports, exports, auth, users,
        api_keys, decoys.router, customer_space.router, customer_space.notices, mo_app, espacio_clientes,
    )  # fmt: skip
    routes = [route for router in routers for route in router.routes]
    app.router.routes[:0] = sorted(routes, key=lambda route: getattr(route, "operation_id", None) not in HOT)
    app.include_router(health.router)
    app.add_api_route("/", welcome, operation_id="welcome", tags=["System"], summary="What this is")
    app.router.routes.extend(customer_pages.routes())
    app.router.routes.extend(backoffice.routes(app.state.settings.backoffice_path))
    check_declared(app.routes)
    app.router.routes.extend(decoys.routes())
    app.add_middleware(Edge, settings=app.state.settings)
    if app.state.settings.allowed_origins:
        # Outermost, so that a page may read refusals too. No cookies, so no credentials of the browser's own.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=app.state.settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_ANSWER_HEADERS,
        )
    openapi.install(app)
    documentation.install(app)
    return app


async def welcome() -> Welcome:
    """What this is and where the documentation stands."""
    return Welcome(name="SOFIPO", documentation="/docs", openapi=openapi.PATH, health="/readyz")


def _require_uvloop() -> None:
    """Several workers on asyncio's own loop answer every request 44 ms late (no TCP_NODELAY on the shared socket)."""
    if not isinstance(asyncio.get_running_loop(), uvloop.Loop):
        raise RuntimeError("run the API on uvloop: uvicorn --loop uvloop")  # noqa: TRY004 - nobody passed an argument
