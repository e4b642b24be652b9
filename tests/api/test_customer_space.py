"""What a borrower does for themselves: debts, cart, order, receipt, and back; and what of it is nobody else's."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.customer_space import carts, service
from backend_api.customer_space.carts import Borrower
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import DEVELOPMENT_GATEWAY_SECRET, Settings
from backend_api.worker.housekeeping import keep_house
from fastapi import FastAPI

from tests.support.builders import LOANS, Json, get, new_client, new_loan, pay
from tests.support.customer_space import ME, check_out, interrupted, notice_of, order_of, put, told
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem
from tests.support.replica import caught_up
from tests.support.service import client_of, running, signed_in_as


@dataclass(frozen=True)
class Space:
    """A borrower with two loans, and how they call."""

    calls: httpx2.AsyncClient
    client_id: str
    loan: Json
    other: Json


@pytest.fixture
async def space(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Space]:
    """A new one for each test."""
    client = await new_client(api)
    loan = await new_loan(api, client["id"], amount="12000.00")
    other = await new_loan(api, client["id"], amount="600.00", term_months=6)
    async with signed_in_as(app, Role.CLIENT, UUID(client["id"])) as calls:
        yield Space(calls, client["id"], loan, other)


async def cart_of(space: Space) -> Json:
    """The cart as it is."""
    return await get(space.calls, f"{ME}/cart")


def code() -> str:
    """A number that the gateway gave to nobody else."""
    return f"T-{token_hex(6)}"


async def test_debts_are_the_unpaid_installments_of_each_loan(space: Space) -> None:
    debts = await get(space.calls, f"{ME}/debts")
    first, second = debts["loans"]
    assert [first["folio"], second["folio"]] == sorted([first["folio"], second["folio"]])
    assert [one["number"] for one in first["installments"]] == list(range(1, 13))
    assert (first["payoff"], first["due"], first["days_past_due"]) == ("12000.00", "0.00", 0)
    assert (debts["overdue"], debts["due"], debts["payoff"]) == ("0.00", "0.00", "12600.00")
    due = [loan["installments"][0] for loan in debts["loans"]]
    assert debts["next_due_on"] == due[0]["due_on"]
    assert Decimal(debts["next_due"]) == sum(Decimal(one["total"]) for one in due)
    schedule = await get(space.calls, f"{LOANS}/{space.loan['id']}/schedule")
    assert [one["total"] for one in first["installments"]] == [row["open"] for row in schedule["installments"]]


async def test_a_cart_is_filled_priced_and_emptied(space: Space) -> None:
    assert (await cart_of(space)).items() >= {"number": None, "items": [], "total": "0.00"}.items()
    cart = await put(space.calls, space.loan, 2)
    [item] = cart["items"]
    debts = await get(space.calls, f"{ME}/debts")
    owed = debts["loans"][0]["installments"][:2]
    assert [(line["number"], line["amount"]) for line in item["lines"]] == [(o["number"], o["total"]) for o in owed]
    assert Decimal(cart["total"]) == sum(Decimal(one["total"]) for one in owed)
    answer = await space.calls.post(f"{ME}/cart/items", json={"loan_id": space.other["id"], "amount": "150.00"})
    both = answer.json()
    assert [one["amount"] for one in both["items"]] == [item["amount"], "150.00"]
    assert both["items"][1]["lines"] == []
    assert both == await cart_of(space)
    taken = await space.calls.delete(f"{ME}/cart/items/{space.loan['id']}?installment=2")
    assert [line["number"] for line in taken.json()["items"][0]["lines"]] == [1]
    problem(await space.calls.delete(f"{ME}/cart/items/{space.loan['id']}?installment=3"), 409, "not_in_cart")
    left = (await space.calls.delete(f"{ME}/cart/items/{space.loan['id']}")).json()
    assert [one["loan_id"] for one in left["items"]] == [space.other["id"]]
    assert (await space.calls.delete(f"{ME}/cart")).status_code == 204
    assert (await cart_of(space))["number"] is None


async def test_a_cart_is_replaced_by_what_is_put(space: Space) -> None:
    await put(space.calls, space.loan, 3)
    items = [{"loan_id": space.other["id"], "installments": 6}, {"loan_id": space.loan["id"], "amount": "10.00"}]
    cart = (await space.calls.put(f"{ME}/cart", json={"items": items})).json()
    assert [(one["amount"], one["pays_off"]) for one in cart["items"]] == [("10.00", False), ("600.00", True)]
    assert sum(Decimal(line["amount"]) for line in cart["items"][1]["lines"]) > Decimal("600.00")
    nothing = (await space.calls.put(f"{ME}/cart", json={"items": []})).json()
    assert (nothing["number"], nothing["items"], nothing["total"]) == (cart["number"], [], "0.00")


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({}, "/items/0/loan_id"),
        ({"installments": 1}, "/items/0/loan_id"),
        ({"loan_id": "x", "installments": 1}, "/items/0/loan_id"),
        ({"loan_id": str(uuid4())}, "/items/0"),
        ({"loan_id": str(uuid4()), "installments": 1, "amount": "1"}, "/items/0"),
        ({"loan_id": str(uuid4()), "installments": 0}, "/items/0/installments"),
        ({"loan_id": str(uuid4()), "amount": "-1"}, "/items/0/amount"),
        ({"loan_id": str(uuid4()), "installments": True}, "/items/0/installments"),
    ],
)
async def test_an_item_that_says_nothing_is_refused(item: Json, pointer: str, space: Space) -> None:
    assert pointer in pointers(await space.calls.put(f"{ME}/cart", json={"items": [item]}))


async def test_a_loan_twice_or_too_much_is_refused_and_the_cart_stays(space: Space) -> None:
    cart = await put(space.calls, space.loan)
    twice = [{"loan_id": space.loan["id"], "installments": 1}] * 2
    assert pointers(await space.calls.put(f"{ME}/cart", json={"items": twice})) == [""]
    much = {"loan_id": space.other["id"], "amount": "600.01"}
    problem(await space.calls.post(f"{ME}/cart/items", json=much), 409, "payment_exceeds_debt")
    many = {"loan_id": space.other["id"], "installments": 7}
    problem(await space.calls.post(f"{ME}/cart/items", json=many), 409, "installment_not_owed")
    assert await cart_of(space) == cart


async def test_an_order_is_signed_for_the_gateway(space: Space) -> None:
    order = await order_of(space.calls, space.loan)
    url = urlsplit(order["pay_url"])
    query = parse_qs(url.query)
    [payload], [signature] = query["order"], query["signature"]
    wanted = hmac.digest(DEVELOPMENT_GATEWAY_SECRET.encode(), b"order." + payload.encode(), sha256).hex()
    assert signature == wanted
    content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert content["order_id"] == order["id"]
    assert (content["amount"], content["currency"]) == (order["total"], "MXN")
    assert content["return_url"].endswith(f"/espacio/pagar/{order['id']}")
    assert datetime.fromtimestamp(content["expires_at"], UTC) <= datetime.fromisoformat(order["expires_at"])
    assert order.items() >= {"status": "WAITING", "transaction_code": None, "payment_id": None}.items()
    assert await get(space.calls, f"{ME}/checkouts/{order['id']}") == order


async def test_an_order_moves_no_money(space: Space, owner: Connection) -> None:
    await put(space.calls, space.loan)
    before = await row_counts(owner)
    await check_out(space.calls)
    after = await row_counts(owner)
    assert {table: after[table] - before[table] for table in after if after[table] != before[table]} == {
        "events": 1,
        "outbox": 1,
    }


async def test_paying_settles_exactly_what_was_in_the_cart(
    space: Space, api: httpx2.AsyncClient, owner: Connection
) -> None:
    before = await get(space.calls, f"{ME}/debts")
    items = [{"loan_id": space.loan["id"], "installments": 2}, {"loan_id": space.other["id"], "installments": 6}]
    await space.calls.put(f"{ME}/cart", json={"items": items})
    order = await check_out(space.calls)
    number = code()
    outcome = await told(api, notice_of(order, number))
    assert outcome["outcome"] == "registered"
    paid = await get(space.calls, f"{ME}/checkouts/{order['id']}")
    assert paid.items() >= {"status": "PAID", "transaction_code": number, "pay_url": None}.items()
    payment = await get(space.calls, f"{ME}/payments/{paid['payment_id']}")
    assert payment.items() >= {
        "id": outcome["payment_id"], "status": "REGISTERED", "amount": order["amount"], "method": "card",
        "reference": number, "external_id": order["id"], "receipt": paid, "undo": "now",
    }.items()  # fmt: skip
    assert {share["loan_id"] for share in payment["allocations"]} == {space.loan["id"], space.other["id"]}
    [left] = (await get(space.calls, f"{ME}/debts"))["loans"]
    assert left["installments"] == before["loans"][0]["installments"][2:]
    schedule = await get(space.calls, f"{LOANS}/{space.loan['id']}/schedule")
    assert [row["open"] for row in schedule["installments"]][:3] == ["0.00", "0.00", left["installments"][0]["total"]]
    rows = await owner.fetch(
        "SELECT event_type, actor FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 4", space.client_id
    )
    assert [row["event_type"] for row in reversed(rows)] == [
        "cart_checked_out", "payment_registered", "loan_paid_off", "cart_paid",
    ]  # fmt: skip
    assert [row["actor"] for row in rows][:3] == ["system:gateway"] * 3
    assert [one["id"] for one in (await get(space.calls, f"{ME}/payments"))["data"]] == [payment["id"]]
    assert await cart_of(space) | {"commission": "0.00"} == await cart_of(space)
    assert (await cart_of(space))["number"] is None


async def test_an_amount_follows_the_terms_of_the_loan(space: Space, api: httpx2.AsyncClient) -> None:
    await space.calls.post(f"{ME}/cart/items", json={"loan_id": space.loan["id"], "amount": "5000.00"})
    order = await check_out(space.calls)
    await told(api, notice_of(order, code()))
    [loan, _] = (await get(space.calls, f"{ME}/debts"))["loans"]
    assert loan["payoff"] == "7000.00"
    assert len(loan["installments"]) == 12, "smaller installments, as many of them"


@pytest.mark.usefixtures("patience")
async def test_a_double_click_gets_the_first_answer(space: Space, owner: Connection) -> None:
    cart = await put(space.calls, space.loan)
    body = {"cart_number": cart["number"], "total": cart["total"]}
    answers = await asyncio.gather(*(space.calls.post(f"{ME}/cart/checkout", json=body) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    [order] = {answer.text for answer in answers}
    assert (await space.calls.post(f"{ME}/cart/checkout", json={})).text == order, "and so does the back button"
    events = "SELECT count(*) FROM events WHERE aggregate_id = $1 AND event_type = 'cart_checked_out'"
    assert await owner.fetchval(events, space.client_id) == 1


async def test_a_click_between_two_readings_of_its_twin_makes_one_order(
    space: Space, resources: Resources, settings: Settings, owner: Connection
) -> None:
    """The cart and the client's sequence are read at once: else both would make an order of the same cart."""
    cart = await put(space.calls, space.loan)
    user_id = await owner.fetchval("SELECT user_id FROM carts WHERE number = $1", cart["number"])
    borrower, orders = Borrower(user_id, UUID(space.client_id)), []

    async def twin() -> None:
        orders.append(await check_out(space.calls))

    use_case = interrupted(service.check_out(settings, borrower, None, None), twin, 2)
    answer = await carry_out(resources, Origin("user:test", "test", None, resources.clock()), use_case)
    assert json.loads(bytes(answer.body)) == orders[0]


