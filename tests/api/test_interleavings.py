"""What somebody else does between two readings of a use case: the answer is one that there is in some order."""

import json
from collections.abc import AsyncIterator
from secrets import token_hex
from uuid import UUID

import httpx2
import pytest
from backend_api.approvals import service as approvals
from backend_api.approvals.schemas import DecisionIn
from backend_api.auth.permissions import Role
from backend_api.customer_space import carts, service
from backend_api.customer_space.carts import Borrower
from backend_api.customer_space.gateway import Notice
from backend_api.db.pools import Connection
from backend_api.domain.approvals import ApprovalKind
from backend_api.domain.errors import TransitionRefused
from backend_api.domain.money import ZERO
from backend_api.http.idempotency import Answer
from backend_api.http.resources import Resources
from backend_api.http.write import COLLISIONS_BEFORE_LOCK, Aggregate, Change, Moved, UseCase, carry_out
from backend_api.legacy.mo_app import service as mo_app
from backend_api.legacy.mo_app.refusals import OF_CODE
from backend_api.legacy.mo_app.schemas import MoPaymentIn
from backend_api.loans import movements
from backend_api.loans import service as loans
from backend_api.loans.approvable import USE_CASES
from backend_api.loans.schemas import LoanPatch, NoteIn
from backend_api.models import clients
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin
from backend_api.payments import service as payments
from backend_api.payments.schemas import ReversalIn
from backend_api.settings import Settings
from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.support.builders import CLIENTS, LOANS, PAYMENTS, Json, get, new_client, new_loan, pay
from tests.support.customer_space import (
    ME,
    check_out,
    interrupted,
    interrupted_cart,
    notice_of,
    order_of,
    put,
    told,
)
from tests.support.service import signed_in_as


@pytest.fixture
async def loan(api: httpx2.AsyncClient) -> Json:
    """A loan of a client of its own."""
    return await new_loan(api, amount="12000.00")


@pytest.fixture
async def calls(app: FastAPI, loan: Json) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by the loan's client."""
    async with signed_in_as(app, Role.CLIENT, UUID(loan["client_id"])) as calls:
        yield calls


@pytest.fixture
async def borrower(calls: httpx2.AsyncClient, loan: Json, owner: Connection) -> Borrower:
    """The loan's client as the services see them."""
    user_id = await owner.fetchval("SELECT id FROM users WHERE client_id = $1", loan["client_id"])
    return Borrower(user_id, UUID(loan["client_id"]))


async def answer_to(resources: Resources, use_case: UseCase) -> Json:
    """What a use case answers."""
    origin = Origin("user:test", "test", None, resources.clock())
    answer: Json = json.loads(bytes((await carry_out(resources, origin, use_case)).body))
    return answer


async def post(api: httpx2.AsyncClient, path: str) -> None:
    """A change that is made."""
    answer = await api.post(path, json={})
    assert answer.is_success, answer.text


async def delete(api: httpx2.AsyncClient, path: str) -> None:
    """A deletion that is made."""
    answer = await api.delete(path)
    assert answer.is_success, answer.text


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_cart_that_a_twin_paid_gets_the_same_answer(
    leaves: bool,
    api: httpx2.AsyncClient,
    calls: httpx2.AsyncClient,
    loan: Json,
    borrower: Borrower,
    resources: Resources,
    settings: Settings,
    owner: Connection,
) -> None:
    """Else the older web would be told that nothing was charged. Also when nothing is owed then, and the client is
    deleted right away."""
    cart = await put(calls, loan, 12 if leaves else 1)
    use_case = service.pay_at_once(settings, borrower, cart["number"], f"T-{token_hex(6)}")
    twins: list[Json] = []

    async def twin() -> None:
        twins.append(await answer_to(resources, use_case))
        if leaves:
            await delete(api, f"{CLIENTS}/{loan['client_id']}")

    assert [await answer_to(resources, interrupted(use_case, twin, 2))] == twins
    assert await owner.fetchval("SELECT count(*) FROM payments WHERE client_id = $1", loan["client_id"]) == 1


