"""A second person: what is above an amount is asked for, decided by somebody else, and done as things are then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from backend_api.approvals import queries, service
from backend_api.auth.permissions import Role
from backend_api.domain.approvals import LIFE, ApprovalKind
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import Environment, Settings
from fastapi import FastAPI
from pydantic import ValidationError

from tests.engine.lender import Lender
from tests.support.builders import LOANS, PAYMENTS, Json, get, new_client, new_loan
from tests.support.problems import pointers, problem
from tests.support.service import client_of, running, signed_in_as

APPROVALS = "/api/v1/approvals"
TOKEN = "X-Consistency-Token"
LIMIT = Decimal("1000.00")
LIMITS = (
    "approve_activation_above", "approve_reversal_above", "approve_write_off_above", "approve_waiver_above",
    "approve_restructure_above",
)  # fmt: skip


@dataclass
class Office:
    """The lender's database behind an API that asks for a second person, and the people who call it."""

    app: FastAPI
    maker: httpx2.AsyncClient
    checker: httpx2.AsyncClient
    auditor: httpx2.AsyncClient
    elsewhere: httpx2.AsyncClient
    """Another checker, at another process of the API."""
    unlimited: httpx2.AsyncClient
    """Who never needs a second person: the lender's own API has no limits."""

    def __post_init__(self) -> None:
        self.people: list[httpx2.AsyncClient] = []
        for person in (self.maker, self.checker, self.auditor, self.elsewhere, self.unlimited):
            self.join(person)

    def join(self, person: httpx2.AsyncClient) -> None:
        """What this person changes, all others find when they look: a replica may be late for everybody else."""

        async def tell(answer: httpx2.Response) -> None:
            if TOKEN in answer.headers:
                for other in self.people:
                    other.headers[TOKEN] = answer.headers[TOKEN]

        person.event_hooks["response"].append(tell)
        self.people.append(person)

    async def ask(self, path: str, body: Json | None = None, **options: Any) -> Json:
        """An approval that was just asked for."""
        answer = await self.maker.post(path, json=body, **options)
        assert answer.status_code == 202, answer.text
        approval: Json = answer.json()
        assert answer.headers["location"] == f"{APPROVALS}/{approval['id']}"
        return approval

    async def ask_earlier(self, ago: timedelta, path: str, body: Json | None = None) -> Json:
        """The same by a clock that was that much behind."""
        resources = self.app.state.resources
        self.app.state.resources = replace(resources, clock=lambda: resources.clock() - ago)
        try:
            return await self.ask(path, body)
        finally:
            self.app.state.resources = resources

    async def status(self, approval: Json) -> str:
        """What everybody sees of an approval now."""
        found: str = (await get(self.auditor, f"{APPROVALS}/{approval['id']}"))["status"]
        return found


async def decide(
    caller: httpx2.AsyncClient, approval: Json, decision: str = "approve", body: Json | None = None
) -> httpx2.Response:
    """The answer to a decision."""
    return await caller.post(f"{APPROVALS}/{approval['id']}/{decision}", json=body or {})


@pytest.fixture(scope="module")
async def office(lender: Lender) -> AsyncIterator[Office]:
    settings = lender.resources.settings.model_copy(update=dict.fromkeys(LIMITS, LIMIT))
    async with AsyncExitStack() as stack:
        app, other = [await stack.enter_async_context(running(settings)) for _ in range(2)]
        people = [
            await stack.enter_async_context(signed_in_as(where, role))
            for where, role in ((app, Role.OFFICER), (app, Role.ADMIN), (app, Role.AUDITOR), (other, Role.ADMIN))
        ]
        maker, checker, auditor, elsewhere = people
        yield Office(app, maker, checker, auditor, elsewhere, lender.api)
        lender.api.event_hooks = {}
        lender.api.headers.pop(TOKEN, None)


@dataclass
class Deed:
    """Something that can be asked for, on a loan of its own."""

    loan: Json
    path: str
    body: Json | None
    fact: str
    done: Callable[[], Awaitable[bool]]


async def activation(lender: Lender, amount: str) -> Deed:
    loan = await new_loan(lender.api, amount=amount, status="PENDING")

    async def done() -> bool:
        return bool((await lender.loan(loan))["status"] == "ACTIVE")

    return Deed(loan, f"{LOANS}/{loan['id']}/activate", None, "loan_activated", done)