async def test_what_another_tab_puts_in_during_the_click_is_not_lost(
    space: Space, resources: Resources, settings: Settings, owner: Connection
) -> None:
    cart = await put(space.calls, space.loan)
    user_id = await owner.fetchval("SELECT user_id FROM carts WHERE number = $1", cart["number"])
    borrower, origin = Borrower(user_id, UUID(space.client_id)), Origin("user:test", "test", None, resources.clock())

    async def checked_out(
        happening: Callable[[], Awaitable[Any]], number: int | None = None, total: str | None = None
    ) -> Json:
        seen = Decimal(total) if total else None
        use_case = interrupted(service.check_out(settings, borrower, number, seen), happening, 2)
        answer: Json = json.loads(bytes((await carry_out(resources, origin, use_case)).body))
        return answer

    with pytest.raises(service.CartChanged):  # who saw a total pays that one and no other
        await checked_out(lambda: put(space.calls, space.other), total=cart["total"])
    held = [item["loan_id"] for item in (await cart_of(space))["items"]]
    assert held == [space.loan["id"], space.other["id"]]
    order = await checked_out(lambda: put(space.calls, space.other, 3))
    assert [len(item["lines"]) for item in order["items"]] == [1, 3]
    cart = await put(space.calls, space.loan)
    with pytest.raises(carts.CartGone):
        await checked_out(lambda: space.calls.delete(f"{ME}/cart"), cart["number"])


