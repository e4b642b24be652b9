"""The end of day: what it tells, what it books, and what a missed or failing one leaves behind."""

import asyncio
import time
import tracemalloc
from datetime import date
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from backend_api.db.pools import connect
from backend_api.domain.account import Account, Position
from backend_api.domain.business_days import business_day_from
from backend_api.domain.money import ZERO
from backend_api.ledger.state import account_of
from backend_api.portfolio import end_of_day, queries
from backend_api.portfolio.end_of_day import EndOfDayRunning

from tests.engine.lender import Lender, days
from tests.support.builders import LOANS, Json, get
from tests.support.processes import try_command
from tests.support.sabotage import deadlocked_loan
from tests.support.waiting import least

YEAR = {"amount": "36000.00", "interest_rate": "0.10", "term_months": 12}
"""36 000 x 0.10 / 360: interest of 10.00 a day."""
PRODUCTION = dict.fromkeys(
    ("API_SECRET_KEY", "POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD", "POSTGRES_REPLICA_PASSWORD", "REDIS_PASSWORD",
     "RABBITMQ_DEFAULT_PASS", "COUCHDB_PASSWORD", "COUCHDB_CONSUMER_PASSWORD", "COUCHDB_AUDITOR_PASSWORD",
     "API_KEY_PEPPER", "GATEWAY_SECRET"),
    "0123456789abcdef" * 4,
) | {
    "ALLOWED_HOSTS": "api.example.com", "TRUSTED_PROXIES": "10.0.0.0/8", "PUBLIC_URL": "https://api.example.com",
    "GATEWAY_URL": "https://gateway.example.com/pay",
}  # fmt: skip
"""What production takes; the command refuses before it uses any of it."""


async def positions(lender: Lender, on: date) -> list[Position]:
    """What is owed of every loan at the end of a day that is not before its last movement."""
    rows = await lender.owner.fetch(
        "SELECT terms, disbursed_on, account FROM loans WHERE status IN ('ACTIVE', 'DEFAULTED')"
    )
    return [account_of(row["terms"], row["disbursed_on"], row["account"]).position(on) for row in rows]


async def entries(lender: Lender, kind: str) -> list[Decimal]:
    """What the entries of a kind have brought their account, in the order of the days."""
    rows = await lender.owner.fetch(
        "SELECT p.amount FROM ledger_entries e JOIN postings p ON p.entry_id = e.id AND p.line = 1 "
        "WHERE e.kind = $1 ORDER BY e.posted_on",
        kind,
    )
    return [row["amount"] for row in rows]


async def account(lender: Lender, loan: Json) -> Account:
    """The loan's account after its last movement."""
    row = await lender.owner.fetchrow("SELECT terms, disbursed_on, account FROM loans WHERE id = $1", loan["id"])
    assert row is not None
    return account_of(row["terms"], row["disbursed_on"], row["account"])


async def due_days(lender: Lender, loan: Json) -> list[date]:
    """When the loan's installments fall due."""
    return [row.due_on for row in (await account(lender, loan)).rows]


async def test_a_day_books_the_interest_of_the_day(new_lender: Lender) -> None:
    await new_lender.grant(**YEAR)
    outcome = await new_lender.close_days(4)
    assert (len(outcome.closed), outcome.failed) == (4, {})
    assert await entries(new_lender, "ACCRUAL_INTEREST") == [Decimal("10.00")] * 3, "none on the day of disbursement"
    assert (await new_lender.balance("1302"), await new_lender.balance("5101")) == (Decimal("30.00"), Decimal("-30.00"))
    # One percent of principal and interest, of a loan that is not late.
    assert await new_lender.balance("1390") == Decimal("-360.30")
    assert await new_lender.balance("6201") == Decimal("360.30")
    await new_lender.check_books()


async def test_the_days_of_a_month_sum_up_to_the_interest_that_is_charged(new_lender: Lender) -> None:
    loan = await new_lender.grant(amount="12345.67", interest_rate="0.3333", term_months=7)
    first, *_ = await due_days(new_lender, loan)
    charged = (await account(new_lender, loan)).rows[0].interest.net
    await new_lender.close(first)
    assert await new_lender.balance("1302") == charged > ZERO
    assert sum(await entries(new_lender, "ACCRUAL_INTEREST")) == charged


