"""How fast a backlog reaches the broker, in order, beside what the publisher alone can do at that moment."""

import asyncio
import os
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from backend_api.outbox.record import Lane
from backend_api.relay.publisher import Outcome, Outgoing, Publisher
from backend_api.relay.rounds import BATCH

from tests.relay.house import House
from tests.support.waiting import eventually

EVENTS, AGGREGATES = 6000, 600
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("lane", Lane)
async def test_a_backlog_over_many_clients_is_sent_in_order(house: House, lane: Lane) -> None:
    ceiling = await publishing_alone(house)
    queue = await house.bind_queue()
    await house.write([uuid4() for _ in range(AGGREGATES)], count=EVENTS // AGGREGATES, lane=lane)
    async with house.relay_process() as process:
        await eventually(lambda: has_begun(house), seconds=30)
        began, before, cpu = monotonic(), await house.waiting(), cpu_seconds(process)
        await eventually(house.is_empty, seconds=60)
        rate = before / (monotonic() - began)
        used = (cpu_seconds(process) - cpu) / before
    print(
        f"\n{lane.name.lower()} backlog: {rate:.0f} events/s, {rate / ceiling:.2f} of publishing alone "
        f"({ceiling:.0f}/s), {used * 1e6:.0f} us CPU per event"
    )
    assert rate > 0.1 * ceiling
    arrivals = await house.collect_from(queue)
    await eventually(lambda: len(arrivals.at) == EVENTS, seconds=60)
    arrivals.assert_complete_and_in_order(house.expected())
    assert len(arrivals.events) == EVENTS


async def publishing_alone(house: House) -> float:
    """Messages per second to a queue of the same kind, without a database."""
    await house.bind_queue("sofipo.loan.#", "alone")
    publisher = Publisher(house.broker_url)
    await publisher.connect()
    began = monotonic()
    for _ in range(20):
        batch = [Outgoing(str(uuid4()), "sofipo.loan.created", bytes(700), {}) for _ in range(BATCH)]
        assert set(await publisher.publish(batch)) == {Outcome.CONFIRMED}
    seconds = monotonic() - began
    await publisher.close()
    await house.channel.queue_delete("alone")
    return 20 * BATCH / seconds


async def has_begun(house: House) -> bool:
    return await house.waiting() < EVENTS


def cpu_seconds(process: asyncio.subprocess.Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
