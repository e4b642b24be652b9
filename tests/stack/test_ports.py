"""Ports: one offset moves them all, a block is chosen free, and a taken port is told before anything starts."""

import os
import re
import socket
from collections.abc import Iterator

import ports
import pytest
from refusal import Refusal


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of the loopback interface that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_offset_is_added_to_every_port() -> None:
    known, moved = ports.at(0), ports.at(250)
    assert {name: port + 250 for name, port in known.items()} == moved
    assert (known["api"], known["rabbitmq-management"], known["couchdb"]) == (8000, 15672, 5984)
    assert len(set(known.values())) == len(known)


@pytest.mark.parametrize(("text", "offset"), [(None, None), ("", None), ("0", 0), ("1200", 1200)])
def test_the_offset_comes_from_the_environment(text: str | None, offset: int | None) -> None:
    assert ports.offset_from({} if text is None else {"PORT_OFFSET": text}) == offset


@pytest.mark.parametrize("text", ["x", "-1", "1.5", " 5", "38528", "999999"])
def test_an_offset_that_cannot_work_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match=r"PORT_OFFSET must be a whole number from 0 to 38527"):
        ports.offset_from({"PORT_OFFSET": text})


def test_a_free_block_avoids_taken_and_known_ports() -> None:
    first = ports.free_offset("seed", free=lambda _: True)
    unlucky = ports.at(first)["redis"]
    second = ports.free_offset("seed", free=lambda port: port != unlucky)
    assert second != first
    assert not set(ports.at(second).values()) & set(ports.at(0).values())
    assert max(ports.at(second).values()) < 32768


def test_no_free_block_is_said() -> None:
    with pytest.raises(Refusal, match="PORT_OFFSET"):
        ports.free_offset("seed", free=lambda _: False)


def test_a_listener_takes_a_port_and_its_end_frees_it(taken: int) -> None:
    assert not ports.is_free(taken)


def test_a_taken_port_is_named_with_program_holder_and_remedy(taken: int) -> None:
    offset = taken - ports.at(0)["epmd"]
    with pytest.raises(Refusal) as refused:
        ports.refuse_if_taken(offset, ["epmd"], "make up")
    sentence = str(refused.value)
    assert f"Port {taken}, which epmd needs, is taken by " in sentence
    assert f"(pid {os.getpid()})" in sentence
    assert re.search(r"PORT_OFFSET=\d+ make up\.$", sentence)