async def test_after_payments_the_receivables_are_what_is_owed(new_lender: Lender) -> None:
    late, prompt, early, sloppy = [await new_lender.grant(**YEAR, late_fee="0.00") for _ in range(4)]
    fined = await new_lender.grant(**YEAR, late_fee="100.00", moratory_rate="0")
    first, *_ = await due_days(new_lender, late)
    await new_lender.close(first - days(11))
    await new_lender.pay(early, "10000.00")
    await new_lender.close(first - days(1))
    await new_lender.pay(prompt, "3400.00")
    await new_lender.close(first + days(20))
    backdated = await new_lender.pay(sloppy, "500.00", paid_on=(first + days(5)).isoformat())
    await new_lender.pay(late, "1000.00")
    await new_lender.close_days(2)
    assert (await new_lender.reverse(backdated)).status_code == 200
    await new_lender.close_days(1)
    owed = await positions(new_lender, await new_lender.today() - days(1))
    assert await new_lender.balance("1302") == sum(position.interest for position in owed)
    assert await new_lender.balance("1304") == sum(position.moratory for position in owed) > ZERO
    assert await new_lender.balance("1303") == sum(position.fees for position in owed) == Decimal("100.00")
    assert fined
    await new_lender.check_books()


async def test_what_becomes_overdue_is_told_once(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR)
    first, second, *_ = await due_days(new_lender, loan)
    await new_lender.close(first)
    assert "installment_overdue" not in await new_lender.events(loan), "due today is not late"
    await new_lender.close(second + days(1))
    rows = await new_lender.owner.fetch(
        "SELECT payload, lane FROM events LEFT JOIN outbox USING (aggregate_id, sequence) "
        "WHERE event_type = 'installment_overdue' ORDER BY sequence"
    )
    assert [orjson.loads(row["payload"]) for row in rows] == [
        {"loan_id": loan["id"], "client_id": loan["client_id"], "number": number, "due_on": due.isoformat()}
        for number, due in ((1, first), (2, second))
    ]
    assert {row["lane"] for row in rows} == {1}, "the bulk lane, which does not hold up payments"


async def test_a_loan_that_payments_hold_is_looked_at_again(new_lender: Lender) -> None:
    """A payment of several loans, and the end of the day with many, each wait for what the other has."""
    loan = await new_lender.grant(**YEAR)
    today = await new_lender.today()
    connection = await connect(new_lender.resources.settings)
    seen = {"stage": 2, "next_change_on": today, "closed_through": today}
    async with deadlocked_loan(new_lender.owner, loan["id"]):
        await queries.looked_at(connection, [(UUID(loan["id"]), loan["version"], seen)])
    await connection.close()
    assert await new_lender.owner.fetchval("SELECT stage FROM loans WHERE id = $1", loan["id"]) == 2


async def test_a_prompt_payment_is_never_told_and_a_bounced_one_is(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR)
    first, *_ = await due_days(new_lender, loan)
    await new_lender.close(first - days(1))
    payment = await new_lender.pay(loan, "3400.00")
    await new_lender.close(first + days(5))
    assert "installment_overdue" not in await new_lender.events(loan)
    assert (await new_lender.reverse(payment)).status_code == 200
    await new_lender.close_days(1)
    assert (await new_lender.events(loan))[-1] == "installment_overdue"
    await new_lender.close_days(3)
    assert (await new_lender.events(loan)).count("installment_overdue") == 1


