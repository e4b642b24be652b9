"""Random loans and what happens to them: strategies for the property tests of the account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from backend_api.domain.account import Account, Movement, MovementKind, MovementRefused, Position, Split, apply
from backend_api.domain.daycount import DayCount
from backend_api.domain.money import CENT, ZERO
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import (
    DEFAULT_WATERFALL,
    Amortization,
    Bucket,
    BusinessDays,
    ExcessPolicy,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    Terms,
    TermsRefused,
    VatMode,
)
from hypothesis import assume
from hypothesis import strategies as st

VAT_FIRST = (Bucket.VAT, *DEFAULT_WATERFALL)
VAT_LATE = (Bucket.FEES, Bucket.INTEREST, Bucket.MORATORY, Bucket.VAT, Bucket.PRINCIPAL)
PRINCIPAL_FIRST = (Bucket.PRINCIPAL, Bucket.INTEREST, Bucket.MORATORY, Bucket.FEES)
GAPS = (0, 0, 1, 3, 10, 20, 31, 45, 100)
"""Days between two movements: on the same day, within a period, beyond several of them."""


@dataclass(frozen=True)
class History:
    """A loan with its disbursement and movements that are possible after it, in the order of their dates."""

    terms: Terms
    movements: tuple[Movement, ...]

    @property
    def last_day(self) -> date:
        """The day of the last movement."""
        return max(movement.value_date for movement in self.movements)


def money(least: int, most: int) -> st.SearchStrategy[Decimal]:
    """Amounts in whole cents; the limits are in cents."""
    return st.integers(least, most).map(lambda cents: Decimal(cents).scaleb(-2))


def parts(split: Split | Position) -> tuple[Decimal, ...]:
    """What is owed, or was settled, by concept."""
    return split.principal, split.interest, split.vat, split.fees, split.moratory


# Strategies that do not depend on what was drawn before are made once: making them is most of the work of a draw.
_ANY_TERMS = st.fixed_dictionaries(
    {
        "amount": money(100, 10_000_000),
        "interest_rate": st.integers(0, 1500).map(lambda permille: Decimal(permille).scaleb(-3)),
        "installments": st.integers(1, 30),
        "disbursed_on": st.integers(0, 400).map(lambda days: date(2026, 1, 1) + timedelta(days=days)),
        "frequency": st.builds(Frequency, st.sampled_from([1, 1, 1, 2]), st.sampled_from(FrequencyUnit)),
        "amortization": st.sampled_from(Amortization),
        "interest_method": st.sampled_from(InterestMethod),
        "interest_period": st.sampled_from(InterestPeriod),
        "day_count": st.sampled_from(DayCount),
        "grace_principal": st.sampled_from([0, 0, 2]),
        "grace_interest_payment": st.sampled_from([0, 0, 2]),
        "interest_free_periods": st.sampled_from([0, 0, 0, 2]),
        "business_days": st.sampled_from(BusinessDays),
        "vat_rate": st.sampled_from([Decimal(0), Decimal("0.08"), Decimal("0.16")]),
        "vat_mode": st.sampled_from(VatMode),
        "excess": st.sampled_from(ExcessPolicy),
        "late_fee": st.sampled_from([ZERO, ZERO, Decimal("150.00")]),
        "waterfall": st.sampled_from([DEFAULT_WATERFALL, VAT_FIRST, VAT_LATE, PRINCIPAL_FIRST]),
        "early_days": st.sampled_from([0, 5, 10, 60]),
        "rounding": st.sampled_from(Rounding),
        "installment_multiple": st.sampled_from([None, None, None, Decimal("10.00")]),
    }
)
_WHILE_IT_LIVES = [MovementKind.PAYMENT] * 10 + [MovementKind.FEE, MovementKind.WAIVER] * 3
_KINDS = st.sampled_from(_WHILE_IT_LIVES)
_KINDS_AND_ENDS = st.sampled_from(
    [*_WHILE_IT_LIVES, MovementKind.WRITE_OFF, MovementKind.RECOVERY, MovementKind.RESTRUCTURE]
)
_MOSTLY_RECOVERIES = st.sampled_from([MovementKind.RECOVERY, MovementKind.RECOVERY, MovementKind.PAYMENT])
_CONCEPTS = st.sampled_from(DEFAULT_WATERFALL)
_SMALL, _LARGE = money(1, 5_000), money(1, 100_000)
_PERCENT = st.integers(1, 100)
_OR_NONE = st.just(ZERO) | money(1, 50_000)
_CARRIED = st.none() | st.none() | st.builds(Split, st.just(ZERO), _OR_NONE, _OR_NONE, _OR_NONE, _OR_NONE)
_CHOICES = st.integers(0, 13)
_PAUSES = st.sampled_from(GAPS)
_COUNTS = st.integers(0, 8)
_ASKED_FOR = st.sampled_from([None, None, None, *ExcessPolicy])


@st.composite
def possible_terms(draw: st.DrawFn, /, **fixed: Any) -> Terms:
    """Terms of any kind, mostly of a few installments so that a short history reaches their end."""
    fields = draw(_ANY_TERMS) | fixed
    for grace in ("grace_principal", "grace_interest_payment"):
        fields[grace] = min(fields[grace], fields["installments"] - 1)
    fields["interest_free_periods"] = min(fields["interest_free_periods"], fields["installments"])
    if fields["amortization"] is not Amortization.EQUAL_INSTALLMENTS or fields["grace_interest_payment"]:
        fields["vat_mode"] = VatMode.ON_TOP
    terms = Terms(**fields)
    try:
        Account.opened(terms)
    except TermsRefused:
        assume(False)
    return terms


def disbursed(terms: Terms) -> Movement:
    """The first movement of a loan."""
    return Movement(UUID(int=0), MovementKind.DISBURSEMENT, terms.disbursed_on, 0)


def taken_over(terms: Terms, carried: Split) -> Movement:
    """The first movement of a loan that takes another one's place, with what was owed there besides principal."""
    return Movement(UUID(int=0), MovementKind.TRANSFER, terms.disbursed_on, 0, carried=carried)


