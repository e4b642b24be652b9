"""The consumer as a process: started, stopped, killed, and asked how it is."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import httpx2
import pytest
from event_consumer.health import Health
from event_consumer.settings import Settings
from event_consumer.topology import policy

from tests.consumer.stack import Envelope, Stack, envelopes, eventually
from tests.support.processes import free_port
from tests.support.proxy import Mode, Proxy

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = "event_consumer.handler:Consumer"
NAIVE = "tests.consumer.naive:AcknowledgesFirst"


@asynccontextmanager
async def process(*arguments: str, **variables: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Starts python with arguments and more environment variables; kills it in the end if it still runs."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "event-consumer")])
    environment = {**os.environ, "PYTHONPATH": paths, **{name.upper(): str(value) for name, value in variables.items()}}
    started = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


@asynccontextmanager
async def consumer_process(
    stack: Stack, consumer: str = CONSUMER, **variables: object
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A consumer on the test's own names; the process and the address of its health endpoints."""
    names = json.dumps({"topology": asdict(stack.topology), "database": stack.database})
    port = free_port()
    arguments = ("-m", "tests.consumer.process", names, consumer)
    async with process(*arguments, consumer_health_port=port, **variables) as started:
        yield started, f"http://127.0.0.1:{port}"


async def health(address: str, path: str = "/readyz") -> tuple[int, dict[str, object]]:
    """Status and body of a health endpoint, status 0 while nobody listens."""
    async with httpx2.AsyncClient(timeout=15.0) as client:
        try:
            answer = await client.get(address + path)
        except httpx2.TransportError:
            return 0, {}
        return answer.status_code, answer.json()


async def is_ready(address: str) -> bool:
    return (await health(address))[0] == 200


async def stopped(started: asyncio.subprocess.Process, seconds: float = 8) -> int:
    """Sends SIGTERM; the exit status."""
    started.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(started.wait(), seconds)


async def test_kills_in_the_middle_of_batches_lose_and_double_nothing(stack: Stack, couchdb_proxy: Proxy) -> None:
    chance = random.Random(20261121)
    sent: list[Envelope] = []
    interrupted = 0
    # Replies come late, so that most kills hit between the write in CouchDB and the acknowledgement.
    couchdb_proxy.delay = 0.05
    await couchdb_proxy.become(Mode.DELAY)
    for _ in range(8):
        stored = await stack.stored()
        more = envelopes(1000)
        await stack.publish(more)
        sent += more
        async with consumer_process(stack, couchdb_port=couchdb_proxy.port) as (killed, _):

            async def progressed(stored: int = stored) -> bool:
                return await stack.stored() > stored

            await eventually(progressed)
            await asyncio.sleep(chance.uniform(0, 0.1))
            killed.kill()
            await killed.wait()
        interrupted += await stack.stored() < len(sent)
    assert interrupted >= 4, "most kills must hit a consumer that has work, or this shows nothing"
    await couchdb_proxy.become(Mode.PASS)
    async with consumer_process(stack) as (last, _):
        await eventually(lambda: stack.holds(sent), 60)
        assert await stopped(last) == 0
    assert await stack.waiting() == 0
    assert await stack.parked() == []


async def killed_with_events_in_hand(stack: Stack, couchdb_proxy: Proxy, consumer: str) -> int:
    """Kills a consumer that has 50 events in hand and none in CouchDB; how many are still in the queue.

    CouchDB is offered them and never hears of it: by then the naive one has acknowledged.
    """
    offered = False

    def swallow(data: bytes) -> bytes | None:
        nonlocal offered
        if b"_bulk_docs" not in data:
            return None
        offered = True
        return b""

    async with consumer_process(stack, consumer, couchdb_port=couchdb_proxy.port) as (killed, address):
        await eventually(lambda: is_ready(address))
        couchdb_proxy.on_request = swallow
        await stack.publish(envelopes(50))

        async def in_hand() -> bool:
            return offered and await stack.waiting() == 0

        await eventually(in_hand)
        killed.kill()
        await killed.wait()

    async def noticed() -> bool:
        handle = await stack.channel.declare_queue(stack.topology.queue, passive=True)
        return handle.declaration_result.consumer_count == 0

    await eventually(noticed)
    return await stack.waiting()