async def test_ninety_days_are_default_and_paying_cures(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR)
    first, *_ = await due_days(new_lender, loan)

    async def standing() -> tuple[str, int]:
        row = await new_lender.owner.fetchrow("SELECT status, stage FROM loans WHERE id = $1", loan["id"])
        assert row is not None
        return row["status"], row["stage"]

    await new_lender.close(first + days(30))
    assert await standing() == ("ACTIVE", 1)
    await new_lender.close(first + days(31))
    assert await standing() == ("ACTIVE", 2)
    await new_lender.close(first + days(89))
    assert await standing() == ("ACTIVE", 2)
    await new_lender.close(first + days(90))
    assert await standing() == ("DEFAULTED", 3)
    assert (await new_lender.events(loan))[-1] == "loan_defaulted"
    [position] = await positions(new_lender, await new_lender.today())
    await new_lender.pay(loan, position.due.total)
    assert await standing() == ("ACTIVE", 1)
    assert (await new_lender.events(loan))[-1] == "loan_cured"
    await new_lender.close_days(40)
    assert (await new_lender.events(loan)).count("loan_defaulted") == 1


async def test_the_interest_of_stage_3_is_no_income_until_it_is_paid(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR)
    first, *_ = await due_days(new_lender, loan)
    await new_lender.close(first + days(89))
    earned = await new_lender.balance("5101") + await new_lender.balance("5102")
    assert earned < ZERO
    assert await new_lender.balance("7101") == ZERO
    await new_lender.close_days(1)
    [position] = await positions(new_lender, await new_lender.today() - days(1))
    unpaid = position.interest + position.moratory
    assert [await new_lender.balance(code) for code in ("1302", "1304", "5101", "5102")] == [ZERO] * 4
    assert (await new_lender.balance("7101"), await new_lender.balance("7201")) == (unpaid, -unpaid)

    paid = (await new_lender.pay(loan, "500.00"))["allocations"][0]
    collected = Decimal(paid["interest"]) + Decimal(paid["moratory"])
    assert collected > ZERO
    assert await new_lender.balance("5101") + await new_lender.balance("5102") == -collected, "at once"
    await new_lender.close_days(1)
    [position] = await positions(new_lender, await new_lender.today() - days(1))
    assert await new_lender.balance("5101") + await new_lender.balance("5102") == -collected
    assert await new_lender.balance("7101") == position.interest + position.moratory

    [position] = await positions(new_lender, await new_lender.today())
    await new_lender.pay(loan, position.due.total)
    await new_lender.close_days(1)
    [position] = await positions(new_lender, await new_lender.today() - days(1))
    assert (await new_lender.balance("1302"), await new_lender.balance("7101")) == (position.interest, ZERO)
    await new_lender.check_books()


async def test_a_loss_of_stage_3_takes_no_interest_to_the_expenses(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR)
    first, *_ = await due_days(new_lender, loan)
    await new_lender.close(first + days(95))
    answer = await new_lender.api.post(f"{LOANS}/{loan['id']}/write-off", json={})
    assert answer.status_code == 200, answer.text
    await new_lender.close_days(1)
    assert await new_lender.balance("6101") == Decimal("36000.00")
    for code in ("1301", "1302", "1304", "1390", "5101", "5102", "7101", "7201", "6201"):
        assert await new_lender.balance(code) == ZERO, code


async def test_a_restructured_loan_is_of_stage_3_until_three_installments_are_paid(new_lender: Lender) -> None:
    old = await new_lender.grant(**YEAR)
    await new_lender.close_days(1)
    answer = await new_lender.api.post(
        f"{LOANS}/{old['id']}/restructure", json={"interest_rate": "0.10", "term_months": 6}
    )
    assert answer.status_code == 201, answer.text
    loan = answer.json()
    for paid in range(5):
        await new_lender.close_days(3)
        row = await new_lender.owner.fetchrow("SELECT stage, status, next_due_on FROM loans WHERE id = $1", loan["id"])
        totals = orjson.loads(
            await new_lender.owner.fetchval("SELECT totals FROM day_closes ORDER BY business_date DESC LIMIT 1")
        )
        assert row is not None
        assert row["stage"] == (3 if paid < 3 else 1)
        assert totals["total"]["stages"][str(row["stage"])]["loans"] == 1
        assert (row["status"], totals["total"]["buckets"]["0-30"]["loans"]) == ("ACTIVE", 1), "it is not late"
        assert (await new_lender.balance("7101") > ZERO) == (row["stage"] == 3)
        await new_lender.close(row["next_due_on"] - days(1))
        [position] = await positions(new_lender, row["next_due_on"])
        await new_lender.pay(loan, position.due.total)
    await new_lender.check_books()