async def test_more_than_an_amount_can_be_is_not_ordered(space: Space, api: httpx2.AsyncClient) -> None:
    for _ in range(2):
        await put(space.calls, await new_loan(api, space.client_id, amount="6000000000000.00"), 12)
    problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "amount_too_large")


async def test_with_an_idempotency_key_the_answer_is_replayed(space: Space) -> None:
    await put(space.calls, space.loan)
    headers = {"Idempotency-Key": token_hex(8)}
    first, second = [await space.calls.post(f"{ME}/cart/checkout", json={}, headers=headers) for _ in range(2)]
    assert (first.status_code, second.text) == (201, first.text)
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_nothing_can_be_put_into_an_order_any_more(space: Space) -> None:
    order = await order_of(space.calls, space.loan)
    cart = await put(space.calls, space.loan)
    assert cart["number"] > order["cart_number"], "it is a new cart"
    assert await get(space.calls, f"{ME}/checkouts/{order['id']}") == order


async def test_two_tabs_that_fill_one_cart_lose_nothing(space: Space) -> None:
    await put(space.calls, space.loan)
    await asyncio.gather(
        put(space.calls, space.loan, 4),
        space.calls.post(f"{ME}/cart/items", json={"loan_id": space.other["id"], "amount": "5.00"}),
        space.calls.post(f"{ME}/cart/items", json={"loan_id": space.other["id"], "amount": "5.00"}),
    )
    assert [(len(one["lines"]), one["amount"]) for one in (await cart_of(space))["items"]][1] == (0, "5.00")
    assert len((await cart_of(space))["items"][0]["lines"]) == 4


