"""The account of a loan: its position on a date is a function of its terms and the movements posted so far.

Nothing here remembers a balance that could not be derived again: `replay` folds the movements, in the order of their
value dates, over the account as it stood at disbursement, and a snapshot is what the fold has reached. Undoing or
back-dating a movement is a replay without or with it.

What happens by itself while time passes (an installment falls due, moratory interest grows, a late fee arises) is no
movement: `Account.on` derives it for any day.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import Self
from uuid import UUID

from backend_api.domain.daycount import YearPart
from backend_api.domain.due_dates import Period, periods, rest_of
from backend_api.domain.errors import DomainError
from backend_api.domain.interest import MORATORY_YEAR, interest_of, period_part
from backend_api.domain.money import ZERO
from backend_api.domain.rounding import EXACT
from backend_api.domain.schedule import Installment, installments, installments_at
from backend_api.domain.terms import Amortization, Bucket, ExcessPolicy, InterestMethod, Terms, TermsRefused, VatMode
from backend_api.domain.vat import vat_on


class MovementKind(StrEnum):
    """What a movement is. What undoes one is the same with its effect swapped, see `backend_api.domain.corrections`."""

    DISBURSEMENT = "DISBURSEMENT"
    PAYMENT = "PAYMENT"
    FEE = "FEE"
    WAIVER = "WAIVER"
    WRITE_OFF = "WRITE_OFF"
    RECOVERY = "RECOVERY"
    RESTRUCTURE = "RESTRUCTURE"
    TRANSFER = "TRANSFER"

    @property
    def raises_debt(self) -> bool:
        """Whether it adds to what the client owes; all others take off it, or, like a recovery, leave it."""
        return self in (MovementKind.DISBURSEMENT, MovementKind.TRANSFER, MovementKind.FEE)


@dataclass(frozen=True, slots=True)
class Split:
    """An amount by what it is for, in whole cents; `vat` is that of all the parts.

    Every part is zero or more, save in what closes a loan: interest that was paid before it arose, and its VAT, are
    given back there, so that these two may be less than nothing.
    """

    principal: Decimal = ZERO
    interest: Decimal = ZERO
    vat: Decimal = ZERO
    fees: Decimal = ZERO
    moratory: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """The amount that was split."""
        return self.principal + self.interest + self.vat + self.fees + self.moratory

    def __add__(self, other: "Split") -> "Split":
        return Split(
            self.principal + other.principal,
            self.interest + other.interest,
            self.vat + other.vat,
            self.fees + other.fees,
            self.moratory + other.moratory,
        )


NOTHING = Split()


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement that stands (one that was undone is left out). Order: `value_date`, then `sequence`.

    `amount` is what came in, was forgiven (with its VAT) or charged (a fee without it), more than zero; `concept` is
    what a waiver forgives: one of the buckets but VAT. Of a write-off or a restructure the amount is all that is owed
    on the day, and left at zero. A transfer opens the loan that takes another one's place: `carried` is what was owed
    there besides principal; it is kept apart and bears no interest. `excess` says of a payment what becomes of what is
    left after the installments that are due, when it was asked for otherwise than the terms say.
    """

    id: UUID
    kind: MovementKind
    value_date: date
    sequence: int
    amount: Decimal = ZERO
    concept: Bucket | None = None
    carried: Split = NOTHING
    excess: ExcessPolicy | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount with its VAT, and what of both has been settled."""

    net: Decimal = ZERO
    vat: Decimal = ZERO
    net_settled: Decimal = ZERO
    vat_settled: Decimal = ZERO

    @property
    def net_open(self) -> Decimal:
        """What is still owed without VAT; less than nothing when more was settled than has arisen so far."""
        return self.net - self.net_settled

    @property
    def vat_open(self) -> Decimal:
        """What is still owed of the VAT."""
        return self.vat - self.vat_settled

    @property
    def open(self) -> Decimal:
        """What is still owed with VAT."""
        return self.net_open + self.vat_open

    def share(self, amount: Decimal, terms: Terms) -> tuple[Decimal, Decimal]:
        """What at most `amount` settles (net, VAT): VAT by its share of what is open, the last one all the rest."""
        whole = self.open
        if amount >= whole:
            return self.net_open, self.vat_open
        vat = terms.rounding.cents(EXACT.divide(EXACT.multiply(amount, self.vat_open), whole))
        return amount - vat, vat

    def settled(self, net: Decimal, vat: Decimal) -> "Charge":
        """The charge after so much more of it was settled."""
        return replace(self, net_settled=self.net_settled + net, vat_settled=self.vat_settled + vat)


NO_CHARGE = Charge()


@dataclass(frozen=True, slots=True)
class Row:
    """An installment as it stands. `period` and `opening` (principal outstanding in it) say how its interest accrues.

    `earned` is the interest that arises in the period; `interest` what of it, or of a grace before it, falls due with
    the installment. `peso_days` is overdue principal x days late, counted until `moratory_until`: the base of moratory
    interest, so that it is rounded once however often it is looked at.
    """

    period: Period
    opening: Decimal
    principal: Decimal
    earned: Decimal
    interest: Charge
    principal_settled: Decimal = ZERO
    fees: Charge = NO_CHARGE
    moratory: Charge = NO_CHARGE
    peso_days: Decimal = ZERO
    moratory_until: date | None = None

    @property
    def number(self) -> int:
        """The installment's number, from 1."""
        return self.period.number

    @property
    def due_on(self) -> date:
        """The day on which it falls due; being paid on it is not late."""
        return self.period.due_on

    @property
    def principal_open(self) -> Decimal:
        """What is still owed of its principal."""
        return self.principal - self.principal_settled

    @property
    def open(self) -> Decimal:
        """All that is still owed of it."""
        return self.principal_open + self.interest.open + self.fees.open + self.moratory.open


