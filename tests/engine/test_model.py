"""Random lives of clients through the API; after every step books, replay, statement and events agree."""

import os
import random
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from tests.engine.lender import Lender, days
from tests.support.builders import CLIENTS, LOANS, Json, get, new_client
from tests.support.replays import replayed

LIVES = int(os.environ.get("ENGINE_LIVES", "6"))
"""How many lives; `ENGINE_LIVES=200` is the long run."""
STEPS = 30

TRIAL_BALANCE = "/api/v1/ledger/trial-balance"
LEDGER = """
SELECT coalesce(sum(p.amount), 0) AS all, coalesce(sum(p.amount) FILTER (WHERE p.account = '1301'), 0) AS receivable
  FROM postings p JOIN ledger_entries e ON e.id = p.entry_id
  JOIN loan_movements m ON m.id = e.movement_id JOIN loans l ON l.id = m.loan_id WHERE l.client_id = $1
"""
# What a movement reports it by, and what each of these events must have moved.
REPORTED = """
SELECT e.event_type, count(m.id) AS rows FROM events e
  LEFT JOIN (loan_movements m JOIN loans l ON l.id = m.loan_id)
         ON l.client_id = e.aggregate_id AND m.sequence = e.sequence
 WHERE e.aggregate_id = $1 GROUP BY e.sequence, e.event_type
"""
MOVING = {
    "loan_activated", "payment_registered", "payment_reversed", "fee_charged", "fee_waived", "loan_written_off",
    "loan_disbursement_undone", "loan_restructured",
}  # fmt: skip
TERMS = (
    {"term_months": 12},
    {"term_months": 6, "excess": "reduce_term"},
    {"installments": 10, "frequency": {"every": 1, "unit": "week"}, "excess": "advance"},
    {"term_months": 8, "amortization": "equal_principal", "day_count": "30/360"},
    {"term_months": 6, "interest_method": "flat", "vat_rate": "0"},
    {"installments": 12, "frequency": {"every": 1, "unit": "semimonth"}, "late_fee": "150.00"},
    {"installments": 20, "frequency": {"every": 1, "unit": "day"}, "business_days": "following", "early_days": 5},
    {"term_months": 9, "grace_principal": 2, "opening_fee": {"rate": "0.02", "collection": "financed"}},
)