SUMS = ("1301", "1302", "1303", "1304", "1399", "5101", "5102", "7101", "7201")


@pytest.mark.parametrize("product", ["STANDARD", "OTHER"])
@pytest.mark.parametrize("late", [40, 95])
async def test_interest_that_a_restructured_loan_carries_is_no_income_until_it_is_paid(
    new_lender: Lender, late: int, product: str
) -> None:
    """Whatever stage the old loan was in: the new one is in stage 3, and so is what it carries."""
    assert (await new_lender.api.post("/api/v1/loan-products", json={"code": "OTHER", "name": "Other"})).is_success
    old = await new_lender.grant(**YEAR)
    await new_lender.api.post(f"{LOANS}/{old['id']}/fees", json={"amount": "100.00"})
    first, *_ = await due_days(new_lender, old)
    await new_lender.close(first + days(late))
    [owed] = await positions(new_lender, await new_lender.today())
    terms = {"product": product, "interest_rate": "0.10", "term_months": 6}
    answer = await new_lender.api.post(f"{LOANS}/{old['id']}/restructure", json=terms)
    assert answer.status_code == 201, answer.text
    sums = {code: await new_lender.balance(code) for code in SUMS}
    assert [sums["1301"], sums["1303"], sums["1399"]] == [36000, 100, 0]
    # What arose today was not booked yet, but is taken off already: the end of the day puts that right.
    await new_lender.close_days(1)
    sums = {code: await new_lender.balance(code) for code in SUMS}
    unpaid = owed.interest + owed.moratory
    assert unpaid > ZERO
    none = dict.fromkeys(("1302", "1304", "5101", "5102", "1399"), ZERO)
    assert sums == {"1301": 36000, "1303": 100, "7101": unpaid, "7201": -unpaid, **none}

    loan = answer.json()
    paid = (await new_lender.pay(loan, "1000.00"))["allocations"][0]
    collected = Decimal(paid["interest"]) + Decimal(paid["moratory"])
    assert collected > ZERO
    assert await new_lender.balance("5101") + await new_lender.balance("5102") == -collected
    await new_lender.close_days(1)
    [position] = await positions(new_lender, await new_lender.today() - days(1))
    assert await new_lender.balance("7101") == position.interest + position.moratory
    assert await new_lender.balance("5101") + await new_lender.balance("5102") == -collected
    await new_lender.check_books()


async def test_a_late_payment_of_a_restructured_loan_starts_the_count_anew(new_lender: Lender) -> None:
    old = await new_lender.grant(**YEAR)
    await new_lender.close_days(1)
    answer = await new_lender.api.post(
        f"{LOANS}/{old['id']}/restructure", json={"interest_rate": "0.10", "term_months": 9}
    )
    loan = answer.json()
    stages = []
    for due_on, wait in zip(await due_days(new_lender, loan), (0, 0, 1, 0, 0, 0), strict=False):
        await new_lender.close(due_on + days(wait) - days(1))
        [position] = await positions(new_lender, due_on + days(wait))
        await new_lender.pay(loan, position.due.total)
        stages.append(await new_lender.owner.fetchval("SELECT stage FROM loans WHERE id = $1", loan["id"]))
    assert stages == [3, 3, 3, 3, 3, 1]
    await new_lender.check_books()


async def test_interest_that_is_paid_before_it_arises_is_income_as_it_arises(new_lender: Lender) -> None:
    loan = await new_lender.grant(**YEAR, excess="advance")
    await new_lender.close_days(5)
    await new_lender.pay(loan, "9000.00")
    for passed in range(5, 9):
        await new_lender.close_days(1)
        assert await new_lender.balance("5101") == -10 * passed
    [position] = await positions(new_lender, await new_lender.today() - days(1))
    assert await new_lender.balance("1302") == position.interest < ZERO
    [position] = await positions(new_lender, await new_lender.today())
    await new_lender.pay(loan, position.payoff_amount)
    await new_lender.close_days(1)
    assert [await new_lender.balance("5101"), await new_lender.balance("1302")] == [-90, 0]
    assert await new_lender.balance("2201") == Decimal("-14.40")
    await new_lender.check_books()


