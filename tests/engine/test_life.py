"""The life of a loan besides payments: fees, waivers, write-off and recovery, undoing, schedule and payoff quote."""

from datetime import date
from decimal import Decimal

import pytest

from tests.engine.lender import Lender, days
from tests.support.builders import LOANS, Json, get


async def post(lender: Lender, loan: Json, what: str, **body: object) -> Json:
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/{what}", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def quote(lender: Lender, loan: Json, **params: str) -> Json:
    return await get(lender.api, f"{LOANS}/{loan['id']}/payoff-quote", params=params)


async def test_a_loan_copies_the_terms_of_its_product_and_says_its_own(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12, vat_rate="0", early_days=0)
    assert (loan["product"], loan["product_version"]) == ("STANDARD", 1)
    assert (loan["terms"]["vat_rate"], loan["terms"]["early_days"], loan["terms"]["day_count"]) == (
        "0",
        0,
        "actual/360",
    )
    assert loan["next_due_on"] is not None


async def test_the_schedule_sums_to_the_loan_and_shows_what_is_paid(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    rows = (await get(lender.api, f"{LOANS}/{loan['id']}/schedule"))["installments"]
    assert sum(Decimal(row["principal"]) for row in rows) == Decimal("36000.00")
    assert rows[0]["due_on"] == loan["next_due_on"]
    await lender.pass_to(date.fromisoformat(rows[0]["due_on"]))
    await lender.pay(loan, rows[0]["total"])
    after = (await get(lender.api, f"{LOANS}/{loan['id']}/schedule"))["installments"]
    assert (after[0]["open"], after[1]["total"]) == ("0.00", rows[1]["total"])
    await lender.check_books()


async def test_a_payoff_quote_is_what_pays_the_loan_off(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    start = await lender.today()
    expected = await quote(lender, loan, on=(start + days(15)).isoformat())
    # 36 000 x 0.10 x 15 / 360 = 150.00 and 16 % of it
    assert expected["payoff_amount"] == "36174.00"
    await lender.pass_days(15)
    assert (await quote(lender, loan))["payoff_amount"] == "36174.00"
    assert (await lender.pay(loan, "36174.00"))["allocations"][0]["loan_status"] == "PAID_OFF"
    answer = await lender.api.get(f"{LOANS}/{loan['id']}/payoff-quote")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_owed")


async def test_a_fee_is_owed_with_its_vat_until_it_is_waived(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await post(lender, loan, "fees", amount="350.00", reason="Second copy.")
    assert (await quote(lender, loan))["due"] == "406.00"
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/waivers", json={"concept": "fees", "amount": "406.01"})
    assert (answer.status_code, answer.json()["code"]) == (409, "movement_refused")
    await post(lender, loan, "waivers", concept="fees", amount="406.00")
    assert (await quote(lender, loan))["due"] == "0.00"
    assert (await lender.events(loan))[-2:] == ["fee_charged", "fee_waived"]
    await lender.check_books()


async def test_a_loan_of_which_the_last_fee_is_waived_is_paid_off(lender: Lender) -> None:
    loan = await lender.grant(amount="1000.00", interest_rate="0", term_months=1)
    await lender.pass_to(date.fromisoformat(loan["next_due_on"]) + days(1))
    await post(lender, loan, "fees", amount="100.00")
    assert (await lender.pay(loan, "1000.00"))["allocations"][0]["loan_status"] == "ACTIVE"
    forgiven = await post(lender, loan, "waivers", concept="fees", amount="116.00")
    assert (forgiven["status"], forgiven["current_balance"]) == ("PAID_OFF", "0.00")
    assert (await lender.events(loan))[-2:] == ["fee_waived", "loan_paid_off"]
    await lender.check_books()


async def test_a_written_off_loan_takes_recoveries_up_to_what_was_lost(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    lost = await post(lender, loan, "write-off", reason="The client cannot be found.")
    assert (lost["status"], lost["current_balance"]) == ("WRITTEN_OFF", "0.00")
    assert (await lender.events(loan))[-1] == "loan_written_off"
    await lender.pay(loan, "100.00")
    assert (await lender.events(loan))[-2:] == ["payment_registered", "loan_recovered"]
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/payments", json={"amount": "40000.00"})
    assert answer.status_code == 409
    await lender.check_books()


@pytest.mark.parametrize("status", ["PENDING", "ACTIVE"])
async def test_a_loan_of_today_can_be_undone(lender: Lender, status: str) -> None:
    loan = await lender.grant(status=status)
    answer = await lender.api.delete(f"{LOANS}/{loan['id']}")
    assert (answer.status_code, answer.json()["status"], answer.json()["current_balance"]) == (200, "CANCELLED", "0.00")
    await lender.check_books()


async def test_a_loan_that_moved_or_is_older_stands(lender: Lender) -> None:
    paid, old = await lender.grant(), await lender.grant()
    await lender.pay(paid, "1.00")
    for loan in (paid, old):
        if loan is old:
            await lender.pass_days(1)
        answer = await lender.api.delete(f"{LOANS}/{loan['id']}")
        assert (answer.status_code, answer.json()["code"]) == (409, "disbursement_stands")


async def test_a_restructured_loan_is_taken_over_by_a_new_one(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_to(date.fromisoformat(loan["next_due_on"]) + days(20))
    owed = await quote(lender, loan)
    answer = await lender.api.post(
        f"{LOANS}/{loan['id']}/restructure", json={"interest_rate": "0.05", "term_months": 24}
    )
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert (new["restructured_from"], new["current_balance"]) == (loan["id"], owed["principal"])
    carried = Decimal(owed["payoff_amount"]) - Decimal(owed["principal"])
    now = await quote(lender, new)
    assert (Decimal(now["due"]), now["payoff_amount"]) == (carried, owed["payoff_amount"])
    assert [now[part] for part in ("interest", "moratory", "vat")] == [
        owed[part] for part in ("interest", "moratory", "vat")
    ]
    assert (await lender.loan(loan))["status"] == "RESTRUCTURED"
    assert (await lender.events(loan))[-3:] == ["loan_restructured", "loan_created", "loan_activated"]
    # What is carried bears nothing: ten days later only the principal has borne interest.
    await lender.pass_days(10)
    interest = (Decimal(owed["principal"]) * 10 * Decimal("0.05") / 360).quantize(Decimal("0.01"))
    later = await quote(lender, new)
    assert Decimal(later["interest"]) == Decimal(owed["interest"]) + interest
    assert (later["moratory"], later["due"]) == (owed["moratory"], now["due"])
    whole = {"format": "html", "from": loan["disbursed_on"]}
    page = await lender.api.get(f"/api/v1/clients/{loan['client_id']}/account-statement", params=whole)
    assert (page.status_code, "Saldo recibido de otro crédito" in page.text) == (200, True)
    await lender.check_books()


async def test_the_terms_of_a_pending_loan_can_be_changed_and_later_only_its_notes(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12, status="PENDING")
    path = f"{LOANS}/{loan['id']}"
    answer = await lender.api.patch(path, json={"amount": "40000.00", "term_months": 6, "excess": "advance"})
    changed = answer.json()
    assert (answer.status_code, changed["amount"], changed["term_months"]) == (200, "40000.00", 6)
    assert (changed["terms"]["excess"], changed["terms"]["interest_rate"]) == ("advance", "0.10")
    impossible = await lender.api.patch(path, json={"vat_mode": "inside_total", "amortization": "equal_principal"})
    assert (impossible.status_code, impossible.json()["code"]) == (422, "terms_refused")
    assert (await lender.api.post(f"{path}/activate")).status_code == 200
    frozen = await lender.api.patch(path, json={"term_months": 12})
    assert (frozen.status_code, frozen.json()["code"]) == (409, "terms_frozen")
    noted = await lender.api.patch(path, json={"notes": "Pays on Mondays."})
    assert (noted.status_code, noted.json()["notes"]) == (200, "Pays on Mondays.")
    assert (await lender.events(loan))[-3:] == ["loan_updated", "loan_activated", "loan_updated"]
    await lender.check_books()


async def refused(lender: Lender, path: str, body: Json, field: str, code: str, method: str = "POST") -> None:
    """A call whose terms are impossible names the field and the rule."""
    answer = await lender.api.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


DEAR: Json = {
    "amount": "1000.00", "interest_rate": "0.22", "installments": 1, "frequency": {"unit": "day"},
    "opening_fee": {"rate": "0.20"},
}  # fmt: skip
"""Of 1 000.00 due tomorrow, 768.00 are handed over: the CAT has far more digits than mean anything."""
REAL: Json = {"amount": "1000.00", "interest_rate": "0.22", "installments": 12, "vat_base": "real"}


@pytest.mark.parametrize(
    ("terms", "field", "code"),
    [(DEAR, "/opening_fee", "cat_overflow"), (REAL, "/vat_base", "vat_base_not_offered")],
)
async def test_terms_that_a_preview_refuses_make_no_loan(lender: Lender, terms: Json, field: str, code: str) -> None:
    await refused(lender, f"{LOANS}/preview", terms, field, code)
    loan = await lender.grant(
        amount="1000.00", interest_rate="0.22", installments=1, term_months=None, status="PENDING"
    )
    for status in ("ACTIVE", "PENDING"):
        await refused(lender, LOANS, {"client_id": loan["client_id"], "status": status, **terms}, field, code)
    await refused(lender, f"{LOANS}/{loan['id']}", terms, field, code, "PATCH")
    owed = await lender.grant()
    if code == "vat_base_not_offered":  # the new loan of a restructuring has no opening fee
        said = {name: value for name, value in terms.items() if name != "amount"}
        await refused(lender, f"{LOANS}/{owed['id']}/restructure", said, field, code)


async def test_a_pending_loan_whose_first_due_date_has_passed_is_not_disbursed(lender: Lender) -> None:
    first = await lender.today() + days(20)
    loan = await lender.grant(status="PENDING", first_due_on=first.isoformat())
    await lender.pass_days(20)
    path = f"{LOANS}/{loan['id']}"
    await refused(lender, f"{path}/activate", {}, "/first_due_on", "first_due_not_after_disbursement")
    assert (await lender.api.patch(path, json={"first_due_on": None})).status_code == 200
    assert (await lender.api.post(f"{path}/activate")).status_code == 200


async def test_interest_paid_in_advance_is_given_back_by_the_payoff(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12, excess="advance")
    await lender.pass_days(1)
    before = Decimal((await quote(lender, loan))["payoff_amount"])
    rows = (await get(lender.api, f"{LOANS}/{loan['id']}/schedule"))["installments"]
    three = sum((Decimal(row["total"]) for row in rows[:3]), Decimal(0))
    in_advance = await lender.pay(loan, three)
    after = await quote(lender, loan)
    assert Decimal(after["payoff_amount"]) == before - three
    assert Decimal(after["interest"]) == 10 - sum(Decimal(row["interest"]) for row in rows[:3]) < 0
    payoff = await lender.pay(loan, after["payoff_amount"])
    [share] = payoff["allocations"]
    assert (share["loan_status"], share["interest"]) == ("PAID_OFF", after["interest"])
    assert Decimal(share["principal"]) == Decimal(after["principal"])
    parts = ("principal", "interest", "vat", "fees", "moratory")
    assert sum(Decimal(share[part]) for part in parts) == Decimal(share["amount"]) == Decimal(after["payoff_amount"])
    # One day of interest is what was earned: 10.00 and 1.60 of VAT.
    assert three + Decimal(after["payoff_amount"]) == Decimal("36011.60")
    page = await lender.api.get(f"/api/v1/clients/{loan['client_id']}/account-statement", params={"format": "html"})
    assert page.status_code == 200
    assert (await lender.reverse(payoff)).status_code == 200
    assert (await quote(lender, loan))["payoff_amount"] == after["payoff_amount"]
    assert (await lender.reverse(in_advance)).status_code == 200
    assert (await quote(lender, loan))["payoff_amount"] == str(before)
    await lender.check_books()


async def test_a_loan_that_was_paid_in_advance_is_restructured_for_what_is_owed(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12, excess="advance")
    await lender.pass_days(1)
    await lender.pay(loan, "9000.00")
    owed = await quote(lender, loan)
    answer = await lender.api.post(
        f"{LOANS}/{loan['id']}/restructure", json={"interest_rate": "0.05", "term_months": 24}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["current_balance"] == owed["payoff_amount"]
    assert (await quote(lender, answer.json()))["payoff_amount"] == owed["payoff_amount"]
    await lender.check_books()


# Taking a write-off back.


async def reverse_write_off(lender: Lender, loan: Json) -> tuple[int, Json]:
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/write-off/reverse", json={"reason": "The client was found."})
    return answer.status_code, answer.json()


async def test_a_write_off_is_taken_back_as_if_it_had_never_been(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    twin = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    status, body = await reverse_write_off(lender, loan)
    assert (status, body["code"], body["loan_status"]) == (409, "transition_refused", "ACTIVE")
    await post(lender, loan, "write-off")
    recovered = await lender.pay(loan, "100.00")
    await lender.pass_days(30)
    status, body = await reverse_write_off(lender, loan)
    assert (status, body["code"], body["payment_ids"]) == (409, "recoveries_stand", [recovered["id"]])
    assert (await lender.reverse(recovered)).status_code == 200
    status, body = await reverse_write_off(lender, loan)
    assert (status, body["status"], body["current_balance"]) == (200, "ACTIVE", "36000.00")
    assert (await lender.events(loan))[-1] == "loan_reopened"
    assert {**await quote(lender, loan), "loan_id": None} == {**await quote(lender, twin), "loan_id": None}
    undone = (await lender.movements(loan))[-1]
    assert (undone["kind"], undone["note"]) == ("WRITE_OFF", "The client was found.")
    assert undone["undoes_id"] == next(row["id"] for row in await lender.movements(loan) if row["kind"] == "WRITE_OFF")
    assert (await reverse_write_off(lender, loan))[0] == 409, "once"
    # It may be lost again, and found again.
    await post(lender, loan, "write-off")
    assert (await reverse_write_off(lender, loan))[0] == 200
    await lender.check_books()


async def test_after_a_write_off_is_taken_back_a_defaulted_loan_is_in_default(new_lender: Lender) -> None:
    loan = await new_lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    day = date.fromisoformat(loan["next_due_on"]) + days(95)
    await new_lender.close(day)
    assert (await new_lender.loan(loan))["status"] == "DEFAULTED"
    books = [await new_lender.balance(code) for code in ("1301", "1302", "5101", "5102", "6101", "7101")]
    await post(new_lender, loan, "write-off")
    assert [await new_lender.balance("6101"), await new_lender.balance("1301")] == [36000, 0]
    status, body = await reverse_write_off(new_lender, loan)
    assert (status, body["status"]) == (200, "DEFAULTED")
    assert [await new_lender.balance(code) for code in ("1301", "1302", "5101", "5102", "6101", "7101")] == books
    # Once more, from a state that an earlier reversal has brought about.
    await post(new_lender, loan, "write-off")
    await new_lender.close_days(1)
    assert await new_lender.balance("7101") == 0
    assert (await reverse_write_off(new_lender, loan))[1]["status"] == "DEFAULTED"
    await new_lender.close_days(1)
    owed = await quote(new_lender, loan, on=(await new_lender.today() - days(1)).isoformat())
    assert await new_lender.balance("7101") == Decimal(owed["interest"]) + Decimal(owed["moratory"]) > 0
    assert await new_lender.balance("6101") == 0
    await new_lender.check_books()
