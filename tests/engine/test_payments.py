"""Payments on a loan with interest: what is due, late, early, dated back, and taken back."""

import asyncio
from decimal import Decimal

import pytest

from tests.engine.lender import Lender, days
from tests.support.builders import Json

PART = ("principal", "interest", "vat", "fees", "moratory")


def split(payment: Json) -> Json:
    [allocation] = payment["allocations"]
    return {part: allocation[part] for part in PART}


async def test_a_payment_on_the_day_of_disbursement_is_principal(lender: Lender) -> None:
    loan = await lender.grant(amount="50000.00", term_months=24)
    assert split(await lender.pay(loan, "2500.00"))["principal"] == "2500.00"
    assert (await lender.loan(loan))["current_balance"] == "47500.00"
    await lender.check_books()


async def test_interest_comes_before_principal_and_brings_its_vat(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    paid = split(await lender.pay(loan, "1000.00"))
    # 36 000 x 0.10 x 15 / 360 = 150.00, and 16 % of it.
    assert paid == {"principal": "826.00", "interest": "150.00", "vat": "24.00", "fees": "0.00", "moratory": "0.00"}
    assert (await lender.loan(loan))["current_balance"] == "35174.00"
    await lender.check_books()


async def test_a_late_installment_costs_moratory_interest(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    due_on = await lender.owner.fetchval("SELECT next_due_on FROM loans WHERE id = $1", loan["id"])
    await lender.pass_to(due_on + days(10))
    paid = split(await lender.pay(loan, "200.00"))
    assert Decimal(paid["moratory"]) > 0
    assert Decimal(paid["moratory"]) + Decimal(paid["interest"]) + Decimal(paid["vat"]) <= Decimal("200.00")
    await lender.check_books()


async def test_a_payment_dated_back_splits_the_later_one_anew(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    start = await lender.today()
    await lender.pass_days(20)
    later = await lender.pay(loan, "1000.00")
    early = await lender.pay(loan, "5000.00", paid_on=(start + days(5)).isoformat())
    # 36 000 x 0.10 x 5 / 360 = 50.00 and its VAT, then principal; the later one finds less interest.
    assert split(early) == {
        "principal": "4942.00", "interest": "50.00", "vat": "8.00", "fees": "0.00", "moratory": "0.00",
    }  # fmt: skip
    rows = await lender.movements(loan)
    of_later = [row for row in rows if row["payment_id"] == later["id"]]
    assert len(of_later) == 3, "the first row, its contra row, and the row that stands"
    assert {row["posted_on"] for row in of_later} == {(await lender.today()).isoformat()}
    await lender.check_books()


async def test_a_reversal_restores_what_was_before(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(20)
    before = await lender.owner.fetchval("SELECT account FROM loans WHERE id = $1", loan["id"])
    payment = await lender.pay(loan, "7000.00")
    answer = await lender.reverse(payment)
    assert (answer.status_code, answer.json()["status"]) == (200, "REVERSED")
    assert await lender.owner.fetchval("SELECT account FROM loans WHERE id = $1", loan["id"]) == before
    assert (await lender.loan(loan))["current_balance"] == "36000.00"
    assert (await lender.events(loan))[-1] == "payment_reversed"
    await lender.check_books()


async def test_a_paid_off_loan_is_reopened_by_a_reversal(lender: Lender) -> None:
    loan = await lender.grant(amount="1000.00")
    payment = await lender.pay(loan, "1000.00")
    assert (await lender.loan(loan))["status"] == "PAID_OFF"
    assert (await lender.reverse(payment)).status_code == 200
    assert (await lender.loan(loan))["status"] == "ACTIVE"
    assert (await lender.events(loan))[-2:] == ["payment_reversed", "loan_reopened"]
    await lender.check_books()


@pytest.mark.usefixtures("patience")
async def test_of_10_concurrent_reversals_one_succeeds(lender: Lender) -> None:
    loan = await lender.grant(amount="1000.00")
    payment = await lender.pay(loan, "100.00")
    answers = await asyncio.gather(*(lender.reverse(payment) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    [reversal] = {answer.json()["reversal_id"] for answer in answers if answer.status_code == 409}
    found = await lender.owner.fetchval("SELECT id::text FROM payment_reversals WHERE payment_id = $1", payment["id"])
    assert reversal == found
    await lender.check_books()


async def test_more_than_the_payoff_is_refused_and_recorded(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    answer = await lender.api.post(f"/api/v1/loans/{loan['id']}/payments", json={"amount": "36174.01"})
    assert (answer.status_code, answer.json()["payoff_amount"]) == (409, "36174.00")
    assert (await lender.pay(loan, "36174.00"))["allocations"][0]["loan_status"] == "PAID_OFF"
    await lender.check_books()