async def test_what_was_decided_on_an_older_cart_is_not_written(
    space: Space, resources: Resources, owner: Connection
) -> None:
    seen = await put(space.calls, space.loan)
    user_id = await owner.fetchval("SELECT user_id FROM carts WHERE number = $1", seen["number"])
    borrower = Borrower(user_id, UUID(space.client_id))
    read = await carts.cart_of(resources, borrower)
    now = await put(space.calls, space.other)
    async with resources.databases.writer.acquire() as connection:
        late = await carts.write(connection, borrower, read, [], Decimal(0), resources.clock())
        foreign = await carts.write(
            connection, Borrower(uuid4(), borrower.client_id), await carts.cart_of(resources, borrower), [], Decimal(0),
            resources.clock(),
        )  # fmt: skip
    assert (late, foreign) == (False, False)
    assert await cart_of(space) == now


@pytest.mark.usefixtures("patience")
async def test_tabs_that_open_a_cart_at_once_get_the_same(space: Space) -> None:
    found = await asyncio.gather(*(put(space.calls, space.loan) for _ in range(24)))
    assert len({cart["number"] for cart in found}) == 1


async def test_what_another_tab_put_in_is_not_paid_unseen(space: Space) -> None:
    seen = await put(space.calls, space.loan)
    now = await put(space.calls, space.other)
    body = {"cart_number": seen["number"], "total": seen["total"]}
    refused = problem(await space.calls.post(f"{ME}/cart/checkout", json=body), 409, "cart_changed")
    assert (refused["changes"], refused["total"]) == ([], now["total"])
    assert (await check_out(space.calls, total=now["total"]))["total"] == now["total"]