async def test_an_installment_is_overdue_after_the_business_day_on_which_it_was_in_time(new_lender: Lender) -> None:
    """The first Saturday after today is a due date; with the next business day, Sunday and Monday are in time."""
    today = await new_lender.today()
    saturday = today + days((5 - today.weekday()) % 7 or 7)
    while (monday := business_day_from(saturday)) != saturday + days(2):
        saturday += days(7)
    terms = {**YEAR, "first_due_on": saturday.isoformat()}
    agreed, strict = [await new_lender.grant(**terms, **said) for said in ({"business_days": "following"}, {})]
    await new_lender.close(saturday + days(1))
    assert ["installment_overdue" in await new_lender.events(loan) for loan in (agreed, strict)] == [False, True]
    assert [loan["days_past_due"] for loan in await aging(new_lender)] == [0, 1]
    await new_lender.close(monday)
    assert "installment_overdue" not in await new_lender.events(agreed)
    assert [position.moratory > ZERO for position in await positions(new_lender, monday)] == [False, True]
    await new_lender.close(monday + days(1))
    assert (await new_lender.events(agreed))[-1] == "installment_overdue"
    assert [loan["days_past_due"] for loan in await aging(new_lender)] == [1, 3]
    await new_lender.close(monday + days(29))
    assert [loan["bucket"] for loan in await aging(new_lender)] == ["0-30", "31-89"]
    assert [loan["stage"] for loan in await aging(new_lender)] == [1, 2]
    for bucket, loan in (("0-30", agreed), ("31-89", strict)):
        assert [each["id"] for each in await aging(new_lender, f"?bucket={bucket}")] == [loan["id"]]
    totals = orjson.loads(
        await new_lender.owner.fetchval("SELECT totals FROM day_closes ORDER BY business_date DESC LIMIT 1")
    )
    assert [totals["total"]["buckets"][bucket]["loans"] for bucket in ("0-30", "31-89")] == [1, 1]
    await new_lender.close(monday + days(31))
    assert [loan["stage"] for loan in await aging(new_lender)] == [2, 2]
    await new_lender.check_books()


async def aging(lender: Lender, query: str = "") -> list[Json]:
    """Owed loans by folio, as the portfolio lists them."""
    found: list[Json] = (await get(lender.api, f"/api/v1/portfolio/aging{query}"))["data"]
    return found


async def test_a_product_says_by_which_table_its_loans_are_provided_for(new_lender: Lender) -> None:
    terms = {"portfolio": "housing"}
    answer = await new_lender.api.post("/api/v1/loan-products", json={"code": "HOME", "name": "Home", "terms": terms})
    assert answer.status_code == 201, answer.text
    await new_lender.grant(amount="1000.00", interest_rate="0", product="HOME")
    await new_lender.close_days(1)
    assert await new_lender.balance("1390") == Decimal("-3.50"), "0.35 percent"
    await new_lender.grant(amount="1000.00", interest_rate="0")
    await new_lender.close_days(1)
    assert await new_lender.balance("1390") == Decimal("-13.50"), "and 1 percent of a consumer loan"


async def test_a_day_is_measured_as_it_was_whatever_has_moved_since(new_lender: Lender) -> None:
    """Days pass without an end of day, as on a machine that was off; what was missed is caught up."""
    paid, closed, undone = [await new_lender.grant(**YEAR) for _ in range(3)]
    start = await new_lender.today()
    await new_lender.pass_days(10)
    await new_lender.pay(paid, "5000.00")
    await new_lender.pay(closed, (await positions(new_lender, start + days(10)))[1].payoff_amount)
    payment = await new_lender.pay(undone, "700.00")
    late = await new_lender.grant(**YEAR)
    await new_lender.pass_days(2)
    await new_lender.reverse(payment)
    outcome = await new_lender.close(start + days(12))
    assert outcome.closed == [start + days(number) for number in range(13)]
    rows = await new_lender.owner.fetch("SELECT totals FROM day_closes ORDER BY business_date")
    found = [orjson.loads(row["totals"])["total"] for row in rows]
    assert [day["loans"] for day in found] == [3] * 10 + [3] * 3
    assert [day["interest"] for day in found[:10]] == [f"{30 * number}.00" for number in range(10)]
    # Of the 31 000 that are left, the loan of the tenth day, and the one whose payment was taken back on the twelfth.
    assert (found[9]["principal"], found[10]["principal"]) == ("108000.00", found[11]["principal"])
    owed = await positions(new_lender, start + days(12))
    assert found[12]["principal"] == str(sum(position.principal for position in owed))
    assert await new_lender.balance("1302") == sum(position.interest for position in owed)
    assert late
    await new_lender.check_books()


