"""Reports about the portfolio: figures worked out by hand, and the loans behind each of them."""

import orjson
import pytest
from backend_api.domain.delinquency import AgeBucket

from tests.engine.lender import Lender, days
from tests.support.builders import Json, get
from tests.support.problems import problem

SUMMARY = "/api/v1/portfolio/summary"
AGING = "/api/v1/portfolio/aging"


async def aged(lender: Lender, query: str = "") -> list[Json]:
    """All pages of loans by lateness."""
    found: list[Json] = []
    cursor = ""
    while True:
        page = await get(lender.api, f"{AGING}?limit=2{query}{cursor}")
        found += page["data"]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_the_figures_of_a_day(new_lender: Lender) -> None:
    """Three loans without interest, so that all can be worked out by hand: 1 000.00 in four installments of 250.00."""
    terms = {"interest_rate": "0", "amount": "1000.00", "term_months": 4, "moratory_rate": "0"}
    worst = await new_lender.grant(**terms)
    kept = orjson.loads(await new_lender.owner.fetchval("SELECT account FROM loans WHERE id = $1", worst["id"]))
    start = await new_lender.today()
    await new_lender.close(start + days(59))
    middle = await new_lender.grant(**terms)
    await new_lender.close(start + days(80))
    best = await new_lender.grant(**terms)
    first_due = [
        await new_lender.owner.fetchval("SELECT next_due_on FROM loans WHERE id = $1", loan["id"])
        for loan in (worst, middle, best)
    ]
    day = first_due[1] + days(40)
    await new_lender.close(day)
    late = [(day - due).days for due in first_due]
    assert 91 <= late[0] <= 120, "75 percent by the table of consumer loans"
    assert late[1] == 40, "30 percent"
    assert 8 <= late[2] <= 30, "15 percent"

    summary = await get(new_lender.api, SUMMARY)
    whole = summary["total"]
    assert (summary["on"], whole["loans"], whole["balance"]) == (day.isoformat(), 3, "3000.00")
    assert whole["provisions"] == "1200.00"
    assert whole["imor"] == "33.33"
    shares = [{"loans": 1, "balance": "1000.00"}] * 3
    assert whole["buckets"] == dict(zip(("0-30", "31-89", "90+"), shares, strict=True))
    assert whole["stages"] == dict(zip("123", shares, strict=True))
    assert [{**product, "product": None} for product in summary["products"]] == [{**whole, "product": None}]
    assert await new_lender.balance("1390") == -1200

    for bucket, loan, days_late in zip(AgeBucket, (best, middle, worst), late[::-1], strict=True):
        [found] = await aged(new_lender, f"&bucket={bucket.value.replace('+', '%2B')}")
        assert (found["id"], found["days_past_due"], found["bucket"]) == (loan["id"], days_late, bucket)
        assert [each["id"] for each in await aged(new_lender, f"&stage={found['stage']}")] == [loan["id"]]
    everything = await aged(new_lender)
    assert [loan["id"] for loan in everything] == [worst["id"], middle["id"], best["id"]], "by folio"
    assert [loan["id"] for loan in await aged(new_lender, "&sort=-next_due_on&product=STANDARD")] == [
        best["id"], middle["id"], worst["id"],
    ]  # fmt: skip
    assert await aged(new_lender, "&product=PAYROLL") == []
    assert kept


async def test_a_day_of_the_past_stays_as_it_was(new_lender: Lender) -> None:
    loan = await new_lender.grant(amount="1000.00", interest_rate="0")
    day = await new_lender.today()
    await new_lender.close(day)
    before = await get(new_lender.api, SUMMARY)
    await new_lender.pay(loan, "400.00", paid_on=day.isoformat())
    await new_lender.close_days(1)
    assert await get(new_lender.api, f"{SUMMARY}?on={day}") == before
    assert (await get(new_lender.api, SUMMARY))["total"]["balance"] == "600.00"
    problem(await new_lender.api.get(f"{SUMMARY}?on={day + days(2)}"), 409, "day_not_closed")


async def test_of_nothing_there_is_no_ratio(new_lender: Lender) -> None:
    problem(await new_lender.api.get(SUMMARY), 409, "day_not_closed")
    await new_lender.close_days(1)
    assert (await get(new_lender.api, SUMMARY))["total"]["imor"] is None
    assert await aged(new_lender) == []


@pytest.mark.parametrize("query", ["bucket=5-8", "stage=4", "product=x", "sort=amount"])
async def test_a_filter_that_does_not_exist_is_refused(lender: Lender, query: str) -> None:
    assert (await lender.api.get(f"{AGING}?{query}")).status_code == 422
