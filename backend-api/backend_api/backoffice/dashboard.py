"""Where the day begins: how the lender stands, what is late, due, and waiting, each with the way to its list."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import structlog
from aio_pika.exceptions import AMQPError
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.backoffice import charts
from backend_api.backoffice.api import Api
from backend_api.backoffice.charts import Share
from backend_api.backoffice.pages import Staff
from backend_api.backoffice.show import duration
from backend_api.clients.statement.spanish import amount, count
from backend_api.domain.money import ZERO
from backend_api.http.resources import Resources, resources_of
from backend_api.outbox import broker, parked
from backend_api.outbox.parked import OutboxStatus, Queue
from backend_api.pages import door
from backend_api.pages.render import page
from backend_api.portfolio.schemas import DashboardOut, LateOut

log = structlog.get_logger(__name__)
router = APIRouter()

CanSeeEvents = Annotated[Principal, Depends(door.page_for(Permission.AUDIT_READ))]
OWED = "/cartera"
"""The list of the loans that are owed."""
NAMED = 8
"""So many of the loans that are due today stand on the page."""
MONTH = timedelta(days=30)
BROKER_AWAY = (AMQPError, OSError, TimeoutError)
AGES = {
    0: ("Al corriente", "good"), 1: ("1 a 30 días", "some"), 31: ("31 a 89 días", "more"), 90: ("90 días o más", "bad"),
}  # fmt: skip
"""What a span of days past due is called and looks like, by its first day."""
LATE_SECONDS = 30.0
"""An event that has waited longer is late, as health says it too."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, with the way to what is behind it. `bad` is one that somebody has to do something about."""

    title: str
    value: str
    remark: str
    path: str
    bad: bool = False


@router.get("", operation_id="officeStart")
async def show_start(request: Request, principal: Staff) -> Response:
    """The first page."""
    api = Api(request, principal)
    api.check("getDashboard")
    figures = DashboardOut.model_validate((await api.call("getDashboard", {})).data)
    return page(
        request,
        "dashboard.html",
        **context(figures),
        may_register=api.may("createClient"),
        sees_events=Permission.AUDIT_READ in principal.permissions,
        problem=None,
    )


@router.get("/inicio/eventos", operation_id="officeStartEvents")
async def show_events(request: Request, principal: CanSeeEvents) -> Response:
    """How far events are on their way, as a part of the first page that comes after it: the broker is asked for it."""
    resources = resources_of(request)
    outbox, queue = await asyncio.gather(_outbox(resources), _queue(resources))
    return page(request, "dashboard_events.html", tiles=event_tiles(outbox, queue))


def context(figures: DashboardOut) -> dict[str, Any]:
    """What the page shows of these figures."""
    trend = figures.trend
    return {
        "on": figures.on,
        "closed_through": figures.closed_through,
        "tiles": _tiles(figures),
        "charts": [charts.portfolio(trend), charts.imor(trend)] if trend else [],
        "flow": charts.flow(figures.flow),
        "ages": _ages(figures.late),
        "due": figures.due_today.loans[:NAMED],
        "due_more": max(figures.due_today.count - NAMED, 0),
        "due_path": _due_path(figures),
    }


def event_tiles(outbox: OutboxStatus, queue: Queue | None) -> list[Tile]:
    """What waits in the outbox, and in the consumer's queue (None: the broker does not answer)."""
    waiting = outbox.interactive + outbox.bulk
    oldest = "Nada espera." if outbox.oldest_seconds is None else f"El más antiguo, {duration(outbox.oldest_seconds)}."
    late = outbox.oldest_seconds is not None and outbox.oldest_seconds > LATE_SECONDS
    tiles = [Tile("Eventos por enviar", f"{waiting:,}", oldest, "/eventos", bad=late or bool(outbox.parked))]
    if queue is None:
        return [*tiles, Tile("Eventos por guardar", "–", "RabbitMQ no contesta.", "/eventos", bad=True)]
    running = "El consumidor está en marcha." if queue.consumers else "Ningún consumidor está en marcha."
    return [*tiles, Tile("Eventos por guardar", f"{queue.messages:,}", running, "/eventos", bad=not queue.consumers)]


def _tiles(figures: DashboardOut) -> list[Tile]:
    today, due, last = figures.flow[-1], figures.due_today, figures.trend[-1] if figures.trend else None
    late = [age for age in figures.late if age.days_from]
    late_loans, late_principal = sum(age.loans for age in late), sum((age.principal for age in late), ZERO)
    closing = f"{_credits(last.loans if last else 0)} al cierre"
    more = "" if due.count == len(due.loans) else ", sin contar los que no caben aquí"
    return [
        Tile("Cartera", amount(last.balance) if last else "–", closing, OWED),
        Tile("Estimaciones", amount(last.provisions) if last else "–", "Reserva por riesgo, al cierre", OWED),
        Tile("IMOR", f"{last.imor}%" if last and last.imor else "–", _before(figures), f"{OWED}?stage=3"),
        Tile("Cobrado hoy", amount(today.received), f"Salidas de hoy: {amount(today.paid_out)}", "/pagos"),
        Tile("Vence hoy", amount(due.amount), f"{_credits(due.count)}{more}", _due_path(figures)),
        Tile("Con atraso", amount(late_principal), f"Capital de {_credits(late_loans)}", f"{OWED}?days_from=1",
             bad=late_loans > 0),
        Tile("Autorizaciones", str(figures.approvals.count), f"En espera, por {amount(figures.approvals.amount)}",
             "/autorizaciones?status=PENDING"),
        Tile("Por disponer", str(figures.loans_pending.count), f"Créditos por {amount(figures.loans_pending.amount)}",
             "/creditos?status=PENDING"),
    ]  # fmt: skip


def _before(figures: DashboardOut) -> str:
    """What the IMOR was a month before the last closed day."""
    if not figures.trend:
        return "Todavía no se cierra ningún día."
    day = figures.trend[-1].on - MONTH
    before = min(figures.trend, key=lambda point: abs(point.on - day))
    return f"Hace {count((figures.trend[-1].on - before.on).days, 'día', 'días')}: {before.imor or 0}%"


def _ages(late: list[LateOut]) -> list[Share]:
    """The spans of days past due, side by side."""
    widths = charts.widths([age.principal for age in late])
    return [
        Share(AGES[age.days_from][0], age.loans, age.principal, width, AGES[age.days_from][1], _age_path(age))
        for age, width in zip(late, widths, strict=True)
    ]


def _age_path(age: LateOut) -> str:
    return f"{OWED}?days_from={age.days_from}" + ("" if age.days_to is None else f"&days_to={age.days_to}")


def _due_path(figures: DashboardOut) -> str:
    return f"{OWED}?next_due_on={figures.on}"


def _credits(number: int) -> str:
    return count(number, "crédito", "créditos")


async def _outbox(resources: Resources) -> OutboxStatus:
    async with resources.databases.writer.ask() as connection:
        return await parked.status(connection, limit=1)


async def _queue(resources: Resources) -> Queue | None:
    try:
        return await parked.queue(broker.url(resources.settings))
    except BROKER_AWAY as error:
        log.warning("broker_unavailable", error=type(error).__name__)
        return None
