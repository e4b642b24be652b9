"""What is owed and what has happened: debts, a loan with its schedule, movements, the statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of
from backend_api.auth.principal import Principal
from backend_api.clients import queries as clients
from backend_api.clients.printed import StatementForm, printed
from backend_api.clients.statement.content import commission_concept, concept
from backend_api.clients.statement.document import charge_and_credit
from backend_api.clients.statement.gather import commission, statement_line
from backend_api.clients.statement.spanish import amount, count, short_date
from backend_api.clients.views import MAX_STATEMENT_LINES, PeriodTooLong, period
from backend_api.customer_space import carts, views
from backend_api.customer_space.pages import queries, words
from backend_api.customer_space.pages.frame import Borrower, shown
from backend_api.customer_space.pages.words import WORDS
from backend_api.customer_space.views import LoanDebt
from backend_api.domain.cart import Item, OwedInstallment
from backend_api.domain.dates import check_date
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.loans.views import course_of
from backend_api.pages.chart import picture
from backend_api.pages.words import LOANS, METHODS

router = APIRouter()

MOST_OPTIONS = 24
"""So many installments a list offers to pay at once, beside all of them."""
USUAL_DAYS = 90
"""The movements of so many days are shown unless others are asked for."""


@dataclass(frozen=True, slots=True)
class Option:
    """A number of installments that may be paid, in words."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A loan on the page of debts. `paid` is the percentage of its amount that is paid back, `typed` an amount
    that was refused."""

    loan: LoanDebt
    next: OwedInstallment | None
    paid: int
    options: tuple[Option, ...]
    item: Item | None
    typed: str | None

    @property
    def open(self) -> bool:
        """Whether the form for an amount is unfolded."""
        return self.typed is not None


@dataclass(frozen=True, slots=True)
class Line:
    """A movement as the page shows it."""

    day: date
    concept: str
    folio: int
    charge: Decimal
    credit: Decimal


@router.get("", operation_id="pageDebts")
async def show_debts(request: Request, principal: Borrower) -> Response:
    """What is owed, and the forms that put it into the cart."""
    return await debts_page(request, principal)


async def debts_page(
    request: Request,
    principal: Principal,
    refusal: DomainError | None = None,
    tried: tuple[UUID, str | None] | None = None,
) -> Response:
    """The page of debts; after a refusal with its sentence, and what was tried: a loan and an amount as typed."""
    borrower, resources = carts.borrower_of(principal), resources_of(request)
    debts = await views.debts(resources, borrower.client_id)
    cart = await carts.cart_of(resources, borrower)
    items = {held.item.loan_id: held.item for held in cart.items}
    typed = dict([tried]) if tried else {}
    cards = [_card(loan, debts.on, items.get(loan.loan_id), typed.get(loan.loan_id)) for loan in debts.loans]
    problem, status = (WORDS.of_refusal(refusal), refusal.status) if refusal else (None, 200)
    return await shown(request, principal, "debts.html", status, cart=cart, debts=debts, cards=cards, problem=problem)


@router.get("/creditos/{loan_id}", operation_id="pageLoan")
async def show_loan(request: Request, loan_id: UUID, principal: Borrower) -> Response:
    """A loan: its balance over time, its terms, its schedule."""
    reads = resources_of(request).reads
    today = await reads.business_date()

    async def read(connection: AsyncConnection) -> tuple[Any, Any]:
        return await queries.loan(connection, loan_id), await course_of(connection, loan_id, today)

    loan, found = await reads.query(reader_of(request, principal), read)
    if loan is None or found is None:
        raise NotFound
    schedule, course = found
    late = course.late if course else frozenset()
    rows = [
        {
            **dict(row),
            "charges": row.fees + row.moratory,
            "state": "" if row.open else "paid",
        }
        | ({"state": "late"} if row.number in late else {})
        for row in schedule.installments
    ]
    about = {
        "folio": loan.folio,
        "product_name": loan.product_name,
        "disbursed_on": loan.disbursed_on,
        "balance": loan.current_balance,
        "amount": loan.amount,
        "rate": loan.interest_rate,
        "situation": LOANS[loan.status],
    }
    chart = picture(course) if course else None
    return await shown(request, principal, "loan.html", loan=about, rows=rows, chart=chart)


@router.get("/movimientos", operation_id="pageMovements")
async def show_movements(request: Request, principal: Borrower) -> Response:
    """Payments, movements and commissions of a period."""
    borrower, reads = carts.borrower_of(principal), resources_of(request).reads
    today = await reads.business_date()
    try:
        start, end = _period(request, today)
        problem = None
    except DomainError as refusal:
        start, end, problem = today - timedelta(days=USUAL_DAYS), today, WORDS.of_refusal(refusal)

    async def read(connection: AsyncConnection) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any], dict[UUID, int]]:
        limit = MAX_STATEMENT_LINES + 1
        return (
            await queries.payments_of(connection, borrower.client_id, start, end),
            await clients.statement_movements(connection, borrower.client_id, start, end, limit),
            await clients.commissions(connection, borrower.client_id, start, end),
            await queries.folios(connection, borrower.client_id),
        )

    payments, movements, commissions, folios = await reads.query(reader_of(request, principal), read)
    if len(movements) > MAX_STATEMENT_LINES:
        raise PeriodTooLong
    return await shown(
        request,
        principal,
        "movements.html",
        422 if problem else 200,
        start=start,
        end=end,
        today=today,
        problem=problem,
        payments=[_payment(row) for row in payments],
        lines=[_line(row, folios[row.loan_id]) for row in reversed(movements)],
        commissions=[(commission_concept(one), one) for one in map(commission, reversed(commissions))],
    )


@router.get("/movimientos/estado-de-cuenta", operation_id="pageStatement")
async def show_statement(request: Request, principal: Borrower) -> Response:
    """The statement of a period as the page that everybody gets."""
    return await _statement(request, principal, StatementForm.HTML)


@router.get("/movimientos/estado-de-cuenta.pdf", operation_id="pageStatementPdf")
async def download_statement(request: Request, principal: Borrower) -> Response:
    """The same as a file."""
    return await _statement(request, principal, StatementForm.PDF)


async def _statement(request: Request, principal: Principal, form: StatementForm) -> Response:
    span = _period(request, await resources_of(request).reads.business_date())
    return await printed(request, principal, carts.borrower_of(principal).client_id, span, form)


def _period(request: Request, today: date) -> tuple[date, date]:
    """The days asked for. Raises `FieldRefused`, `DateOutOfRange`, `DateMalformed`."""
    end = _day(request, "hasta") or today
    return period(_day(request, "desde") or end - timedelta(days=USUAL_DAYS), end, today)


class DateMalformed(DomainError):
    """What should be a date is none."""

    code = "date_malformed"
    message = "A date is written YYYY-MM-DD and exists."


def _day(request: Request, name: str) -> date | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return check_date(date.fromisoformat(text))
    except ValueError as error:
        raise DateMalformed from error


def _card(loan: LoanDebt, today: date, item: Item | None, typed: str | None) -> Card:
    coming = next((one for one in loan.owed.installments if one.due_on > today), None)
    paid = max(0, int(100 - 100 * loan.current_balance / loan.amount))
    return Card(loan, coming, paid, tuple(_options(loan, today, item)), item, typed)


def _options(loan: LoanDebt, today: date, item: Item | None) -> list[Option]:
    """Oldest first: what is due is proposed, else the next one."""
    owed = loan.owed
    due = sum(one.due_on <= today for one in owed.installments)
    held = len(item.lines) if item else 0
    whole = len(owed.installments)
    options, total = [], ZERO
    for number, one in enumerate(owed.installments[:MOST_OPTIONS], 1):
        total += one.total
        if number == whole or total >= owed.payoff:
            break
        day = f"vence {short_date(one.due_on)}" if number == 1 else f"al {short_date(one.due_on)}"
        text = f"{amount(total)} · {count(number, 'pago', 'pagos')} ({day})"
        options.append(Option(str(number), text, chosen=number == (held or max(due, 1))))
    if whole:
        pays_off = item is not None and item.pays_off
        options.append(Option(str(whole), f"{amount(owed.payoff)} · liquidar el crédito", chosen=pays_off))
    return options


def _payment(row: Any) -> dict[str, Any]:
    state, tone = words.PAYMENTS[row.status]
    return {
        "id": row.id,
        "paid_on": row.paid_on,
        "amount": row.amount,
        "method": METHODS[row.method],
        "state": state,
        "tone": tone,
    }


def _line(row: Any, folio: int) -> Line:
    line = statement_line(row)
    return Line(line.posted_on, concept(line), folio, *charge_and_credit(line))
