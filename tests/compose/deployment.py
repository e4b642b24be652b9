"""The chain in containers, and the clients that work with it while it breaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

import httpx2
from backend_api.db.pools import LOST_SERVER, Connection
from backend_api.settings import Settings

from tests.chaos import oracle
from tests.chaos.chain import Chain, Json
from tests.chaos.load import BORROWED, Book
from tests.compose.project import Project
from tests.support.builders import CLIENTS, LOANS, client_body, new_loan
from tests.support.postgres import connect_as_owner
from tests.support.service import sign_in
from tests.support.waiting import eventually

PATIENCE_SECONDS = 300.0
"""How long a client goes on asking: longer than a deployment takes from `down` to ready."""
PAYERS = 4
PAUSE_SECONDS = 0.05
SHARE_OF_CLIENTS = 0.1
POLL_SECONDS = 0.1


class Deployment(Chain):
    """The chain in containers. All looks at its stations are the chain's own; its services are started by compose."""

    def __init__(self, project: Project, settings: Settings, owner: Connection, couchdb: httpx2.AsyncClient) -> None:
        self.project = project
        self.settings = settings
        self.owner = owner
        self.couchdb = couchdb
        self.documents_before = 0
        self.addresses: list[str] = []

    async def find_api(self) -> None:
        """Take note of where the API answers, container by container."""
        found = await self.project.containers("backend-api")
        self.addresses = [f"http://127.0.0.1:{one.published(8000)}" for one in found]

    async def count_other_documents(self) -> None:
        """Take note of the documents that are no events: CouchDB's rule of immutability is one itself."""
        events = await self.documents(oracle.envelope(event)["event_id"] for event in await self.events())
        self.documents_before = await self.document_count() - len(events)

    async def stay_connected(self) -> None:
        """Connect anew if the primary was away."""
        if self.owner.is_closed():
            await self.reconnect()

    async def is_documented(self, payment_id: str) -> bool:
        """Whether the event of this payment has become a document."""
        found = await self.owner.fetchrow("SELECT aggregate_id, sequence FROM events WHERE entity_id = $1", payment_id)
        return bool(found and await self.documents([f"{found['aggregate_id']}:{found['sequence']:012d}"]))

    async def is_streaming(self) -> bool:
        """Whether a replica follows the primary and has replayed all there was."""
        await self.stay_connected()
        rows = await self.owner.fetch(
            "SELECT state, replay_lsn = pg_current_wal_lsn() AS level FROM pg_stat_replication"
        )
        return [(row["state"], row["level"]) for row in rows] == [("streaming", True)]

    async def health(self) -> Json:
        """What every API says about its parts, as one: the first that is not `ok`, or the last."""
        said: Json = {}
        async with httpx2.AsyncClient(timeout=5.0) as client:
            for address in self.addresses:
                said = (await client.get(f"{address}/readyz")).json()
                if said["status"] != "ok":
                    return said
        return said

    async def works(self, payment_id: str) -> bool:
        """Whether the API says that all is well and this payment has come to the end of its way."""
        try:
            async with asyncio.timeout(10.0):
                await self.stay_connected()
                return (await self.health()).get("status") == "ok" and await self.is_documented(payment_id)
        except (*LOST_SERVER, httpx2.HTTPError):
            return False

    async def until_whole(self, seconds: float = 120.0) -> None:
        """Wait until every container is healthy and the replica has caught up."""

        async def whole() -> bool:
            with suppress(*LOST_SERVER):
                return not await self.project.ailing() and await self.is_streaming()
            return False

        await eventually(whole, seconds, interval=POLL_SECONDS)


@dataclass
class Record(Book):
    """What the clients were told: their payments, and who was registered (RFC and id)."""

    registered: dict[str, str] = field(default_factory=dict)

    async def begin(self, address: str, count: int) -> None:
        """Borrow money, so that there is something to pay."""
        async with _signed_in(address) as http:
            for _ in range(count):
                self.loans.append((await new_loan(http, amount=BORROWED))["id"])

    async def progress(self, payments: int = 20, seconds: float = 120.0) -> str:
        """Wait for so many more acknowledged payments; the id of the last."""
        wanted = len(self.acknowledged) + payments
        await eventually(lambda: len(self.acknowledged) >= wanted, seconds)
        return next(reversed(self.acknowledged.values()))

    async def trouble(self, seconds: float = 60.0) -> None:
        """Wait until some client has noticed that something is wrong."""
        known = self.unanswered + self.server_errors
        await eventually(lambda: self.unanswered + self.server_errors > known, seconds)


