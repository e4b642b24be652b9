"""Carts and orders while days pass: quotes, late notices, the window for taking a payment back, the books."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from secrets import token_hex
from typing import Any
from uuid import UUID

import httpx2
from backend_api.auth.permissions import Role
from backend_api.customer_space import service
from backend_api.customer_space.carts import Borrower
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin

from tests.engine.lender import Lender
from tests.support.builders import CLIENTS, PAYMENTS, Json, get
from tests.support.customer_space import ME, check_out, interrupted, notice_of, order_of, put, told
from tests.support.problems import problem
from tests.support.service import running, signed_in_as

COMMISSION = Decimal("10.00")


@asynccontextmanager
async def borrower_of(lender: Lender, loan: Json, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by the loan's client, to an application with other settings than the lender's."""
    changed = lender.resources.settings.model_copy(update=settings)
    async with running(changed) as app, signed_in_as(app, Role.CLIENT, UUID(loan["client_id"])) as calls:
        yield calls


def code() -> str:
    """A number that the gateway gave to nobody else."""
    return f"T-{token_hex(6)}"


async def test_what_lateness_adds_in_the_night_is_told_before_it_is_charged(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    await lender.pass_days(40)
    async with borrower_of(lender, loan) as calls:
        debts = await get(calls, f"{ME}/debts")
        [late, *_] = debts["loans"][0]["installments"]
        assert late["late"]
        assert Decimal(late["added"]) > 0
        assert debts["overdue"] == debts["due"] == late["total"]
        quoted = await put(calls, loan)
        assert quoted["total"] == late["total"]
        await lender.pass_days(1)
        refused = problem(await calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_changed")
        assert Decimal(refused["total"]) > Decimal(quoted["total"])
        order = await check_out(calls, total=refused["total"])
        assert (await told(lender.api, notice_of(order, code())))["outcome"] == "registered"
        [now] = (await get(calls, f"{ME}/debts"))["loans"]
        assert (now["days_past_due"], now["installments"][0]["number"]) == (0, 2)
    await lender.check_books()


async def test_a_notice_that_comes_after_the_day_was_closed_counts_for_the_day_of_the_order(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    await lender.pass_days(40)
    async with borrower_of(lender, loan, cart_commission=COMMISSION) as calls:
        order = await order_of(calls, loan, 2)
        ordered_on = await lender.today()
        await lender.close_days(3)
        outcome = await told(calls, notice_of(order, code()))
        assert outcome["outcome"] == "registered"
        payment = await get(calls, f"{ME}/payments/{outcome['payment_id']}")
        assert payment["paid_on"] == str(ordered_on)
        assert payment["posted_on"] == str(await lender.today())
        [now] = (await get(calls, f"{ME}/debts"))["loans"]
        assert (now["days_past_due"], now["installments"][0]["number"]) == (0, 3)
    await lender.check_books()


async def test_a_movement_after_the_day_of_the_order_changes_the_debt(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    async with borrower_of(lender, loan) as calls:
        order = await order_of(calls, loan)
        await lender.pass_days(1)
        await lender.pay(loan, "100.00")
        assert (await told(calls, notice_of(order, code())))["reason"] == "debt_changed"
    await lender.check_books()


async def test_an_amount_is_booked_as_of_the_day_of_the_order_among_what_came_since(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    async with borrower_of(lender, loan) as calls:
        await calls.post(f"{ME}/cart/items", json={"loan_id": loan["id"], "amount": "1000.00"})
        order = await check_out(calls)
        ordered_on = await lender.today()
        await lender.pass_days(5)
        await lender.pay(loan, "100.00")
        outcome = await told(calls, notice_of(order, code()))
        assert outcome["outcome"] == "registered"
        assert (await get(calls, f"{ME}/payments/{outcome['payment_id']}"))["paid_on"] == str(ordered_on)
    await lender.check_books()


async def test_after_its_day_a_payment_goes_back_only_if_staff_agree(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    async with borrower_of(lender, loan, cart_commission=COMMISSION) as calls:
        before = await get(calls, f"{ME}/debts")
        fees, vat = await lender.balance("5201"), await lender.balance("2201")
        order = await order_of(calls, loan, 2)
        outcome = await told(calls, notice_of(order, code()))
        assert await lender.balance("5201") == fees - COMMISSION
        await lender.pass_days(1)
        path = f"{ME}/payments/{outcome['payment_id']}"
        assert (await get(calls, path))["undo"] == "request"
        asked = await calls.post(f"{path}/reverse", json={"reason": "Pagué dos veces."})
        assert asked.status_code == 202, asked.text
        assert (await get(calls, path)).items() >= {"undo": "requested", "status": "REGISTERED"}.items()
        problem(await calls.post(f"{path}/reverse", json={}), 409, "approval_pending")
        granted = await lender.api.post(f"/api/v1/approvals/{asked.json()['id']}/approve", json={})
        assert granted.status_code == 200, granted.text
        assert (await get(calls, path)).items() >= {"undo": None, "status": "REVERSED"}.items()
        assert (await lender.balance("5201"), await lender.balance("2201")) == (fees, vat)
        after = await get(calls, f"{ME}/debts")
        assert [loan["installments"] for loan in after["loans"]] == [loan["installments"] for loan in before["loans"]]
    events = await lender.events(loan)
    assert events[-3:] == ["approval_requested", "payment_reversed", "approval_granted"]
    await lender.check_books()


async def test_the_window_may_be_longer_than_a_day(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    async with borrower_of(lender, loan, customer_reversal_days=2) as calls:
        payments = []
        for _ in range(2):
            outcome = await told(calls, notice_of(await order_of(calls, loan), code()))
            payments.append(f"{ME}/payments/{outcome['payment_id']}")
        await lender.pass_days(2)
        assert (await calls.post(f"{payments[1]}/reverse", json={})).status_code == 200
        await lender.pass_days(1)
        assert (await calls.post(f"{payments[0]}/reverse", json={})).status_code == 202


async def test_commissions_of_a_day_are_in_its_totals(new_lender: Lender) -> None:
    lender = new_lender
    loans = [await lender.grant(amount="9000.00", term_months=6) for _ in range(2)]
    for loan in loans:
        async with borrower_of(lender, loan, cart_commission=COMMISSION) as calls:
            await told(calls, notice_of(await order_of(calls, loan), code()))
    await lender.close_days(2)
    balance = await get(lender.api, "/api/v1/ledger/trial-balance")
    assert balance["debit"] == balance["credit"]
    [fees] = [account for account in balance["accounts"] if account["account"] == "5201"]
    assert fees["credit"] == "20.00"
    await lender.check_books()


async def test_a_statement_tells_the_commissions_of_its_days_and_always_the_same(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    path = f"{CLIENTS}/{loan['client_id']}/account-statement"
    async with borrower_of(lender, loan, cart_commission=COMMISSION) as calls:
        number = code()
        paid = (await told(calls, notice_of(await order_of(calls, loan), number)))["payment_id"]
        first = await lender.today()
        await lender.pass_days(1)
        period = {"from": str(first), "to": str(first)}
        told_first = {form: await _statement(lender, path, form, period) for form in ("json", "html", "pdf")}
        assert (await lender.api.post(f"{PAYMENTS}/{paid}/reverse", json={})).status_code == 200
    assert {form: await _statement(lender, path, form, period) for form in told_first} == told_first
    [charged] = json.loads(told_first["json"])["commissions"]
    assert charged == {
        "posted_on": str(first), "payment_id": paid, "reference": number,
        "amount": "10.00", "vat": "1.60", "total": "11.60",
    }  # fmt: skip
    assert f"Comisión por pago en línea · {number}" in told_first["html"].decode()

    today = str(await lender.today())
    [given_back] = (await get(lender.api, path, params={"from": today, "to": today}))["commissions"]
    assert given_back == {**charged, "posted_on": today, "amount": "-10.00", "vat": "-1.60", "total": "-11.60"}
    whole = await get(lender.api, path, params={"from": str(first), "to": today})
    assert whole["commissions"] == [charged, given_back]
    assert Decimal(whole["closing_balance"]) == Decimal("9000.00")


async def _statement(lender: Lender, path: str, form: str, period: dict[str, str]) -> bytes:
    answer = await lender.api.get(path, params={**period, "format": form})
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_a_payment_in_advance_from_a_cart_stays_one_when_something_before_it_is_taken_back(
    lender: Lender,
) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    await lender.pass_days(3)
    early = await lender.pay(loan, "500.00")
    await lender.pass_days(3)
    async with borrower_of(lender, loan) as calls:
        outcome = await told(calls, notice_of(await order_of(calls, loan, 2), code()))
    assert (await lender.reverse(early)).status_code == 200
    [booked] = (await get(lender.api, f"{PAYMENTS}/{outcome['payment_id']}"))["allocations"]
    assert Decimal(booked["interest"]) > 0
    await lender.check_books()


async def test_a_day_that_ends_while_a_payment_is_taken_back_ends_the_window(lender: Lender) -> None:
    loan = await lender.grant(amount="9000.00", term_months=6)
    async with borrower_of(lender, loan) as calls:
        outcome = await told(calls, notice_of(await order_of(calls, loan), code()))
    user_id = await lender.owner.fetchval("SELECT user_id FROM checkouts WHERE payment_id = $1", outcome["payment_id"])
    borrower = Borrower(user_id, UUID(loan["client_id"]))
    use_case = service.reverse_own(lender.resources.settings, borrower, UUID(outcome["payment_id"]), None)
    origin = Origin("user:test", "test", None, lender.resources.clock())
    answer = await carry_out(lender.resources, origin, interrupted(use_case, lambda: lender.pass_days(1), 2))
    assert json.loads(bytes(answer.body))["status"] == "PENDING", "staff are asked"
