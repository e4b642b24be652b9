"""What the tests of the engine do to the lender: grant, pay, take back, and let days pass."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
from backend_api.cli import initialise
from backend_api.db.pools import Connection
from backend_api.demo.lender import live
from backend_api.demo.story import CAST, SMALLEST_MONTHS, Story
from backend_api.http.resources import Resources
from backend_api.portfolio import end_of_day
from backend_api.portfolio.end_of_day import Outcome

from tests.support.builders import LOANS, PAYMENTS, Json, get, new_loan, pay
from tests.support.postgres import set_business_date
from tests.support.replays import replayed
from tests.support.replica import caught_up

STORY = Story(clients=len(CAST), months=SMALLEST_MONTHS, seed=7, until=date(2026, 6, 30))
"""The smallest one in which everything happens, up to a day that is the same whenever the tests run."""

BOOKS = """
SELECT (SELECT coalesce(sum(amount), 0) FROM postings) AS postings,
       (SELECT count(*) FROM (SELECT FROM postings GROUP BY entry_id HAVING sum(amount) <> 0) unbalanced) AS unbalanced,
       (SELECT coalesce(sum(amount), 0) FROM postings WHERE account = '1301') AS receivable,
       (SELECT coalesce(sum(current_balance), 0) FROM loans) AS balances
"""


@dataclass
class Lender:
    """The API as an administrator calls it, and the database as its owner sees it."""

    api: httpx2.AsyncClient
    owner: Connection
    resources: Resources

    async def today(self) -> date:
        """The business date."""
        found: date = await self.owner.fetchval("SELECT business_date FROM business_day")
        return found

    async def pass_days(self, days: int) -> date:
        """Let business days pass; the new date."""
        day = await self.today() + timedelta(days=days)
        await set_business_date(self.owner, self.resources, day)
        return day

    async def pass_to(self, day: date) -> None:
        """Let business days pass up to a day."""
        await self.pass_days((day - await self.today()).days)

    async def close(self, through: date) -> Outcome:
        """Close every business date up to and with this one; everybody sees what came of it."""
        outcome = await end_of_day.run(self.resources, through, lambda *_: None)
        await caught_up(self.resources)
        await set_business_date(self.owner, self.resources, await self.today())
        return outcome

    async def close_days(self, count: int) -> Outcome:
        """Close this business date and the next ones, so many in all."""
        return await self.close(await self.today() + timedelta(days=count - 1))

    async def balance(self, account: str) -> Decimal:
        """The balance of an account, debit positive."""
        found: Decimal = await self.owner.fetchval(
            "SELECT coalesce(sum(amount), 0) FROM postings WHERE account = $1", account
        )
        return found

    async def grant(self, **terms: Any) -> Json:
        """A loan that was disbursed today."""
        return await new_loan(self.api, **terms)

    async def pay(self, loan: Json, amount: str | Decimal, **fields: Any) -> Json:
        """A payment that is taken."""
        answer = await pay(self.api, loan["id"], str(amount), **fields)
        assert answer.status_code == 201, answer.text
        body: Json = answer.json()
        return body

    async def reverse(self, payment: Json) -> httpx2.Response:
        """The answer to taking a payment back."""
        return await self.api.post(f"{PAYMENTS}/{payment['id']}/reverse", json={})

    async def loan(self, loan: Json) -> Json:
        """The loan as it is now."""
        return await get(self.api, f"{LOANS}/{loan['id']}")

    async def movements(self, loan: Json) -> list[Json]:
        """All rows of the loan's movements, in the order in which they were booked."""
        found: list[Json] = (await get(self.api, f"{LOANS}/{loan['id']}/movements?limit=100"))["data"]
        return found

    async def events(self, loan: Json) -> list[str]:
        """Types of the events of the loan's client, in order."""
        rows = await self.owner.fetch(
            "SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence", UUID(loan["client_id"])
        )
        return [row["event_type"] for row in rows]

    async def tell(self, story: Story) -> None:
        """Live an invented lender's history on books that are empty."""
        async with end_of_day.turn(self.resources) as turn:
            await initialise.open_past(self.resources.settings, story.first)
            await live(self.resources, turn, story, lambda *_: None)
        await self.pass_days(0)

    async def check_books(self) -> None:
        """Postings sum to zero, entries balance, the ledger holds the loans' principal, and each loan is its replay."""
        disbursed = "SELECT id FROM loans WHERE disbursed_on IS NOT NULL AND status <> 'CANCELLED'"
        for loan in await self.owner.fetch(disbursed):
            await replayed(self.owner, loan["id"])
        books = await self.owner.fetchrow(BOOKS)
        assert books is not None
        assert (books["postings"], books["unbalanced"]) == (0, 0)
        assert books["receivable"] == books["balances"]


def days(count: int) -> timedelta:
    """So many days."""
    return timedelta(days=count)
