"""`sofipo outbox`: events on their way to the broker and on to CouchDB, and those that were set aside."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from backend_api.cli.printing import AsJson, tell

if TYPE_CHECKING:
    from backend_api.outbox.parked import OutboxStatus, ParkedMessage

outbox = typer.Typer(help="Events on their way to the broker.", no_args_is_help=True, pretty_exceptions_enable=False)

Limit = Annotated[int, typer.Option(min=1, help="At most so many of the outbox, and of the consumer's messages.")]
SHOWN = 100


@outbox.command("status")
def status(as_json: AsJson = False) -> None:
    """How many events wait, for how long, who sends them, and how many are parked."""
    found, messages = _look(SHOWN)
    oldest = "nothing waits" if found.oldest_seconds is None else f"oldest {found.oldest_seconds:.1f} s"
    lines = [f"waiting: {found.interactive} interactive, {found.bulk} bulk ({oldest})"]
    if found.relay_heartbeat_seconds is None:
        lines.append("relay: none has led yet; start one with `sofipo relay`")
    else:
        lines.append(f"relay: term {found.relay_epoch}, last sign of life {found.relay_heartbeat_seconds:.1f} s ago")
    set_aside = len(found.parked) + len(messages)
    if set_aside:
        counts = f"{len(found.parked)} events, {len(messages)} messages"
        lines.append(f"parked: {counts}; see `sofipo outbox parked`")
    else:
        lines.append("parked: nothing")
    data = asdict(found) | {"parked": len(found.parked), "parked_messages": len(messages)}
    tell(data, lines, as_json=as_json)


@outbox.command("parked")
def parked(limit: Limit = SHOWN, as_json: AsJson = False) -> None:
    """What was set aside and why: events by the relay, messages by the consumer."""
    found, messages = _look(limit)
    lines = [f"event {event.event_id} since {event.since:%Y-%m-%d %H:%M:%S}Z: {event.reason}" for event in found.parked]
    lines += [f"message {one.message_id} since {one.since or 'unknown'}: {one.reason}" for one in messages]
    if lines:
        lines.append("after mending the cause: `sofipo outbox replay ID…` or `sofipo outbox replay --all`")
    data = {"events": [asdict(event) for event in found.parked], "messages": [asdict(one) for one in messages]}
    tell(data, lines or ["parked: nothing"], as_json=as_json)


@outbox.command("replay")
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="As `outbox parked` names them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is parked.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Look at so many messages of the consumer's parking lot.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Try parked events and messages again. Safe to repeat: what is stored already is recognised.

    Exit code 1 when one of these ids is not parked.
    """
    from backend_api.cli.session import ask, run
    from backend_api.outbox import broker
    from backend_api.outbox import parked as parking
    from backend_api.settings import Settings

    if everything == bool(ids):
        raise typer.BadParameter("Name ids, or say --all.")
    wanted = None if everything else frozenset(ids or ())
    events = ask(lambda connection: parking.replay_parked(connection, wanted))
    messages = run(parking.replay_parked_messages(broker.url(Settings()), limit, wanted))
    unknown = sorted((wanted or frozenset()) - {*events, *messages})
    lines = [f"events tried again: {len(events)}", f"messages put back: {len(messages)}"]
    lines += [f"not parked: {one}" for one in unknown]
    tell({"events": events, "messages": messages, "not_parked": unknown}, lines, as_json=as_json)
    if unknown:
        raise typer.Exit(1)


@outbox.command("relay-alive")
def relay_alive() -> None:
    """Exit code 0 when a relay on this host is at work and some relay leads, 1 otherwise: the relay's health check."""
    from backend_api.cli import relay_health
    from backend_api.cli.session import ask

    if complaint := ask(relay_health.complaint):
        sys.exit(complaint)


def _look(limit: int) -> "tuple[OutboxStatus, list[ParkedMessage]]":
    """The outbox, and what the consumer set aside."""
    from backend_api.cli.session import ask, run
    from backend_api.outbox import broker
    from backend_api.outbox import parked as parking
    from backend_api.settings import Settings

    found = ask(lambda connection: parking.status(connection, limit))
    return found, run(parking.parked_messages(broker.url(Settings()), limit))
