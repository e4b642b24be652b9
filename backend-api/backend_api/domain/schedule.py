"""Schedules: which installment is due when, and what it consists of.

The method is the published one of Apache Fineract's progressive engine: the level installment is solved over the real
length of every period, interest is rounded per row, the last row takes the rest, and the level is then moved by cents
as long as that brings the last row closer to it. What a single row rounds never gets lost: rows sum to the principal.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import NamedTuple

from backend_api.domain.daycount import DayCount, YearPart
from backend_api.domain.due_dates import Period, periods
from backend_api.domain.interest import interest_of, period_part
from backend_api.domain.money import CENT, MAX_MONEY, ZERO
from backend_api.domain.rounding import EXACT
from backend_api.domain.terms import (
    Amortization,
    InterestMethod,
    InterestPeriod,
    Refusal,
    Terms,
    TermsRefused,
    VatMode,
    check_terms,
)
from backend_api.domain.vat import vat_on

SMOOTHING_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Installment:
    """One row of a schedule, in whole cents, no part negative. `balance` is the principal outstanding after it.

    `earned` is the interest that arises in its period; `interest` what falls due with it, which a grace, or an
    installment too small for a long month, may put off.
    """

    number: int
    due_on: date
    principal: Decimal
    interest: Decimal
    vat: Decimal
    fees: Decimal
    balance: Decimal
    earned: Decimal

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        return self.principal + self.interest + self.vat + self.fees


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a schedule's columns."""

    principal: Decimal
    interest: Decimal
    vat: Decimal
    fees: Decimal
    total: Decimal


class _Part(NamedTuple):
    """Principal and interest of a row, before VAT and before a grace on interest payment moves interest on."""

    principal: Decimal
    interest: Decimal
    earned: Decimal


@dataclass(frozen=True, slots=True)
class _Task:
    """A balance to repay over the `rest` of the periods, whose `lengths` are parts of a year."""

    balance: Decimal
    rest: tuple[Period, ...]
    lengths: tuple[YearPart, ...]
    terms: Terms

    @property
    def paying(self) -> int:
        """How many rows repay principal."""
        return sum(period.number > self.terms.grace_principal for period in self.rest)

    @property
    def inside(self) -> Decimal:
        """What one peso of interest takes of a level installment: itself, and its VAT if that is inside the total."""
        return 1 + self.terms.vat_rate if self.terms.vat_mode is VatMode.INSIDE_TOTAL else Decimal(1)

    def charge(self, interest: Decimal) -> Decimal:
        """What an interest takes of a level installment, in whole cents."""
        if self.terms.vat_mode is VatMode.ON_TOP:
            return interest
        return interest + vat_on(interest, self.terms.vat_rate, self.terms.rounding)

    def last_total(self, parts: Sequence[_Part]) -> Decimal:
        """What of the last row is compared with the level installment."""
        return parts[-1].principal + self.charge(parts[-1].interest)


_InterestAt = Callable[[int, Decimal], Decimal]
"""The interest of the row at an index, given the principal outstanding in it."""
_Split = Callable[[Decimal, Decimal], tuple[tuple[Decimal, Decimal], Decimal]]
"""What a row pays of an outstanding principal and an interest, and the interest that it leaves for the next row."""


def schedule(terms: Terms) -> tuple[Installment, ...]:
    """The schedule of a loan from its disbursement. Its rows' principal sums to `terms.principal`.

    Raises TermsRefused for impossible terms, those included that never amortize.
    """
    check_terms(terms)
    return installments(terms.principal, periods(terms), terms)


def installments(balance: Decimal, rest: Sequence[Period], terms: Terms) -> tuple[Installment, ...]:
    """The rows that repay `balance` over the periods of `rest`: all of them, or those after an early payment.

    Interest of a flat loan is charged on `balance`. Raises TermsRefused when the installment never amortizes.
    """
    with localcontext(EXACT):
        task = _task(balance, rest, terms)
        if terms.amortization is not Amortization.EQUAL_INSTALLMENTS:
            parts = _repay(task, _interest_rule(task), _principal_split(task))
        elif terms.interest_method is InterestMethod.FLAT:
            parts = _flat_level(task)
        else:
            parts = _declining_level(task)
        return _rows(task, parts)


def installments_at(level: Decimal, balance: Decimal, rest: Sequence[Period], terms: Terms) -> tuple[Installment, ...]:
    """The rows that repay `balance` with `level` each for as long as it lasts: the same installment, a shorter term.

    `level` is principal and interest, and VAT too if it is inside the total. Raises TermsRefused when it does not repay
    the balance within `rest`.
    """
    with localcontext(EXACT):
        task = _task(balance, rest, terms)
        parts = _at_level(task, level, _interest_rule(task))
        if task.last_total(parts) > level:
            raise _never_amortizes("installments")
        rows = _rows(task, parts)
        count = next(index for index, row in enumerate(rows, 1) if not row.balance)
        return rows[:count]