@dataclass(frozen=True, slots=True)
class Fee:
    """What is owed beside the installments, due on the day of the charge: a fee that somebody charged, or what a
    restructured loan owed besides principal, by its `concept` (fees, interest or moratory)."""

    charged_on: date
    charge: Charge
    concept: Bucket = Bucket.FEES

    @property
    def open(self) -> Split:
        """What is still owed of it."""
        return _of(self.concept, self.charge.net_open, self.charge.vat_open)


SUSTAINED_PAYMENTS = 3
"""So many of them make a restructured loan performing again."""


class Closed(StrEnum):
    """How a loan was closed other than by being paid."""

    WRITTEN_OFF = "WRITTEN_OFF"
    RESTRUCTURED = "RESTRUCTURED"


@dataclass(frozen=True, slots=True)
class Position:
    """What is owed of a loan at the end of day `on`.

    `due` is what of it can be demanded now: installments up to this day with their moratory interest, and fees.
    `interest` and `vat` are less than nothing when more was paid than has arisen: a payoff gives that back (LTOSF 10).
    `days_past_due` counts from the last day on which the oldest unpaid installment was in time; due today is not late.
    """

    on: date
    principal: Decimal
    interest: Decimal
    vat: Decimal
    fees: Decimal
    moratory: Decimal
    due: Split
    days_past_due: int
    next_due_on: date | None
    next_due_total: Decimal

    @property
    def current_balance(self) -> Decimal:
        """Outstanding principal."""
        return self.principal

    @property
    def payoff_amount(self) -> Decimal:
        """Everything that has to be paid on this day to owe nothing. Overpayment is measured against this."""
        return max(self.principal + self.interest + self.vat + self.fees + self.moratory, ZERO)


