"""What an account statement is made from: one client, one period, a part for each loan. Plain data.

The rules that ask for its contents: Ley para la Transparencia y Ordenamiento de los Servicios Financieros (LTOSF) 9,
13, 18 Bis 4 and 23; Banco de Mexico's Circular 21/2009 for the CAT. Everything is as of the cut-off date, the last day
of the period, and listed by posting date, so that a statement made again is the same document to the byte.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from backend_api.domain.account import Account, Closed, MovementKind, Position, Row, Split
from backend_api.domain.cat import Cat
from backend_api.domain.errors import DomainError
from backend_api.domain.money import ZERO
from backend_api.domain.statement import Commission, Statement, StatementLine
from backend_api.domain.terms import Terms

if TYPE_CHECKING:  # not at run time: the process that sets a PDF has no use for it, and it takes long to load
    from backend_api.settings import Settings

MAX_ROWS = 10_000
"""Movements and installments that one document lists at most: some 250 pages."""


class StatementTooLong(DomainError):
    """More rows than one document holds."""

    code = "statement_too_long"
    status = 422
    message = f"The statement would list more than {MAX_ROWS} movements and installments: ask for a shorter period."


@dataclass(frozen=True, slots=True)
class Lender:
    """Who issues the statement and where a client turns to: its specialised unit (UNE), then CONDUSEF (LTOSF 13)."""

    name: str
    address: str
    une_phone: str
    une_email: str
    une_address: str
    condusef_phone: str
    condusef_email: str
    condusef_site: str

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """The lender that the settings name."""
        return cls(
            name=settings.lender_name,
            address=settings.lender_address,
            une_phone=settings.une_phone,
            une_email=settings.une_email,
            une_address=settings.une_address,
            condusef_phone=settings.condusef_phone,
            condusef_email=settings.condusef_email,
            condusef_site=settings.condusef_site,
        )


@dataclass(frozen=True, slots=True)
class Client:
    """Whose statement it is. Identified with masked data only: `masked_rfc` is what `mask_rfc` makes (LTOSF 13)."""

    name: str
    masked_rfc: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class InstallmentLine:
    """An installment at the cut-off. `capital + interest + vat + late_charges = paid + open`.

    `vat` is that of the interest; `late_charges` are moratory interest and late fees with theirs.
    """

    number: int
    due_on: date
    capital: Decimal
    interest: Decimal
    vat: Decimal
    late_charges: Decimal
    open: Decimal

    @property
    def paid(self) -> Decimal:
        """What of it has been paid or forgiven."""
        return self.capital + self.interest + self.vat + self.late_charges - self.open

    @classmethod
    def of(cls, row: Row) -> Self:
        """The line of a row that was brought to the cut-off."""
        late = sum((charge.net + charge.vat for charge in (row.fees, row.moratory)), ZERO)
        return cls(row.number, row.due_on, row.principal, row.interest.net, row.interest.vat, late, row.open)


@dataclass(frozen=True, slots=True)
class Totals:
    """What the movements of a period come to, by concept (LTOSF 13: fees and interest apart, VAT apart).

    Reversed movements are taken off. `charged` are fees, not the disbursement.
    """

    paid: Split
    charged: Split
    forgiven: Split

    @classmethod
    def of(cls, activity: Statement) -> Self:
        """The totals of a period's movements."""

        def net(kind: MovementKind) -> Split:
            lines = [running.line for running in activity.lines if running.line.kind is kind]
            return sum((line.split if not line.undoes else _negative(line.split) for line in lines), Split())

        return cls(net(MovementKind.PAYMENT), net(MovementKind.FEE), net(MovementKind.WAIVER))


