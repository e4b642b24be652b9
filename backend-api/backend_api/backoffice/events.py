"""Events on their way: what waits in the outbox, and what was parked there or beside the consumer's queue."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import orjson
import structlog
from aio_pika.exceptions import AMQPError
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.backoffice.names import Names
from backend_api.backoffice.pages import ROWS
from backend_api.backoffice.show import Column, Kind, Writer, duration
from backend_api.http.problems import Busy, FieldRefused
from backend_api.http.resources import Resources, resources_of
from backend_api.http.signing import SignatureInvalidError
from backend_api.outbox import broker, parked
from backend_api.outbox.parked import ParkedEvent, ParkedMessage
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import space_of

log = structlog.get_logger(__name__)
router = APIRouter()

CanSee = Annotated[Principal, Depends(door.page_for(Permission.AUDIT_READ))]
CanReplay = Annotated[Principal, Depends(door.page_for(Permission.EVENTS_REPLAY))]
EVENTS, MESSAGES = "eventos", "mensajes"
"""The lists of the page, by the names that their places have in its address."""
REACH = 1000
"""So many parked messages are looked at, and put back at once."""
BROKER_AWAY = (AMQPError, OSError, TimeoutError)
SINCE = Column("Desde", "since", Kind.MOMENT)


@router.get("/eventos", operation_id="officeEvents")
async def show_events(request: Request, principal: CanSee) -> Response:
    """How many wait, for how long, and what was parked with which reason."""
    resources = resources_of(request)
    events_after, messages_after = _place(request, EVENTS), _place(request, MESSAGES)
    last = ParkedEvent(events_after[1], "", datetime.fromisoformat(events_after[0])) if events_after else None
    async with resources.databases.writer.ask() as connection:
        status = await parked.status(connection, ROWS + 1, last)
    found = await _messages(resources)
    waiting = [message for message in found or [] if messages_after is None or message.place > tuple(messages_after)]
    events, messages = status.parked[:ROWS], waiting[:ROWS]
    more_events = (events[-1].since.isoformat(), events[-1].event_id) if len(status.parked) > ROWS else None
    more_messages = messages[-1].place if len(waiting) > ROWS else None
    writer = Writer(Names(), ZoneInfo(resources.settings.business_time_zone))
    facts = [
        ("Esperan de operaciones", f"{status.interactive:,}"),
        ("Esperan de procesos masivos", f"{status.bulk:,}"),
        ("El más antiguo espera", duration(status.oldest_seconds)),
        ("El envío dio señales hace", duration(status.relay_heartbeat_seconds)),
    ]
    return page(
        request,
        "events.html",
        facts=facts,
        events=[{"id": one.event_id, "reason": one.reason, "since": writer.moment(one.since)} for one in events],
        events_pages=_pages(request, EVENTS, more_events),
        messages=None if found is None else [_described(writer, message) for message in messages],
        messages_pages=_pages(request, MESSAGES, more_messages),
        may_replay=Permission.EVENTS_REPLAY in principal.permissions,
        problem=None,
    )


@router.post("/eventos/reintentar", operation_id="officeReplay")
async def replay(request: Request, principal: CanReplay) -> Response:
    """A parked event, or one or all parked messages, are tried again. What is stored already is recognised, so that
    doing it twice does no harm. Nothing is promised when there was none: somebody else has done it, or looks at them
    just now, which takes them out of their queue."""
    resources, fields = resources_of(request), await door.fields_of(request)
    if "evento" in fields:
        async with resources.databases.writer.ask() as connection:
            moved = await parked.replay_parked(connection, [fields["evento"]])
    else:
        moved = await _replay_messages(resources, fields.get("mensaje"))
    log.info("parked_replayed", actor=principal.actor, moved=moved)
    return see_other(f"{space_of(request).base}/eventos", **({"aviso": "reintento"} if moved else {}))


async def _replay_messages(resources: Resources, message_id: str | None) -> list[str]:
    wanted = None if message_id is None else [message_id]
    try:
        return await parked.replay_parked_messages(broker.url(resources.settings), REACH, wanted)
    except BROKER_AWAY as error:
        log.warning("broker_unavailable", error=type(error).__name__)
        raise Busy from error


async def _messages(resources: Resources) -> Sequence[ParkedMessage] | None:
    """The parked messages; None while the broker does not answer."""
    try:
        return await parked.parked_messages(broker.url(resources.settings), REACH)
    except BROKER_AWAY as error:
        log.warning("broker_unavailable", error=type(error).__name__)
        return None


def _place(request: Request, name: str) -> Sequence[str] | None:
    """The last that was shown of one of the lists; None for its beginning. Raises `FieldRefused`."""
    cursor = request.query_params.get(name)
    if cursor is None:
        return None
    try:
        place: list[str] = orjson.loads(resources_of(request).cursor_signer.verify(cursor, _audience(name)))
    except SignatureInvalidError as error:
        raise FieldRefused(f"query:{name}", "cursor_invalid", "This cursor was not issued for this list.") from error
    return place


def _pages(request: Request, name: str, last: Sequence[str] | None) -> dict[str, str | None]:
    """Where one of the lists begins and goes on after this one; the other list stays where it is."""
    asked = {other: request.query_params[other] for other in (EVENTS, MESSAGES) if other in request.query_params}
    others = {other: cursor for other, cursor in asked.items() if other != name}
    signer = resources_of(request).cursor_signer

    def address(**cursor: str) -> str:
        query = urlencode({**others, **cursor})
        return f"{request.url.path}{'?' if query else ''}{query}#{name}"

    return {
        "beginning": address() if name in asked else None,
        "following": address(**{name: signer.sign(orjson.dumps(last), _audience(name))}) if last else None,
    }


def _audience(name: str) -> str:
    return f"parked {name}"


def _described(writer: Writer, message: ParkedMessage) -> dict[str, str]:
    since = writer.cell(SINCE, {"since": message.since}).text
    return {"id": message.message_id, "kind": message.routing_key, "reason": message.reason, "since": since}
