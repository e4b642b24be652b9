"""CAT (costo anual total): the yearly cost of a loan in percent, for comparison.

Banco de Mexico, Circular 21/2009: the CAT is the i that makes the payments, discounted by (1 + i) ^ years, worth what
the client receives. It counts principal, ordinary interest and mandatory fees; it does not count VAT, moratory interest
and penalties. One decimal. How years are counted was not found in the primary text: the convention stands beside each
figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from enum import StrEnum

from backend_api.domain.daycount import days_30_360
from backend_api.domain.due_dates import Period, periods
from backend_api.domain.money import ZERO
from backend_api.domain.schedule import schedule
from backend_api.domain.terms import FrequencyUnit, Refusal, Terms, TermsRefused

MAX_PERCENT = Decimal("9999999999.9")
"""The largest CAT that is stored and shown; beyond it the figure compares nothing."""
TENTH = Decimal("0.1")
MAX_STEPS = 200
_WORKING = Context(prec=30)
_CLOSE = Decimal("1e-20")


class CatConvention(StrEnum):
    """How years are counted: months as twelfths (the same as 30/360), weeks as 1/52, or days over 360 or 365."""

    EQUAL_PERIODS = "equal_periods"
    WEEKS_OVER_52 = "weeks_over_52"
    DAYS_OVER_360 = "days_over_360"
    DAYS_OVER_365 = "days_over_365"


UNITS_PER_YEAR = {
    CatConvention.EQUAL_PERIODS: 360,
    CatConvention.WEEKS_OVER_52: 364,
    CatConvention.DAYS_OVER_360: 360,
    CatConvention.DAYS_OVER_365: 365,
}
"""In what units of time a convention counts: days of months of thirty, or calendar days."""


@dataclass(frozen=True, slots=True)
class Cat:
    """A CAT in percent, to one decimal, and the convention it was computed by."""

    percent: Decimal
    convention: CatConvention


@dataclass(frozen=True, slots=True)
class CatPayment:
    """A payment without VAT, so many units of time after the client received the money."""

    units: int
    amount: Decimal


class CatOverflow(ValueError):
    """The cost is larger than MAX_PERCENT."""


def cat(terms: Terms) -> Cat:
    """The CAT of a loan, from its schedule without VAT, so that the VAT rate does not change it.

    Raises TermsRefused when it overflows, and as `schedule` does.
    """
    untaxed = replace(terms, vat_rate=ZERO)
    convention = _convention(terms)
    payments = [
        CatPayment(units, row.total)
        for units, row in zip(_elapsed(terms, convention), schedule(untaxed), strict=True)
        if row.total
    ]
    try:
        percent = annual_cost(untaxed.handed_over, payments, UNITS_PER_YEAR[convention])
    except CatOverflow as error:
        field = "opening_fee" if terms.opening_fee_amount else "interest_rate"
        raise TermsRefused(
            Refusal(field, "cat_overflow", f"The total annual cost (CAT) is at most {MAX_PERCENT} percent.")
        ) from error
    return Cat(terms.rounding.multiple(percent, TENTH).quantize(TENTH), convention)


def annual_cost(received: Decimal, payments: Sequence[CatPayment], units_per_year: int) -> Decimal:
    """The CAT in percent, not rounded, of receiving an amount now and paying later, in order of time.

    Raises ValueError unless `received` is more than zero and at most what is paid, CatOverflow beyond MAX_PERCENT.
    The logarithm of the present value falls and is convex in the logarithm of 1 + i, so that Newton's method from zero
    climbs to the only root and never past it.
    """
    with localcontext(_WORKING):
        if not ZERO < received <= sum((payment.amount for payment in payments), ZERO):
            raise ValueError("a CAT needs money received and at least as much paid")
        target = received.ln()
        highest = (1 + MAX_PERCENT / 100).ln() / units_per_year
        force = Decimal(0)
        for _ in range(MAX_STEPS):
            value, slope = _present_value(payments, force)
            step = (value.ln() - target) * value / slope
            force += step
            if force > highest:
                raise CatOverflow
            if abs(step) <= _CLOSE * force or not step:
                break
        return ((force * units_per_year).exp() - 1) * 100


def _present_value(payments: Sequence[CatPayment], force: Decimal) -> tuple[Decimal, Decimal]:
    """The present value at a force of interest per unit, and how fast it falls with it."""
    factors: dict[int, Decimal] = {}
    value = slope = Decimal(0)
    earlier = [0, *(payment.units for payment in payments)]
    for payment, before in zip(reversed(payments), reversed(earlier[:-1]), strict=True):
        gap = payment.units - before
        if gap not in factors:
            factors[gap] = (-force * gap).exp()
        value = (value + payment.amount) * factors[gap]
        slope = slope * factors[gap] + gap * value
    return value, slope


def _convention(terms: Terms) -> CatConvention:
    match terms.frequency.unit:
        case FrequencyUnit.WEEK:
            return CatConvention.WEEKS_OVER_52
        case FrequencyUnit.DAY:
            return CatConvention.DAYS_OVER_360
    return CatConvention.EQUAL_PERIODS


def _elapsed(terms: Terms, convention: CatConvention) -> list[int]:
    """Units of time from the disbursement to each due date."""
    elapsed, units = [], 0
    for period in periods(terms):
        units += _length(terms, period, convention)
        elapsed.append(units)
    return elapsed


def _length(terms: Terms, period: Period, convention: CatConvention) -> int:
    if convention is not CatConvention.EQUAL_PERIODS:
        return (period.due_on - period.starts_on).days
    if not period.regular:
        return days_30_360(period.starts_on, period.due_on)
    return terms.frequency.every * (30 if terms.frequency.unit is FrequencyUnit.MONTH else 15)
