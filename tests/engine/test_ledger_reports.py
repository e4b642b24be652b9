"""Reports about the ledger, and months that are closed."""

from datetime import date
from decimal import Decimal

import asyncpg
import httpx2
import pytest

from tests.engine.lender import Lender, days
from tests.support.builders import Json, get
from tests.support.problems import problem

TRIAL_BALANCE = "/api/v1/ledger/trial-balance"
ENTRIES = "/api/v1/ledger/entries"
PERIODS = "/api/v1/ledger/periods"
YEAR = {"amount": "36000.00", "interest_rate": "0.10", "term_months": 12}


async def posted(lender: Lender, on: date) -> dict[str, tuple[Decimal, Decimal]]:
    """Debit and credit of every account that was posted on, from the postings themselves."""
    rows = await lender.owner.fetch(
        "SELECT account, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit, "
        "coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credit "
        "FROM postings p JOIN ledger_entries e ON e.id = p.entry_id WHERE posted_on <= $1 GROUP BY account",
        on,
    )
    return {row["account"]: (row["debit"], row["credit"]) for row in rows}


async def entries(lender: Lender, query: str = "") -> list[Json]:
    """All pages of entries."""
    found: list[Json] = []
    cursor = ""
    while True:
        page = await get(lender.api, f"{ENTRIES}?limit=3{query}{cursor}")
        found += page["data"]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_the_trial_balance_is_the_sum_of_the_postings_on_any_day(new_lender: Lender) -> None:
    start = await new_lender.today()
    loan = await new_lender.grant(**YEAR)
    await new_lender.close_days(10)
    await new_lender.pay(loan, "5000.00")
    await new_lender.close_days(5)
    await new_lender.pay(loan, "200.00")
    today = await new_lender.today()
    for on in (None, today, today - days(1), start + days(10), start + days(9), start, start - days(1)):
        found = await get(new_lender.api, TRIAL_BALANCE + (f"?on={on}" if on else ""))
        expected = await posted(new_lender, on or today)
        assert found["on"] == (on or today).isoformat()
        assert found["debit"] == found["credit"]
        for account in found["accounts"]:
            debit, credit = expected.pop(account["account"], (Decimal("0.00"), Decimal("0.00")))
            assert (Decimal(account["debit"]), Decimal(account["credit"])) == (debit, credit), account
            assert Decimal(account["balance"]) == debit - credit
        assert not expected
    # 36 000 handed over, 5 200 back; the day's accrual of what is left comes at its end.
    balances = {account["account"]: account["balance"] for account in found["accounts"]}
    assert set(balances.values()) == {"0.00"}, "before the first day nothing was posted"
    now = {each["account"]: each["balance"] for each in (await get(new_lender.api, TRIAL_BALANCE))["accounts"]}
    assert (now["1101"], now["2201"]) == ("-30800.00", "-22.92"), "16 percent of 100.00 and of 43.22"


async def test_entries_are_listed_with_their_postings(new_lender: Lender) -> None:
    start = await new_lender.today()
    loan = await new_lender.grant(**YEAR)
    await new_lender.close_days(3)
    await new_lender.pay(loan, "5000.00")
    every = await entries(new_lender)
    assert [entry["posted_on"] for entry in every] == sorted(entry["posted_on"] for entry in every)
    assert [entry["kind"] for entry in every if entry["movement_id"]] == ["DISBURSEMENT", "PAYMENT"]
    for entry in every:
        assert sum(Decimal(posting["amount"]) for posting in entry["postings"]) == 0
        assert entry["product"] == "STANDARD"
    assert await entries(new_lender, "&sort=-posted_on") == every[::-1]

    accrued = await entries(new_lender, "&account=1302")
    assert [entry["kind"] for entry in accrued] == ["ACCRUAL_INTEREST", "ACCRUAL_INTEREST", "PAYMENT"]
    assert {entry["id"] for entry in accrued} == {
        entry["id"] for entry in every if "1302" in {posting["account"] for posting in entry["postings"]}
    }
    assert await entries(new_lender, f"&from={start + days(1)}&to={start + days(1)}&kind=PROVISION") == [
        entry for entry in every if entry["kind"] == "PROVISION" and entry["posted_on"] == str(start + days(1))
    ]
    assert await entries(new_lender, "&product=PAYROLL") == []
    assert await entries(new_lender, "&account=7101") == []


async def test_a_closed_month_takes_no_entries(new_lender: Lender) -> None:
    start = await new_lender.today()
    await new_lender.grant(**YEAR)
    month, next_month = start.strftime("%Y-%m"), start.replace(day=1) + days(32)
    refused = problem(await new_lender.api.post(f"{PERIODS}/{month}/close"), 409, "day_not_closed")
    last = next_month.replace(day=1) - days(1)
    assert refused["day"] == last.isoformat()
    await new_lender.close(last)

    answer = await new_lender.api.post(f"{PERIODS}/{month}/close")
    assert (answer.status_code, answer.json()["ends_on"]) == (201, last.isoformat())
    assert (await get(new_lender.api, PERIODS))["data"] == [answer.json()]
    problem(await new_lender.api.post(f"{PERIODS}/{month}/close"), 409, "period_already_closed")
    problem(await new_lender.api.post(f"{PERIODS}/2020-01/close"), 409, "period_already_closed")
    [event] = await new_lender.owner.fetch(
        "SELECT e.sequence, d.business_date FROM events e JOIN day_closes d ON d.id = e.aggregate_id "
        "WHERE event_type = 'period_closed'"
    )
    assert (event["sequence"], event["business_date"]) == (2, last)

    await new_lender.grant(**YEAR)
    await new_lender.close_days(2)
    with pytest.raises(asyncpg.CheckViolationError, match="is closed"):
        await new_lender.owner.execute(
            "WITH e AS (INSERT INTO ledger_entries (id, kind, product, posted_on, sequence, created_at) "
            "VALUES (gen_random_uuid(), 'PAYMENT', 'STANDARD', $1, 1, now()) RETURNING id) "
            "INSERT INTO postings SELECT id, n, '1101', a FROM e, (VALUES (1, 5.00), (2, -5.00)) v (n, a)",
            last,
        )


@pytest.mark.parametrize("period", ["2026-13", "2026-1", "1969-12", "x"])
async def test_a_month_that_does_not_exist_is_refused(lender: Lender, period: str) -> None:
    assert (await lender.api.post(f"{PERIODS}/{period}/close")).status_code == 422


@pytest.mark.parametrize("query", ["account=13", "from=2026-02-30", "to=x", "sort=kind"])
async def test_a_filter_that_does_not_exist_is_refused(lender: Lender, query: str) -> None:
    assert (await lender.api.get(f"{ENTRIES}?{query}")).status_code == 422


async def test_everybody_of_the_house_reads_and_only_an_administrator_closes(
    officer: httpx2.AsyncClient, auditor: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    reports = (TRIAL_BALANCE, ENTRIES, PERIODS, "/api/v1/portfolio/aging")
    for path in reports:
        problem(await anonymous.get(path), 401, "unauthenticated")
        for reader in (officer, auditor):
            assert (await reader.get(path)).status_code == 200
    for reader in (officer, auditor):
        problem(await reader.post(f"{PERIODS}/2026-01/close"), 403, "forbidden")
    problem(await anonymous.get("/api/v1/portfolio/summary"), 401, "unauthenticated")