async def reversal(lender: Lender, amount: str) -> Deed:
    loan = await lender.grant(amount="9000.00")
    payment = await lender.pay(loan, amount)

    async def done() -> bool:
        return bool((await lender.loan(loan))["current_balance"] == "9000.00")

    body = {"reason": "Registered twice."}
    return Deed(loan, f"{PAYMENTS}/{payment['id']}/reverse", body, "payment_reversed", done)


async def write_off(lender: Lender, amount: str) -> Deed:
    loan = await lender.grant(amount=amount)

    async def done() -> bool:
        return bool((await lender.loan(loan))["status"] == "WRITTEN_OFF")

    return Deed(loan, f"{LOANS}/{loan['id']}/write-off", {"reason": "Gone."}, "loan_written_off", done)


async def write_off_reversal(lender: Lender, amount: str) -> Deed:
    loan = await lender.grant(amount=amount)
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/write-off", json={})
    assert answer.status_code == 200, answer.text

    async def done() -> bool:
        return bool((await lender.loan(loan))["status"] == "ACTIVE")

    return Deed(loan, f"{LOANS}/{loan['id']}/write-off/reverse", {"reason": "Found."}, "loan_reopened", done)


async def waiver(lender: Lender, amount: str) -> Deed:
    loan = await lender.grant(amount="9000.00")
    charged = await lender.api.post(f"{LOANS}/{loan['id']}/fees", json={"amount": "2000.00"})
    assert charged.status_code == 200, charged.text

    async def done() -> bool:
        quote = await get(lender.api, f"{LOANS}/{loan['id']}/payoff-quote")
        return Decimal(quote["due"]) == Decimal("2320.00") - Decimal(amount)

    return Deed(loan, f"{LOANS}/{loan['id']}/waivers", {"concept": "fees", "amount": amount}, "fee_waived", done)


async def restructuring(lender: Lender, amount: str) -> Deed:
    loan = await lender.grant(amount=amount)

    async def done() -> bool:
        return bool((await lender.loan(loan))["status"] == "RESTRUCTURED")

    body = {"interest_rate": "0.12", "term_months": 36, "late_fee": "150.00", "reason": "Lost his job."}
    return Deed(loan, f"{LOANS}/{loan['id']}/restructure", body, "loan_activated", done)


DEEDS = {
    ApprovalKind.ACTIVATION: activation,
    ApprovalKind.REVERSAL: reversal,
    ApprovalKind.WRITE_OFF: write_off,
    ApprovalKind.WRITE_OFF_REVERSAL: write_off_reversal,
    ApprovalKind.WAIVER: waiver,
    ApprovalKind.RESTRUCTURE: restructuring,
}


@pytest.mark.parametrize("kind", ApprovalKind)
async def test_up_to_the_limit_it_is_done_at_once(kind: ApprovalKind, lender: Lender, office: Office) -> None:
    deed = await DEEDS[kind](lender, str(LIMIT))
    answer = await office.maker.post(deed.path, json=deed.body)
    assert answer.status_code == (201 if kind is ApprovalKind.RESTRUCTURE else 200), answer.text
    assert await deed.done()
    assert (await lender.events(deed.loan))[-1] == deed.fact


@pytest.mark.parametrize("kind", ApprovalKind)
async def test_above_the_limit_somebody_else_agrees_first(kind: ApprovalKind, lender: Lender, office: Office) -> None:
    deed = await DEEDS[kind](lender, "1000.01")
    before, rows = await lender.loan(deed.loan), await lender.movements(deed.loan)
    approval = await office.ask(deed.path, deed.body)
    assert (approval["kind"], approval["status"], approval["amount"]) == (kind, "PENDING", "1000.01")
    assert approval["request"] == (deed.body or {})
    assert await get(office.maker, f"{APPROVALS}/{approval['id']}") == approval
    assert (await lender.loan(deed.loan), await lender.movements(deed.loan)) == (before, rows), "nothing is done yet"
    assert (await lender.events(deed.loan))[-1] == "approval_requested"

    answer = await decide(office.checker, approval, body={"reason": "Seen the file."})
    assert answer.status_code == 200, answer.text
    decided = answer.json()
    assert (decided["status"], decided["reason"]) == ("APPROVED", "Seen the file.")
    assert decided["checker"] != decided["maker"] == approval["maker"]
    assert await get(office.maker, f"{APPROVALS}/{approval['id']}") == decided
    assert await deed.done()
    assert (await lender.events(deed.loan))[-2:] == [deed.fact, "approval_granted"]
    problem(await decide(office.checker, approval, "reject"), 409, "approval_decided")
    await lender.check_books()