class Life:
    """One client's life: each step does something at random, and may be refused."""

    def __init__(self, lender: Lender, client: Json, chance: random.Random) -> None:
        self._lender = lender
        self._client = client
        self._chance = chance
        self._payments: list[Json] = []
        self._issued: list[tuple[dict[str, str], Json]] = []
        self.refusals = 0

    async def step(self) -> None:
        """Something happens."""
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self._days), (6, self._pay), (2, self._pay_dated_back), (2, self._pay_client), (4, self._reverse),
            (1, self._fee), (1, self._waive), (1, self._write_off), (2, self._reverse_write_off),
            (1, self._restructure), (2, self._grant),
        ]  # fmt: skip
        weights, choices = zip(*steps, strict=True)
        await self._chance.choices(choices, weights)[0]()

    async def check(self) -> None:
        """What must hold after every step."""
        client_id = UUID(self._client["id"])
        loans = await self._lender.owner.fetch("SELECT * FROM loans WHERE client_id = $1", client_id)
        for loan in loans:
            if loan["status"] not in ("PENDING", "CANCELLED"):
                await replayed(self._lender.owner, loan["id"])
        ledger = await self._lender.owner.fetchrow(LEDGER, client_id)
        owed = sum((loan["current_balance"] for loan in loans), Decimal(0))
        assert ledger is not None
        assert (ledger["all"], ledger["receivable"]) == (0, owed)
        today = await self._lender.today()
        period = {"from": (today - days(366)).isoformat(), "to": today.isoformat()}
        statement_path = f"{CLIENTS}/{client_id}/account-statement"
        statement = await get(self._lender.api, statement_path, params=period)
        opening, closing = Decimal(statement["opening_balance"]), Decimal(statement["closing_balance"])
        assert opening + Decimal(statement["charges"]) - Decimal(statement["credits"]) == closing == owed
        trial = await get(self._lender.api, TRIAL_BALANCE)
        assert trial["debit"] == trial["credit"]
        yesterday = {**period, "to": (today - days(1)).isoformat()}
        self._issued.append((yesterday, await get(self._lender.api, statement_path, params=yesterday)))
        for row in await self._lender.owner.fetch(REPORTED, client_id):
            if row["event_type"] in MOVING:
                assert row["rows"] > 0, row["event_type"]

    async def check_issued(self) -> None:
        """What was told of days that had ended is told again, whatever happened since."""
        for period, told in self._issued:
            again = await get(self._lender.api, f"{CLIENTS}/{self._client['id']}/account-statement", params=period)
            assert again == told

    async def _days(self) -> None:
        await self._lender.pass_days(self._chance.choice([1, 3, 10, 31, 45]))

    async def _grant(self) -> None:
        terms = self._chance.choice(TERMS)
        amount = f"{self._chance.randrange(50_000, 5_000_000) / 100:.2f}"
        rate = self._chance.choice(["0", "0.15", "0.36", "0.6"])
        body = {"client_id": self._client["id"], "amount": amount, "interest_rate": rate, **terms}
        await self._post(LOANS, body)

    async def _loan(self) -> Json | None:
        page = await get(self._lender.api, f"{CLIENTS}/{self._client['id']}/loans", params={"limit": "100"})
        return self._chance.choice(page["data"]) if page["data"] else None

    async def _amount(self, loan: Json) -> str:
        answer = await self._lender.api.get(f"{LOANS}/{loan['id']}/payoff-quote")
        if answer.status_code != 200:
            return "100.00"
        quote = answer.json()
        most = Decimal(quote["payoff_amount"])
        part = (most * self._chance.randrange(1, 100) / 100).quantize(Decimal("0.01"))
        amount = self._chance.choice([part, most, Decimal(quote["due"]), Decimal(quote["next_due_total"]), most + 1])
        return f"{max(amount, Decimal('0.01')):.2f}"

    async def _pay(self, **fields: str) -> None:
        loan = await self._loan()
        if loan is not None:
            body = {"amount": await self._amount(loan), **fields}
            paid = await self._post(f"{LOANS}/{loan['id']}/payments", body)
            self._payments += [paid] if paid else []

    async def _pay_dated_back(self) -> None:
        day: date = await self._lender.today() - days(self._chance.randrange(1, 40))
        await self._pay(paid_on=day.isoformat())

    async def _pay_client(self) -> None:
        amount = f"{self._chance.randrange(1, 500_000) / 100:.2f}"
        paid = await self._post(f"{CLIENTS}/{self._client['id']}/payments", {"amount": amount})
        self._payments += [paid] if paid else []

    async def _reverse(self) -> None:
        if self._payments:
            payment = self._chance.choice(self._payments)
            await self._post(f"/api/v1/payments/{payment['id']}/reverse", {})

    async def _fee(self) -> None:
        await self._on_loan("fees", {"amount": f"{self._chance.randrange(1, 50_000) / 100:.2f}"})

    async def _waive(self) -> None:
        concept = self._chance.choice(["fees", "moratory", "interest"])
        await self._on_loan("waivers", {"concept": concept, "amount": f"{self._chance.randrange(1, 5_000) / 100:.2f}"})

    async def _reverse_write_off(self) -> None:
        await self._on_loan("write-off/reverse", {})

    async def _write_off(self) -> None:
        await self._on_loan("write-off", {})

    async def _restructure(self) -> None:
        await self._on_loan("restructure", {"interest_rate": "0.10", "term_months": self._chance.randrange(1, 25)})

    async def _on_loan(self, what: str, body: Json) -> None:
        loan = await self._loan()
        if loan is not None:
            await self._post(f"{LOANS}/{loan['id']}/{what}", body)

    async def _post(self, path: str, body: Json) -> Json | None:
        """The answer, or None for a refusal; anything else than these fails."""
        answer = await self._lender.api.post(path, json=body)
        if answer.status_code in (200, 201):
            found: Json = answer.json()
            return found
        assert answer.status_code in (409, 422), (path, body, answer.text)
        self.refusals += 1
        return None


@pytest.mark.parametrize("seed", range(LIVES))
async def test_a_random_life_leaves_everything_in_agreement(seed: int, lender: Lender) -> None:
    life = Life(lender, await new_client(lender.api), random.Random(seed))
    for _ in range(STEPS):
        await life.step()
        await life.check()
    await life.check_issued()
    assert life.refusals < STEPS