async def test_a_debt_that_changed_since_the_quote_is_told_and_not_charged(
    space: Space, api: httpx2.AsyncClient, owner: Connection
) -> None:
    quoted = await put(space.calls, space.loan, 2)
    await pay(api, space.loan["id"], "6000.00")
    before = await row_counts(owner)
    refused = problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_changed")
    assert await row_counts(owner) == before
    now = await cart_of(space)
    [change] = refused["changes"]
    assert change["folio"] == space.loan["folio"]
    assert change["quoted"]["amount"] == quoted["amount"]
    assert change["now"]["amount"] == now["amount"] == refused["total"]
    assert Decimal(now["amount"]) < Decimal(quoted["amount"])
    assert (await check_out(space.calls, total=refused["total"]))["amount"] == now["amount"]


async def test_a_debt_that_is_gone_leaves_the_cart(space: Space, api: httpx2.AsyncClient) -> None:
    await put(space.calls, space.other, 2)
    await pay(api, space.other["id"], "600.00")
    refused = problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_changed")
    assert (refused["changes"][0]["now"], refused["total"]) == (None, "0.00")
    problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_empty")


async def test_an_expired_cart_is_gone(space: Space, owner: Connection, resources: Resources) -> None:
    cart = await put(space.calls, space.loan)
    await owner.execute("UPDATE carts SET expires_at = now() - interval '1 second' WHERE number = $1", cart["number"])
    body = {"cart_number": cart["number"]}
    problem(await space.calls.post(f"{ME}/cart/checkout", json=body), 409, "cart_gone")
    problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_empty")
    assert (await cart_of(space))["number"] is None
    new = await put(space.calls, space.other)
    assert new["number"] > cart["number"]
    assert [one["loan_id"] for one in new["items"]] == [space.other["id"]]


async def test_old_carts_are_swept_away_and_orders_are_kept(
    space: Space, owner: Connection, resources: Resources
) -> None:
    order = await order_of(space.calls, space.loan)
    cart = await put(space.calls, space.loan)
    await owner.execute("UPDATE carts SET expires_at = now() - interval '25 hours' WHERE user_id = (SELECT user_id "
                        "FROM carts WHERE number = $1)", cart["number"])  # fmt: skip
    await keep_house(resources)
    rows = await owner.fetch("SELECT number FROM carts WHERE number = ANY($1)", [order["cart_number"], cart["number"]])
    assert [row["number"] for row in rows] == [order["cart_number"]]


