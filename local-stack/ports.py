"""The ports of a stack: known base numbers, one offset for all of them, and who holds a port that is taken."""

import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from refusal import Refusal

# Port of each listener at offset 0, and the program that opens it.
BASE: dict[str, tuple[int, str]] = {
    "api": (8000, "api"),
    "sandbox-gateway": (8002, "sandbox-gateway"),
    "rabbitmq-management": (15672, "rabbitmq"),
    "couchdb": (5984, "couchdb"),
    "primary": (27001, "postgres-primary"),
    "replica": (27002, "postgres-replica"),
    "redis": (27003, "redis"),
    "amqp": (27004, "rabbitmq"),
    "erlang-distribution": (27005, "rabbitmq"),
    "epmd": (27006, "epmd"),
    "consumer-health": (27008, "consumer"),
}
_HIGHEST_BASE = max(port for port, _ in BASE.values())
_HIGHEST_PORT = 65535
# Automatic blocks stay below 32768, where the kernel hands out ports for outgoing connections.
_AUTOMATIC_OFFSETS = range(1_100, 5_700, 20)


def at(offset: int) -> dict[str, int]:
    """All ports of a stack, by listener, with the offset added to each."""
    return {listener: base + offset for listener, (base, _) in BASE.items()}


def offset_from(environment: Mapping[str, str]) -> int | None:
    """The operator's PORT_OFFSET, or None when it is not set. A value that cannot work is refused."""
    text = environment.get("PORT_OFFSET", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) + _HIGHEST_BASE > _HIGHEST_PORT:
        raise Refusal(f"PORT_OFFSET must be a whole number from 0 to {_HIGHEST_PORT - _HIGHEST_BASE}, not {text!r}.")
    return int(text)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_offset(seed: str, free: Callable[[int], bool] = is_free) -> int:
    """An offset whose ports are all free and not one of the known base ports. The seed spreads checkouts apart."""
    known = set(at(0).values())
    count = len(_AUTOMATIC_OFFSETS)
    first = zlib.crc32(seed.encode()) % count
    for step in range(count):
        wanted = at(_AUTOMATIC_OFFSETS[(first + step) % count]).values()
        if known.isdisjoint(wanted) and all(map(free, wanted)):
            return _AUTOMATIC_OFFSETS[(first + step) % count]
    raise Refusal("No free block of ports was found; name one with PORT_OFFSET=<number>.")


def refuse_if_taken(offset: int, listeners: Iterable[str], remedy: str) -> None:
    """Refuses, naming the port, the program that wants it and the process that holds it, before anything starts."""
    wanted = at(offset)
    for listener in listeners:
        port = wanted[listener]
        if not is_free(port):
            holder = _holder(port)
            by = f"by {holder}" if holder else "by another process"
            raise Refusal(
                f"Port {port}, which {BASE[listener][1]} needs, is taken {by}: stop that process or move all ports, "
                f"for example with PORT_OFFSET={free_offset(str(port))} {remedy}."
            )


def _holder(port: int) -> str | None:
    """Name and pid of the listening process, when the kernel lets us see it."""
    inodes = set(_listening_inodes(port))
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.removeprefix("socket:[").removesuffix("]") in inodes:
            process = descriptor.parent.parent
            return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                yield fields[9]
