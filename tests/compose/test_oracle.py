"""The oracle of the drills sees what is missing. Last of all, because what is destroyed here does not come back."""

from contextlib import suppress

import pytest

from tests.chaos import oracle
from tests.compose.deployment import Deployment, Record, check, lost_clients, working

pytestmark = pytest.mark.timeout(300)


class _Undo(Exception):
    """Takes back what was destroyed inside a transaction."""


async def test_control_a_payment_that_is_missing_is_seen(deployment: Deployment, record: Record) -> None:
    async with working(record, deployment.addresses):
        payment = await record.progress()
    await check(deployment, record)
    with suppress(_Undo):
        async with deployment.owner.transaction():
            await deployment.owner.execute("SET LOCAL session_replication_role = replica")  # no trigger, no foreign key
            await deployment.owner.execute("DELETE FROM payments WHERE id = $1", payment)
            found = await oracle.findings(deployment, record)
            raise _Undo
    print(found)
    assert [one for one in found if one.startswith(f"the acknowledged payment {payment}")]
    assert f"payment {payment} has 1 events" not in found
    await check(deployment, record)


async def test_control_a_client_that_is_missing_is_seen(deployment: Deployment, record: Record) -> None:
    assert not await lost_clients(deployment, record)
    record.registered["XEXX010101000"] = "acknowledged and never stored"
    assert await lost_clients(deployment, record) == ["XEXX010101000"]
    del record.registered["XEXX010101000"]


async def test_control_a_document_that_is_missing_is_seen(deployment: Deployment, record: Record) -> None:
    await check(deployment, record)
    event = oracle.envelope((await deployment.events())[-1])["event_id"]
    rule = (await deployment.couchdb.get("/business_events/_design/immutable")).json()
    for document in (rule, (await deployment.documents([event]))[event]):
        path = f"/business_events/{document['_id']}?rev={document['_rev']}"
        (await deployment.couchdb.delete(path)).raise_for_status()
    deployment.documents_before -= 1  # the rule
    found = await oracle.findings(deployment, record)
    print(found)
    assert found == [f"{event} is no document"]
