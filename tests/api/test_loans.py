"""Loans from grant to end, who gets one, and what is owed."""

import httpx2
import pytest
from backend_api.db.pools import Connection

from tests.support.builders import CLIENTS, LOANS, get, new_client, new_loan, pay
from tests.support.problems import problem

TERMS = {"amount": "100.00", "interest_rate": "0.15", "term_months": 12}


async def events_of(owner: Connection, client_id: str) -> list[str]:
    """The types of a client's events, in order."""
    rows = await owner.fetch("SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence", client_id)
    return [row["event_type"] for row in rows]


async def test_a_loan_is_disbursed_today_unless_it_is_asked_for_as_pending(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    today = await owner.fetchval("SELECT business_date FROM business_day")
    active = await new_loan(api)
    assert (active["status"], active["current_balance"], active["disbursed_on"]) == ("ACTIVE", "1000.00", str(today))
    pending = await new_loan(api, active["client_id"], status="PENDING")
    assert (pending["status"], pending["current_balance"], pending["disbursed_on"]) == ("PENDING", "0.00", None)
    assert pending["folio"] > active["folio"]
    assert await get(api, f"{LOANS}/{active['id']}") == active
    assert await get(api, f"{LOANS}/{pending['id']}") == pending


@pytest.mark.parametrize(
    ("action", "status", "event"),
    [
        ("activate", "ACTIVE", "loan_activated"),
        ("reject", "REJECTED", "loan_rejected"),
        ("cancel", "CANCELLED", "loan_cancelled"),
    ],
)
async def test_a_pending_loan_is_activated_rejected_or_cancelled(
    action: str, status: str, event: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api, status="PENDING")
    answer = await api.post(f"{LOANS}/{loan['id']}/{action}")
    assert (answer.status_code, answer.json()["status"], answer.json()["version"]) == (200, status, 2)
    assert await get(api, f"{LOANS}/{loan['id']}") == answer.json()
    assert await events_of(owner, loan["client_id"]) == ["client_created", "loan_created", event]


@pytest.mark.parametrize("way", [["activate"], ["reject"], ["cancel"], ["activate", "pay"]])
async def test_what_the_state_table_does_not_have_is_refused(way: list[str], api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, status="PENDING")
    for step in way:
        if step == "pay":
            assert (await pay(api, loan["id"], "1000")).status_code == 201
        else:
            assert (await api.post(f"{LOANS}/{loan['id']}/{step}")).status_code == 200
    status = (await get(api, f"{LOANS}/{loan['id']}"))["status"]
    for action in ("activate", "reject", "cancel"):
        refused = await api.post(f"{LOANS}/{loan['id']}/{action}")
        found = problem(refused, 409, "transition_refused")
        assert (found["status"], found["event"]) == (409, action)
    assert (await get(api, f"{LOANS}/{loan['id']}"))["status"] == status


@pytest.mark.parametrize("action", ["reject", "cancel", None])
async def test_a_loan_that_is_not_active_takes_no_payment(action: str | None, api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, status="PENDING")
    if action:
        await api.post(f"{LOANS}/{loan['id']}/{action}")
    problem(await pay(api, loan["id"]), 409, "loan_not_active")


async def test_the_credit_limit_counts_pending_loans_and_what_is_still_owed(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, credit_limit="1000.00")

    async def ask(amount: str) -> httpx2.Response:
        return await api.post(LOANS, json={**TERMS, "client_id": client["id"], "amount": amount})

    problem(await ask("1000.01"), 409, "credit_limit_exceeded")
    loan = await new_loan(api, client["id"], amount="600.00")
    pending = await new_loan(api, client["id"], amount="300.00", status="PENDING")
    problem(await ask("100.01"), 409, "credit_limit_exceeded")
    balance = await get(api, f"{CLIENTS}/{client['id']}/balance")
    assert (balance["total_debt"], balance["available_credit"]) == ("600.00", "100.00")
    assert [row["payoff_amount"] for row in balance["loans"]] == ["600.00", "0.00"]
    await pay(api, loan["id"], "500")
    await api.post(f"{LOANS}/{pending['id']}/reject")
    balance = await get(api, f"{CLIENTS}/{client['id']}/balance")
    assert (balance["total_debt"], balance["available_credit"]) == ("100.00", "900.00")
    assert (await ask("900.00")).status_code == 201
    await api.patch(f"{CLIENTS}/{client['id']}", json={"credit_limit": "50"})
    assert (await get(api, f"{CLIENTS}/{client['id']}/balance"))["available_credit"] == "0.00"


async def test_without_a_credit_limit_there_is_no_available_credit_to_tell(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    balance = await get(api, f"{CLIENTS}/{client['id']}/balance")
    assert balance.items() >= {"total_debt": "0.00", "credit_limit": None, "available_credit": None}.items()
    assert balance["loans"] == []


async def test_a_client_who_became_inactive_is_not_handed_the_money(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, status="PENDING")
    path = f"{CLIENTS}/{loan['client_id']}"
    await api.patch(path, json={"status": "INACTIVE"})
    problem(await api.post(f"{LOANS}/{loan['id']}/activate"), 409, "client_inactive")
    await api.patch(path, json={"status": "ACTIVE"})
    assert (await api.post(f"{LOANS}/{loan['id']}/activate")).status_code == 200


async def test_an_inactive_client_may_pay_and_gets_no_new_loan(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}"
    assert (await api.patch(path, json={"status": "INACTIVE"})).json()["status"] == "INACTIVE"
    problem(await api.post(LOANS, json={**TERMS, "client_id": loan["client_id"]}), 409, "client_inactive")
    assert (await pay(api, loan["id"], "100")).status_code == 201
    assert (await api.post(f"{path}/payments", json={"amount": "100"})).status_code == 201
    assert (await api.patch(path, json={"status": "ACTIVE", "phone": "5"})).status_code == 200
    assert (await api.post(LOANS, json={**TERMS, "client_id": loan["client_id"]})).status_code == 201
    assert await events_of(owner, loan["client_id"]) == [
        "client_created", "loan_created", "loan_activated", "client_deactivated", "payment_registered",
        "payment_registered", "client_updated", "client_reactivated", "loan_created", "loan_activated",
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["DEFAULTED", "WRITTEN_OFF"])
async def test_a_client_in_default_gets_no_new_loan(status: str, api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    waiting = await new_loan(api, loan["client_id"], status="PENDING")
    await owner.execute("UPDATE loans SET status = $2 WHERE id = $1", loan["id"], status)
    problem(await api.post(LOANS, json={**TERMS, "client_id": loan["client_id"]}), 409, "client_defaulted")
    problem(await api.post(f"{LOANS}/{waiting['id']}/activate"), 409, "client_defaulted")


async def test_a_defaulted_loan_is_owed_and_may_be_paid_off(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    await owner.execute("UPDATE loans SET status = 'DEFAULTED' WHERE id = $1", loan["id"])
    assert (await pay(api, loan["id"], "1")).status_code == 201
    paid = await pay(api, loan["id"], "999")
    assert paid.json()["allocations"][0]["loan_status"] == "PAID_OFF"


async def test_names_of_loans_are_kept(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, external_id="LOAN-kept-1", amount=50000.00, interest_rate=0.155, term_months=600)
    assert (loan["external_id"], loan["interest_rate"], loan["term_months"]) == ("LOAN-kept-1", "0.155", 600)
    assert loan["amount"] == "50000.00"
