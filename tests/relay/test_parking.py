"""What cannot be sent is set aside with its reason, harms nobody else, and can be tried again after a fix."""

from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError
from backend_api.db.pools import connect
from backend_api.outbox import broker
from backend_api.outbox.parked import parked_messages, replay_parked, replay_parked_messages, status
from backend_api.outbox.record import Lane
from backend_api.relay import rounds

from tests.relay.house import House
from tests.support.waiting import eventually

EVENT = uuid4()
TOO_MUCH = {"amount": "1.00", "note": "x" * rounds.MAX_BODY_BYTES}


async def test_an_oversized_event_is_parked_with_its_reason_and_the_others_flow(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = await house.collect()
    large, other = uuid4(), uuid4()
    await house.write([large])
    await house.write([large], payload=TOO_MUCH)
    await house.write([large])
    connection = await connect(house.settings, name="test")
    async with house.relay():
        await eventually(lambda: house.logged("relay_parked_event"))
        await house.write([other], count=5)
        await eventually(lambda: len(arrivals.at) == 6, seconds=30)
        found = await status(connection)
        assert [parked.event_id for parked in found.parked] == [f"{large}:000000000002"]
        assert "the limit is 262144" in found.parked[0].reason
        assert found.interactive == 2
        assert arrivals.sequences(large) == [1]
        # The fix, in this case: larger events are allowed.
        monkeypatch.setattr(rounds, "MAX_BODY_BYTES", 10**6)
        assert await replay_parked(connection, {f"{other}:000000000001"}) == []
        assert await replay_parked(connection, {f"{large}:000000000002"}) == [f"{large}:000000000002"]
        await eventually(house.is_empty, seconds=30)
        await eventually(lambda: len(arrivals.at) == 8, seconds=30)
    arrivals.assert_complete_and_in_order(house.expected())
    await connection.close()


@pytest.mark.parametrize("aggregates", [1, 40])
async def test_an_event_of_an_unknown_kind_is_parked(house: House, aggregates: int) -> None:
    arrivals = await house.collect()
    await house.write([uuid4() for _ in range(aggregates)], event_type="moon_landed")
    [key] = await house.write([uuid4()])
    connection = await connect(house.settings, name="test")
    async with house.relay():
        await eventually(lambda: key in arrivals.at)
        await eventually(lambda: parked_count(house, aggregates))
    found = await status(connection)
    assert len(found.parked) == aggregates
    assert "names no known entity" in found.parked[0].reason
    assert len(await replay_parked(connection)) == aggregates
    await connection.close()


async def parked_count(house: House, count: int) -> bool:
    return bool(await house.owner.fetchval("SELECT count(*) = $1 FROM outbox WHERE parked_at IS NOT NULL", count))


async def test_a_queued_event_that_does_not_exist_is_parked(house: House) -> None:
    await house.bind_queue()
    await house.owner.execute("INSERT INTO outbox (aggregate_id, sequence, lane) VALUES ($1, 1, 0)", uuid4())
    async with house.relay():
        await eventually(lambda: parked_count(house, 1))


async def test_the_status_tells_what_waits_and_who_leads(house: House) -> None:
    connection = await connect(house.settings, name="test")
    empty = await status(connection)
    assert (empty.interactive, empty.bulk, empty.oldest_seconds, empty.relay_epoch, empty.parked) == (
        0, 0, None, None, (),
    )  # fmt: skip
    await house.write([uuid4()], count=2)
    await house.write([uuid4() for _ in range(3)], lane=Lane.BULK)
    async with house.relay():
        await eventually(house.has_leader)
        found = await status(connection)
    assert (found.interactive, found.bulk, found.relay_epoch) == (2, 3, 1)
    assert found.oldest_seconds is not None
    assert 0 <= found.oldest_seconds < 60
    assert found.relay_heartbeat_seconds is not None
    assert 0 <= found.relay_heartbeat_seconds < 60
    await connection.close()


async def set_aside(house: House, count: int) -> None:
    """Messages on the parking lot, as the consumer leaves them."""
    await house.channel.declare_queue(broker.PARKED_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    for number in range(count):
        await house.channel.default_exchange.publish(
            aio_pika.Message(
                b'{"event_id":"x"}',
                message_id=f"{EVENT}:{number:012d}",
                content_type="application/json",
                headers={
                    "cloudEvents:id": f"{EVENT}:{number:012d}",
                    broker.PARKED_REASON_HEADER: "the hash does not match",
                    broker.PARKED_AT_HEADER: datetime.now(UTC).isoformat(),
                },
            ),
            broker.PARKED_QUEUE,
        )


async def test_looking_at_parked_messages_leaves_them_where_they_are(house: House) -> None:
    await set_aside(house, 3)
    for _ in range(2):
        found = await parked_messages(house.broker_url, limit=10)
        assert [message.message_id for message in found] == [f"{EVENT}:{number:012d}" for number in range(3)]
        assert {message.reason for message in found} == {"the hash does not match"}
    assert len(await parked_messages(house.broker_url, limit=2)) == 2


async def test_before_the_consumer_ever_ran_nothing_is_parked(house: House) -> None:
    assert await parked_messages(house.broker_url, limit=10) == []
    assert await replay_parked_messages(house.broker_url, limit=10) == []


async def test_replayed_messages_go_back_to_the_consumer_without_the_marks_of_parking(house: House) -> None:
    await set_aside(house, 5)
    queue = await house.bind_queue()
    ids = [f"{EVENT}:{number:012d}" for number in range(5)]
    assert await replay_parked_messages(house.broker_url, 10, {ids[4], "unknown"}) == [ids[4]]
    some = await replay_parked_messages(house.broker_url, limit=2)
    rest = await replay_parked_messages(house.broker_url, limit=10)
    assert (len(some), sorted(some + rest)) == (2, ids[:4])
    assert await parked_messages(house.broker_url, limit=10) == []
    arrivals = await house.collect_from(queue)
    await eventually(lambda: len(arrivals.messages) == 5, seconds=30)
    [message] = [one for one in arrivals.messages if one.message_id == ids[0]]
    assert dict(message.headers) == {"cloudEvents:id": f"{EVENT}:000000000000"}
    assert (message.message_id, message.body) == (f"{EVENT}:000000000000", b'{"event_id":"x"}')
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT


async def test_one_message_goes_back_and_the_others_stay(house: House) -> None:
    await set_aside(house, 3)
    queue = await house.bind_queue()
    assert await replay_parked_messages(house.broker_url, 10, [f"{EVENT}:000000000001"]) == [f"{EVENT}:000000000001"]
    left = await parked_messages(house.broker_url, limit=10)
    assert {message.message_id for message in left} == {f"{EVENT}:{number:012d}" for number in (0, 2)}
    arrivals = await house.collect_from(queue)
    await eventually(lambda: len(arrivals.messages) == 1, seconds=30)
    assert arrivals.messages[0].message_id == f"{EVENT}:000000000001"


async def test_a_message_the_queue_does_not_take_stays_parked(house: House) -> None:
    await set_aside(house, 2)
    with pytest.raises(DeliveryError):
        await replay_parked_messages(house.broker_url, limit=10)
    assert len(await parked_messages(house.broker_url, limit=10)) == 2
