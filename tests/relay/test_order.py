"""Nothing is lost and nothing overtakes its predecessor, whatever the writers do."""

import asyncio
from uuid import UUID, uuid4

from backend_api.outbox.record import Lane

from tests.relay.house import House
from tests.support.waiting import eventually

WRITERS = 24
EACH = 60
AGGREGATES = 40


async def test_24_concurrent_writers_lose_nothing_and_keep_each_aggregates_order(house: House) -> None:
    arrivals = await house.collect()
    aggregates = [uuid4() for _ in range(AGGREGATES)]
    await house.prepare_writers(aggregates)
    async with house.relay():
        await house.write_concurrently(WRITERS, EACH, aggregates)
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == WRITERS * EACH)
    arrivals.assert_complete_and_in_order(house.expected())
    assert len(arrivals.events) == WRITERS * EACH, "nothing failed, so nothing was sent twice"


async def test_control_a_relay_that_reads_behind_the_last_id_loses_events(house: House) -> None:
    """The same writers: what commits late under a lower id is never seen."""
    aggregates = [uuid4() for _ in range(AGGREGATES)]
    await house.prepare_writers(aggregates)
    writing = asyncio.create_task(house.write_concurrently(WRITERS, EACH, aggregates))
    seen: set[tuple[UUID, int]] = set()
    last = 0
    finished = False
    while not finished:
        finished = writing.done()
        for row in await house.owner.fetch("SELECT * FROM by_id WHERE id > $1 ORDER BY id", last):
            last = row["id"]
            seen.add((row["aggregate_id"], row["sequence"]))
    await writing
    assert len(seen) < WRITERS * EACH


async def test_events_of_one_aggregate_in_both_lanes_keep_their_order(house: House) -> None:
    arrivals = await house.collect()
    aggregates = [uuid4() for _ in range(20)]
    for lane in (Lane.BULK, Lane.INTERACTIVE, Lane.BULK, Lane.INTERACTIVE):
        await house.write(aggregates, count=3, lane=lane)
    async with house.relay():
        await eventually(lambda: len(arrivals.at) == 240, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())


async def test_a_client_s_versions_are_announced_before_its_events_leave_the_outbox(house: House) -> None:
    await house.bind_queue()
    client, user = uuid4(), uuid4()
    await house.write([client], count=3)
    await house.write([user], count=5, aggregate_type="user", event_type="user_created")
    async with house.relay():
        await eventually(house.is_empty, seconds=30)
    assert house.announced == [{client: 1}, {client: 2}, {client: 3}]