@pytest.mark.parametrize("kind", ApprovalKind)
async def test_what_is_rejected_is_not_done_and_can_be_asked_for_again(
    kind: ApprovalKind, lender: Lender, office: Office
) -> None:
    deed = await DEEDS[kind](lender, "1000.01")
    approval = await office.ask(deed.path, deed.body)
    assert (await decide(office.checker, approval, "reject")).json()["status"] == "REJECTED"
    assert not await deed.done()
    assert (await lender.events(deed.loan))[-2:] == ["approval_requested", "approval_refused"]
    problem(await decide(office.checker, approval), 409, "approval_decided")
    again = await office.ask(deed.path, deed.body)
    assert (await decide(office.checker, again)).status_code == 200
    assert await deed.done()


async def test_what_was_booked_names_its_own_event_and_the_grant_comes_after_it(lender: Lender, office: Office) -> None:
    deed = await waiver(lender, "1500.00")
    approval = await office.ask(deed.path, deed.body)
    await decide(office.checker, approval)
    last = "SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 2"
    granted, waived = await lender.owner.fetch(last, UUID(deed.loan["client_id"]))
    assert (granted["event_type"], waived["event_type"]) == ("approval_granted", "fee_waived")
    assert str(granted["entity_id"]) == approval["id"]
    assert granted["actor"] == waived["actor"] != f"user:{approval['maker']}"
    booked = "SELECT max(sequence) FROM loan_movements WHERE loan_id = $1"
    assert await lender.owner.fetchval(booked, UUID(deed.loan["id"])) == waived["sequence"]


async def test_who_asks_does_not_decide(lender: Lender, office: Office) -> None:
    deed = await write_off(lender, "5000.00")
    approval = await office.ask(deed.path, deed.body)
    for decision in ("approve", "reject"):
        problem(await decide(office.maker, approval, decision), 403, "maker_is_checker")
    assert await office.status(approval) == "PENDING"
    with pytest.raises(asyncpg.CheckViolationError, match="approvals_two_people"):
        await lender.owner.execute(
            "UPDATE approvals SET status = 'APPROVED', checker = maker, decided_at = now() WHERE id = $1",
            UUID(approval["id"]),
        )


@pytest.mark.parametrize("pair", [(Role.OFFICER, Role.ADMIN), (Role.ADMIN, Role.OFFICER), (Role.OFFICER, Role.OFFICER)])
async def test_officers_and_administrators_check_each_other(
    pair: tuple[Role, Role], lender: Lender, office: Office
) -> None:
    deed = await activation(lender, "5000.00")
    async with signed_in_as(office.app, pair[0]) as maker, signed_in_as(office.app, pair[1]) as checker:
        office.join(checker)
        asked = await maker.post(deed.path)
        assert asked.status_code == 202
        assert (await decide(checker, asked.json())).status_code == 200
    assert await deed.done()