@dataclass(frozen=True, slots=True)
class Account:
    """A loan after the movements so far. `closed` once it was written off or restructured, with `remainder` owed then.

    `interest_before` is the interest that arose and was settled before the rows as they stand, when an early payment
    made the rest of the schedule anew. `sustained` counts, of a loan that takes a restructured one's place, sustained
    payments up to `SUSTAINED_PAYMENTS`; it is None of any other.
    """

    terms: Terms
    rows: tuple[Row, ...]
    fees: tuple[Fee, ...] = ()
    interest_before: Decimal = ZERO
    closed: Closed | None = None
    remainder: Split = NOTHING
    recovered: Decimal = ZERO
    sustained: int | None = None

    @classmethod
    def opened(cls, terms: Terms) -> Self:
        """The account of a loan on the day of its disbursement. Raises TermsRefused for impossible terms."""
        whole = periods(terms)
        return cls(terms, _new_rows(terms.principal, whole, installments(terms.principal, whole, terms), terms))

    @property
    def principal(self) -> Decimal:
        """Outstanding principal."""
        return sum((row.principal_open for row in self.rows), ZERO)

    def on(self, day: date) -> "Account":
        """The account at the end of `day`, with what time alone brings: moratory interest and late fees.

        Must not lie before a day the account was already brought to.
        """
        if self.closed:
            return self
        return replace(self, rows=tuple(_late(row, day, self.terms) for row in self.rows))

    def position(self, day: date) -> Position:
        """What is owed at the end of `day`, which must not lie before the last movement."""
        account = self.on(day)
        due = account.due(day)
        accrued = account.accrued_open(day)
        left = due + Split(interest=accrued.net_open, vat=accrued.vat_open)
        oldest = next((row for row in account.rows if row.due_on < day and _installment_open(row) > ZERO), None)
        coming = next((row for row in account.rows if row.due_on > day and row.open > ZERO), None)
        return Position(
            on=day,
            principal=account.principal,
            interest=left.interest,
            vat=left.vat,
            fees=left.fees,
            moratory=left.moratory,
            due=due,
            days_past_due=max((day - account.terms.in_time_until(oldest.due_on)).days, 0) if oldest else 0,
            next_due_on=coming.due_on if coming else None,
            next_due_total=coming.open if coming else ZERO,
        )

    def largest_payment(self, day: date) -> Decimal:
        """The most that a payment of `day` may be: the payoff, or the installments that may be paid early if more.

        The last installment paid a few days early is the agreed sum, although a payoff would cost less interest.
        """
        if self.closed is Closed.WRITTEN_OFF:
            return self.remainder.total - self.recovered
        account = self.on(day)
        early = sum((row.open for row in account.rows if _is_payable(row, day, self.terms)), ZERO)
        fees = sum((fee.charge.open for fee in account.fees), ZERO)
        return max(account.position(day).payoff_amount, early + fees)

    def least_owed(self, day: date) -> Decimal:
        """What a payoff of `day` is at least: principal, less all interest paid in advance. A quick look, that spares a
        closer one to most payments."""
        coming = (row.interest for row in self.rows if row.due_on > day)
        return self.principal - sum((interest.net_settled + interest.vat_settled for interest in coming), ZERO)

    def due(self, day: date) -> Split:
        """What can be demanded on `day`: installments up to it, and fees. `self` has been brought to that day."""
        due = NOTHING
        for fee in self.fees:
            due += fee.open
        for row in self.rows:
            if row.due_on <= day:
                due += Split(
                    row.principal_open,
                    row.interest.net_open,
                    row.interest.vat_open + row.fees.vat_open + row.moratory.vat_open,
                    row.fees.net_open,
                    row.moratory.net_open,
                )
        return due

    def accrued_open(self, day: date) -> Charge:
        """Interest that has arisen by the end of `day` and is neither due nor settled, with its VAT likewise.

        Less than nothing, both of them, when installments were paid before their interest has arisen.
        """
        arisen = sum((_accrual(row, day, self.terms) for row in self.rows), self.interest_before)
        due = sum((row.interest.net for row in self.rows if row.due_on <= day), ZERO)
        coming = [row.interest for row in self.rows if row.due_on > day]
        whole = _taxed(max(arisen - due, ZERO), self.terms)
        net = whole.net - sum((interest.net_settled for interest in coming), ZERO)
        vat = whole.vat - sum((interest.vat_settled for interest in coming), ZERO)
        if net < ZERO:
            return Charge(net, min(vat, ZERO))
        # Never more VAT than the installments will charge: that of a sum may round differently from a sum of VAT.
        most_vat = sum((interest.vat_open for interest in coming), ZERO)
        return Charge(net, max(min(vat, most_vat), ZERO))


