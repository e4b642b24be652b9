"""A deployment in the middle of the day: the API is told to stop while people pay."""

import asyncio
from pathlib import Path

import httpx2

from tests.chaos import oracle
from tests.chaos.chain import client_at
from tests.chaos.load import Book, open_loans
from tests.e2e.conftest import Pipeline
from tests.support.builders import LOANS
from tests.support.processes import api_process
from tests.support.waiting import eventually

PAYERS = 8


async def test_a_stop_under_load_finishes_what_was_begun_and_begins_nothing_else(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    chain, book = pipeline.chain, Book()
    await open_loans(chain, pipeline.address, book, PAYERS)
    async with api_process(tmp_path, workers=2, POSTGRES_DB=chain.settings.postgres_db) as (api, address):

        async def pay_until_closed(loan: str) -> None:
            async with client_at(address, chain.token()) as client:
                while True:
                    amount = book.next_amount()
                    try:
                        answer = await client.post(f"{LOANS}/{loan}/payments", json={"amount": str(amount)})
                    except httpx2.TransportError:
                        return
                    assert answer.status_code == 201, answer.text
                    book.acknowledged[amount] = answer.json()["id"]

        async with asyncio.TaskGroup() as group:
            for loan in book.loans:
                group.create_task(pay_until_closed(loan))
            await eventually(lambda: len(book.acknowledged) > 10 * PAYERS, 30.0)
            await api.stop()
    rows = await chain.owner.fetch("SELECT amount FROM payments WHERE amount = ANY($1::numeric[])", [*book.attempted])
    assert {row["amount"] for row in rows} == book.acknowledged.keys(), "done without an answer, or answered undone"
    await oracle.check(chain, book)
    print(f"\nstopped under load: {len(book.acknowledged)} payments answered, all of them stored, no other")
