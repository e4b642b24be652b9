"""How fast a backlog reaches the broker, in order; the figure is printed, the bound only catches collapses."""

import asyncio
import os
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from backend_api.outbox.record import Lane

from tests.relay.house import House, eventually

EVENTS, AGGREGATES = 12_000, 1200
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("lane", Lane)
async def test_a_backlog_over_many_clients_is_sent_in_order(house: House, lane: Lane) -> None:
    queue = await house.bind_queue()
    await house.write([uuid4() for _ in range(AGGREGATES)], count=EVENTS // AGGREGATES, lane=lane)
    async with house.relay_process() as process:
        await eventually(lambda: changed(house))
        began, before, cpu = monotonic(), await house.waiting(), cpu_seconds(process)
        await eventually(house.is_empty, seconds=60)
        seconds = monotonic() - began
        used = cpu_seconds(process) - cpu
    print(f"\n{lane.name.lower()} backlog: {before / seconds:.0f} events/s, {used / before * 1e6:.0f} us CPU per event")
    assert before / seconds > 500
    arrivals = await house.collect_from(queue)
    await eventually(lambda: len(arrivals.at) == EVENTS, seconds=60)
    arrivals.assert_complete_and_in_order(house.expected())
    assert len(arrivals.events) == EVENTS


async def changed(house: House) -> bool:
    await asyncio.sleep(0)
    return await house.waiting() < EVENTS


def cpu_seconds(process: asyncio.subprocess.Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
