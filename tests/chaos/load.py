"""Clients that pay while things break, and remember what they were told."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from uuid import uuid4

import httpx2

from tests.chaos.chain import Chain, client_at
from tests.support.builders import LOANS, new_loan

SECONDS_TO_AN_ANSWER = 40.0
BORROWED = "1000000.00"


@dataclass
class Book:
    """What the payers know. A payment is recognised by its amount, which no other one has.

    `others`: how often somebody else has paid which amount.
    """

    loans: list[str] = field(default_factory=list)
    attempted: set[Decimal] = field(default_factory=set)
    acknowledged: dict[Decimal, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    accepted_at: list[float] = field(default_factory=list)
    others: dict[Decimal, int] = field(default_factory=dict)

    def next_amount(self) -> Decimal:
        """An amount of money that nobody has paid yet."""
        amount = Decimal("10.00") + Decimal("0.01") * len(self.attempted)
        self.attempted.add(amount)
        return amount

    @property
    def server_errors(self) -> int:
        """How many answers were 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def summary(self) -> str:
        """One line for the report."""
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{len(self.acknowledged)} payments acknowledged ({statuses}; {self.unanswered} requests unanswered)"


async def open_loans(chain: Chain, address: str, book: Book, count: int) -> None:
    """So many clients with one loan each."""
    async with client_at(address, chain.token()) as client:
        for _ in range(count):
            book.loans.append((await new_loan(client, amount=BORROWED))["id"])


async def pay(client: httpx2.AsyncClient, book: Book, loan: str, *, keys: bool = True, again: bool = True) -> None:
    """One payment, sent until it is answered: with the same Idempotency-Key each time, or with none.

    `again=False` sends it once, and leaves it in doubt when there is no answer.
    """
    amount = book.next_amount()
    headers = {"Idempotency-Key": uuid4().hex} if keys else {}
    deadline = monotonic() + SECONDS_TO_AN_ANSWER
    while True:
        try:
            answer = await client.post(f"{LOANS}/{loan}/payments", json={"amount": str(amount)}, headers=headers)
        except httpx2.TransportError:
            book.unanswered += 1
        else:
            book.statuses[answer.status_code] += 1
            if answer.status_code == 201:
                book.acknowledged[amount] = answer.json()["id"]
                book.accepted_at.append(monotonic())
                return
            # Refused for now is a promise to come back to; anything else is not expected of these payments.
            if "retry-after" not in answer.headers:
                book.refused.append(f"{answer.status_code} {answer.text[:300]}")
                return
        if not again:
            return
        assert monotonic() < deadline, f"no answer to a payment within {SECONDS_TO_AN_ANSWER:.0f} s: {book.summary()}"
        await asyncio.sleep(random.uniform(0.02, 0.1))  # a client that tries again leaves some time


@asynccontextmanager
async def paying(
    chain: Chain,
    addresses: Sequence[str],
    book: Book,
    payers: int = 8,
    *,
    pause: float = 0.03,
    keys: bool = True,
    again: bool = True,
) -> AsyncIterator[None]:
    """Payers at work for as long as the block lasts; at its end each finishes the payment it is at."""
    enough = asyncio.Event()

    async def payer(number: int) -> None:
        async with client_at(addresses[number % len(addresses)], chain.token()) as client:
            while not enough.is_set():
                await pay(client, book, random.choice(book.loans), keys=keys, again=again)
                await asyncio.sleep(random.uniform(0, 2 * pause))  # the pace of the load

    async with asyncio.TaskGroup() as group:
        for number in range(payers):
            group.create_task(payer(number))
        try:
            yield
        finally:
            enough.set()