def payment(number: int, day: date, amount: Decimal, excess: ExcessPolicy | None = None) -> Movement:
    """A payment; its number is its id and its place among the movements of its day."""
    return Movement(UUID(int=number), MovementKind.PAYMENT, day, number, amount, excess=excess)


@st.composite
def next_movement(draw: st.DrawFn, account: Account, number: int, day: date, may_close: bool = True) -> Movement | None:
    """A movement that an account allows on a day, or None when the one that was drawn has nothing to move."""
    kind = draw(_MOSTLY_RECOVERIES if account.closed else _KINDS_AND_ENDS if may_close else _KINDS)
    amount, concept, excess = ZERO, None, None
    match kind:
        case MovementKind.PAYMENT:
            amount = draw(payment_amounts(account, day))
            excess = draw(_ASKED_FOR)
        case MovementKind.RECOVERY:
            most = account.largest_payment(day)
            amount = min(draw(_LARGE), most)
        case MovementKind.FEE:
            amount = draw(_LARGE)
        case MovementKind.WAIVER:
            concept = draw(_CONCEPTS)
            amount = draw(_SMALL)
    movement = Movement(UUID(int=number), kind, day, number, amount, concept, excess=excess)
    try:
        apply(account, movement)
    except MovementRefused:
        return None
    return movement


@st.composite
def payment_amounts(draw: st.DrawFn, account: Account, day: date) -> Decimal:
    """What somebody may pay: a part of all, the next installment, what is due, the payoff, or about as much."""
    most = account.largest_payment(day)
    position = account.position(day)
    exact = [position.next_due_total, position.due.total, position.payoff_amount, most]
    near = [amount + cent for amount in exact for cent in (-CENT, CENT)]
    part = (most * draw(_PERCENT) / 100).quantize(CENT)
    choice = draw(_CHOICES)
    return min([*exact, *near, part, part][choice], most)


@st.composite
def histories(draw: st.DrawFn, /, may_close: bool = True, may_carry: bool = True, **fixed: Any) -> History:
    """A loan, its disbursement, and up to eight movements; a write-off or restructure if it may close. If it may carry,
    it may be one that takes another one's place."""
    terms = draw(possible_terms(**fixed))
    carried = draw(_CARRIED) if may_carry else None
    movements = [disbursed(terms) if carried is None else taken_over(terms, carried)]
    (account, _), day = apply(Account.opened(terms), movements[0]), terms.disbursed_on
    for number in range(1, draw(_COUNTS) + 1):
        day += timedelta(days=draw(_PAUSES))
        movement = draw(next_movement(account, number, day, may_close))
        if movement is not None:
            movements.append(movement)
            account, _ = apply(account, movement)
    return History(terms, tuple(movements))


def positions(account: Account, days: Sequence[date]) -> list[Position]:
    """Positions on several days."""
    return [account.position(day) for day in days]
