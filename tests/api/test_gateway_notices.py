"""What the payment gateway tells, however often, late or out of order: one payment, or the money goes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.customer_space import service
from backend_api.customer_space.gateway import Notice, NoticeRefused, gateway_of
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.support.builders import LOANS, PAYMENTS, Json, get, new_client, new_loan, pay
from tests.support.customer_space import (
    ME,
    NOTICES,
    check_out,
    interrupted,
    notice_of,
    order_of,
    put,
    signed,
    signed_at,
    tell,
    told,
)
from tests.support.postgres import row_counts
from tests.support.problems import problem
from tests.support.service import signed_in_as

BOOKED = "SELECT count(*) FROM payments WHERE client_id = $1 AND status = 'REGISTERED'"
REFUSED = "SELECT reason, amount, reference FROM payments WHERE client_id = $1 AND status = 'REJECTED' ORDER BY id"
EVENTS = "SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence"


@dataclass(frozen=True)
class Payer:
    """A borrower with a loan, and an order for its first installment."""

    calls: httpx2.AsyncClient
    client_id: str
    loan: Json
    order: Json

    async def standing(self) -> Json:
        """The order as it stands."""
        return await get(self.calls, f"{ME}/checkouts/{self.order['id']}")


@pytest.fixture
async def payer(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Payer]:
    """A new one for each test."""
    client = await new_client(api)
    loan = await new_loan(api, client["id"], amount="12000.00")
    async with signed_in_as(app, Role.CLIENT, UUID(client["id"])) as calls:
        yield Payer(calls, client["id"], loan, await order_of(calls, loan))


def code() -> str:
    """A number that the gateway gave to nobody else."""
    return f"T-{token_hex(6)}"


async def events_since_order(owner: Connection, payer: Payer) -> list[str]:
    """What was told of the client after the order."""
    found = [row["event_type"] for row in await owner.fetch(EVENTS, payer.client_id)]
    return found[found.index("cart_checked_out") + 1 :]


async def test_a_notice_told_twice_is_one_payment(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    notice = notice_of(payer.order, code())
    first = await told(anonymous, notice)
    before = await row_counts(owner)
    for sequence in (1, 2, 7):
        assert await told(anonymous, {**notice, "sequence": sequence}) == first
    assert first == {"outcome": "registered", "payment_id": first["payment_id"], "reason": None}
    assert await row_counts(owner) == before
    assert (await payer.standing()).items() >= {"status": "PAID", "payment_id": first["payment_id"]}.items()


@pytest.mark.usefixtures("patience")
async def test_a_notice_told_ten_times_at_once_is_one_payment(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    notice = notice_of(payer.order, code())
    outcomes = await asyncio.gather(*(told(anonymous, notice) for _ in range(10)))
    assert len({json.dumps(outcome) for outcome in outcomes}) == 1
    assert await owner.fetchval(BOOKED, payer.client_id) == 1
    assert await events_since_order(owner, payer) == ["payment_registered", "cart_paid"]


async def test_a_notice_between_two_readings_of_its_twin_is_one_payment(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    """The order and the client's sequence are read at once: else the twin would find the debt changed, and refuse."""
    notice = notice_of(payer.order, code())
    twins: list[Json] = []

    async def twin() -> None:
        twins.append(await told(anonymous, notice))

    use_case = interrupted(service.take_notice(Notice.model_validate(notice)), twin, 3)
    answer = await carry_out(resources, Origin(service.ACTOR, "test", None, resources.clock()), use_case)
    assert json.loads(bytes(answer.body)) == twins[0]
    assert (await payer.standing())["status"] == "PAID"
    assert await events_since_order(owner, payer) == ["payment_registered", "cart_paid"]