async def test_a_kill_with_events_in_hand_gives_them_back(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await killed_with_events_in_hand(stack, couchdb_proxy, CONSUMER) == 50


async def test_control_a_kill_after_acknowledging_first_loses_them(stack: Stack, couchdb_proxy: Proxy) -> None:
    assert await killed_with_events_in_hand(stack, couchdb_proxy, NAIVE) < 50


async def test_sigterm_finishes_the_batch_and_exits_0(stack: Stack) -> None:
    sent = envelopes(3000)
    await stack.publish(sent)
    async with consumer_process(stack) as (started, _):

        async def began() -> bool:
            return await stack.stored() > 0

        await eventually(began)
        clock = time.monotonic()
        assert await stopped(started) == 0
        assert time.monotonic() - clock < 6
    documents = await stack.documents()

    async def returned() -> bool:
        return await stack.waiting() == len(sent) - len(documents)

    await eventually(returned)  # whatever is stored is acknowledged, whatever is not waits
    async with consumer_process(stack) as (second, address):
        await eventually(lambda: stack.holds(sent))
        _, body = await health(address)
        assert body["done"] == {"stored": 3000 - len(documents), "already_stored": 0, "parked": 0, "retried": 0}
        assert await stopped(second) == 0


async def test_the_policy_is_set_and_readyz_tells(stack: Stack) -> None:
    async with consumer_process(stack) as (started, address):
        await eventually(lambda: is_ready(address))

        async def has_policy() -> bool:
            return (await health(address))[1]["policy"] == "ok"

        await eventually(has_policy)
        found = (await stack.management.get(f"/policies/%2F/{stack.topology.queue}")).json()
        assert {key: found[key] for key in policy(stack.topology)} == policy(stack.topology)

        async def in_effect() -> bool:
            queue = (await stack.management.get(f"/queues/%2F/{stack.topology.queue}")).json()
            limits = queue.get("effective_policy_definition") or {}
            assert queue["arguments"] == {"x-queue-type": "quorum"}
            return bool(limits == policy(stack.topology)["definition"])

        await eventually(in_effect)
        assert await stopped(started) == 0


async def test_readyz_says_what_is_degraded(stack: Stack, couchdb_proxy: Proxy) -> None:
    nobody, proxied = free_port(), couchdb_proxy.port
    async with consumer_process(stack, rabbitmq_management_port=nobody, couchdb_port=proxied) as (started, address):
        await eventually(lambda: is_ready(address))
        assert (await health(address, "/livez")) == (200, {"status": "alive"})
        _, body = await health(address)
        assert (body["status"], body["broker"], body["couchdb"]) == ("degraded", "ok", "ok")
        assert "ConnectError" in str(body["policy"])
        await couchdb_proxy.become(Mode.REFUSE)
        status, body = await health(address)  # although there was no event to notice it by
        assert (status, body["status"], body["broker"]) == (503, "unready", "ok")
        assert "not reachable" in str(body["couchdb"])
        assert await stopped(started) == 0


async def test_a_start_without_any_server_waits_and_stops_when_told() -> None:
    ports = {"rabbitmq_port": free_port(), "rabbitmq_management_port": free_port(), "couchdb_port": free_port()}
    port = free_port()
    async with process("-m", "event_consumer", consumer_health_port=port, **ports) as started:
        address = f"http://127.0.0.1:{port}"

        async def tells() -> bool:
            status, body = await health(address)
            return status == 503 and "away" in str(body["broker"]) and "not set" in str(body["policy"])

        await eventually(tells)
        assert await stopped(started) == 0
        assert started.stdout is not None
        lines = [json.loads(line) for line in (await started.stdout.read()).splitlines()]
        assert {"broker away", "stopped"} <= {line["event"] for line in lines}
        assert all({"timestamp", "level", "logger"} <= line.keys() for line in lines)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"environment": "production"}, "RABBITMQ_DEFAULT_PASS"),
        ({"environment": "production", "rabbitmq_default_pass": "short"}, "RABBITMQ_DEFAULT_PASS"),
        ({"environment": "production", "rabbitmq_default_pass": "x" * 12}, "COUCHDB_CONSUMER_PASSWORD"),
        ({"log_level": "LOUD"}, "LOG_LEVEL"),
    ],
)
async def test_settings_that_cannot_be_are_refused_by_name(variables: dict[str, str], named: str) -> None:
    passwords = {"couchdb_consumer_password": "event_consumer"}
    async with process("-m", "event_consumer", **{**passwords, **variables}) as started:
        _, complaint = await asyncio.wait_for(started.communicate(), 20)
        assert started.returncode == 1
        assert complaint.decode().startswith("event-consumer: ")
        assert named in complaint.decode()
        assert "LOUD" not in complaint.decode()
        assert "Traceback" not in complaint.decode()


async def test_a_taken_health_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        nobody = free_port()
        ports = {"rabbitmq_port": nobody, "rabbitmq_management_port": nobody, "couchdb_port": nobody}
        async with process("-m", "event_consumer", consumer_health_port=port, **ports) as started:
            told, _ = await asyncio.wait_for(started.communicate(), 20)
    assert started.returncode not in (None, 0)
    assert str(port) in told.decode()
    assert "already in use" in told.decode()


async def test_a_fault_of_our_own_ends_the_process(stack: Stack) -> None:
    await stack.publish(envelopes(1))
    async with consumer_process(stack, "tests.consumer.naive:Fails") as (started, _):
        assert await asyncio.wait_for(started.wait(), 20) == 1

    async def returned() -> bool:
        return await stack.waiting() == 1

    await eventually(returned)


def test_production_starts_with_secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("RABBITMQ_DEFAULT_PASS", "a secret of our own")
    monkeypatch.setenv("COUCHDB_CONSUMER_PASSWORD", "another of our own")
    assert "own" not in repr(Settings())


def test_who_is_told_nothing_runs_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    with pytest.raises(ValueError, match="RABBITMQ_DEFAULT_PASS"):
        Settings()


def test_health_begins_with_every_part_missing() -> None:
    assert Health().report() == (
        503,
        {
            "status": "unready",
            "broker": "not connected yet",
            "couchdb": "not asked yet",
            "policy": "not set yet",
            "done": {"stored": 0, "already_stored": 0, "parked": 0, "retried": 0},
        },
    )