def replay(terms: Terms, movements: Iterable[Movement]) -> tuple[Account, dict[UUID, Split]]:
    """The account after the movements, and how each of them splits. Their order in the argument does not matter.

    Raises what `apply` raises for the first movement that the ones before it make impossible.
    """
    account = Account.opened(terms)
    splits = {}
    for movement in sorted(movements, key=lambda movement: (movement.value_date, movement.sequence)):
        account, splits[movement.id] = apply(account, movement)
    return account, splits


class MovementRefused(DomainError):
    """A movement that the account does not allow: more than what is owed, or after the loan was closed."""

    code = "movement_refused"
    status = 409
    message = "The movement, or a later one because of it, would take more than is owed."


_WITH_AMOUNT = (MovementKind.PAYMENT, MovementKind.FEE, MovementKind.WAIVER, MovementKind.RECOVERY)


def apply(account: Account, movement: Movement) -> tuple[Account, Split]:
    """The account after one more movement, and what the movement settles or adds, by concept.

    Its value date must not lie before that of the last one. Raises MovementRefused for one that would take more than
    there is: a payment above `largest_payment`, a waiver above what is due of its concept, any but a recovery after
    the loan was closed, closing a loan of which nothing is owed; one before the disbursement or without an amount.
    """
    day = movement.value_date
    _refuse_impossible(account, movement)
    if movement.kind is MovementKind.DISBURSEMENT:
        return account, Split(principal=account.terms.principal)
    if movement.kind is MovementKind.TRANSFER:
        return _take_over(account, movement)
    if movement.kind is MovementKind.RECOVERY:
        return _recover(account, movement.amount)
    account = account.on(day)
    match movement.kind:
        case MovementKind.PAYMENT:
            if movement.amount > account.least_owed(day) and movement.amount > account.largest_payment(day):
                raise MovementRefused
            return _pay(account, movement.amount, day, movement.excess)
        case MovementKind.FEE:
            charge = _taxed(movement.amount, account.terms)
            return replace(account, fees=(*account.fees, Fee(day, charge))), Split(fees=charge.net, vat=charge.vat)
        case MovementKind.WAIVER:
            return _waive(account, movement.amount, movement.concept, day)
        case MovementKind.WRITE_OFF:
            return _close(account, day, Closed.WRITTEN_OFF)
        case MovementKind.RESTRUCTURE:
            return _close(account, day, Closed.RESTRUCTURED)


def _take_over(account: Account, movement: Movement) -> tuple[Account, Split]:
    """The principal of the loan whose place this one takes, and apart from it what else was owed there."""
    carried = tuple(_carried(movement.carried, movement.value_date, account.terms))
    split = replace(movement.carried, principal=account.terms.principal)
    return replace(account, fees=carried, sustained=0), split


def _carried(carried: Split, day: date, terms: Terms) -> Iterator[Fee]:
    """What was owed besides principal, by concept, each with its share of the VAT, the last one all the rest."""
    vat = carried.vat
    parts = ((Bucket.FEES, carried.fees), (Bucket.MORATORY, carried.moratory), (Bucket.INTEREST, carried.interest))
    named = [(concept, net) for concept, net in parts if net] or [(Bucket.FEES, ZERO)]
    left = carried.total - carried.vat
    for concept, net in named:
        share = vat if net == left else terms.rounding.cents(EXACT.divide(EXACT.multiply(vat, net), left))
        if net + share:
            yield Fee(day, Charge(net, share), concept)
        vat, left = vat - share, left - net


def _refuse_impossible(account: Account, movement: Movement) -> None:
    """What no amount would make possible, and an amount of nothing."""
    too_early = movement.value_date < account.terms.disbursed_on
    closed = account.closed and movement.kind is not MovementKind.RECOVERY
    if too_early or closed or (movement.kind in _WITH_AMOUNT and movement.amount <= ZERO):
        raise MovementRefused


# Payments: what is due first, then installments that may be paid early, then the excess policy.