async def test_a_cart_is_priced_anew_as_another_tab_left_it(
    api: httpx2.AsyncClient,
    calls: httpx2.AsyncClient,
    loan: Json,
    borrower: Borrower,
    resources: Resources,
    settings: Settings,
) -> None:
    """The prices of a cart that is not there any more are written nowhere, so nobody is told of them."""
    other = await new_loan(api, loan["client_id"])
    await put(calls, loan)
    assert (await pay(api, loan["id"])).status_code == 201
    use_case = service.check_out(settings, borrower, None, None)
    order = await answer_to(resources, interrupted(use_case, lambda: put(calls, other), 2))
    assert [item["loan_id"] for item in order["items"]] == [loan["id"], other["id"]]


async def test_a_notice_whose_twin_was_taken_is_no_refund(
    api: httpx2.AsyncClient, calls: httpx2.AsyncClient, loan: Json, resources: Resources, anonymous: httpx2.AsyncClient
) -> None:
    """Nor is anybody told to look after one, even if the client was deleted as soon as nothing was owed."""
    notice = notice_of(await order_of(calls, loan, 12), f"T-{token_hex(6)}")
    twins: list[Json] = []

    async def happening() -> None:
        twins.append(await told(anonymous, notice))
        await delete(api, f"{CLIENTS}/{loan['client_id']}")

    with capture_logs() as logs:
        use_case = interrupted(service.take_notice(Notice.model_validate(notice)), happening, 3)
        assert [await answer_to(resources, use_case)] == twins
    assert twins[0]["outcome"] == "registered"
    assert "gateway_refund" not in {entry["event"] for entry in logs}


async def test_what_another_tab_orders_right_away_is_not_put_in_again(
    calls: httpx2.AsyncClient, loan: Json, borrower: Borrower, resources: Resources
) -> None:
    """Once it is written there is nothing to decide anew: else a second cart held what is ordered."""
    await put(calls, loan)
    tab = interrupted_cart(resources, lambda: check_out(calls), 3)
    cart = await carts.put_installments(tab, borrower, UUID(loan["id"]), 2)
    if (await get(calls, f"{ME}/cart"))["number"] is not None:  # there was no third reading
        await check_out(calls)
    assert [len(held.item.lines) for held in cart.items] == [2]
    assert (await get(calls, f"{ME}/cart"))["number"] is None


async def test_a_cart_that_another_tab_emptied_meanwhile_is_begun_anew(
    calls: httpx2.AsyncClient, loan: Json, borrower: Borrower, resources: Resources
) -> None:
    tab = interrupted_cart(resources, lambda: calls.delete(f"{ME}/cart"), 2)
    cart = await carts.put_installments(tab, borrower, UUID(loan["id"]), 1)
    assert [item["loan_id"] for item in (await get(calls, f"{ME}/cart"))["items"]] == [loan["id"]]
    assert (await get(calls, f"{ME}/cart"))["number"] == cart.number


async def test_a_write_off_is_taken_back_once(api: httpx2.AsyncClient, loan: Json, resources: Resources) -> None:
    path = f"{LOANS}/{loan['id']}/write-off"
    await post(api, path)
    use_case = movements.undo_write_off(UUID(loan["id"]), NoteIn(), None)
    with pytest.raises(TransitionRefused):
        await answer_to(resources, interrupted(use_case, lambda: post(api, f"{path}/reverse"), 3))


async def test_a_payment_is_taken_back_once_even_if_its_loan_is_undone_right_away(
    api: httpx2.AsyncClient, loan: Json, resources: Resources
) -> None:
    payment = (await pay(api, loan["id"])).json()

    async def happening() -> None:
        await post(api, f"{PAYMENTS}/{payment['id']}/reverse")
        await delete(api, f"{LOANS}/{loan['id']}")

    use_case = payments.reverse_payment(UUID(payment["id"]), ReversalIn())
    with pytest.raises(payments.PaymentAlreadyReversed):
        await answer_to(resources, interrupted(use_case, happening, 2))


