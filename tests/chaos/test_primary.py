"""The primary goes away, or its answer to a COMMIT does: every payment is there once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import httpx2
import pytest

from tests.chaos import oracle
from tests.chaos.chain import APPLICATION, Chain
from tests.chaos.load import Book, open_loans, paying
from tests.chaos.seeds import SCALE
from tests.support.builders import CLIENTS, LOANS, new_client
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

LOST_REPLIES = 20 * SCALE
RECOVERY_SECONDS = 10.0


class LosesReplies:
    """Between API and primary: a request that bears the mark passes, and from then on no answer comes back."""

    def __init__(self, proxy: Proxy) -> None:
        self.struck = asyncio.Event()
        self._mark = b""
        self._silent = False
        self._proxy = proxy
        proxy.on_request = self._look
        proxy.on_reply = lambda reply: b"" if self._silent else reply

    def await_mark(self, mark: str) -> None:
        """Strike at the next request that bears this mark."""
        self.struck.clear()
        self._mark = mark.encode()

    def let_go(self) -> None:
        """Cut all connections; new ones work."""
        self._silent = False
        self._proxy.cut()

    def _look(self, request: bytes) -> None:
        if self._mark and self._mark in request:
            self._mark = b""
            self._silent = True
            self.struck.set()


async def lose_replies(chain: Chain, book: Book, application: str, *, keys: bool, times: int) -> None:
    """Payments whose COMMIT is carried out and never confirmed to the API."""
    async with Proxy(chain.settings.postgres_host, chain.settings.postgres_port) as proxy:
        loser = LosesReplies(proxy)
        port = str(proxy.port)
        async with chain.api(application, POSTGRES_PORT=port) as api:
            await open_loans(chain, api.address, book, 1)
            async with api.client(chain.token()) as client:
                for number in range(times):
                    mark = f"lost-{'key' if keys else 'bare'}-{number:06d}"
                    loser.await_mark(mark)
                    paying = asyncio.create_task(pay_marked(client, book, mark, keys=keys))
                    await loser.struck.wait()
                    await eventually(lambda mark=mark: is_committed(chain, mark))  # type: ignore[misc]  # the default binds the loop variable
                    loser.let_go()
                    await paying


async def pay_marked(client: httpx2.AsyncClient, book: Book, mark: str, *, keys: bool) -> None:
    """One payment whose event bears the mark as its request id; it must be accepted at once."""
    amount = book.next_amount()
    headers = {"X-Request-ID": mark} | ({"Idempotency-Key": mark} if keys else {})
    answer = await client.post(f"{LOANS}/{book.loans[-1]}/payments", json={"amount": str(amount)}, headers=headers)
    assert answer.status_code == 201, answer.text
    book.acknowledged[amount] = answer.json()["id"]


async def is_committed(chain: Chain, mark: str) -> bool:
    """Whether the payment of this request stands."""
    return bool(await chain.owner.fetchval("SELECT count(*) FROM events WHERE request_id = $1", mark))


@pytest.mark.parametrize("keys", [True, False], ids=["with_key", "without_key"])
async def test_a_commit_whose_reply_is_lost_counts_once(chain: Chain, keys: bool) -> None:
    book = Book()
    await lose_replies(chain, book, APPLICATION, keys=keys, times=LOST_REPLIES)
    await oracle.check(chain, book)
    assert len(book.acknowledged) == LOST_REPLIES


async def test_control_doing_it_again_without_asking_pays_twice(chain: Chain) -> None:
    book = Book()
    await lose_replies(chain, book, "tests.chaos.broken:api_that_forgets_doubt", keys=False, times=3)
    await chain.settle()
    found = await oracle.findings(chain, book)
    assert len([one for one in found if one.endswith("stands 2 times")]) == 3


async def test_a_restart_of_the_primary_costs_no_acknowledged_payment(chain: Chain) -> None:
    book = Book()
    async with chain.apis() as apis:
        await open_loans(chain, apis[0].address, book, 10)
        editors = [Editor(api.client(chain.token())) for api in (*apis, *apis)]
        async with paying(chain, [api.address for api in apis], book), editing(editors):
            for _ in range(2 * SCALE):
                accepted = len(book.acknowledged)
                await eventually(lambda: len(book.acknowledged) > accepted + 20, 20.0)  # noqa: B023 - awaited before the loop goes on
                await chain.servers.stop("postgres-primary")
                await chain.servers.start("postgres-primary")
                back = monotonic()
                await eventually(lambda: book.accepted_at[-1] > back, RECOVERY_SECONDS)  # noqa: B023 - awaited before the loop goes on
                print(f"\naccepted again {book.accepted_at[-1] - back:.2f} s after the primary was ready")
    await chain.reconnect()
    await oracle.check(chain, book)
    print(f"primary restarted: {book.summary()}; {sum(one.edits for one in editors)} edits read back")
    assert book.statuses.keys() <= {201, 503}
    assert [stale for one in editors for stale in one.stale] == []
    assert {status for one in editors for status in one.statuses} <= {200, 503}


@dataclass
class Editor:
    """Changes a client's phone number again and again, to ever higher numbers, and reads it back without a token."""

    api: httpx2.AsyncClient
    edits: int = 0
    stale: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    async def edit(self, enough: asyncio.Event) -> None:
        """Edit until it is enough. An edit without a clear answer may have been made, one that was accepted must be."""
        path = f"{CLIENTS}/{(await new_client(self.api))['id']}"
        accepted = number = 0
        while not enough.is_set():
            number += 1
            try:
                answer = await self.api.patch(path, json={"phone": f"{number:010d}"})
                self.statuses.add(answer.status_code)
                accepted = number if answer.is_success else accepted
                found = await self.api.get(path)
                self.statuses.add(found.status_code)
            except httpx2.TransportError:
                continue
            if found.is_success and accepted:
                self.edits += 1
                if int(found.json()["phone"]) < accepted:
                    self.stale.append(f"{found.json()['phone']} instead of {accepted}")


@asynccontextmanager
async def editing(editors: list[Editor]) -> AsyncIterator[None]:
    """Editors at work for as long as the block lasts."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for one in editors:
            group.create_task(one.edit(enough))
        try:
            yield
        finally:
            enough.set()
    for one in editors:
        await one.api.aclose()