async def test_a_loan_that_cannot_be_worked_out_is_named_and_the_rest_go_on(new_lender: Lender) -> None:
    good, bad = [await new_lender.grant(**YEAR) for _ in range(2)]
    first, *_ = await due_days(new_lender, bad)
    await new_lender.close(first)
    before = await new_lender.balance("1302")
    kept = await new_lender.owner.fetchval("SELECT account FROM loans WHERE id = $1", bad["id"])
    await new_lender.owner.execute("UPDATE loans SET account = '{}' WHERE id = $1", bad["id"])
    outcome = await new_lender.close_days(1)
    assert outcome.failed == {UUID(bad["id"]): "KeyError: 'rows'"}
    assert (await new_lender.events(good))[-1] == "installment_overdue"
    assert await new_lender.balance("1302") < before, "left out, until it can be worked out"
    again = await new_lender.close(first + days(1))
    assert (again.closed, list(again.failed)) == ([], [UUID(bad["id"])]), "it is tried again, to no avail"

    await new_lender.owner.execute("UPDATE loans SET account = $2 WHERE id = $1", bad["id"], kept)
    assert (await new_lender.close(first + days(1))).failed == {}
    assert (await new_lender.events(bad))[-1] == "installment_overdue"
    await new_lender.close_days(1)
    owed = await positions(new_lender, first + days(2))
    assert await new_lender.balance("1302") == sum(position.interest for position in owed)
    assert await new_lender.owner.fetchval("SELECT count(*) FROM day_close_failures WHERE resolved_at IS NULL") == 0


async def test_again_nothing_happens_and_of_two_at_once_one_works(new_lender: Lender) -> None:
    await new_lender.grant(**YEAR)
    today = await new_lender.today()

    async def attempt() -> int:
        try:
            return len((await end_of_day.run(new_lender.resources, today + days(20), lambda *_: None)).closed)
        except EndOfDayRunning:
            return 0

    assert sorted(await asyncio.gather(*(attempt() for _ in range(3)))) == [0, 0, 21]
    before = await new_lender.owner.fetchval("SELECT count(*) FROM events")
    assert (await new_lender.close(today + days(20))).closed == []
    assert await new_lender.owner.fetchval("SELECT count(*) FROM events") == before
    assert await new_lender.today() == today + days(21)


async def test_the_first_day_of_a_lender_without_loans_closes_too(new_lender: Lender) -> None:
    assert len((await new_lender.close_days(2)).closed) == 2
    totals = orjson.loads(await new_lender.owner.fetchval("SELECT totals FROM day_closes LIMIT 1"))
    assert (totals["total"]["loans"], totals["products"], totals["loans_failed"]) == (0, [], 0)


@pytest.mark.parametrize("payment", ["1.00", "3400.00"])
async def test_a_payment_before_the_day_is_closed_does_not_silence_it(new_lender: Lender, payment: str) -> None:
    """Two installments are late when a payment comes, and only then the missed days are closed."""
    loan = await new_lender.grant(**YEAR)
    first, second, *_ = await due_days(new_lender, loan)
    await new_lender.pass_to(second + days(2))
    await new_lender.pay(loan, payment)
    await new_lender.close(second + days(2))
    told = (await new_lender.events(loan)).count("installment_overdue")
    assert told == (2 if payment == "1.00" else 1), "what is still overdue"
    assert first