def _pay(account: Account, amount: Decimal, day: date, asked_for: ExcessPolicy | None = None) -> tuple[Account, Split]:
    if amount >= account.least_owed(day) and amount >= account.position(day).payoff_amount:
        return _pay_off(account, day, amount)
    payment = _Settlement(account, amount, day)
    payment.settle(lambda row: _is_payable(row, day, account.terms))
    policy = asked_for or account.terms.excess
    # On the day of disbursement nothing is an installment yet, unless somebody asks to pay it as one.
    if payment.left and policy is ExcessPolicy.ADVANCE and (asked_for or day > account.terms.disbursed_on):
        payment.settle(lambda _: True)
    if payment.left:
        payment.prepay(policy)
    paid, split = _sustaining(account, payment.account, day), payment.split
    in_advance = any(row.due_on > day and row.interest.net_settled for row in paid.rows)
    if in_advance and not paid.position(day).payoff_amount:  # giving it back pays the principal that is left
        paid, rest = _pay_off(paid, day)
        split += rest
    return paid, split


def _sustaining(before: Account, after: Account, day: date) -> Account:
    """The account after a payment, with the sustained payments that this one makes it.

    A payment is one, and no more, that completes in time an installment that is due or within its early days. One that
    completes an installment too late starts the count anew.
    """
    if before.sustained in (None, SUSTAINED_PAYMENTS):
        return after
    terms, count, in_time = before.terms, before.sustained, False
    paid = {row.number for row in after.rows if _is_paid(row)}
    for row in before.rows:
        if row.number in paid and not _is_paid(row):
            if day > terms.in_time_until(row.due_on):
                count, in_time = 0, False
            else:
                in_time = in_time or _is_payable(row, day, terms)
    return replace(after, sustained=count + in_time)


def _pay_off(account: Account, day: date, amount: Decimal | None = None) -> tuple[Account, Split]:
    """Everything is settled; interest that has not arisen yet is owed no more, and given back where it was paid.

    What an amount holds above the payoff is of that interest: the last installment was paid as agreed, before its day.
    Nothing is given back beyond what is owed.
    """
    position = account.position(day)
    rows = []
    for row in account.rows:
        if row.due_on <= day:
            rows.append(_settled(row))
        else:
            rows.append(_paid_early(row))
    fees = tuple(replace(fee, charge=_all_settled(fee.charge)) for fee in account.fees)
    before = sum((row.interest.net - row.earned for row in rows), ZERO)
    split = Split(position.principal, position.interest, position.vat, position.fees, position.moratory)
    if split.total < ZERO:  # by the rounding of VAT
        split += Split(vat=-split.total)
    if amount is not None:
        split += _not_arisen(account, day, amount - position.payoff_amount)
    return replace(account, rows=tuple(rows), fees=fees, interest_before=before), split


def _not_arisen(account: Account, day: date, amount: Decimal) -> Split:
    """An amount of the interest that the installments which may be paid early charge beyond what has arisen."""
    accrued = account.accrued_open(day)
    early = [row.interest for row in account.rows if row.due_on > day and _is_payable(row, day, account.terms)]
    net = sum((interest.net_open for interest in early), ZERO) - accrued.net
    vat = sum((interest.vat_open for interest in early), ZERO) - accrued.vat
    _, vat_share = Charge(max(net, ZERO), max(vat, ZERO)).share(amount, account.terms)
    return Split(interest=amount - vat_share, vat=vat_share)


