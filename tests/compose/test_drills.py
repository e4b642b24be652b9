"""Faults of the whole deployment under load: nothing is lost, nothing is doubled, everything comes back by itself."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

import pytest
from backend_api.relay.queries import LEADER_LOCK

from tests.compose.conftest import Report
from tests.compose.deployment import POLL_SECONDS, Deployment, Record, check, working
from tests.compose.project import SERVICES, Container
from tests.support.waiting import eventually

NEEDED_FOR_PAYMENTS = {"postgres-primary", "backend-api"}
DOUBLED = ("backend-api", "event-consumer", "relay", "worker")
LEADER = """
SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'advisory' AND granted AND objid = $1
"""
pytestmark = pytest.mark.timeout(900)


@dataclass
class Drill:
    """What is measured while something breaks."""

    name: str
    deployment: Deployment
    record: Record
    report: Report
    seconds: float = 0.0

    async def recovers(self) -> None:
        """From now on everything is to come back: wait until a payment made after this stands in CouchDB."""
        began = monotonic()
        payment = await self.record.progress(1)
        await eventually(lambda: self.deployment.works(payment), 120.0, interval=POLL_SECONDS)
        self.seconds = monotonic() - began


@asynccontextmanager
async def drill(name: str, deployment: Deployment, record: Record, report: Report) -> AsyncIterator[Drill]:
    """Clients at work before, during and after the block; at the end the oracle looks at everything."""
    made = Drill(name, deployment, record, report)
    acknowledged, registered = len(record.acknowledged), len(record.registered)
    statuses, unanswered = Counter(record.statuses), record.unanswered
    async with working(record, deployment.addresses):
        await record.progress()
        yield made
        await record.progress()
    await check(deployment, record)
    accepted = record.accepted_at[acknowledged:]
    new = record.statuses - statuses
    errors = ", ".join(f"{count} x {status}" for status, count in sorted(new.items()) if status >= 400) or "no error"
    events = await deployment.owner.fetchval("SELECT count(*) FROM events")
    report.say(
        f"{name}: {len(accepted)} payments and {len(record.registered) - registered} clients acknowledged; "
        f"all well {made.seconds:.1f} s after the fault was over; longest pause of the payments "
        f"{max(later - earlier for earlier, later in pairwise(accepted)):.1f} s; clients saw {errors}, "
        f"{record.unanswered - unanswered} requests unanswered; {events} events, each a document once; nothing lost"
    )


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_costs_nothing(
    deployment: Deployment, record: Record, report: Report, service: str
) -> None:
    async with drill(f"{service} killed", deployment, record, report) as exercise:
        container = await deployment.project.container(service)
        await container.kill()
        if service in NEEDED_FOR_PAYMENTS:
            await record.trouble()
        else:
            await record.progress()  # the others go on without it
        await container.start()
        await exercise.recovers()


@pytest.mark.parametrize(
    ("service", "process", "restarts"),
    [("backend-api", "spawn_main", 0), ("backend-api", "bin/uvicorn", 1), ("relay", "bin/sofipo", 1),
     ("worker", "bin/sofipo", 1),
     ("event-consumer", "bin/event-consumer", 1)],
    ids=["worker of the API", "parent of the workers", "relay", "worker", "consumer"],
)  # fmt: skip
async def test_a_killed_process_is_replaced(
    deployment: Deployment, record: Record, report: Report, service: str, process: str, restarts: int
) -> None:
    before = (await deployment.project.container(service)).restarts
    async with drill(f"kill -9 of {process} in {service}", deployment, record, report) as exercise:
        await kill_process(await deployment.project.container(service), process)
        await exercise.recovers()
    assert (await deployment.project.container(service)).restarts == before + restarts


async def kill_process(container: Container, name: str) -> None:
    """`kill -9` of the first process with this in its command line, from inside the container."""
    pattern = f"[{name[0]}]{name[1:]}"  # which does not find itself
    find = f"grep -lsa -e '{pattern}' /proc/[0-9]*/cmdline | cut -d/ -f3 | sort -n | head -n 1"
    await container.execute("sh", "-c", f"kill -KILL $({find})")


async def test_the_whole_stack_goes_down_and_comes_up(deployment: Deployment, record: Record, report: Report) -> None:
    async with drill("down and up", deployment, record, report) as exercise:
        began = monotonic()
        await deployment.project.down()
        downed = monotonic()
        await deployment.project.compose("up", "-d")
        report.say(f"down took {downed - began:.1f} s, up -d {monotonic() - downed:.1f} s")
        await exercise.recovers()


async def test_a_lost_replica_is_made_anew(deployment: Deployment, record: Record, report: Report) -> None:
    async with drill("volume of the replica lost", deployment, record, report) as exercise:
        await deployment.project.compose("rm", "--stop", "--force", "postgres-replica")
        await deployment.project.remove_volume("replica-data")
        await record.progress()
        await deployment.project.compose("up", "-d", "postgres-replica")
        await exercise.recovers()
    assert "fresh copy" in await (await deployment.project.container("postgres-replica")).logs()


@pytest.fixture
async def doubled(deployment: Deployment) -> AsyncIterator[None]:
    """Two APIs, relays, workers and consumers; one of each afterwards."""
    port = int(deployment.project.environment["API_PORT"])
    scale = [part for service in DOUBLED for part in ("--scale", f"{service}=2")]
    await deployment.project.compose("up", "-d", *scale, API_PORT=f"{port}-{port + 1}")
    await deployment.until_whole()
    await deployment.find_api()
    yield
    await deployment.project.compose("up", "-d")
    await deployment.until_whole()
    await deployment.find_api()


async def test_two_of_each_share_the_work(
    deployment: Deployment, record: Record, report: Report, doubled: None
) -> None:
    assert len(set(deployment.addresses)) == 2
    for address in deployment.addresses:
        await record.begin(address, 1)
    async with drill("two of each, the leading relay killed", deployment, record, report) as exercise:
        leader, epoch = await leading_relay(deployment)
        await leader.kill()
        await record.progress()
        await eventually(lambda: leads_since(deployment, 3 - leader.number, epoch), 20.0)
        await leader.start()
        await exercise.recovers()
    stored = [await documents_stored_by(one) for one in await deployment.project.containers("event-consumer")]
    report.say(f"two consumers stored {' and '.join(map(str, stored))} documents")
    assert min(stored) > 0


async def leads_since(deployment: Deployment, number: int, epoch: int) -> bool:
    """Whether this relay leads, in a term after this epoch."""
    leader, later = await leading_relay(deployment)
    return leader.number == number and later > epoch


async def leading_relay(deployment: Deployment) -> tuple[Container, int]:
    """The container whose session holds the leader's lock, and the epoch of its term."""

    async def somebody_leads() -> bool:
        return bool(await deployment.owner.fetchval(LEADER, LEADER_LOCK))

    await eventually(somebody_leads, 20.0, interval=POLL_SECONDS)
    address = await deployment.owner.fetchval(LEADER, LEADER_LOCK)
    [leader] = [one for one in await deployment.project.containers("relay") if address in one.addresses]
    return leader, await deployment.owner.fetchval("SELECT epoch FROM relay_lease")


async def documents_stored_by(consumer: Container) -> int:
    """How many documents a consumer says it has stored since its start."""
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8001/readyz').read().decode())"
    return int(json.loads(await consumer.execute("python3", "-c", read))["done"]["stored"])
