"""Payments on loans and clients: what they do, what is refused, and what the statement says of them."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, get, new_client, new_loan, pay
from tests.support.postgres import row_counts, set_business_date
from tests.support.problems import pointers, problem


@pytest.fixture
async def today(owner: Connection) -> date:
    """The business date."""
    day: date = await owner.fetchval("SELECT business_date FROM business_day")
    return day


async def test_a_payment_is_answered_with_what_it_did_and_can_be_read_again(
    api: httpx2.AsyncClient, today: date
) -> None:
    loan = await new_loan(api)
    answer = await pay(api, loan["id"], "250.50", method="cash", reference="REC-1", external_id="P-1")
    payment = answer.json()
    assert answer.headers["location"] == f"{PAYMENTS}/{payment['id']}"
    expected = {
        "client_id": loan["client_id"], "status": "REGISTERED", "amount": "250.50", "paid_on": str(today),
        "posted_on": str(today), "method": "cash", "reference": "REC-1", "external_id": "P-1", "reason": None,
    }  # fmt: skip
    assert payment.items() >= expected.items()
    [share] = payment["allocations"]
    assert share.items() >= {"loan_id": loan["id"], "amount": "250.50", "principal": "250.50"}.items()
    assert (share["current_balance"], share["loan_status"]) == ("749.50", "ACTIVE")
    read = await get(api, f"{PAYMENTS}/{payment['id']}")
    assert read.items() >= expected.items()
    assert read["allocations"][0]["amount"] == "250.50"


async def test_the_payoff_ends_the_loan_and_is_an_event(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api, amount="0.01", term_months=1)
    paid = await pay(api, loan["id"], "0.01")
    assert paid.json()["allocations"][0]["loan_status"] == "PAID_OFF"
    rows = await owner.fetch(
        "SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 2", loan["client_id"]
    )
    assert [row["event_type"] for row in rows] == ["loan_paid_off", "payment_registered"]
    problem(await pay(api, loan["id"], "0.01"), 409, "loan_not_active")


async def test_more_than_is_owed_is_refused_and_recorded(api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    before = await row_counts(owner)
    found = problem(await pay(api, loan["id"], "1000.01", reference="SPEI-big"), 409, "payment_exceeds_debt")
    assert found["payoff_amount"] == "1000.00"
    after = await row_counts(owner)
    changed = {table: after[table] - before[table] for table in after if after[table] != before[table]}
    assert changed == {"payments": 1, "events": 1, "outbox": 1}
    recorded = await get(api, f"{PAYMENTS}/{found['payment_id']}")
    assert (recorded["status"], recorded["reason"], recorded["allocations"]) == (
        "REJECTED", "payment_exceeds_debt", [],
    )  # fmt: skip
    event = await owner.fetchrow("SELECT * FROM events WHERE entity_id = $1", found["payment_id"])
    assert event is not None
    assert event["event_type"] == "payment_rejected"
    assert (await pay(api, loan["id"], "5", reference="SPEI-big")).status_code == 201, "only accepted ones count"


async def test_a_payment_cannot_be_dated_after_today_or_before_the_disbursement(
    api: httpx2.AsyncClient, owner: Connection, today: date
) -> None:
    loan = await new_loan(api)
    tomorrow, yesterday = str(today + timedelta(days=1)), str(today - timedelta(days=1))
    before = await row_counts(owner)
    found = problem(await pay(api, loan["id"], "5", paid_on=tomorrow), 409, "paid_in_future")
    assert found["business_date"] == str(today)
    found = problem(await pay(api, loan["id"], "5", paid_on=yesterday), 409, "paid_before_disbursement")
    assert (found["loan_id"], found["disbursed_on"]) == (loan["id"], str(today))
    path = f"{CLIENTS}/{loan['client_id']}/payments"
    problem(await api.post(path, json={"amount": 5, "paid_on": tomorrow}), 409, "paid_in_future")
    problem(await api.post(path, json={"amount": 5, "paid_on": yesterday}), 409, "paid_before_disbursement")
    assert await row_counts(owner) == before
    assert (await pay(api, loan["id"], "5", paid_on=str(today))).status_code == 201


@pytest.mark.parametrize("field", ["reference", "external_id"])
async def test_a_reference_counts_once_per_client(field: str, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    loans = [await new_loan(api, client["id"]) for _ in range(2)]
    first = (await pay(api, loans[0]["id"], "5", **{field: "SAME-1"})).json()
    again = [
        await pay(api, loans[0]["id"], "5", **{field: "SAME-1"}),
        await pay(api, loans[1]["id"], "6", **{field: "SAME-1"}),
        await api.post(f"{CLIENTS}/{client['id']}/payments", json={"amount": 7, field: "SAME-1"}),
    ]
    for answer in again:
        found = problem(answer, 409, "duplicate_reference")
        assert (found["payment_id"], found["field"]) == (first["id"], field)
    other = await new_loan(api)
    assert (await pay(api, other["id"], "5", **{field: "SAME-1"})).status_code == 201


async def shares(answer: httpx2.Response) -> list[tuple[str, str]]:
    """Which loan got how much."""
    assert answer.status_code == 201, answer.text
    return [(share["loan_id"], share["amount"]) for share in answer.json()["allocations"]]


@pytest.fixture
async def debtor(api: httpx2.AsyncClient) -> tuple[str, list[str]]:
    """A client with three loans of 100, 200 and 300, oldest first, and their ids."""
    client = await new_client(api)
    loans = [await new_loan(api, client["id"], amount=f"{amount}.00") for amount in (100, 200, 300)]
    return f"{CLIENTS}/{client['id']}", [loan["id"] for loan in loans]


async def test_a_payment_on_a_client_goes_to_the_oldest_loan_first(
    api: httpx2.AsyncClient, owner: Connection, debtor: tuple[str, list[str]]
) -> None:
    path, loans = debtor
    answer = await api.post(f"{path}/payments", json={"amount": "150.00"})
    assert await shares(answer) == [(loans[0], "100.00"), (loans[1], "50.00")]
    assert [share["loan_status"] for share in answer.json()["allocations"]] == ["PAID_OFF", "ACTIVE"]
    event = await owner.fetchval("SELECT payload FROM events WHERE entity_id = $1", answer.json()["id"])
    assert loans[0] in event
    assert loans[1] in event
    assert await shares(await api.post(f"{path}/payments", json={"amount": "450"})) == [
        (loans[1], "150.00"),
        (loans[2], "300.00"),
    ]
    assert (await get(api, f"{path}/balance"))["total_debt"] == "0.00"


async def test_explicit_details_come_first_and_the_rest_goes_to_the_oldest(
    api: httpx2.AsyncClient, debtor: tuple[str, list[str]]
) -> None:
    path, loans = debtor
    details = [{"loan_id": loans[2], "amount": "30"}, {"loan_id": loans[1], "amount": "20.5"}]
    answer = await api.post(f"{path}/payments", json={"amount": "60.5", "payment_details": details})
    assert await shares(answer) == [(loans[0], "10.00"), (loans[1], "20.50"), (loans[2], "30.00")]


@pytest.mark.parametrize("wrong", ["too much for one", "more than the amount", "twice", "somebody else's", "paid off"])
async def test_details_that_cannot_be_are_refused(
    wrong: str, api: httpx2.AsyncClient, debtor: tuple[str, list[str]]
) -> None:
    path, loans = debtor
    other = await new_loan(api)
    await pay(api, loans[0], "100")
    cases: dict[str, tuple[str, list[dict[str, Any]], int, str]] = {
        "too much for one": ("300", [{"loan_id": loans[1], "amount": "200.01"}], 409, "payment_exceeds_debt"),
        "more than the amount": ("5", [{"loan_id": loans[1], "amount": "5.01"}], 422, "details_exceed_amount"),
        "twice": ("9", [{"loan_id": loans[1], "amount": "1"}] * 2, 422, "detail_repeated"),
        "somebody else's": ("9", [{"loan_id": other["id"], "amount": "1"}], 409, "detail_loan_not_owing"),
        "paid off": ("9", [{"loan_id": loans[0], "amount": "1"}], 409, "detail_loan_not_owing"),
    }
    amount, details, status, code = cases[wrong]
    answer = await api.post(f"{path}/payments", json={"amount": amount, "payment_details": details})
    problem(answer, status, code)
    assert (await get(api, f"{path}/balance"))["total_debt"] == "500.00"


async def test_more_than_a_client_owes_is_refused_and_recorded(
    api: httpx2.AsyncClient, debtor: tuple[str, list[str]]
) -> None:
    path, _ = debtor
    found = problem(await api.post(f"{path}/payments", json={"amount": "600.01"}), 409, "payment_exceeds_debt")
    assert found["payoff_amount"] == "600.00"
    assert (await get(api, f"{PAYMENTS}/{found['payment_id']}"))["status"] == "REJECTED"
    client = await new_client(api)
    nothing_owed = await api.post(f"{CLIENTS}/{client['id']}/payments", json={"amount": "1"})
    problem(nothing_owed, 409, "payment_exceeds_debt")


async def test_the_statement_adds_up_for_every_period(
    api: httpx2.AsyncClient, owner: Connection, resources: Resources, today: date
) -> None:
    """Movements of several days, made by moving the books' day forward and back again."""
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}/account-statement"
    days = [today + timedelta(days=number) for number in range(4)]
    try:
        for number, day in enumerate(days):
            await set_business_date(owner, resources, day)
            loan = await new_loan(api, client["id"], amount=f"{100 * (number + 1)}.00")
            assert (await pay(api, loan["id"], "33.33", reference=f"ST-{number}")).status_code == 201
        running = Decimal(0)
        for number, start in enumerate(days):
            for end in days[number:]:
                found = await get(api, path, params={"from": str(start), "to": str(end)})
                opening, charges = Decimal(found["opening_balance"]), Decimal(found["charges"])
                assert opening == running
                assert opening + charges - Decimal(found["credits"]) == Decimal(found["closing_balance"])
                assert len(found["lines"]) == 2 * (days.index(end) - number + 1)
                assert found["lines"][-1]["balance"] == found["closing_balance"]
                assert [line["reference"] for line in found["lines"][:2]] == [None, f"ST-{number}"]
            running += Decimal(100 * (number + 1)) - Decimal("33.33")
        loans = (await get(api, f"{CLIENTS}/{client['id']}/balance"))["loans"]
        assert sum(Decimal(loan["current_balance"]) for loan in loans) == running
    finally:
        await set_business_date(owner, resources, today)


async def test_a_statement_has_a_month_by_default_and_bounds(api: httpx2.AsyncClient, today: date) -> None:
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}/account-statement"
    found = await get(api, path)
    assert (found["period_from"], found["period_to"]) == (str(today.replace(day=1)), str(today))
    assert found["closing_balance"] == "1000.00"
    assert pointers(await api.get(path, params={"from": "2026-02-02", "to": "2026-02-01"})) == ["query:from"]
    assert pointers(await api.get(path, params={"from": "2024-01-01", "to": "2026-02-01"})) == ["query:from"]


async def test_a_statement_with_too_many_lines_is_refused(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_api.clients.views.MAX_STATEMENT_LINES", 1)
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}/account-statement"
    assert (await api.get(path)).status_code == 200
    await pay(api, loan["id"], "5")
    problem(await api.get(path), 422, "period_too_long")


async def test_a_loan_reads_the_same_wherever_it_is_listed(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    await pay(api, loan["id"], "5")
    alone = await get(api, f"{LOANS}/{loan['id']}")
    listed = await get(api, f"{CLIENTS}/{loan['client_id']}/loans")
    assert listed["data"] == [alone]