class _Settlement:
    """A payment on its way through an account: what is left of it, and what it has settled so far."""

    def __init__(self, account: Account, amount: Decimal, day: date, only: Bucket | None = None) -> None:
        self.account = account
        self.day = day
        self.left = amount
        self.split = NOTHING
        self._buckets = account.terms.waterfall if only is None else (only,)

    def settle(self, chosen: Callable[[Row], bool]) -> None:
        """Settle fees and the chosen installments, oldest first, each by the waterfall."""
        fees, rows = list(self.account.fees), list(self.account.rows)
        dated = [(fee.charged_on, 0, index) for index, fee in enumerate(fees)]
        dated += [(row.due_on, 1, index) for index, row in enumerate(rows) if chosen(row) and row.open]
        for _, is_row, index in sorted(dated):
            if not self.left:
                break
            if is_row:
                rows[index] = self._settle_row(rows[index])
            else:
                fees[index] = self._settle_fee(fees[index])
        self.account = replace(self.account, fees=tuple(fees), rows=tuple(rows))

    def prepay(self, policy: ExcessPolicy) -> None:
        """Interest that has arisen to the day, then principal; the rest of the schedule is made anew."""
        accrued = self.account.accrued_open(self.day)
        if accrued.net < ZERO:
            accrued = NO_CHARGE
        if self.left <= accrued.open:
            self._settle_interest()
            return
        self._take(Split(interest=accrued.net, vat=accrued.vat))
        principal = self.left
        self._take(Split(principal=principal))
        self.account = _rescheduled(self.account, principal, self.day, policy)

    def _settle_interest(self) -> None:
        """Interest paid before it falls due is taken off the installments that will charge it, with its VAT."""
        rows = list(self.account.rows)
        for index, row in enumerate(rows):
            if row.due_on > self.day:
                rows[index] = replace(row, interest=self._settle_with_vat(row.interest, Bucket.INTEREST))
        self.account = replace(self.account, rows=tuple(rows))

    def _settle_row(self, row: Row) -> Row:
        """By the waterfall. Before its day interest does not part from its VAT: a payoff may come and drop the rest."""
        early = row.due_on > self.day
        for bucket in self._buckets:
            match bucket:
                case Bucket.VAT if not early:
                    fees, moratory, interest = map(self._settle_vat, (row.fees, row.moratory, row.interest))
                    row = replace(row, fees=fees, moratory=moratory, interest=interest)
                case Bucket.FEES:
                    row = replace(row, fees=self._settle_charge(row.fees, bucket))
                case Bucket.MORATORY:
                    row = replace(row, moratory=self._settle_charge(row.moratory, bucket))
                case Bucket.INTEREST:
                    settle = self._settle_with_vat if early else self._settle_charge
                    row = replace(row, interest=settle(row.interest, bucket))
                case Bucket.PRINCIPAL:
                    paid = min(self.left, row.principal_open)
                    row = replace(row, principal_settled=row.principal_settled + paid)
                    self._take(Split(principal=paid))
        return row

    def _settle_fee(self, fee: Fee) -> Fee:
        charge = fee.charge
        for bucket in self._buckets:
            if bucket is Bucket.VAT:
                charge = self._settle_vat(charge)
            elif bucket is fee.concept:
                charge = self._settle_charge(charge, bucket)
        return replace(fee, charge=charge)

    def _settle_charge(self, charge: Charge, bucket: Bucket) -> Charge:
        """What the bucket of a concept takes: with its VAT, unless VAT is a bucket of its own."""
        if Bucket.VAT not in self._buckets:
            return self._settle_with_vat(charge, bucket)
        net = min(self.left, charge.net_open)
        self._take(_of(bucket, net, ZERO))
        return charge.settled(net, ZERO)

    def _settle_with_vat(self, charge: Charge, bucket: Bucket) -> Charge:
        net, vat = charge.share(self.left, self.account.terms)
        self._take(_of(bucket, net, vat))
        return charge.settled(net, vat)

    def _settle_vat(self, charge: Charge) -> Charge:
        vat = min(self.left, charge.vat_open)
        self._take(Split(vat=vat))
        return charge.settled(ZERO, vat)

    def _take(self, part: Split) -> None:
        self.left -= part.total
        self.split += part


def _of(concept: Bucket, net: Decimal, vat: Decimal) -> Split:
    match concept:
        case Bucket.FEES:
            return Split(fees=net, vat=vat)
        case Bucket.MORATORY:
            return Split(moratory=net, vat=vat)
        case _:
            return Split(interest=net, vat=vat)