def totals(rows: Sequence[Installment]) -> Totals:
    """The sums of a schedule's columns."""
    return Totals(
        principal=sum((row.principal for row in rows), ZERO),
        interest=sum((row.interest for row in rows), ZERO),
        vat=sum((row.vat for row in rows), ZERO),
        fees=sum((row.fees for row in rows), ZERO),
        total=sum((row.total for row in rows), ZERO),
    )


def _task(balance: Decimal, rest: Sequence[Period], terms: Terms) -> _Task:
    return _Task(balance, tuple(rest), tuple(period_part(terms, period) for period in rest), terms)


def _interest_rule(task: _Task) -> _InterestAt:
    if task.terms.interest_method is InterestMethod.FLAT:
        flat = _flat_interests(task)
        return lambda index, _: flat[index]
    # The innermost loop: what is the same in every attempt at a level is multiplied once.
    rate, cents = task.terms.interest_rate, task.terms.rounding.cents
    factors = [(rate * length.days, length.year) for length in task.lengths]

    def declining(index: int, balance: Decimal) -> Decimal:
        factor, year = factors[index]
        return cents(balance * factor / year)

    return declining


def _flat_interests(task: _Task) -> list[Decimal]:
    """The interest of each row on the original principal; the last row makes their sum right to the cent.

    With actual/actual by the day every row keeps its own, as Fineract's published cases have it.
    """
    interests = [_on_all(task, length) for length in task.lengths]
    if task.terms.interest_period is InterestPeriod.DAILY and task.terms.day_count is DayCount.ACTUAL_ACTUAL:
        return interests
    whole = YearPart(sum(length.days for length in task.lengths), task.lengths[-1].year)
    interests[-1] = max(_on_all(task, whole) - sum(interests[:-1]), ZERO)
    return interests


def _on_all(task: _Task, length: YearPart) -> Decimal:
    """Interest on the whole balance for a part of a year."""
    return interest_of(task.balance, task.terms.interest_rate, length, task.terms.rounding)


def _declining_level(task: _Task) -> list[_Part]:
    """Equal installments with interest on the outstanding principal."""
    interest_at = _interest_rule(task)
    exact = _exact_level(task)
    level = _round_level(exact, task.terms)
    parts = _at_level(task, level, interest_at)
    for _ in range(SMOOTHING_ROUNDS):
        difference = task.last_total(parts) - level
        if abs(difference) * 100 <= task.paying // 2:
            break
        closer = _round_level(level + task.terms.rounding.cents(difference / task.paying), task.terms)
        candidate = _at_level(task, closer, interest_at)
        if not candidate[-1].principal or abs(task.last_total(candidate) - closer) >= abs(difference):
            break
        level, parts = closer, candidate
    level, parts = _leaving_a_rest(task, level, parts, interest_at)
    if task.terms.installment_multiple is not None:
        _refuse_standstill(task, level, parts)
    elif not parts[-1].principal or task.last_total(parts) - level > max(level, task.paying * CENT):
        return _along_exact_balances(task, exact, interest_at)
    return parts


def _flat_level(task: _Task) -> list[_Part]:
    """Equal installments with interest on the original principal: all that is owed, divided by the rows."""
    owed = task.balance
    for period, length in zip(task.rest, task.lengths, strict=True):
        if period.number > task.terms.grace_principal:
            owed += task.charge(_on_all(task, length))
    level = _round_level(owed / task.paying, task.terms)
    interest_at = _interest_rule(task)
    _, parts = _leaving_a_rest(task, level, _at_level(task, level, interest_at), interest_at)
    return parts


def _principal_split(task: _Task) -> _Split:
    """Rows of equal principal, or of none; the last row takes the rest in either case."""
    share = ZERO
    if task.terms.amortization is Amortization.EQUAL_PRINCIPAL:
        share = task.terms.rounding.cents(task.balance / task.paying)
        if share > CENT and share * (task.paying - 1) >= task.balance:
            share -= CENT
    return lambda balance, interest: ((min(share, balance), interest), ZERO)


def _at_level(task: _Task, level: Decimal, interest_at: _InterestAt) -> list[_Part]:
    """Rows of `level` each. Interest beyond it (a long month of a slow loan) waits for the next row and bears none."""
    most_interest = (level / task.inside).quantize(CENT, ROUND_FLOOR)

    def split(balance: Decimal, interest: Decimal) -> tuple[tuple[Decimal, Decimal], Decimal]:
        room = level - task.charge(interest)
        if room >= ZERO:
            return (min(room, balance), interest), ZERO
        return (ZERO, most_interest), interest - most_interest

    return _repay(task, interest_at, split)


