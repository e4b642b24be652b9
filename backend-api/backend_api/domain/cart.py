"""What a borrower may put into a cart, and what it costs: installments of a loan from the oldest on, or an amount."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from backend_api.domain.account import Account
from backend_api.domain.errors import DomainError, MoneyNotPositive, PaymentExceedsDebt
from backend_api.domain.money import ZERO, format_money, round_half_up

LIFE = timedelta(minutes=30)
"""How long a cart is kept after it was last changed, and how long an order may be paid."""
COMMISSION_VAT_RATE = Decimal("0.16")
"""The general rate (Ley del IVA 1)."""


class CheckoutStatus(StrEnum):
    """What came of an order; one that nobody paid in time is EXPIRED, and is paid all the same if the gateway says so
    later."""

    WAITING = "WAITING"
    PAID = "PAID"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class InstallmentNotOwed(DomainError):
    """The loan has no unpaid installment of this number, or is not owed at all."""

    code = "installment_not_owed"
    status = 409
    message = "Nothing is owed of this installment."


class OlderInstallmentFirst(DomainError):
    """Installments are paid in their order. Facts: `number` of the oldest one that is left out."""

    code = "older_installment_first"
    status = 409
    message = "An older installment of the loan has to be in the cart first."


class NewerInstallmentFirst(DomainError):
    """Installments leave the cart in the reverse order. Facts: `number` of the newest one that is in it."""

    code = "newer_installment_first"
    status = 409
    message = "A newer installment of the loan has to leave the cart first."


class NotInCart(DomainError):
    """The cart holds nothing of the kind."""

    code = "not_in_cart"
    status = 409
    message = "The cart does not hold this."


class LoanTwiceInCart(DomainError):
    """A loan is in a cart with installments or with an amount, never both. Facts: `loan_id`."""

    code = "loan_twice_in_cart"
    status = 409
    message = "The cart holds this loan already: with installments or with an amount, not with both."


@dataclass(frozen=True, slots=True)
class OwedInstallment:
    """An installment of which something is owed: what was agreed, and what lateness (and fees until its day) added."""

    number: int
    due_on: date
    agreed: Decimal
    added: Decimal
    late: bool

    @property
    def total(self) -> Decimal:
        """What settles it."""
        return self.agreed + self.added


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed of a loan on a day: oldest installment first.

    `due` can be demanded on that day, `payoff` ends the loan on it, `most` is all that a payment may be.
    """

    installments: tuple[OwedInstallment, ...]
    due: Decimal
    payoff: Decimal
    most: Decimal

    @property
    def overdue(self) -> Decimal:
        """What settles the installments that are late."""
        return sum((one.total for one in self.installments if one.late), ZERO)


@dataclass(frozen=True, slots=True)
class Line:
    """An installment in a cart, with what it cost when it was priced."""

    number: int
    due_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Item:
    """What a cart holds of one loan: installments, oldest first, or an amount of the borrower's choice (no `lines`).

    `amount` is the price. When it `pays_off` the loan it is the payoff, which may be less than the lines together:
    interest that has not arisen is not charged.
    """

    loan_id: UUID
    amount: Decimal
    lines: tuple[Line, ...] = ()
    pays_off: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its installments."""
        return tuple(line.number for line in self.lines)


def owed_of(account: Account, day: date) -> Owed:
    """What is owed at the end of `day`, which must not lie before the last movement of the account.

    A fee that somebody charged is settled in the order of its day: it is part of the first unpaid installment that does
    not fall due before it, and one charged after the last of them is part of the payoff only.
    """
    account = account.on(day)
    fees = sorted(((fee.charged_on, fee.charge.open) for fee in account.fees), reverse=True)
    found = []
    for row in account.rows:
        if row.open <= ZERO:
            continue
        added = row.fees.open + row.moratory.open
        while fees and fees[-1][0] <= row.due_on:
            added += fees.pop()[1]
        agreed = row.principal_open + row.interest.open
        found.append(
            OwedInstallment(row.number, row.due_on, agreed, added, day > account.terms.in_time_until(row.due_on))
        )
    position = account.position(day)
    return Owed(tuple(found), position.due.total, position.payoff_amount, account.largest_payment(day))


def installments(loan_id: UUID, owed: Owed, count: int) -> Item:
    """The oldest `count` unpaid installments at their price; the payoff when they are all, or cost no less than it.

    Raises InstallmentNotOwed when there are not as many.
    """
    if not 0 < count <= len(owed.installments):
        raise InstallmentNotOwed
    lines = tuple(Line(one.number, one.due_on, one.total) for one in owed.installments[:count])
    agreed = sum((line.amount for line in lines), ZERO)
    if count == len(owed.installments) or agreed >= owed.payoff:
        return Item(loan_id, owed.payoff, lines, pays_off=True)
    return Item(loan_id, agreed, lines)


def amount(loan_id: UUID, owed: Owed, chosen: Decimal) -> Item:
    """An amount of the borrower's choice. Raises MoneyNotPositive, PaymentExceedsDebt."""
    if chosen <= ZERO:
        raise MoneyNotPositive
    if chosen > owed.most:
        raise PaymentExceedsDebt(payoff_amount=format_money(owed.most), loan_id=str(loan_id))
    return Item(loan_id, chosen, pays_off=chosen >= owed.payoff)


def with_installment(loan_id: UUID, owed: Owed, item: Item | None, number: int) -> Item:
    """What the cart holds of the loan with one more installment; the same when it holds it already.

    Raises InstallmentNotOwed, OlderInstallmentFirst, LoanTwiceInCart.
    """
    if item is not None and not item.lines:
        raise LoanTwiceInCart(loan_id=str(loan_id))
    unpaid = [one.number for one in owed.installments]
    if number not in unpaid:
        raise InstallmentNotOwed
    held = sum(held in unpaid for held in item.numbers) if item else 0
    place = unpaid.index(number)
    if place > held:
        raise OlderInstallmentFirst(number=unpaid[held])
    return installments(loan_id, owed, max(held, place + 1))


def without_installment(item: Item | None, number: int) -> Item | None:
    """What the cart holds of the loan without its newest installment, to be priced anew. Raises NotInCart,
    NewerInstallmentFirst."""
    if item is None or number not in item.numbers:
        raise NotInCart
    if number != item.numbers[-1]:
        raise NewerInstallmentFirst(number=item.numbers[-1])
    left = item.lines[:-1]
    return Item(item.loan_id, sum((line.amount for line in left), ZERO), left) if left else None


def repriced(item: Item, owed: Owed | None) -> Item | None:
    """The item as it is now: None when nothing of it is owed any more, or an older installment came to stand before it.

    An amount becomes the most that may be paid if it is more than that.
    """
    if owed is None or not owed.most:
        return None
    if not item.lines:
        return amount(item.loan_id, owed, min(item.amount, owed.most))
    unpaid = [one.number for one in owed.installments]
    left = [number for number in item.numbers if number in unpaid]
    return installments(item.loan_id, owed, len(left)) if left and left == unpaid[: len(left)] else None


def commission_vat(commission: Decimal) -> Decimal:
    """The VAT on a commission."""
    return round_half_up(commission * COMMISSION_VAT_RATE)


def total(items: Sequence[Item]) -> Decimal:
    """What the items cost together, without the commission."""
    return sum((item.amount for item in items), ZERO)