def _rescheduled(account: Account, principal: Decimal, day: date, policy: ExcessPolicy) -> Account:
    """The account after so much principal was paid early on `day`; all interest that arose to the day is settled."""
    # Installments are settled oldest first. One of a grace, with which nothing falls due, is made anew like the others.
    first = 1 + max((index for index, row in enumerate(account.rows) if row.due_on <= day or _is_paid(row)), default=-1)
    fixed, rest = account.rows[:first], account.rows[first:]
    while not rest[-1].open:
        rest = rest[:-1]
    balance = sum((row.principal_open for row in rest), ZERO) - principal
    coming = rest_of(tuple(row.period for row in rest), day)
    made = _new_rows(balance, coming, _rest_of_schedule(balance, rest, coming, account.terms, policy), account.terms)
    # What arose so far and what was charged or settled so far is equal from here on.
    settled = sum((row.interest.net for row in fixed), ZERO)
    arisen = sum((row.earned for row in fixed), ZERO)
    return replace(account, rows=(*fixed, *made), interest_before=settled - arisen)


def _rest_of_schedule(
    balance: Decimal, rest: Sequence[Row], coming: Sequence[Period], terms: Terms, policy: ExcessPolicy
) -> tuple[Installment, ...]:
    """The installments that repay what is left: smaller ones, or fewer of the same size, as the policy says.

    The day on which a loan is repaid all at once does not come earlier for having paid a part of it before.
    """
    if policy is ExcessPolicy.REDUCE_TERM and terms.amortization is not Amortization.INTEREST_ONLY:
        return _fewer(balance, rest, coming, terms)
    return _possible(balance, coming, terms)


def _fewer(balance: Decimal, rest: Sequence[Row], coming: Sequence[Period], terms: Terms) -> tuple[Installment, ...]:
    """Installments as large as those so far, and the last one smaller; or of no more principal, where that is level."""
    like = [row for row in rest[:-1] if row.principal] or rest[-1:]
    fewest = _fewest(coming, terms)
    if terms.amortization is Amortization.EQUAL_PRINCIPAL:
        share = max(row.principal for row in like)
        return _possible(balance, coming[: fewest - 1 + ceil(balance / share)], terms)
    try:
        made = installments_at(max(_level(row, terms) for row in like), balance, coming, terms)
    except TermsRefused:  # so little was paid that they are still as many
        return _possible(balance, coming, terms)
    return made if len(made) >= fewest else _possible(balance, coming[:fewest], terms)


def _level(row: Row, terms: Terms) -> Decimal:
    """What is level in equal installments: principal and the period's interest, with its VAT if that is inside."""
    inside = terms.vat_mode is VatMode.INSIDE_TOTAL
    return row.principal + row.earned + (vat_on(row.earned, terms.vat_rate, terms.rounding) if inside else ZERO)


def _possible(balance: Decimal, coming: Sequence[Period], terms: Terms) -> tuple[Installment, ...]:
    """The installments over these periods, or over fewer when so small a balance cannot be spread over all of them."""
    fewest = _fewest(coming, terms)
    for count in range(len(coming), fewest - 1, -1):
        with suppress(TermsRefused):
            return installments(balance, coming[:count], terms)
    return installments(balance, coming[:fewest], replace(terms, amortization=Amortization.INTEREST_ONLY))


def _fewest(coming: Sequence[Period], terms: Terms) -> int:
    """The periods of a grace and one more."""
    grace = max(terms.grace_principal, terms.grace_interest_payment)
    return sum(period.number <= grace for period in coming) + 1


def _new_rows(balance: Decimal, over: Sequence[Period], made: Sequence[Installment], terms: Terms) -> tuple[Row, ...]:
    """Rows of a schedule that was just made. The last one has earned what makes interest charged and arisen equal."""
    rows: list[Row] = []
    opening = balance
    left = sum((installment.interest for installment in made), ZERO)
    for period, installment in zip(over, made, strict=False):
        earned = left if installment is made[-1] else installment.earned
        left -= earned
        interest = Charge(installment.interest, installment.vat)
        rows.append(Row(period, opening, installment.principal, earned, interest))
        opening = installment.balance
    return tuple(rows)


