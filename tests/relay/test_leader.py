"""One leader at a time, a quick successor, and a sleeper that does no harm when it wakes."""

import asyncio
import signal
from collections.abc import Set
from uuid import uuid4

import pytest
from backend_api.db.pools import Connection, connect
from backend_api.relay import queries
from backend_api.relay.app import run

from tests.relay.house import House
from tests.support.waiting import eventually


async def test_the_second_relay_stands_by_and_takes_over_when_the_first_stops(house: House) -> None:
    arrivals = await house.collect()
    async with house.relay() as stop_first:
        await eventually(house.has_leader)
        assert await house.epoch() == 1
        async with house.relay():
            await house.write([uuid4()], count=20)
            await eventually(house.is_empty, seconds=30)
            assert await house.epoch() == 1
            stop_first.set()
            await eventually(lambda: house.epoch_is(2))
            await house.write([uuid4()], count=20)
            await eventually(house.is_empty, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())
    assert len(arrivals.events) == 40


@pytest.mark.parametrize("application", ["sofipo-relay-leader", "sofipo-relay", "sofipo-relay-listen"])
async def test_whichever_database_session_is_lost_events_go_on(house: House, application: str) -> None:
    arrivals = await house.collect()
    clients = [uuid4() for _ in range(20)]
    async with house.relay():
        await house.write(clients, count=10)
        await eventually(lambda: len(arrivals.at) > 0, seconds=30)
        await eventually(lambda: has_session(house, application))
        lost = await house.cut_sessions(application)
        await house.write(clients, count=10)
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == 400, seconds=30)
        await eventually(lambda: has_session(house, application, other_than=lost))
    arrivals.assert_complete_and_in_order(house.expected())


async def has_session(house: House, application: str, other_than: Set[int] = frozenset()) -> bool:
    return bool(await house.sessions(application) - other_than)


async def test_a_stopped_leader_that_wakes_up_after_its_successor_changes_nothing(house: House) -> None:
    arrivals = await house.collect()
    clients = [uuid4() for _ in range(50)]
    async with house.relay_process() as sleeper:
        await eventually(house.has_leader)
        await house.write(clients, count=20)
        await eventually(lambda: len(arrivals.at) > 50, seconds=30)
        sleeper.send_signal(signal.SIGSTOP)
        await house.cut_sessions("sofipo-relay-leader")  # what the server does once it takes the peer for dead
        async with house.relay():
            await eventually(lambda: house.epoch_is(2))
            await house.write(clients, count=20)
            sleeper.send_signal(signal.SIGCONT)
            await house.write(clients, count=20)
            await eventually(house.is_empty, seconds=30)
            await eventually(lambda: len(arrivals.at) == 3000, seconds=30)
            assert await house.epoch() == 2
            assert sleeper.returncode is None, "it stands by"
        await eventually(lambda: house.epoch_is(3))
    arrivals.assert_complete_and_in_order(house.expected())


async def test_a_leader_whose_epoch_has_passed_removes_and_parks_nothing(house: House) -> None:
    [key] = await house.write([uuid4()])
    old, new = await connect(house.settings, name="old"), await connect(house.settings, name="new")
    epoch = await queries.try_to_lead(old)
    assert epoch == 1
    assert await queries.try_to_lead(new) is None
    old.terminate()
    old = await connect(house.settings, name="old")
    await eventually(lambda: wins(new))
    for refused in (
        queries.remove(old, epoch, [key]),
        queries.park(old, epoch, *key, "no"),
        queries.heartbeat(old, epoch),
    ):
        with pytest.raises(queries.LeadershipLostError):
            await refused
    assert await house.owner.fetchval("SELECT count(*) FROM outbox WHERE parked_at IS NULL") == 1
    await queries.remove(new, epoch + 1, [key])
    assert await house.is_empty()
    await old.close()
    await new.close()


async def wins(connection: Connection) -> bool:
    return await queries.try_to_lead(connection) is not None


async def test_an_epoch_raised_by_somebody_else_ends_the_term_and_the_relay_asks_again(house: House) -> None:
    arrivals = await house.collect()
    async with house.relay():
        await eventually(house.has_leader)
        await house.owner.execute("UPDATE relay_lease SET epoch = epoch + 10")
        await house.write([uuid4() for _ in range(10)])
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: house.epoch_is(12))
    assert house.logged("relay_lost_lead")
    arrivals.assert_complete_and_in_order(house.expected())


async def test_a_relay_without_a_database_waits_for_it(house: House) -> None:
    nowhere = house.settings.model_copy(update={"postgres_port": 1})
    async with house.relay(settings=nowhere):
        await eventually(lambda: house.logged("relay_lost_database"))


async def test_a_defect_ends_the_relay_instead_of_being_retried_for_ever(house: House) -> None:
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        await run(house.settings, asyncio.Event(), house.announce, "nonsense://broker")
