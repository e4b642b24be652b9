"""The invented lender at work: every deed of a day by the service that the API calls, then the end of day.

What a day brings is done client by client, several at a time: lives do not touch each other. Only what takes a number
for people (a loan's folio) is done one by one, in the order of the clients, so that each gets the same one every time.
"""

import asyncio
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from backend_api.approvals import service as approvals
from backend_api.approvals.schemas import DecisionIn
from backend_api.approvals.service import Asked, UseCases, asked
from backend_api.auth.passwords import hash_password
from backend_api.auth.permissions import Role
from backend_api.auth.users import service as users
from backend_api.auth.users.schemas import UserIn
from backend_api.clients import service as clients
from backend_api.clients.schemas import ClientIn, ClientPatch
from backend_api.db.pools import Connection
from backend_api.demo.story import (
    DAY,
    TRADES,
    Activate,
    Ask,
    Cancel,
    Charge,
    Decide,
    Deed,
    Forgive,
    Lend,
    Life,
    Loan,
    Pay,
    PayOff,
    Recover,
    Register,
    Reject,
    Restructure,
    Reverse,
    Story,
    Update,
    WriteOff,
)
from backend_api.domain.account import Account
from backend_api.domain.approvals import ApprovalKind
from backend_api.domain.money import ZERO, round_half_up
from backend_api.domain.schedule import schedule
from backend_api.domain.states import PAYABLE, LoanEvent, LoanStatus
from backend_api.domain.term_sheet import terms_of
from backend_api.http import context
from backend_api.http.resources import Resources
from backend_api.http.write import Conflicts, UseCase, carry_out
from backend_api.ledger import periods
from backend_api.ledger.state import account_of
from backend_api.loans import approvable as approvable_loans
from backend_api.loans import movements, restructure
from backend_api.loans import queries as loan_queries
from backend_api.loans import service as loans
from backend_api.loans.schemas import FeeIn, LoanIn, NoteIn, RestructureIn, WaiverIn
from backend_api.outbox.record import Lane, Origin
from backend_api.payments import approvable as approvable_payments
from backend_api.payments import queries as payment_queries
from backend_api.payments import service as payments
from backend_api.payments.schemas import PaymentIn, ReversalIn
from backend_api.portfolio import end_of_day
from backend_api.products import service as products
from backend_api.products.schemas import ProductIn

ACTOR = "system:demo"
PASSWORD = "string"  # noqa: S105 - documented, that of `admin`, and for development only
OFFICER, MANAGER, AUDITOR = "oficial", "gerente", "auditora"
STAFF = {OFFICER: Role.OFFICER, MANAGER: Role.ADMIN, AUDITOR: Role.AUDITOR}
AT_ONCE = 5
"""Clients whose deeds of a day are done at a time."""
OPENS, CLOSES, AFTER_MIDNIGHT = time(9), time(18), time(0, 5)
MONTH_CLOSED_ON = 5
"""On this day of a month the one before is closed."""
BACK_DATING_DAYS = 30
USE_CASES: UseCases = {**approvable_loans.USE_CASES, **approvable_payments.USE_CASES}
NUMBERED = (Register, Lend, Restructure)

Progress = Callable[[date, int, int], None]
"""Called with the day that begins, how many have passed, and how many there are."""


@dataclass(slots=True)
class _Living:
    """A life and the deed that comes next in it, None when it is over; the client's id once they have come."""

    life: Life
    deed: Deed | None
    client_id: UUID | None = None