async def test_terms_are_not_changed_of_a_loan_that_is_cancelled_meanwhile(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    loan = await new_loan(api, status="PENDING")

    async def happening() -> None:
        await post(api, f"{LOANS}/{loan['id']}/cancel")
        await delete(api, f"{CLIENTS}/{loan['client_id']}")

    use_case = loans.change_loan(UUID(loan["id"]), LoanPatch.model_validate({"amount": "500.00"}), None)
    with pytest.raises(loans.TermsFrozen):
        await answer_to(resources, interrupted(use_case, happening, 2))


async def test_the_credit_line_is_measured_with_the_loan_as_it_is(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    client = await new_client(api, credit_limit="1000.00")
    loan = await new_loan(api, client["id"], status="PENDING", amount="100.00")
    use_case = interrupted(
        loans.change_loan(UUID(loan["id"]), LoanPatch.model_validate({"amount": "500.00"}), None),
        lambda: api.patch(f"{LOANS}/{loan['id']}", json={"amount": "900.00"}),
        2,
    )
    changed = await answer_to(resources, use_case)
    assert (changed["amount"], changed["version"]) == ("500.00", 3)


async def test_a_loan_that_is_disbursed_while_it_is_deleted_is_undone(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    """The loan is read once, and again if it moved: with two readings it was refused as what is cancelled."""
    loan = await new_loan(api, status="PENDING")
    use_case = movements.undo_disbursement(UUID(loan["id"]), None)
    undone = await answer_to(resources, interrupted(use_case, lambda: post(api, f"{LOANS}/{loan['id']}/activate"), 2))
    assert undone["status"] == "CANCELLED"
    told = await get(api, f"{LOANS}/{loan['id']}/movements")
    assert [row["kind"] for row in told["data"]].count("DISBURSEMENT") == 2, "handed over, and taken back"


async def test_a_cart_is_priced_anew_also_under_the_lock_of_a_busy_client(
    api: httpx2.AsyncClient,
    calls: httpx2.AsyncClient,
    loan: Json,
    borrower: Borrower,
    resources: Resources,
    settings: Settings,
) -> None:
    """After three collisions the client is locked in a transaction: a refusal must not take back the new prices."""
    quoted = await put(calls, loan)
    assert (await pay(api, loan["id"])).status_code == 201
    decide = service.check_out(settings, borrower, None, None)
    collisions = 0

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        nonlocal collisions
        collisions += 1
        if collisions <= COLLISIONS_BEFORE_LOCK:
            raise Moved(Aggregate("client", clients, borrower.client_id, 1, GENESIS))
        return await decide(connection, origin)

    with pytest.raises(service.CartChanged) as refusal:
        await answer_to(resources, use_case)
    total = (await get(calls, f"{ME}/cart"))["total"]
    assert total == refusal.value.facts["total"] != quoted["total"]


async def test_what_another_checker_grants_is_decided_and_not_refused(
    api: httpx2.AsyncClient, loan: Json, borrower: Borrower, resources: Resources, owner: Connection
) -> None:
    """Else the second one is told of a loan that cannot be disbursed, and that the approval still waits."""
    checker = await owner.fetchval("SELECT id FROM users WHERE username = 'admin'")
    pending = UUID((await new_loan(api, loan["client_id"], status="PENDING"))["id"])
    ask = approvals.with_second_person(
        ApprovalKind.ACTIVATION, loans.activate_loan(pending, None), approvals.asked(pending), borrower.user_id, ZERO
    )
    approval_id = UUID((await answer_to(resources, ask))["id"])
    grant = approvals.approve(approval_id, DecisionIn(), checker, USE_CASES)
    with pytest.raises(approvals.ApprovalDecided):
        await answer_to(resources, interrupted(grant, lambda: answer_to(resources, grant), 2))


async def test_a_payment_for_a_customer_whose_name_another_one_gets_is_not_booked_on_the_former(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    name = f"M-{token_hex(6)}"
    former, other = await new_client(api, external_id=name), await new_client(api)
    loan = await new_loan(api, former["id"])

    async def rename() -> None:
        for client, external_id in ((former, None), (other, name)):
            answer = await api.patch(f"{CLIENTS}/{client['id']}", json={"external_id": external_id})
            assert answer.status_code == 200, answer.text

    payment = MoPaymentIn.model_validate({"customer": name, "amount": 10, "status": 1})
    refused = await answer_to(resources, interrupted(mo_app.register_payment(payment), rename, 2))
    assert refused["detail"].startswith(OF_CODE["payment_exceeds_debt"]), "the other one owes nothing"
    assert (await get(api, f"{LOANS}/{loan['id']}"))["current_balance"] == "1000.00"