async def test_an_order_expires_for_whoever_looks(space: Space, owner: Connection) -> None:
    order = await order_of(space.calls, space.loan)
    past = datetime.now(UTC) - timedelta(seconds=1)
    await owner.execute("ALTER TABLE checkouts DISABLE TRIGGER paid_once")
    await owner.execute("UPDATE checkouts SET expires_at = $2 WHERE id = $1", order["id"], past)
    await owner.execute("ALTER TABLE checkouts ENABLE TRIGGER paid_once")
    seen = await get(space.calls, f"{ME}/checkouts/{order['id']}")
    assert (seen["status"], seen["pay_url"]) == ("EXPIRED", None)
    problem(await space.calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_empty")
    again = await space.calls.post(f"{ME}/cart/checkout", json={"cart_number": order["cart_number"]})
    assert (again.status_code, again.json()["status"]) == (201, "EXPIRED")


async def test_a_payment_is_taken_back_on_its_day(space: Space, api: httpx2.AsyncClient, owner: Connection) -> None:
    before = await get(space.calls, f"{ME}/debts")
    order = await order_of(space.calls, space.loan, 3)
    outcome = await told(api, notice_of(order, code()))
    path = f"{ME}/payments/{outcome['payment_id']}"
    answers = await asyncio.gather(*(space.calls.post(f"{path}/reverse", json={}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert await get(space.calls, f"{ME}/debts") == before
    payment = await get(space.calls, path)
    assert (payment["status"], payment["undo"], payment["receipt"]["status"]) == ("REVERSED", None, "PAID")


async def test_what_others_registered_is_not_taken_back(space: Space, api: httpx2.AsyncClient) -> None:
    payment = (await pay(api, space.loan["id"], "100.00")).json()
    seen = await get(space.calls, f"{ME}/payments/{payment['id']}")
    assert (seen["receipt"], seen["undo"]) == (None, None)
    problem(await space.calls.post(f"{ME}/payments/{payment['id']}/reverse", json={}), 409, "not_own_payment")


async def test_a_large_reversal_needs_a_second_person_here_too(
    space: Space, api: httpx2.AsyncClient, settings: Settings
) -> None:
    order = await order_of(space.calls, space.loan)
    outcome = await told(api, notice_of(order, code()))
    strict = settings.model_copy(update={"approve_reversal_above": Decimal("100.00")})
    async with running(strict) as app, client_of(app, dict(space.calls.headers)) as calls:
        answer = await calls.post(f"{ME}/payments/{outcome['payment_id']}/reverse", json={"reason": "Dos veces."})
        assert answer.status_code == 202, answer.text
        assert answer.json().items() >= {"kind": "REVERSAL", "status": "PENDING"}.items()
        assert (await get(calls, f"{ME}/payments/{outcome['payment_id']}"))["undo"] == "requested"


async def test_of_another_s_carts_orders_and_payments_a_borrower_learns_nothing(
    space: Space, app: FastAPI, api: httpx2.AsyncClient
) -> None:
    order = await order_of(space.calls, space.loan)
    outcome = await told(api, notice_of(order, code()))
    theirs = await put(space.calls, space.other)
    async with signed_in_as(app, Role.CLIENT) as stranger:
        for path in (f"checkouts/{order['id']}", f"payments/{outcome['payment_id']}"):
            problem(await stranger.get(f"{ME}/{path}"), 404, "not_found")
        problem(await stranger.post(f"{ME}/payments/{outcome['payment_id']}/reverse", json={}), 404, "not_found")
        for number in (theirs["number"], order["cart_number"], 999_999_999):
            body = {"cart_number": number}
            problem(await stranger.post(f"{ME}/cart/checkout", json=body), 409, "cart_gone")
        for loan_id in (space.other["id"], str(uuid4())):
            item = {"loan_id": loan_id, "installments": 1}
            problem(await stranger.post(f"{ME}/cart/items", json=item), 409, "installment_not_owed")
        problem(await stranger.delete(f"{ME}/cart/items/{space.other['id']}"), 404, "not_found")
        assert (await get(stranger, f"{ME}/debts"))["loans"] == []
    assert await cart_of(space) == theirs


async def test_two_users_of_one_client_have_carts_of_their_own(
    space: Space, app: FastAPI, api: httpx2.AsyncClient
) -> None:
    mine = await put(space.calls, space.loan)
    order = await order_of(space.calls, space.loan)
    outcome = await told(api, notice_of(order, code()))
    async with signed_in_as(app, Role.CLIENT, UUID(space.client_id)) as partner:
        assert (await get(partner, f"{ME}/cart"))["number"] is None
        problem(await partner.post(f"{ME}/cart/checkout", json={"cart_number": mine["number"]}), 409, "cart_gone")
        problem(await partner.get(f"{ME}/checkouts/{order['id']}"), 404, "not_found")
        payment = await get(partner, f"{ME}/payments/{outcome['payment_id']}")
        assert (payment["undo"], payment["receipt"]["id"]) == (None, order["id"])
        reversal = await partner.post(f"{ME}/payments/{outcome['payment_id']}/reverse", json={})
        problem(reversal, 409, "not_own_payment")


async def test_the_office_and_keys_have_no_space(app: FastAPI, api: httpx2.AsyncClient) -> None:
    problem(await api.get(f"{ME}/debts"), 403, "forbidden")
    made = await api.post("/api/v1/api-keys", json={"name": "x", "scopes": ["*"], "expires_at": None})
    async with client_of(app, {"X-API-Key": made.json()["key"]}) as key:
        problem(await key.get(f"{ME}/cart"), 403, "forbidden")


async def test_a_commission_is_booked_with_its_vat_and_given_back(
    space: Space, settings: Settings, owner: Connection, api: httpx2.AsyncClient, resources: Resources
) -> None:
    dear = settings.model_copy(update={"cart_commission": Decimal("2.50")})
    before = await balances(owner)
    async with running(dear) as app, client_of(app, dict(space.calls.headers)) as calls:
        for loan in (space.loan, space.other):
            cart = await put(calls, loan)
            assert (cart["commission"], cart["commission_vat"]) == ("2.50", "0.40")
            assert Decimal(cart["total"]) == Decimal(cart["amount"]) + Decimal("2.90")
            order = await check_out(calls)
            outcome = await told(calls, notice_of(order, code()))
            assert outcome["outcome"] == "registered"
        after = await balances(owner)
        assert after["5201"] - before.get("5201", Decimal(0)) == Decimal("-5.00")
        assert sum(after.values()) == 0
        payment = await get(calls, f"{ME}/payments/{outcome['payment_id']}")
        assert (payment["receipt"]["commission"], payment["amount"]) == ("2.50", order["amount"])
        await caught_up(resources)
        entries = await get(api, "/api/v1/ledger/entries?kind=COMMISSION&sort=-posted_on&limit=1")
        assert entries["data"][0]["payment_id"] == payment["id"]
        assert (await calls.post(f"{ME}/payments/{payment['id']}/reverse", json={})).status_code == 200
    left = await balances(owner)
    assert left["5201"] - before.get("5201", Decimal(0)) == Decimal("-2.50")
    assert sum(left.values()) == 0


async def test_a_new_commission_is_told_before_it_is_charged(space: Space, settings: Settings) -> None:
    await put(space.calls, space.loan)
    dear = settings.model_copy(update={"cart_commission": Decimal("2.50")})
    async with running(dear) as app, client_of(app, dict(space.calls.headers)) as calls:
        refused = problem(await calls.post(f"{ME}/cart/checkout", json={}), 409, "cart_changed")
        assert (refused["changes"], refused["commission"]) == ([], "2.50")
        assert (await check_out(calls))["total"] == refused["total"]


async def balances(owner: Connection) -> dict[str, Decimal]:
    """What stands on every account."""
    rows: list[Any] = await owner.fetch("SELECT account, sum(amount) AS balance FROM postings GROUP BY account")
    return {row["account"]: row["balance"] for row in rows}


async def test_nobody_signs_in_as_somebody_by_a_cart(anonymous: httpx2.AsyncClient) -> None:
    for path in ("debts", "cart", "payments", f"checkouts/{uuid4()}"):
        problem(await anonymous.get(f"{ME}/{path}"), 401, "unauthenticated")