async def test_an_auditor_sees_and_does_not_decide(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask(deed.path)
    for decision in ("approve", "reject"):
        problem(await decide(office.auditor, approval, decision), 403, "forbidden")
    assert await office.status(approval) == "PENDING"


async def test_after_seven_days_nobody_decides_any_more(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask_earlier(LIFE, deed.path)
    assert await office.status(approval) == "EXPIRED"
    for decision in ("approve", "reject"):
        problem(await decide(office.checker, approval, decision), 409, "approval_expired")
    assert not await deed.done()
    again = await office.ask(deed.path)
    assert (await decide(office.checker, again)).status_code == 200


async def test_until_then_they_do(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask_earlier(LIFE - timedelta(minutes=10), deed.path)
    assert await office.status(approval) == "PENDING"
    assert (await decide(office.checker, approval)).status_code == 200
    assert await deed.done()


async def test_expiry_is_recorded_once(lender: Lender, office: Office) -> None:
    client = await new_client(lender.api)
    loans = [await new_loan(lender.api, client["id"], amount="5000.00", status="PENDING") for _ in range(3)]
    paths = [f"{LOANS}/{loan['id']}/activate" for loan in loans]
    overdue = [await office.ask_earlier(LIFE, path) for path in paths[:2]]
    fresh = await office.ask(paths[2])
    resources = lender.resources
    origin = Origin("system:end-of-day", "test", None, resources.clock())
    for _ in range(2):
        await carry_out(resources, origin, service.expire(UUID(client["id"])))
        assert (await lender.events(loans[0]))[-3:] == ["approval_requested", "approval_expired", "approval_expired"]
    stored = "SELECT status FROM approvals WHERE client_id = $1 ORDER BY id"
    assert {row["status"] for row in await lender.owner.fetch(stored, UUID(client["id"]))} == {"EXPIRED", "PENDING"}
    assert [await office.status(approval) for approval in (*overdue, fresh)] == ["EXPIRED", "EXPIRED", "PENDING"]
    assert UUID(client["id"]) not in await queries.clients_with_overdue(lender.owner, resources.clock())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await lender.owner.execute("UPDATE approvals SET reason = 'x' WHERE id = $1", UUID(overdue[0]["id"]))


async def test_clients_with_something_overdue_are_found(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    await office.ask_earlier(LIFE, deed.path)
    client = UUID(deed.loan["client_id"])
    now = lender.resources.clock()
    assert client in await queries.clients_with_overdue(lender.owner, now)
    assert client not in await queries.clients_with_overdue(lender.owner, now - timedelta(hours=1))


@pytest.mark.usefixtures("patience")
async def test_of_many_checkers_at_two_processes_one_wins(lender: Lender, office: Office) -> None:
    for _ in range(5):
        # Twice would fit into what is due, so that only the approval keeps it from happening.
        deed = await waiver(lender, "1100.00")
        approval = await office.ask(deed.path, deed.body)
        callers = [office.checker, office.elsewhere] * 4
        answers = await asyncio.gather(*(decide(caller, approval) for caller in callers))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert await deed.done(), "once and not twice"
        assert (await lender.events(deed.loan)).count("approval_granted") == 1
    await lender.check_books()


async def test_of_a_grant_and_a_rejection_one_wins(lender: Lender, office: Office) -> None:
    for _ in range(5):
        deed = await waiver(lender, "1100.00")
        approval = await office.ask(deed.path, deed.body)
        granted, refused = await asyncio.gather(
            decide(office.checker, approval), decide(office.elsewhere, approval, "reject")
        )
        assert sorted((granted.status_code, refused.status_code)) == [200, 409]
        assert await deed.done() == (granted.status_code == 200)
        assert await office.status(approval) == ("APPROVED" if granted.status_code == 200 else "REJECTED")


async def test_a_loan_that_changed_meanwhile_refuses_and_the_approval_waits(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask(deed.path)
    assert (await lender.api.post(f"{LOANS}/{deed.loan['id']}/cancel")).status_code == 200
    told = await lender.events(deed.loan)
    problem(await decide(office.checker, approval), 409, "transition_refused")
    assert await office.status(approval) == "PENDING"
    assert await lender.events(deed.loan) == told
    assert (await decide(office.checker, approval, "reject")).status_code == 200


async def test_the_version_that_the_maker_saw_is_asked_for_again(lender: Lender, office: Office) -> None:
    deed = await waiver(lender, "1500.00")
    tag = (await office.maker.get(f"{LOANS}/{deed.loan['id']}")).headers["etag"]
    approval = await office.ask(deed.path, deed.body, headers={"If-Match": tag})
    await lender.pay(deed.loan, "10.00")
    problem(await decide(office.checker, approval), 412, "precondition_failed")
    assert await office.status(approval) == "PENDING"


async def test_it_is_not_about_more_money_than_was_asked_for(lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask(deed.path)
    path = f"{LOANS}/{deed.loan['id']}"
    assert (await office.maker.patch(path, json={"amount": "5000.01"})).status_code == 200
    refused = await decide(office.checker, approval)
    assert problem(refused, 409, "amount_grown")["amount"] == "5000.01"
    assert await office.status(approval) == "PENDING"
    assert (await office.maker.patch(path, json={"amount": "4000.00"})).status_code == 200
    assert (await decide(office.checker, approval)).status_code == 200
    assert (await lender.loan(deed.loan))["current_balance"] == "4000.00"


@pytest.mark.parametrize("kind", [ApprovalKind.WRITE_OFF, ApprovalKind.RESTRUCTURE])
async def test_what_is_closed_is_what_is_owed_on_the_day_of_the_grant(
    kind: ApprovalKind, lender: Lender, office: Office
) -> None:
    deed = await DEEDS[kind](lender, "5000.00")
    approval = await office.ask(deed.path, deed.body)
    await lender.pass_days(3)
    owed = (await get(lender.api, f"{LOANS}/{deed.loan['id']}/payoff-quote"))["payoff_amount"]
    assert Decimal(owed) > Decimal(approval["amount"])
    assert (await decide(office.checker, approval)).status_code == 200
    assert (await lender.movements(deed.loan))[-1]["amount"] == owed
    await lender.check_books()


async def test_a_restructured_loan_has_the_terms_that_were_asked_for(lender: Lender, office: Office) -> None:
    deed = await restructuring(lender, "5000.00")
    taken = (await new_loan(lender.api, amount="100.00", external_id=uuid4().hex))["external_id"]
    approval = await office.ask(deed.path, {**(deed.body or {}), "external_id": taken})
    problem(await decide(office.checker, approval), 409, "duplicate_external_id")
    assert (await decide(office.checker, approval, "reject")).status_code == 200
    approval = await office.ask(deed.path, deed.body)
    assert (await decide(office.checker, approval)).status_code == 200
    loans = (await get(lender.api, f"{LOANS}?client_id={deed.loan['client_id']}"))["data"]
    [new] = [loan for loan in loans if loan["restructured_from"] == deed.loan["id"]]
    assert (new["status"], new["interest_rate"], new["term_months"]) == ("ACTIVE", "0.12", 36)
    assert new["terms"]["late_fee"] == "150.00"


async def test_refusals_come_before_anybody_is_asked(lender: Lender, office: Office) -> None:
    loan = await lender.grant(amount="5000.00")
    told = await lender.events(loan)
    problem(await office.maker.post(f"{LOANS}/{loan['id']}/activate"), 409, "transition_refused")
    too_much = {"concept": "fees", "amount": "2000.00"}
    assert (await office.maker.post(f"{LOANS}/{loan['id']}/waivers", json=too_much)).status_code == 409
    problem(await office.maker.post(f"{PAYMENTS}/{uuid4()}/reverse", json={}), 404, "not_found")
    assert await lender.events(loan) == told


async def test_the_same_request_with_a_key_is_asked_once(lender: Lender, office: Office) -> None:
    deed = await waiver(lender, "1500.00")
    key = {"Idempotency-Key": uuid4().hex}
    first = await office.maker.post(deed.path, json=deed.body, headers=key)
    second = await office.maker.post(deed.path, json=deed.body, headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert (second.content, second.headers["location"]) == (first.content, first.headers["location"])
    assert second.headers["idempotent-replayed"] == "true"
    assert (await lender.events(deed.loan)).count("approval_requested") == 1


async def test_a_decision_with_a_key_is_made_once(lender: Lender, office: Office) -> None:
    deed = await waiver(lender, "1100.00")
    approval = await office.ask(deed.path, deed.body)
    key = {"Idempotency-Key": uuid4().hex}
    path = f"{APPROVALS}/{approval['id']}/approve"
    first, second = [await office.checker.post(path, json={}, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code, second.content) == (200, 200, first.content)
    assert await deed.done()


@pytest.mark.usefixtures("patience")
async def test_what_waits_already_is_not_asked_for_twice(lender: Lender, office: Office) -> None:
    deed = await waiver(lender, "1100.00")
    answers = await asyncio.gather(*(caller.post(deed.path, json=deed.body) for caller in [office.maker] * 6))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 5
    [approval] = [answer.json() for answer in answers if answer.status_code == 202]
    for answer in answers:
        if answer.status_code == 409:
            assert problem(answer, 409, "approval_pending")["approval_id"] == approval["id"]
    assert (await lender.events(deed.loan)).count("approval_requested") == 1


async def test_a_loan_above_the_limit_waits_for_its_activation(lender: Lender, office: Office) -> None:
    large = await new_loan(office.maker, amount="1000.01")
    small = await new_loan(office.maker, amount="1000.00")
    assert (large["status"], small["status"]) == ("PENDING", "ACTIVE")
    created = "SELECT payload->>'status' FROM events WHERE event_type = 'loan_created' AND entity_id = $1"
    assert await lender.owner.fetchval(created, UUID(large["id"])) == "PENDING"
    assert "loan_activated" not in await lender.events(large)
    approval = await office.ask(f"{LOANS}/{large['id']}/activate")
    assert (await decide(office.checker, approval)).status_code == 200
    assert (await lender.loan(large))["status"] == "ACTIVE"


@pytest.mark.parametrize("kind", ApprovalKind)
async def test_nobody_is_asked_unless_amounts_are_set(kind: ApprovalKind, lender: Lender) -> None:
    assert [getattr(lender.resources.settings, name) for name in LIMITS] == [None] * len(LIMITS)
    deed = await DEEDS[kind](lender, "2000.00")
    answer = await lender.api.post(deed.path, json=deed.body)
    assert answer.status_code == (201 if kind is ApprovalKind.RESTRUCTURE else 200), answer.text
    assert await deed.done()


async def test_the_list_is_filtered_sorted_and_paged(lender: Lender, office: Office) -> None:
    client = await new_client(lender.api)
    amounts = ["3000.00", "1500.00", "2000.00"]
    loans = [await new_loan(lender.api, client["id"], amount=amount, status="PENDING") for amount in amounts]
    asked = [await office.ask(f"{LOANS}/{loan['id']}/activate") for loan in loans]
    late = await new_loan(lender.api, client["id"], amount="4000.00", status="PENDING")
    expired = await office.ask_earlier(LIFE, f"{LOANS}/{late['id']}/activate")
    await decide(office.checker, asked[0])
    paid = await lender.pay(loans[0], "2500.00")
    taken_back = await office.ask(f"{PAYMENTS}/{paid['id']}/reverse", {})

    async def ids(query: str) -> list[str]:
        page = await get(office.auditor, f"{APPROVALS}?client_id={client['id']}&{query}")
        return [approval["id"] for approval in page["data"]]

    every = [expired, *asked, taken_back]
    assert await ids("") == [approval["id"] for approval in every]
    assert await ids("status=PENDING") == [asked[1]["id"], asked[2]["id"], taken_back["id"]]
    assert await ids("status=APPROVED") == [asked[0]["id"]]
    assert await ids("status=EXPIRED") == [expired["id"]]
    assert await ids("status=REJECTED") == []
    assert await ids("kind=REVERSAL") == [taken_back["id"]]
    assert await ids("kind=ACTIVATION&sort=-amount&status=PENDING") == [asked[2]["id"], asked[1]["id"]]
    for sort in ("requested_at", "-amount"):
        walked: list[str] = []
        path = f"{APPROVALS}?client_id={client['id']}&limit=2&sort={sort}"
        page = await get(office.auditor, path)
        walked += [approval["id"] for approval in page["data"]]
        while page["has_more"]:
            page = await get(office.auditor, f"{path}&cursor={page['next_cursor']}")
            walked += [approval["id"] for approval in page["data"]]
        assert walked == await ids(f"sort={sort}")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=DONE", "query:status"),
        ("kind=LOAN", "query:kind"),
        ("client_id=5", "query:client_id"),
        ("sort=maker", "query:sort"),
        ("limit=1000", "query:limit"),
        ("cursor=x", "query:cursor"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(query: str, pointer: str, office: Office) -> None:
    answer = await office.auditor.get(f"{APPROVALS}?{query}")
    assert (answer.status_code, pointers(answer)) == (422, [pointer])


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_decision_that_cannot_be_is_refused(decision: str, lender: Lender, office: Office) -> None:
    deed = await activation(lender, "5000.00")
    approval = await office.ask(deed.path)
    for body, pointer in (
        ({"reason": ""}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"reason": "a\u0000b"}, "/reason"),
        ({"reason": 5}, "/reason"),
        ({"status": "APPROVED"}, "/status"),
    ):
        answer = await decide(office.checker, approval, decision, body)
        assert (answer.status_code, pointers(answer)) == (422, [pointer]), body
    assert pointers(await decide(office.checker, {"id": "x"}, decision)) == ["path:approval_id"]
    problem(await decide(office.checker, {"id": uuid4()}, decision), 404, "not_found")
    assert await office.status(approval) == "PENDING"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", f"/{uuid4()}"), ("POST", f"/{uuid4()}/approve"), ("POST", f"/{uuid4()}/reject")],
    ids=["list", "get", "approve", "reject"],
)
async def test_nobody_sees_or_decides_without_signing_in(method: str, path: str, office: Office) -> None:
    async with client_of(office.app) as anonymous:
        problem(await anonymous.request(method, APPROVALS + path, json={}), 401, "unauthenticated")


async def test_an_approval_that_is_not_there_is_a_problem(office: Office) -> None:
    problem(await office.auditor.get(f"{APPROVALS}/{uuid4()}"), 404, "not_found")


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_an_amount_of_money(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, amount in (("50000.00", Decimal(50000)), ("0", Decimal(0)), ("", None)):
        monkeypatch.setenv(name.upper(), text)
        assert getattr(Settings(environment=Environment.DEVELOPMENT), name) == amount
    for text in ("-1", "1e3", "NaN", "a lot", "1.005", "1,000"):
        monkeypatch.setenv(name.upper(), text)
        with pytest.raises(ValidationError, match="amount is zero or more"):
            Settings(environment=Environment.DEVELOPMENT)
