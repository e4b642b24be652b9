"""Events on their way: what waits in the outbox, and what was parked there or beside the consumer's queue."""

from collections.abc import Sequence
from typing import Annotated
from zoneinfo import ZoneInfo

import structlog
from aio_pika.exceptions import AMQPError
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.backoffice.names import Names
from backend_api.backoffice.show import Column, Kind, Writer, duration
from backend_api.http.problems import Busy
from backend_api.http.resources import Resources, resources_of
from backend_api.outbox import broker, parked
from backend_api.outbox.parked import ParkedMessage
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import space_of

log = structlog.get_logger(__name__)
router = APIRouter()

CanSee = Annotated[Principal, Depends(door.page_for(Permission.AUDIT_READ))]
CanReplay = Annotated[Principal, Depends(door.page_for(Permission.EVENTS_REPLAY))]
SHOWN = 100
"""So many parked messages are looked at, and put back at once."""
BROKER_AWAY = (AMQPError, OSError, TimeoutError)
SINCE = Column("Desde", "since", Kind.MOMENT)


@router.get("/eventos", operation_id="officeEvents")
async def show_events(request: Request, principal: CanSee) -> Response:
    """How many wait, for how long, and what was parked with which reason."""
    resources = resources_of(request)
    async with resources.databases.writer.ask() as connection:
        status = await parked.status(connection, SHOWN)
    messages = await _messages(resources)
    writer = Writer(Names(), ZoneInfo(resources.settings.business_time_zone))
    facts = [
        ("Esperan de operaciones", f"{status.interactive:,}"),
        ("Esperan de procesos masivos", f"{status.bulk:,}"),
        ("El más antiguo espera", duration(status.oldest_seconds)),
        ("El envío dio señales hace", duration(status.relay_heartbeat_seconds)),
    ]
    events = [
        {"id": event.event_id, "reason": event.reason, "since": writer.moment(event.since)} for event in status.parked
    ]
    return page(
        request,
        "events.html",
        facts=facts,
        events=events,
        messages=None if messages is None else [_described(writer, message) for message in messages],
        may_replay=Permission.EVENTS_REPLAY in principal.permissions,
        problem=None,
    )


@router.post("/eventos/reintentar", operation_id="officeReplay")
async def replay(request: Request, principal: CanReplay) -> Response:
    """A parked event, or one or all parked messages, are tried again. What is stored already is recognised, so that
    doing it twice does no harm."""
    resources, fields = resources_of(request), await door.fields_of(request)
    if "evento" in fields:
        async with resources.databases.writer.ask() as connection:
            moved = await parked.replay_parked(connection, [fields["evento"]])
    else:
        moved = await _replay_messages(resources, fields.get("mensaje"))
    log.info("parked_replayed", actor=principal.actor, moved=moved)
    return see_other(f"{space_of(request).base}/eventos", aviso="reintento")


async def _replay_messages(resources: Resources, message_id: str | None) -> list[str]:
    wanted = None if message_id is None else [message_id]
    try:
        return await parked.replay_parked_messages(broker.url(resources.settings), SHOWN, wanted)
    except BROKER_AWAY as error:
        log.warning("broker_unavailable", error=type(error).__name__)
        raise Busy from error


async def _messages(resources: Resources) -> Sequence[ParkedMessage] | None:
    """The parked messages; None while the broker does not answer."""
    try:
        return await parked.parked_messages(broker.url(resources.settings), SHOWN)
    except BROKER_AWAY as error:
        log.warning("broker_unavailable", error=type(error).__name__)
        return None


def _described(writer: Writer, message: ParkedMessage) -> dict[str, str]:
    since = writer.cell(SINCE, {"since": message.since}).text
    return {"id": message.message_id, "kind": message.routing_key, "reason": message.reason, "since": since}