@dataclass(frozen=True, slots=True)
class LoanPart:
    """One loan in the statement.

    - `folio`, `product`: which contract (LTOSF 13).
    - `terms`: amount, yearly ordinary and moratory rates, how interest is reckoned, agreed fees (LTOSF 9, 13).
    - `cat`, `cat_on`: total yearly cost without VAT and the day it was computed (LTOSF 13, Circular 21/2009); None for
      terms that have none.
    - `activity`: principal at both ends and every movement with both its dates (LTOSF 13).
    - `position`, `overdue`: what is owed at the cut-off, next due date and amount (LTOSF 13, 18 Bis 4). `overdue` is
      what of it fell due before that day.
    - `installments`: those due in the period, and older ones that are not paid; `remaining`: how many are to be paid.
    - `closed`, `written_off`: how it was closed other than by payment, and what is owed since a write-off.
    """

    folio: int
    product: str
    terms: Terms
    cat: Cat | None
    cat_on: date
    activity: Statement
    position: Position
    overdue: Split
    installments: tuple[InstallmentLine, ...]
    remaining: int
    closed: Closed | None
    written_off: Decimal

    @classmethod
    def of(cls, folio: int, product: str, account: Account, activity: Statement, cat: Cat | None, cat_on: date) -> Self:
        """The part of a loan whose `account` has seen the movements posted up to the end of the period, and no later.

        `activity` is the loan's own statement of the period. Raises ValueError when they disagree about what is owed.
        """
        cut_off = activity.period_to
        account = account.on(cut_off)
        if account.principal != activity.closing:
            raise ValueError("the account and its movements do not close with the same principal")
        owed = account.remainder.total - account.recovered if account.closed is Closed.WRITTEN_OFF else ZERO
        return cls(
            folio=folio,
            product=product,
            terms=account.terms,
            cat=cat,
            cat_on=cat_on,
            activity=activity,
            position=account.position(cut_off),
            overdue=_overdue(account, cut_off),
            installments=tuple(
                InstallmentLine.of(row)
                for row in account.rows
                if row.due_on <= cut_off and (row.due_on >= activity.period_from or row.open > ZERO)
            ),
            remaining=sum(row.open > ZERO for row in account.rows),
            closed=account.closed,
            written_off=owed,
        )

    @property
    def totals(self) -> Totals:
        """The period's movements by concept."""
        return Totals.of(self.activity)

    @property
    def pay_by(self) -> date | None:
        """The last day on which the next installment is paid in time (LTOSF 18 Bis 4); None if nothing falls due."""
        due_on = self.position.next_due_on
        return self.terms.in_time_until(due_on) if due_on else None

    @property
    def accrued(self) -> Split:
        """Interest with its VAT that has arisen by the cut-off and is not due yet."""
        due = self.position.due
        return Split(interest=self.position.interest - due.interest, vat=self.position.vat - due.vat)

    @property
    def not_due(self) -> Split:
        """Principal that falls due after the cut-off. `due + accrued + not_due` is the payoff."""
        return Split(principal=self.position.principal - self.position.due.principal)

    @property
    def owed(self) -> Decimal:
        """All that has to be paid on the day of the cut-off to owe nothing."""
        return self.position.payoff_amount + self.written_off


@dataclass(frozen=True, slots=True)
class StatementDocument:
    """The statement of a period, both days included; `period_to` is the cut-off date. Raises `StatementTooLong`.

    `commissions` are what payments of the period cost besides (LTOSF 13: fees apart, VAT apart), in order.
    """

    lender: Lender
    client: Client
    period_from: date
    period_to: date
    loans: tuple[LoanPart, ...]
    commissions: tuple[Commission, ...] = ()

    def __post_init__(self) -> None:
        rows = sum(len(loan.activity.lines) + len(loan.installments) for loan in self.loans)
        if rows + len(self.commissions) > MAX_ROWS:
            raise StatementTooLong


def charge_and_credit(line: StatementLine) -> tuple[Decimal, Decimal]:
    """The whole amount of a movement, as a charge to the client or as a credit; the other one is zero."""
    if line.kind.raises_debt is not line.undoes:
        return line.split.total, ZERO
    return ZERO, line.split.total


def _overdue(account: Account, day: date) -> Split:
    """What can be demanded and fell due before `day`."""
    overdue = Split()
    for fee in account.fees:
        if fee.charged_on < day:
            overdue += fee.open
    for row in account.rows:
        if account.terms.in_time_until(row.due_on) < day:
            overdue += Split(
                row.principal_open,
                row.interest.net_open,
                row.interest.vat_open + row.fees.vat_open + row.moratory.vat_open,
                row.fees.net_open,
                row.moratory.net_open,
            )
    return overdue


def _negative(split: Split) -> Split:
    return Split(-split.principal, -split.interest, -split.vat, -split.fees, -split.moratory)
