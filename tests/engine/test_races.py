"""Many at once on one payment or one loan: exactly one wins, and the books hold."""

import asyncio
import os
from decimal import Decimal

import httpx2

from tests.engine.lender import Lender
from tests.support.builders import LOANS, Json

PAYMENTS = int(os.environ.get("ENGINE_REVERSED_PAYMENTS", "100"))
"""How many payments are each reversed ten times at once; 2000 is the long run."""
EACH = 10
AT_ONCE = 8


async def test_each_payment_is_reversed_once_however_many_try(lender: Lender) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    busy = 0

    async def reverse(payment: Json) -> int:
        """As callers do: who is told to come again comes again."""
        nonlocal busy
        while (answer := await lender.reverse(payment)).status_code == 503:
            busy += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        return answer.status_code

    async def reverse_at_once(payment: Json) -> list[int]:
        async with turns:
            return await asyncio.gather(*(reverse(payment) for _ in range(EACH)))

    loans = [await lender.grant(amount="10000.00") for _ in range(max(10, PAYMENTS // 10))]
    payments = [await lender.pay(loans[number % len(loans)], "10.00") for number in range(PAYMENTS)]
    found = await asyncio.gather(*(reverse_at_once(payment) for payment in payments))
    succeeded = sum(statuses.count(200) for statuses in found)
    assert succeeded + sum(statuses.count(409) for statuses in found) == PAYMENTS * EACH
    # On a machine with too much to do a success may be told as 503, of which nobody knows what it did: the books do.
    assert PAYMENTS - busy <= succeeded <= PAYMENTS
    for loan in loans:
        assert (await lender.loan(loan))["current_balance"] == "10000.00"
    await lender.check_books()


async def test_payment_reversal_payoff_and_write_off_race_on_one_loan(lender: Lender) -> None:
    for _ in range(8):
        loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
        await lender.pass_days(15)
        payment = await lender.pay(loan, "1000.00")
        path = f"{LOANS}/{loan['id']}"
        answers: tuple[httpx2.Response, ...] = await asyncio.gather(
            lender.api.post(f"{path}/payments", json={"amount": "5000.00"}),
            lender.api.post(f"{path}/payments", json={"amount": "35174.00"}),
            lender.reverse(payment),
            lender.api.post(f"{path}/write-off", json={}),
            lender.api.post(f"{path}/fees", json={"amount": "10.00"}),
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 409}
        after = await lender.loan(loan)
        assert after["status"] in ("ACTIVE", "PAID_OFF", "WRITTEN_OFF")
        assert (after["status"] == "ACTIVE") == (Decimal(after["current_balance"]) > 0)
        await lender.check_books()