def _accrual(row: Row, day: date, terms: Terms) -> Decimal:
    """Interest that has arisen in a row's period up to the end of `day`."""
    if day >= row.due_on:
        return row.earned
    if day <= row.period.accrues_from:
        return ZERO
    part = period_part(terms, row.period, day)
    if not part.days:
        return ZERO
    if terms.interest_method is InterestMethod.DECLINING:
        return min(interest_of(row.opening, terms.interest_rate, part, terms.rounding), row.earned)
    whole = period_part(terms, row.period)
    return terms.rounding.cents(EXACT.divide(EXACT.multiply(row.earned, Decimal(part.days)), Decimal(whole.days)))


# What time alone brings.


def _late(row: Row, day: date, terms: Terms) -> Row:
    """The row at the end of `day`, with the late fee or the moratory interest of the days it was late so far."""
    if row.due_on >= day or row.moratory_until == day or _installment_open(row) <= ZERO:
        return row
    since = row.moratory_until or terms.in_time_until(row.due_on)
    if since >= day:
        return row
    if terms.late_fee:
        return row if row.fees.net else replace(row, fees=_taxed(terms.late_fee, terms))
    peso_days = EXACT.fma(row.principal_open, Decimal((day - since).days), row.peso_days)
    moratory = interest_of(peso_days, terms.yearly_moratory_rate, YearPart(1, MORATORY_YEAR), terms.rounding)
    charge = replace(row.moratory, net=moratory, vat=vat_on(moratory, terms.vat_rate, terms.rounding))
    return replace(row, moratory=charge, peso_days=peso_days, moratory_until=day)


def _is_payable(row: Row, day: date, terms: Terms) -> bool:
    """Whether a payment of this day counts as the installment: it is due, or due within the early days.

    On the day of disbursement nothing is early: all that is paid then is principal given back.
    """
    return row.due_on <= day or ((row.due_on - day).days <= terms.early_days and day > terms.disbursed_on)


def _is_paid(row: Row) -> bool:
    """Whether something fell, or falls, due with it, and all of that is settled."""
    return row.open <= ZERO and bool(row.principal or row.interest.net)


def _installment_open(row: Row) -> Decimal:
    """What is open of the installment as agreed, without what being late has added."""
    return row.principal_open + row.interest.open


def _taxed(net: Decimal, terms: Terms) -> Charge:
    return Charge(net, vat_on(net, terms.vat_rate, terms.rounding))


# Other movements.


def _waive(account: Account, amount: Decimal, concept: Bucket | None, day: date) -> tuple[Account, Split]:
    """Something due of one concept is forgiven, with its VAT; VAT by itself is not the lender's to forgive."""
    if concept in (None, Bucket.VAT):
        raise MovementRefused
    waiver = _Settlement(account, amount, day, concept)
    waiver.settle(lambda row: row.due_on <= day)
    if waiver.left:
        raise MovementRefused
    return waiver.account, waiver.split


def _close(account: Account, day: date, how: Closed) -> tuple[Account, Split]:
    """All that is owed leaves the account at once: to the losses, or to the loan that takes this one's place."""
    emptied, remainder = _pay_off(account, day)
    if not remainder.total:
        raise MovementRefused
    return replace(emptied, closed=how, remainder=remainder), remainder


def _recover(account: Account, amount: Decimal) -> tuple[Account, Split]:
    if account.closed is not Closed.WRITTEN_OFF or amount > account.remainder.total - account.recovered:
        raise MovementRefused
    return replace(account, recovered=account.recovered + amount), Split(principal=amount)


def _settled(row: Row) -> Row:
    return replace(
        row,
        principal_settled=row.principal,
        interest=_all_settled(row.interest),
        fees=_all_settled(row.fees),
        moratory=_all_settled(row.moratory),
    )


def _all_settled(charge: Charge) -> Charge:
    return replace(charge, net_settled=charge.net, vat_settled=charge.vat)


def _paid_early(row: Row) -> Row:
    """A row of which nothing is owed any more, although it never fell due: interest that did not arise is dropped."""
    settled = replace(row.interest, net=row.interest.net_settled, vat=row.interest.vat_settled)
    return replace(row, principal_settled=row.principal, interest=settled, earned=ZERO)