async def test_a_refusal_that_comes_after_the_payment_is_late(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    first = await told(anonymous, notice_of(payer.order, code(), sequence=2))
    late = await told(anonymous, notice_of(payer.order, code(), "refused"))
    assert late == {"outcome": "noted", "payment_id": None, "reason": None}
    assert (await payer.standing())["payment_id"] == first["payment_id"]
    assert await events_since_order(owner, payer) == ["payment_registered", "cart_paid"]


async def test_a_payment_after_a_refusal_counts(payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection) -> None:
    refused = notice_of(payer.order, code(), "refused")
    for _ in range(2):
        assert (await told(anonymous, refused))["outcome"] == "noted"
    seen = await payer.standing()
    assert seen.items() >= {"status": "REFUSED", "reason": "gateway_refused", "payment_id": None}.items()
    assert seen["pay_url"] == payer.order["pay_url"], "it may be tried again"
    assert (await told(anonymous, notice_of(payer.order, code())))["outcome"] == "registered"
    assert (await payer.standing()).items() >= {"status": "PAID", "reason": None}.items()
    assert await events_since_order(owner, payer) == ["cart_refused", "payment_registered", "cart_paid"]


@pytest.mark.usefixtures("patience")
async def test_refusals_and_payments_at_once_end_in_one_payment(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    paid, refused = notice_of(payer.order, code()), notice_of(payer.order, code(), "refused")
    await asyncio.gather(*(told(anonymous, notice) for notice in [paid, refused] * 6))
    assert (await payer.standing())["status"] == "PAID"
    assert await owner.fetchval(BOOKED, payer.client_id) == 1


@pytest.mark.usefixtures("patience")
async def test_an_order_paid_twice_is_paid_once_and_the_rest_goes_back(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    first = await told(anonymous, notice_of(payer.order, code()))
    again = notice_of(payer.order, code())
    outcomes = await asyncio.gather(*(told(anonymous, again) for _ in range(5)))
    [outcome] = {json.dumps(outcome): outcome for outcome in outcomes}.values()
    assert (outcome["outcome"], outcome["reason"]) == ("refund", "order_already_paid")
    [recorded] = await owner.fetch(REFUSED, payer.client_id)
    assert recorded["reference"] == again["transaction_code"]
    assert (await payer.standing())["payment_id"] == first["payment_id"]
    assert await events_since_order(owner, payer) == ["payment_registered", "cart_paid", "payment_rejected"]


async def test_another_amount_goes_back_and_the_right_one_still_counts(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    wrong = notice_of(payer.order, code(), amount="1.00")
    for _ in range(2):
        outcome = await told(anonymous, wrong)
        assert (outcome["outcome"], outcome["reason"]) == ("refund", "amount_differs")
    assert (await payer.standing()).items() >= {"status": "REFUSED", "reason": "amount_differs"}.items()
    # The number was given to the refused one: the gateway does not use it again.
    assert (await told(anonymous, {**wrong, "amount": payer.order["total"]}))["outcome"] == "refund"
    assert (await told(anonymous, notice_of(payer.order, code())))["outcome"] == "registered"
    assert await events_since_order(owner, payer) == [
        "payment_rejected", "cart_refused", "payment_registered", "cart_paid",
    ]  # fmt: skip


async def test_a_number_that_paid_another_order_goes_back(payer: Payer, anonymous: httpx2.AsyncClient) -> None:
    number = code()
    assert (await told(anonymous, notice_of(payer.order, number)))["outcome"] == "registered"
    second = await order_of(payer.calls, payer.loan)
    outcome = await told(anonymous, notice_of(second, number))
    assert (outcome["outcome"], outcome["reason"]) == ("refund", "duplicate_reference")


async def test_a_debt_that_changed_since_the_order_is_not_paid_otherwise(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    await pay(api, payer.loan["id"], "5000.00")
    notice = notice_of(payer.order, code())
    outcome = await told(anonymous, notice)
    assert (outcome["outcome"], outcome["reason"]) == ("refund", "debt_changed")
    assert await told(anonymous, notice) == outcome
    recorded = await get(api, f"{PAYMENTS}/{outcome['payment_id']}")
    assert recorded.items() >= {"status": "REJECTED", "reason": "debt_changed", "allocations": []}.items()
    assert (await get(api, f"{LOANS}/{payer.loan['id']}"))["current_balance"] == "7000.00"
    assert await events_since_order(owner, payer) == ["payment_registered", "payment_rejected", "cart_refused"]


async def test_money_for_a_loan_that_is_paid_off_goes_back(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient
) -> None:
    await payer.calls.post(f"{ME}/cart/items", json={"loan_id": payer.loan["id"], "amount": "100.00"})
    by_amount = await check_out(payer.calls)
    await pay(api, payer.loan["id"], "12000.00")
    reasons = [(await told(anonymous, notice_of(order, code())))["reason"] for order in (payer.order, by_amount)]
    assert reasons == ["debt_changed", "detail_loan_not_owing"]


async def test_an_amount_above_what_is_left_goes_back(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient
) -> None:
    await payer.calls.post(f"{ME}/cart/items", json={"loan_id": payer.loan["id"], "amount": "100.00"})
    by_amount = await check_out(payer.calls)
    await pay(api, payer.loan["id"], "11950.00")
    outcome = await told(anonymous, notice_of(by_amount, code()))
    assert (outcome["outcome"], outcome["reason"]) == ("refund", "payment_exceeds_debt")


async def test_a_loan_that_is_written_off_takes_nothing_from_a_cart(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient
) -> None:
    assert (await api.post(f"{LOANS}/{payer.loan['id']}/write-off", json={})).status_code == 200
    outcome = await told(anonymous, notice_of(payer.order, code()))
    assert (outcome["outcome"], outcome["reason"]) == ("refund", "debt_changed")
    problem(await payer.calls.post(f"{ME}/cart/items", json={"loan_id": payer.loan["id"], "installments": 1}), 409)


async def test_all_of_a_cart_is_paid_or_nothing(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    other = await new_loan(api, payer.client_id, amount="600.00")
    await put(payer.calls, payer.loan)
    await put(payer.calls, other)
    order = await check_out(payer.calls)
    await pay(api, other["id"], "600.00")
    assert (await told(anonymous, notice_of(order, code())))["outcome"] == "refund"
    assert (await get(api, f"{LOANS}/{payer.loan['id']}"))["current_balance"] == "12000.00"
    assert await owner.fetchval(BOOKED, payer.client_id) == 1


async def test_a_notice_and_a_payment_at_the_counter_at_once(
    payer: Payer, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient, owner: Connection
) -> None:
    outcome, counter = await asyncio.gather(
        told(anonymous, notice_of(payer.order, code())), pay(api, payer.loan["id"], "12000.00")
    )
    status = (await payer.standing())["status"]
    if outcome["outcome"] == "registered":
        assert (status, counter.status_code) == ("PAID", 409)
    else:
        assert (status, counter.status_code, outcome["reason"]) == ("REFUSED", 201, "debt_changed")
    assert await owner.fetchval(BOOKED, payer.client_id) == 1


async def test_a_payment_after_the_order_has_expired_counts(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    await owner.execute("UPDATE checkouts SET expires_at = now() - interval '1 hour' WHERE id = $1", payer.order["id"])
    assert (await payer.standing())["status"] == "EXPIRED"
    assert (await told(anonymous, notice_of(payer.order, code())))["outcome"] == "registered"
    assert (await payer.standing())["status"] == "PAID"


async def test_a_paid_order_can_not_be_changed_in_the_database(
    payer: Payer, anonymous: httpx2.AsyncClient, owner: Connection
) -> None:
    await told(anonymous, notice_of(payer.order, code()))
    with pytest.raises(Exception, match="checkouts"):
        await owner.execute("UPDATE checkouts SET transaction_code = 'other' WHERE id = $1", payer.order["id"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sofipo-Signature": ""},
        {"Sofipo-Signature": "t=1,v1=00"},
        {"Sofipo-Signature": "t=x,v1=00"},
        {"Sofipo-Signature": "t=²,v1=00".encode()},
        {"Sofipo-Signature": "t=99999999999999999999,v1=00"},
        {"Sofipo-Signature": "v1=00"},
        {"Sofipo-Signature": "t=1"},
        {"Sofipo-Signature": "t=1,v1=xyz"},
        {"Authorization": "Bearer x"},
    ],
)
async def test_nobody_else_tells(headers: dict[str, Any], payer: Payer, anonymous: httpx2.AsyncClient) -> None:
    body = json.dumps(notice_of(payer.order, code())).encode()
    problem(await anonymous.post(NOTICES, content=body, headers=headers), 401, "notice_refused")
    assert (await payer.standing())["status"] == "WAITING"


async def test_what_was_signed_for_something_else_or_long_ago_is_refused(
    payer: Payer, anonymous: httpx2.AsyncClient
) -> None:
    """Ages that no pause of the machine brings near the bound; where it lies is shown by the next test."""
    body = json.dumps(notice_of(payer.order, code())).encode()
    for headers in (signed(b"{}"), signed(body, secret="x" * 32), signed(body, age=3600), signed(body, age=-3600)):
        problem(await anonymous.post(NOTICES, content=body, headers=headers), 401, "notice_refused")
    answer = await anonymous.post(NOTICES, content=body, headers=signed(body, age=60))
    assert answer.status_code == 200, "the control: a little old is good enough"


@pytest.mark.parametrize(("seconds", "taken"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_signature_counts_for_five_minutes_before_and_after(seconds: int, taken: bool, settings: Settings) -> None:
    """By a clock that stands still, so that the bound is met to the second."""
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    body = json.dumps(GOOD).encode()
    headers, gateway = signed_at(int(now.timestamp()) - seconds, body), gateway_of(settings)
    if taken:
        assert gateway.read_notice(headers, body, now) == Notice.model_validate(GOOD)
    else:
        with pytest.raises(NoticeRefused):
            gateway.read_notice(headers, body, now)


GOOD: Json = {"order_id": str(uuid4()), "status": "paid", "transaction_code": "T-1", "amount": "1.00", "sequence": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b"1", b'"x"', b"\xff\xfe", b"{" * 5000, b"[" * 8000, b'{"order_id": NaN}',
        *(
            json.dumps({**GOOD, **wrong}).encode()
            for wrong in (
                {"order_id": "x"}, {"order_id": None}, {"status": "gone"}, {"status": None}, {"transaction_code": ""},
                {"transaction_code": "x" * 61}, {"transaction_code": "a\u0000b"}, {"transaction_code": 7},
                {"amount": "0"}, {"amount": "-1"}, {"amount": 1.5}, {"amount": "1e3"}, {"amount": 10**20},
                {"amount": None}, {"sequence": 0}, {"sequence": "1"}, {"sequence": 2**40}, {"sequence": True},
            )
        ),
    ],
)  # fmt: skip
async def test_a_signed_body_that_says_nothing_is_refused(body: bytes, anonymous: httpx2.AsyncClient) -> None:
    problem(await anonymous.post(NOTICES, content=body, headers=signed(body)), 422, "notice_malformed")


async def test_unknown_orders_and_long_bodies_are_refused(anonymous: httpx2.AsyncClient) -> None:
    problem(await tell(anonymous, GOOD), 404, "not_found")
    long: dict[str, Any] = {**GOOD, "more": "x" * 16_384}
    problem(await tell(anonymous, long), 413, "body_too_large")


async def test_fields_that_a_gateway_adds_are_ignored(payer: Payer, anonymous: httpx2.AsyncClient) -> None:
    notice = notice_of(payer.order, code(), card="**** 4242", fee=1.5)
    assert (await told(anonymous, notice))["outcome"] == "registered"