COPIES = """
INSERT INTO loans (id, folio, client_id, status, amount, interest_rate, term_months, product, product_version, terms,
                   disbursed_on, current_balance, account, account_on, next_due_on, in_time_until, next_change_on,
                   stage, moved_on, version, created_at, updated_at)
SELECT gen_random_uuid(), nextval('loan_folio'), client_id, status, amount, interest_rate, term_months, product,
       product_version, terms, disbursed_on, current_balance, account, account_on, next_due_on, in_time_until,
       next_change_on, stage, moved_on, version, created_at, updated_at
  FROM loans, generate_series(1, $2::int) WHERE id = $1
"""


@pytest.mark.no_cover  # see `tests/conftest.py`
async def test_a_loan_costs_the_same_among_many_and_memory_holds_a_few(new_lender: Lender) -> None:
    """The bounds are wide: a search through all loans for each loan would break them many times over."""
    loan = await new_lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await new_lender.close_days(1)
    seconds: list[float] = []

    async def seconds_of_a_day() -> float:
        began = time.perf_counter()
        await new_lender.close_days(1)
        return time.perf_counter() - began

    for count in (500, 4_500):
        await new_lender.owner.execute(COPIES, loan["id"], count - (0 if seconds else 1))
        await new_lender.owner.execute("ANALYZE loans")
        seconds.append(await least(seconds_of_a_day, below=30 * max(seconds[0], 0.05) if seconds else 0, tries=3))
    totals = orjson.loads(
        await new_lender.owner.fetchval("SELECT totals FROM day_closes ORDER BY business_date DESC LIMIT 1")
    )
    assert totals["total"]["loans"] == 5_000
    assert seconds[1] < 30 * max(seconds[0], 0.05), "ten times the loans"

    def done(what: str, number: int, of: int) -> None:
        if "measured" in what and number == of:
            peaks.append(tracemalloc.get_traced_memory()[1])

    peaks: list[int] = []
    tracemalloc.start()
    try:
        await end_of_day.run(new_lender.resources, await new_lender.today(), done)
    finally:
        tracemalloc.stop()
    assert 0 < peaks[-1] < 12_000_000, "the text of all of them is more"


async def eod(lender: Lender, *arguments: str, **environment: str) -> tuple[int, str]:
    """The command as an operator gives it."""
    database = lender.resources.settings.postgres_db
    return await try_command("-m", "backend_api.cli", "eod", *arguments, POSTGRES_DB=database, **environment)


async def test_the_command_says_what_it_did(new_lender: Lender) -> None:
    today = await new_lender.pass_days(1)  # it has not passed even if a calendar day ends meanwhile
    loan = await new_lender.grant(**YEAR)
    code, said = await eod(new_lender)
    assert (code, said.splitlines()[-1]) == (0, "no day to close"), "today has not passed yet"
    await new_lender.owner.execute("UPDATE loans SET account = '{}' WHERE id = $1", loan["id"])
    code, said = await eod(new_lender, "--date", str(today + days(1)))
    assert code == 1
    assert f"{today}: loans measured: 1 of 1" in said
    assert said.splitlines()[-1] == (
        f"closed 2 days, {today} to {today + days(1)}; 1 loans could not be looked at: {loan['id']} (KeyError: 'rows')"
    )
    code, said = await eod(new_lender, "--date", str(today + days(90)), ENVIRONMENT="production", **PRODUCTION)
    assert (code, said.splitlines()[-1]) == (1, "This day has not passed yet.")


async def test_missed_days_are_caught_up_by_themselves(new_lender: Lender) -> None:
    """A lender whose last day was a while ago."""
    await new_lender.owner.execute("UPDATE business_day SET business_date = business_date - 4")
    await new_lender.grant(**YEAR)
    first = await new_lender.today()
    code, said = await eod(new_lender)
    assert code == 0, said
    last = await new_lender.today() - days(1)
    closed = (last - first).days + 1
    assert said.splitlines()[-1] == f"closed {closed} days, {first} to {last}"
    assert closed in (4, 5), "five when a calendar day has ended meanwhile"
    assert await new_lender.balance("1302") == 10 * (closed - 1)
