"""Events flow into CouchDB once and unchanged, whatever else is in the queue."""

import random
from typing import Any

import orjson
import pytest
from event_consumer.envelope import Reason, canonical
from event_consumer.handler import Consumer

from tests.consumer.naive import BelievesTheStatus, Overwrites, StopsAtPoison
from tests.consumer.stack import Envelope, Stack, consuming, envelope, envelopes, eventually
from tests.consumer.test_envelope import POISON, VALID_ID
from tests.support.golden import load, rehash


async def test_events_become_documents(stack: Stack) -> None:
    sent = [*load().values(), *envelopes(300)]
    await stack.publish(sent)
    async with consuming(stack) as running:
        await eventually(lambda: stack.holds(sent))
        assert running.health.report()[0] == 200
    assert running.health.done == {"stored": len(sent), "already_stored": 0, "parked": 0, "retried": 0}
    assert await stack.waiting() == 0
    assert await stack.parked() == []


NEVER_CHANGED = "function (document, old) { if (old) { throw({forbidden: 'an event is never changed'}); } }"


@pytest.mark.parametrize("rule", [None, NEVER_CHANGED], ids=["conflict", "forbidden"])
async def test_three_deliveries_make_one_document(stack: Stack, rule: str | None) -> None:
    if rule:
        made = await stack.admin.put(f"/{stack.database}/_design/rule", json={"validate_doc_update": rule})
        made.raise_for_status()
    sent = envelopes(150)
    thrice = sent * 3
    random.Random(7).shuffle(thrice)
    await stack.publish(thrice)
    async with consuming(stack) as running:
        await eventually(lambda: stack.holds(sent))

        async def all_settled() -> bool:
            return running.health.done["stored"] + running.health.done["already_stored"] == 450

        await eventually(all_settled)
    assert running.health.done["parked"] == 0
    assert await stack.waiting() == 0


async def test_two_consumers_share_the_queue(stack: Stack) -> None:
    sent = envelopes(1000)
    await stack.publish(sent)
    async with consuming(stack) as one, consuming(stack) as other:
        await eventually(lambda: stack.holds(sent))
    assert one.health.done["stored"] + other.health.done["stored"] == 1000
    assert min(one.health.done["stored"], other.health.done["stored"]) > 0


async def test_two_contents_under_one_id_never_overwrite(stack: Stack) -> None:
    first = envelope(1)
    second = rehash({**first, "payload": {"amount": "9500.00"}})
    await stack.publish([first, second, first])
    async with consuming(stack) as running:

        async def all_settled() -> bool:
            return sum(running.health.done.values()) - running.health.done["retried"] == 3

        await eventually(all_settled)
    assert await stack.holds([first])
    [parked] = await stack.parked()
    assert parked.headers["x-parked-reason"] == Reason.DIFFERS_FROM_STORED
    assert orjson.loads(parked.body) == second


async def forged_first(stack: Stack, consumer: type[Consumer]) -> tuple[Envelope, Envelope, list[Any]]:
    """A forged document under the id of the first of 50 events; what is stored there in the end, and what is parked."""
    sent = envelopes(50)
    forged = {**sent[0], "_id": sent[0]["event_id"], "payload": {**sent[0]["payload"], "amount": "1.00"}}
    await stack.insert(forged)
    await stack.publish(sent)
    async with consuming(stack, consumer=consumer) as running:

        async def all_settled() -> bool:
            return sum(running.health.done.values()) == 50

        await eventually(all_settled)
    documents = await stack.documents()
    assert len(documents) == 50
    return forged, documents[sent[0]["event_id"]], await stack.parked()


async def test_a_forged_document_is_reported_and_kept(stack: Stack) -> None:
    forged, stored, parked = await forged_first(stack, Consumer)
    assert stored.pop("_rev").startswith("1-")
    assert stored == forged
    assert [message.headers["x-parked-reason"] for message in parked] == [Reason.DIFFERS_FROM_STORED]
    assert parked[0].message_id == forged["event_id"]


async def test_control_believing_the_status_hides_the_forgery(stack: Stack) -> None:
    _, _, parked = await forged_first(stack, BelievesTheStatus)
    assert parked == []


async def test_control_writing_with_a_revision_destroys_the_evidence(stack: Stack) -> None:
    forged, stored, parked = await forged_first(stack, Overwrites)
    assert parked == []
    assert stored["payload"] != forged["payload"]


async def test_poison_is_parked_and_the_others_flow(stack: Stack) -> None:
    healthy = envelopes(200)
    kinds = list(POISON.values())
    for number, one in enumerate(healthy):
        if number % 4 == 0 and kinds:
            _, body = kinds.pop()
            await stack.publish_body(body, VALID_ID, origin="somewhere")
        await stack.publish([one])
    await stack.publish_body(canonical(healthy[0]), "another-id")
    await stack.publish_body(canonical(healthy[0]), None)
    expected = [reason for reason, _ in POISON.values()] + [Reason.MESSAGE_ID] * 2
    async with consuming(stack) as running:
        await eventually(lambda: stack.holds(healthy))

        async def all_parked() -> bool:
            return running.health.done["parked"] == len(expected)

        await eventually(all_parked)
    parked = await stack.parked()
    assert sorted(str(message.headers["x-parked-reason"]) for message in parked) == sorted(expected)
    for message in parked:
        assert message.routing_key == "sofipo.payment.registered"
        assert message.content_type == "application/json"
        assert message.delivery_mode == 2
        assert str(message.headers["x-parked-at"]).startswith("20")
        assert message.headers["x-parked-detail"]
    bodies = {bytes(body) for _, body in POISON.values()}
    assert bodies <= {message.body for message in parked}
    assert sum(message.headers.get("origin") == "somewhere" for message in parked) == len(POISON)
    assert await stack.waiting() == 0


async def test_control_poison_that_is_not_parked_holds_up_the_others(stack: Stack) -> None:
    healthy = envelopes(20)
    await stack.publish_body(b"poison", None)
    await stack.publish(healthy)
    async with consuming(stack, consumer=StopsAtPoison):
        with pytest.raises(AssertionError, match="in time"):
            await eventually(lambda: stack.holds(healthy), 2)


async def test_poison_that_cannot_be_parked_is_kept(stack: Stack) -> None:
    await stack.channel.queue_delete(stack.topology.parked_queue)
    healthy = envelopes(20)
    await stack.publish_body(b"poison", "twice")
    await stack.publish_body(b"poison", "twice")
    await stack.publish(healthy)
    async with consuming(stack) as running:
        await eventually(lambda: stack.holds(healthy))

        async def all_parked() -> bool:
            return running.health.done["parked"] == 2

        await eventually(all_parked)
    assert [message.body for message in await stack.parked()] == [b"poison", b"poison"]


async def test_the_subscription_survives_the_loss_of_its_queue(stack: Stack) -> None:
    async with consuming(stack) as running:
        first = envelopes(5)
        await stack.publish(first)
        await eventually(lambda: stack.holds(first))
        await stack.channel.queue_delete(stack.topology.queue)

        async def consuming_again() -> bool:
            found = await stack.management.get(f"/queues/%2F/{stack.topology.queue}")
            return found.status_code == 200 and running.health.broker is None

        await eventually(consuming_again)
        second = envelopes(5)
        await stack.publish(second)
        await eventually(lambda: stack.holds(first + second))