def _repay(task: _Task, interest_at: _InterestAt, split: _Split) -> list[_Part]:
    """The rows one by one: in a grace interest only, the last one with all that is left, the others as `split` says."""
    parts = []
    balance, waiting = task.balance, ZERO
    last = len(task.rest) - 1
    for index, period in enumerate(task.rest):
        earned = interest_at(index, balance)
        interest, waiting = waiting + earned, ZERO
        if index == last:
            principal = balance
        elif period.number <= task.terms.grace_principal:
            principal = ZERO
        else:
            (principal, interest), waiting = split(balance, interest)
        balance -= principal
        parts.append(_Part(principal, interest, earned))
    return parts


def _rows(task: _Task, parts: Sequence[_Part]) -> tuple[Installment, ...]:
    """The finished rows: with VAT, and with the interest of a grace on interest payment in the row after it."""
    rows = []
    balance, deferred = task.balance, ZERO
    for period, part in zip(task.rest, parts, strict=True):
        balance -= part.principal
        interest, deferred = part.interest + deferred, ZERO
        if period.number <= task.terms.grace_interest_payment:
            interest, deferred = ZERO, interest
        vat = vat_on(interest, task.terms.vat_rate, task.terms.rounding)
        row = Installment(period.number, period.due_on, part.principal, interest, vat, ZERO, balance, part.earned)
        if row.total > MAX_MONEY:
            raise TermsRefused(
                Refusal("amount", "installment_out_of_range", f"No installment is larger than {MAX_MONEY}.")
            )
        rows.append(row)
    return tuple(rows)


def _exact_level(task: _Task) -> Decimal:
    """The installment, with all its decimals, whose present value over the paying rows is the balance.

    Raises TermsRefused when less than half a cent of it is left for principal: P (1 - v) / a pays the interest alone,
    P v / a is what repays, where a is the value of one peso with every row and v of one peso with the last.
    """
    rate = task.terms.interest_rate * task.inside
    discount, annuity = Decimal(1), Decimal(0)
    for period, length in zip(task.rest, task.lengths, strict=True):
        if period.number > task.terms.grace_principal:
            discount /= 1 + rate * length.days / length.year
            annuity += discount
    if discount < 1 and task.balance * discount / annuity < CENT / 2:
        raise _never_amortizes("installments")
    return task.balance / annuity


def _round_level(level: Decimal, terms: Terms) -> Decimal:
    cents = terms.rounding.cents(level)
    return cents if terms.installment_multiple is None else terms.rounding.multiple(cents, terms.installment_multiple)


def _leaving_a_rest(
    task: _Task, level: Decimal, parts: list[_Part], interest_at: _InterestAt
) -> tuple[Decimal, list[_Part]]:
    """The same if something is left for the last row, else the largest level in cents of which that is true.

    A level that was rounded up repays all too early, and so does one that was solved as if waiting interest bore
    interest. It stays when it comes from a multiple, and when no smaller one of at least a cent leaves a rest.
    """
    if parts[-1].principal or task.terms.installment_multiple is not None:
        return level, parts

    def less(cents: int) -> list[_Part]:
        return _at_level(task, level - cents * CENT, interest_at)

    most = int(level / CENT) - 1
    enough = min(1, most)
    while not (enough and less(enough)[-1].principal):
        if enough == most:
            return level, parts
        enough = min(2 * enough, most)
    candidates = range(enough // 2, enough + 1)
    cents = candidates[bisect_left(candidates, True, key=lambda count: bool(less(count)[-1].principal))]
    return level - cents * CENT, less(cents)


def _along_exact_balances(task: _Task, level: Decimal, interest_at: _InterestAt) -> list[_Part]:
    """Rows whose balances are those of the exact level, to the cent, so that their totals differ by a few.

    For loans so small or so long that with equal installments the last row would lack more, or have more, than a cent
    of each row and another installment.
    """
    rate = task.terms.interest_rate * task.inside
    parts = []
    balance = exact = task.balance
    for index, (period, length) in enumerate(zip(task.rest, task.lengths, strict=True)):
        if period.number > task.terms.grace_principal:
            exact = exact * (1 + rate * length.days / length.year) - level
        after = ZERO if period is task.rest[-1] else min(task.terms.rounding.cents(exact), balance)
        interest = interest_at(index, balance)
        parts.append(_Part(balance - after, interest, interest))
        balance = after
    return parts


def _refuse_standstill(task: _Task, level: Decimal, parts: Sequence[_Part]) -> None:
    """A multiple may round the level to nothing, or to so little that the last row repays more than half of all."""
    if task.paying > 1 and (not level or task.last_total(parts) - level > task.balance / 2):
        raise _never_amortizes("installment_multiple")


def _never_amortizes(field: str) -> TermsRefused:
    return TermsRefused(
        Refusal(
            field,
            "installment_never_amortizes",
            "The installment hardly covers its interest, so that the loan would never be repaid.",
        )
    )
