"""A replica that lags or is gone: nobody reads older than their own write, and nobody is turned away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
from backend_api.db.pools import Connection

from tests.chaos import oracle
from tests.chaos.chain import Api, Chain
from tests.chaos.load import Book, open_loans, paying
from tests.chaos.seeds import SCALE
from tests.chaos.witness import PAID, READS_OF_A_ROUND, Witness, witness
from tests.support.builders import CLIENTS, new_client
from tests.support.waiting import eventually

OWN_READS = 500 * SCALE
WITNESSES = 4
LAG = "2s"
TRIES = 5
"""To ask the replica before it knows, in case the machine stands still for as long as it is behind."""


async def connect_to_replica(chain: Chain) -> Connection:
    """The replica as its administrator sees it."""
    settings = chain.settings
    return await asyncpg.connect(
        host=settings.postgres_replica_host,
        port=settings.postgres_replica_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
    )


async def replica_knows(chain: Chain) -> bool:
    """Whether this test's database has come to the replica."""
    try:
        replica = await connect_to_replica(chain)
    except (OSError, asyncpg.PostgresError):
        return False
    await replica.close()
    return True


@asynccontextmanager
async def lagging(chain: Chain, delay: str = LAG) -> AsyncIterator[Connection]:
    """The replica replays everything so much later inside the block. Yields a connection to it."""
    await eventually(lambda: replica_knows(chain))
    replica = await connect_to_replica(chain)
    try:
        await replica.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")
        await replica.execute("SELECT pg_reload_conf()")
        yield replica
    finally:
        await replica.execute("ALTER SYSTEM RESET recovery_min_apply_delay")
        await replica.execute("SELECT pg_reload_conf()")
        await replica.close()


async def bear_witness(chain: Chain, apis: list[Api], rounds: int) -> list[Witness]:
    """Witnesses at work side by side, half of them with the consistency token."""
    witnesses = [witness(chain, apis, with_token=number % 2 == 0) for number in range(WITNESSES)]

    async def work(one: Witness) -> None:
        await one.begin()
        for _ in range(rounds):
            await one.round()
        await one.close()

    async with asyncio.TaskGroup() as group:
        for one in witnesses:
            group.create_task(work(one))
    return witnesses


def report(what: str, witnesses: list[Witness]) -> None:
    """Prints the figures."""
    for with_token in (True, False):
        group = [one for one in witnesses if one.with_token is with_token]
        print(
            f"\n{what}, {'with' if with_token else 'without'} token: "
            f"{sum(len(one.stale) for one in group)} of {sum(one.reads for one in group)} own reads stale, "
            f"{sum(one.late_for_bystanders for one in group)} of {sum(one.paid for one in group)} of bystanders"
        )


async def test_behind_a_replica_2_seconds_late_no_own_read_is_stale(chain: Chain) -> None:
    async with chain.apis() as apis, lagging(chain):
        await chain.trust_the_cache()
        witnesses = await bear_witness(chain, apis, OWN_READS // (WITNESSES * READS_OF_A_ROUND))
    report("replica 2 s late", witnesses)
    assert sum(one.reads for one in witnesses) >= OWN_READS
    assert [stale for one in witnesses for stale in one.stale] == []
    assert {status for one in witnesses for status in one.statuses} <= {200, 201}
    assert sum(one.late_for_bystanders for one in witnesses) > 0, "the replica was not read, so nothing was shown"


async def test_control_without_the_lsn_fence_own_reads_are_stale(chain: Chain) -> None:
    async with chain.apis(application="tests.chaos.broken:api_without_lsn_fence") as apis, lagging(chain):
        await chain.trust_the_cache()
        witnesses = await bear_witness(chain, apis, 5)
    report("replica 2 s late, no fence", witnesses)
    assert sum(len(one.stale) for one in witnesses) > 0


async def test_control_the_replica_itself_does_not_know_yet(chain: Chain) -> None:
    async with chain.api() as api, lagging(chain) as replica, api.client(chain.token()) as client:
        for _ in range(TRIES):
            made = await new_client(client)
            known = await replica.fetchval("SELECT count(*) FROM clients WHERE id = $1", made["id"])
            if not known:
                break
        assert known == 0
        assert (await client.get(f"{CLIENTS}/{made['id']}")).status_code == 200


async def test_without_a_replica_everything_is_answered_and_it_streams_again(chain: Chain) -> None:
    book = Book()
    async with chain.apis() as apis:
        await open_loans(chain, apis[0].address, book, 4)
        await chain.trust_the_cache()
        observer = witness(chain, apis, with_token=False)
        await observer.begin()
        async with paying(chain, [api.address for api in apis], book):
            async with chain.servers.without("postgres-replica"):
                for _ in range(20):
                    await observer.round()
                assert (await health(apis[0]))["replica"]["status"] == "degraded"
            await eventually(lambda: is_streaming(chain), 20.0)
            await eventually(lambda: replica_is_ok(apis[0]), 20.0)
            await observer.round()
        await observer.close()
        book.others[PAID] = observer.paid
        await oracle.check(chain, book)
    print(f"\nreplica stopped: {book.summary()}; {observer.reads} own reads")
    assert book.server_errors == 0
    assert observer.statuses <= {200, 201}
    assert observer.stale == []


async def health(api: Api) -> dict[str, dict[str, str]]:
    """What the API says about its parts."""
    async with httpx2.AsyncClient(base_url=api.address, timeout=15.0) as client:
        checks: dict[str, dict[str, str]] = (await client.get("/readyz")).json()["checks"]
        return checks


async def replica_is_ok(api: Api) -> bool:
    """Whether the API reads from the replica again."""
    return (await health(api))["replica"]["status"] == "ok"


async def is_streaming(chain: Chain) -> bool:
    """Whether the primary sends its log to a replica."""
    states = await chain.owner.fetch("SELECT state FROM pg_stat_replication")
    return [row["state"] for row in states] == ["streaming"]