async def live(resources: Resources, turn: Connection, story: Story, progress: Progress) -> None:
    """Live a story on empty books whose business date is its first day; `turn` is the turn to close days.

    What is done bears the times of the story, which never are ahead of the clock.
    """
    lender = await _Lender.furnished(resources, story.first)
    waiting: list[tuple[date, int, _Living]] = []
    for number, life in enumerate(story.lives()):
        first = next(life)
        heapq.heappush(waiting, (first.on, number, _Living(life, first)))
    count = (story.until - story.first).days
    for passed in range(count + 1):
        day = story.first + passed * DAY
        progress(day, passed, count)
        today = []
        while waiting and waiting[0][0] <= day:
            _, number, living = heapq.heappop(waiting)
            today.append((number, living))
        if day == story.until:
            today = today[: len(today) // 2 + 1]  # it is not over: some have not come yet
        await lender.spend(day, [living for _, living in today])
        for number, living in today:
            if living.deed:
                heapq.heappush(waiting, (living.deed.on, number, living))
        if day < story.until:
            await lender.close(turn, day)
        if day.day == MONTH_CLOSED_ON < passed:
            await lender.close_month(day)


class _Lender:
    def __init__(self, resources: Resources, staff: Mapping[str, UUID], password_hash: str) -> None:
        self._resources = resources
        self._staff = staff
        self._password_hash = password_hash

    @classmethod
    async def furnished(cls, resources: Resources, day: date) -> "_Lender":
        """With a staff, and with something to offer."""
        staff: dict[str, UUID] = {}
        lender = cls(resources, staff, await hash_password(PASSWORD))
        opens = lender._instant(day, OPENS)
        for username, role in STAFF.items():
            staff[username] = await lender._create_user(username, role, None, opens)
        for trade in TRADES:
            await lender._do(products.create_product(ProductIn.model_validate(trade.product)), opens, MANAGER)
        return lender

    async def spend(self, day: date, today: Sequence[_Living]) -> None:
        """Do what these clients do on a day; each of them then waits with a deed of another one."""
        opens, closes = self._instant(day, OPENS), self._instant(day, CLOSES)
        pace = (closes - opens) / (len(today) + 1)
        moments = [opens + pace * number for number in range(1, len(today) + 1)]
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(living: _Living, at: datetime) -> None:
            async with turns:
                await self._spend(day, living, at)

        async with asyncio.TaskGroup() as group:
            for living, at in zip(today, moments, strict=True):
                if isinstance(living.deed, NUMBERED):
                    await self._spend(day, living, at)
                else:
                    group.create_task(in_turn(living, at))

    async def close(self, turn: Connection, day: date) -> None:
        """The end of a day."""
        at = self._instant(day + DAY, AFTER_MIDNIGHT)
        outcome = await end_of_day.close(replace(self._resources, clock=lambda: at), turn, day, lambda *_: None)
        if outcome.failed:
            raise RuntimeError(f"loans that could not be looked at on {day}: {outcome.failed}")

    async def close_month(self, day: date) -> None:
        """Nothing is posted any more in the month before that of the day."""
        last = day.replace(day=1) - DAY
        await self._do(periods.close_period(f"{last:%Y-%m}"), self._instant(day, CLOSES), MANAGER)

    async def _spend(self, day: date, living: _Living, at: datetime) -> None:
        while living.deed and living.deed.on <= day:
            answer = await self._deed(living, living.deed, min(at, self._resources.clock()))
            try:
                living.deed = living.life.send(answer)
            except StopIteration:
                living.deed = None
            at += timedelta(minutes=1)

    async def _deed(self, living: _Living, deed: Deed, at: datetime) -> Any:
        """Do it; what the life is told."""
        match deed:
            case Register():
                return await self._register(living, deed, at)
            case Lend():
                return await self._lend(living, deed, at)
            case Pay() | PayOff() | Recover():
                return await self._pay(deed, at)
            case Ask():
                return await self._ask(deed, at)
            case Decide():
                decision = DecisionIn(reason=deed.reason)
                use_case = approvals.approve(deed.approval, decision, self._staff[MANAGER], USE_CASES)
                await self._do(use_case, at, MANAGER)
                return await self._loan(deed.about.id)
            case Forgive():
                return await self._forgive(deed, at)
            case Restructure():
                terms = {"product": "PERSONAL", "interest_rate": deed.rate, "term_months": deed.installments}
                body = RestructureIn.model_validate({**terms, "reason": deed.reason})
                answer = await self._do(restructure.restructure(deed.loan.id, body, None), at)
                return await self._loan(answer["id"])
            case _:
                return await self._do(self._plain(living, deed), at)

    def _plain(self, living: _Living, deed: Deed) -> UseCase:
        """The use case of a deed that is one and no more."""
        match deed:
            case Update():
                assert living.client_id  # noqa: S101 - whoever changes has come
                return clients.update_client(living.client_id, ClientPatch(**deed.changes), None, rfc_strict=False)
            case Reject():
                return loans.close_pending_loan(deed.loan.id, LoanEvent.REJECT, None)
            case Cancel():
                return movements.undo_disbursement(deed.loan.id, None)
            case Charge():
                return movements.charge_fee(deed.loan.id, FeeIn(amount=deed.amount, reason=deed.reason), None)
            case Reverse():
                return payments.reverse_payment(deed.payment, ReversalIn(reason=deed.reason))
        raise AssertionError(f"{type(deed).__name__} is a deed of its own")

    async def _register(self, living: _Living, deed: Register, at: datetime) -> None:
        body = ClientIn.model_validate(deed.body)
        answer = await self._do(clients.create_client(body, rfc_strict=True), at, conflicts=clients.CONFLICTS)
        living.client_id = UUID(answer["id"])
        if deed.username:
            await self._create_user(deed.username, Role.CLIENT, living.client_id, at)

    async def _lend(self, living: _Living, deed: Lend, at: datetime) -> Loan:
        body = LoanIn.model_validate(
            {
                "client_id": living.client_id,
                "product": deed.product,
                "amount": deed.amount,
                "interest_rate": deed.rate,
                "installments": deed.installments,
                "status": LoanStatus.PENDING if deed.pending else LoanStatus.ACTIVE,
            }
        )
        answer = await self._do(loans.create_loan(body, None), at)
        return await self._loan(answer["id"])

    async def _pay(self, deed: Pay | PayOff | Recover, at: datetime) -> UUID | None:
        async with self._resources.databases.writer.ask() as connection:
            loan = await payment_queries.loan_to_pay(connection, deed.loan.id, None, None)
        assert loan  # noqa: S101 - it was granted
        if LoanStatus(loan["status"]) not in PAYABLE:
            return None
        before = deed.days_before if isinstance(deed, Pay) else 0
        paid_on = max(deed.on - before * DAY, loan["disbursed_on"])
        amount = _amount(deed, account_of(loan["terms"], loan["disbursed_on"], loan["account"]))
        if amount <= ZERO:
            return None
        values = {"amount": amount, "paid_on": paid_on, "method": deed.method, "reference": deed.reference}
        use_case = payments.pay_loan(deed.loan.id, PaymentIn.model_validate(values), BACK_DATING_DAYS)
        answer = await self._do(use_case, at)
        return UUID(answer["id"]) if "id" in answer else None  # a payment that is refused is kept too

    async def _forgive(self, deed: Forgive, at: datetime) -> None:
        async with self._resources.databases.writer.ask() as connection:
            loan = await payment_queries.loan_to_pay(connection, deed.loan.id, None, None)
        assert loan  # noqa: S101 - it was granted
        due = account_of(loan["terms"], loan["disbursed_on"], loan["account"]).position(deed.on).due
        if due.moratory > ZERO:
            body = WaiverIn(concept="moratory", amount=due.moratory, reason=deed.reason)
            await self._do(movements.waive(deed.loan.id, body, None), at)

    async def _ask(self, deed: Ask, at: datetime) -> UUID:
        kind, request, use_case = _asked(deed.what)
        asking = approvals.with_second_person(kind, use_case, request, self._staff[OFFICER], ZERO)
        return UUID((await self._do(asking, at))["id"])

    async def _create_user(self, username: str, role: Role, client_id: UUID | None, at: datetime) -> UUID:
        body = UserIn(username=username, role=role, client_id=client_id)
        use_case = users.create_user(body, None, self._password_hash)
        return UUID((await self._do(use_case, at, None, users.CONFLICTS))["id"])

    async def _loan(self, loan_id: UUID | str) -> Loan:
        async with self._resources.databases.writer.ask() as connection:
            row = await loan_queries.for_change(connection, UUID(str(loan_id)))
        assert row  # noqa: S101 - it was granted
        if row["disbursed_on"] is None:
            return Loan(row["id"], ())
        rows = schedule(terms_of(orjson.loads(row["terms"]), row["disbursed_on"]))
        return Loan(row["id"], tuple(one.due_on for one in rows))

    async def _do(
        self, use_case: UseCase, at: datetime, who: str | None = OFFICER, conflicts: Conflicts | None = None
    ) -> dict[str, Any]:
        """Carry it out in the name of one of the staff; the body of the answer, which may be a refusal that is kept."""
        actor = f"user:{self._staff[who]}" if who else ACTOR
        origin = Origin(actor, context.request_id(), None, at)
        answer = await carry_out(self._resources, origin, use_case, conflicts, Lane.BULK)
        body: dict[str, Any] = orjson.loads(answer.body) if answer.body else {}
        return body

    def _instant(self, day: date, at: time) -> datetime:
        return min(datetime.combine(day, at, self._resources.settings.zone), self._resources.clock())


def _amount(deed: Pay | PayOff | Recover, account: Account) -> Decimal:
    """What is paid: a share of what is due, all that is owed and something besides, or a share of what was lost."""
    most = account.largest_payment(deed.on)
    if isinstance(deed, PayOff):
        position = account.position(deed.on)
        return (most if deed.surplus else position.payoff_amount) + (deed.surplus if position.payoff_amount else ZERO)
    if isinstance(deed, Recover):
        return min(round_half_up(account.remainder.total * deed.share), most)
    position = account.position(deed.on)
    owed = position.due.total if deed.due_on <= deed.on else position.next_due_total
    return min(round_half_up(owed * deed.share), most)


def _asked(deed: Activate | Reverse | WriteOff) -> tuple[ApprovalKind, Asked, UseCase]:
    """What a second person is asked about."""
    match deed:
        case Activate():
            return ApprovalKind.ACTIVATION, asked(deed.loan.id), loans.activate_loan(deed.loan.id, None)
        case WriteOff():
            note = NoteIn(reason=deed.reason)
            return ApprovalKind.WRITE_OFF, asked(deed.loan.id, note), movements.write_off(deed.loan.id, note, None)
        case Reverse():
            body = ReversalIn(reason=deed.reason)
            return ApprovalKind.REVERSAL, asked(deed.payment, body), payments.reverse_payment(deed.payment, body)