@asynccontextmanager
async def working(record: Record, addresses: Sequence[str]) -> AsyncIterator[None]:
    """Clients at work for as long as the block lasts; at its end each finishes what it is at."""
    enough = asyncio.Event()

    async def work(number: int) -> None:
        async with _signed_in(addresses[number % len(addresses)]) as http:
            while not enough.is_set():
                await (_register if random.random() < SHARE_OF_CLIENTS else _pay)(http, record)
                await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))  # the pace of the load

    async with asyncio.TaskGroup() as group:
        for number in range(PAYERS):
            group.create_task(work(number))
        try:
            yield
        finally:
            enough.set()


async def check(deployment: Deployment, record: Record) -> None:
    """The oracle of the chaos tests, and the same for the clients that were registered."""
    await deployment.reconnect()
    await oracle.check(deployment, record)
    assert not await lost_clients(deployment, record)
    await deployment.until_whole()


async def lost_clients(deployment: Deployment, record: Record) -> list[str]:
    """Acknowledged clients that do not stand in the database once and with their id."""
    rows = await deployment.owner.fetch("SELECT rfc, array_agg(id::text) AS ids FROM clients GROUP BY rfc")
    stored = {row["rfc"]: row["ids"] for row in rows}
    return [rfc for rfc, client_id in record.registered.items() if stored.get(rfc) != [client_id]]


async def _pay(http: httpx2.AsyncClient, record: Record) -> None:
    amount = record.next_amount()
    answer = await _send(http, record, f"{LOANS}/{random.choice(record.loans)}/payments", {"amount": str(amount)})
    if answer:
        record.acknowledged[amount] = answer["id"]
        record.accepted_at.append(monotonic())


async def _register(http: httpx2.AsyncClient, record: Record) -> None:
    body = client_body()
    answer = await _send(http, record, CLIENTS, body)
    if answer:
        record.registered[body["rfc"]] = answer["id"]


async def _send(http: httpx2.AsyncClient, record: Record, path: str, body: Json) -> Json | None:
    """Post until it is answered, with the same key each time; what was made, None when it is refused."""
    key = {"Idempotency-Key": uuid4().hex}
    deadline = monotonic() + PATIENCE_SECONDS
    while monotonic() < deadline:
        try:
            answer = await http.post(path, json=body, headers=key)
        except httpx2.TransportError:
            record.unanswered += 1
        else:
            record.statuses[answer.status_code] += 1
            if answer.status_code == 201:
                made: Json = answer.json()
                return made
            # Refused for now is a promise to come back to; anything else is not expected of these calls.
            if "retry-after" not in answer.headers:
                record.refused.append(f"{answer.status_code} {answer.text[:300]}")
                return None
        await asyncio.sleep(random.uniform(0.05, 0.2))  # a client that tries again leaves some time
    raise AssertionError(f"no answer to {path} within {PATIENCE_SECONDS:.0f} s: {record.summary()}")


@asynccontextmanager
async def _signed_in(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=address, timeout=15.0) as http:
        http.headers["Authorization"] = f"Bearer {await sign_in(http, 'admin', 'string')}"
        yield http


def couchdb_at(port: int) -> httpx2.AsyncClient:
    """CouchDB as its administrator, with a connection for every call: an idle one might die with its server."""
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", auth=("admin", "password"), headers={"Accept": "application/json"},
        limits=httpx2.Limits(max_keepalive_connections=0), timeout=30.0,
    )  # fmt: skip


async def connect(project: Project) -> Deployment:
    """Ways to look at a project that has been started with development defaults."""
    ports = {name: int(port) for name, port in project.environment.items() if name.endswith("_PORT")}
    settings = Settings.model_validate(
        {
            "environment": "development",
            "postgres_port": ports["PRIMARY_PORT"],
            "postgres_replica_port": ports["REPLICA_PORT"],
            "rabbitmq_port": ports["AMQP_PORT"],
        }
    )
    owner = await connect_as_owner(settings)
    deployment = Deployment(project, settings, owner, couchdb_at(ports["COUCHDB_PORT"]))
    await deployment.find_api()
    await deployment.count_other_documents()
    return deployment
