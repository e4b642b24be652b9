"""The terms of a loan: what was agreed, frozen when the loan is made, and which terms are impossible.

Every default is that of the `STANDARD` product. Sources: law and usage of SOFIPO lending (LTOSF; Codigo de Comercio
362-364; Ley del IVA 15, 18, 18-A), Apache Fineract's loan products for grace, interest period and installment multiple.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from backend_api.domain.business_days import business_day_from
from backend_api.domain.dates import MAX_DATE, MIN_DATE
from backend_api.domain.daycount import DayCount
from backend_api.domain.errors import DomainError
from backend_api.domain.money import CENT, MAX_MONEY, ZERO
from backend_api.domain.rounding import EXACT, Rounding

MAX_RATE = Decimal(10)
MAX_MORATORY_RATE = 2 * MAX_RATE
MAX_INSTALLMENTS = 600
MAX_EVERY = 366
MAX_EARLY_DAYS = 366
MAX_LATE_FEE = Decimal("1000000.00")
"""Of one installment. The end of the day books the fees of all loans of a product in one posting: the largest amount of
money as the fee of a single loan would stop it for everybody."""


class FrequencyUnit(StrEnum):
    """What is counted between two due dates; `semimonth` is the 15th and the last day of each month (quincenal)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    SEMIMONTH = "semimonth"


class Amortization(StrEnum):
    """How the principal comes back: level installments (frances), level principal (aleman), or all of it at the end."""

    EQUAL_INSTALLMENTS = "equal_installments"
    EQUAL_PRINCIPAL = "equal_principal"
    INTEREST_ONLY = "interest_only"


class InterestMethod(StrEnum):
    """On what interest is charged: the outstanding principal, or the original amount for the whole term."""

    DECLINING = "declining"
    FLAT = "flat"


class InterestPeriod(StrEnum):
    """Interest by the day count, or the same for every period: a month is 1/12, a week 1/52 of the yearly rate.

    `same_as_period` of a frequency in days is the day count.
    """

    DAILY = "daily"
    SAME_AS_PERIOD = "same_as_period"


class MonthEnd(StrEnum):
    """Where a due date goes in a month that lacks its day: to the month's last day, or to the first of the next."""

    LAST_DAY = "last_day"
    NEXT_MONTH_FIRST = "next_month_first"


class BusinessDays(StrEnum):
    """What becomes of an installment that falls due on a day on which banks are closed.

    `none`: nothing, every day counts. `following`: it is paid in time on the next business day too (LTOSF 18 Bis 4, of
    consumer credit). Due dates, amounts and ordinary interest are the same in both.
    """

    NONE = "none"
    FOLLOWING = "following"


class VatMode(StrEnum):
    """VAT is added to the installment, or the level installment contains it."""

    ON_TOP = "on_top"
    INSIDE_TOTAL = "inside_total"


class VatBase(StrEnum):
    """VAT on the interest charged, or on what of it exceeds inflation (Ley del IVA 18-A).

    The second one needs the inflation of each period, an index that is not kept here: such terms are refused.
    """

    NOMINAL = "nominal"
    REAL = "real"


class FeeCollection(StrEnum):
    """The opening fee is kept back from the money handed over, or added to the principal."""

    DEDUCTED = "deducted"
    FINANCED = "financed"


class Bucket(StrEnum):
    """What a payment is applied to, in the order of the terms. Without a bucket `vat`, each one takes its own VAT."""

    VAT = "vat"
    FEES = "fees"
    MORATORY = "moratory"
    INTEREST = "interest"
    PRINCIPAL = "principal"


class Portfolio(StrEnum):
    """By which table a loan is provided for: the regulator's kinds of portfolio, each in and out of a marginal zone.

    Commercial loans are missing: their table is one of probabilities of default, which was not found.
    """

    CONSUMER = "consumer"
    CONSUMER_MARGINAL_ZONE = "consumer_marginal_zone"
    MICROCREDIT = "microcredit"
    MICROCREDIT_MARGINAL_ZONE = "microcredit_marginal_zone"
    HOUSING = "housing"


class ExcessPolicy(StrEnum):
    """What a payment does that is early or larger than what is due."""

    REDUCE_INSTALLMENT = "reduce_installment"
    REDUCE_TERM = "reduce_term"
    ADVANCE = "advance"


@dataclass(frozen=True, slots=True)
class Frequency:
    """A due date every `every` units, 1 to MAX_EVERY."""

    every: int = 1
    unit: FrequencyUnit = FrequencyUnit.MONTH


@dataclass(frozen=True, slots=True)
class OpeningFee:
    """A fee for granting the loan, without its VAT: `flat` in pesos or `rate` as a fraction of the amount, not both."""

    flat: Decimal = ZERO
    rate: Decimal = Decimal(0)
    collection: FeeCollection = FeeCollection.DEDUCTED


NO_FEE = OpeningFee()
DEFAULT_WATERFALL = (Bucket.FEES, Bucket.MORATORY, Bucket.INTEREST, Bucket.PRINCIPAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed. Rates are yearly, nominal, and fractions: 0.15 is fifteen percent. Money is in pesos.

    `grace_principal`, `grace_interest_payment` and `interest_free_periods` count installments from the first one: no
    principal is due; interest is charged but first paid, in one lump, with the installment after; no interest arises.
    `first_due_on` None: one period after the disbursement. `moratory_rate` None: twice the interest rate.
    `early_days`: from so many days before a due date on, a payment counts as that installment. `installment_multiple`
    None: to the cent; it rounds level installments only.
    """

    amount: Decimal
    interest_rate: Decimal
    installments: int
    disbursed_on: date
    first_due_on: date | None = None
    frequency: Frequency = Frequency()
    amortization: Amortization = Amortization.EQUAL_INSTALLMENTS
    interest_method: InterestMethod = InterestMethod.DECLINING
    interest_period: InterestPeriod = InterestPeriod.DAILY
    day_count: DayCount = DayCount.ACTUAL_360
    grace_principal: int = 0
    grace_interest_payment: int = 0
    interest_free_periods: int = 0
    month_end: MonthEnd = MonthEnd.LAST_DAY
    business_days: BusinessDays = BusinessDays.NONE
    vat_rate: Decimal = Decimal("0.16")
    vat_mode: VatMode = VatMode.ON_TOP
    vat_base: VatBase = VatBase.NOMINAL
    opening_fee: OpeningFee = NO_FEE
    late_fee: Decimal = ZERO
    moratory_rate: Decimal | None = None
    waterfall: tuple[Bucket, ...] = DEFAULT_WATERFALL
    excess: ExcessPolicy = ExcessPolicy.REDUCE_INSTALLMENT
    early_days: int = 10
    rounding: Rounding = Rounding.HALF_UP
    installment_multiple: Decimal | None = None
    portfolio: Portfolio = Portfolio.CONSUMER

    def in_time_until(self, due_on: date) -> date:
        """The last day on which what falls due on `due_on` is paid in time; being late is counted from it."""
        return due_on if self.business_days is BusinessDays.NONE else business_day_from(due_on)

    @property
    def yearly_moratory_rate(self) -> Decimal:
        """The rate of moratory interest: as agreed, else twice the interest rate."""
        return 2 * self.interest_rate if self.moratory_rate is None else self.moratory_rate

    @property
    def opening_fee_amount(self) -> Decimal:
        """The opening fee in pesos, without VAT."""
        fee = self.opening_fee
        return fee.flat + self.rounding.cents(EXACT.multiply(self.amount, fee.rate))

    @property
    def opening_fee_vat(self) -> Decimal:
        """The VAT of the opening fee: a fee is taxed in full, always on top (Ley del IVA 18)."""
        return self.rounding.cents(EXACT.multiply(self.opening_fee_amount, self.vat_rate))

    @property
    def principal(self) -> Decimal:
        """What the installments repay: the amount, with a financed opening fee and its VAT."""
        if self.opening_fee.collection is FeeCollection.FINANCED:
            return self.amount + self.opening_fee_amount + self.opening_fee_vat
        return self.amount

    @property
    def handed_over(self) -> Decimal:
        """What the client receives: the amount, less a deducted opening fee and its VAT."""
        if self.opening_fee.collection is FeeCollection.DEDUCTED:
            return self.amount - self.opening_fee_amount - self.opening_fee_vat
        return self.amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why terms are impossible: the `field` under its contract name (`frequency/every` for a part), code and rule."""

    field: str
    code: str
    rule: str


FIRST_DUE_TOO_EARLY = Refusal(
    "first_due_on", "first_due_not_after_disbursement", "The first due date lies after the disbursement."
)


class TermsRefused(DomainError):
    """No loan can have these terms; `refusals` names each field with the rule it breaks."""

    code = "terms_refused"
    message = "These terms are impossible."

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__()
        self.refusals = refusals


def check_terms(terms: Terms) -> None:
    """Raises TermsRefused with every rule that the terms break by themselves.

    What only a schedule can tell is refused there: a last due date out of range, an installment that never amortizes,
    a CAT that overflows.
    """
    refusals = tuple(_refusals(terms))
    if refusals:
        raise TermsRefused(*refusals)


def _refusals(terms: Terms) -> Iterator[Refusal]:
    yield from _ranges(terms)
    if terms.first_due_on is not None:
        if terms.first_due_on <= terms.disbursed_on:
            yield FIRST_DUE_TOO_EARLY
        elif terms.first_due_on > MAX_DATE:
            yield _date_range("first_due_on")
    yield from _grace(terms)
    yield from _fees(terms)
    if terms.vat_mode is VatMode.INSIDE_TOTAL:
        yield from _vat_inside(terms)
    if terms.vat_base is VatBase.REAL:
        yield Refusal("vat_base", "vat_base_not_offered", "VAT is on nominal interest: no index of inflation is kept.")
    if not _is_waterfall(terms.waterfall):
        yield Refusal(
            "waterfall",
            "waterfall_incomplete",
            "A waterfall names fees, moratory, interest and principal once each; vat may stand among them.",
        )


def _ranges(terms: Terms) -> Iterator[Refusal]:
    if not CENT <= terms.amount <= MAX_MONEY:
        yield Refusal("amount", "amount_out_of_range", f"An amount lies between {CENT} and {MAX_MONEY}.")
    if not MIN_DATE <= terms.disbursed_on <= MAX_DATE:
        yield _date_range("disbursed_on")
    counts = (
        ("installments", terms.installments, 1, MAX_INSTALLMENTS),
        ("frequency/every", terms.frequency.every, 1, MAX_EVERY),
        ("early_days", terms.early_days, 0, MAX_EARLY_DAYS),
    )
    for field, count, least, most in counts:
        if not least <= count <= most:
            yield Refusal(field, f"{_name(field)}_out_of_range", f"{_title(field)} is a number from {least} to {most}.")
    rates = (
        ("interest_rate", terms.interest_rate, MAX_RATE),
        ("moratory_rate", terms.yearly_moratory_rate, MAX_MORATORY_RATE),
        ("vat_rate", terms.vat_rate, Decimal(1)),
        ("opening_fee/rate", terms.opening_fee.rate, Decimal(1)),
    )
    for field, rate, largest in rates:
        if not 0 <= rate <= largest and not (field == "moratory_rate" and terms.moratory_rate is None):
            yield Refusal(field, f"{_name(field)}_out_of_range", f"{_title(field)} is a fraction from 0 to {largest}.")


def _grace(terms: Terms) -> Iterator[Refusal]:
    for field, count in (
        ("grace_principal", terms.grace_principal),
        ("grace_interest_payment", terms.grace_interest_payment),
    ):
        if not 0 <= count < max(terms.installments, 1):
            yield Refusal(field, f"{field}_out_of_range", "A grace ends before the last installment.")
    if not 0 <= terms.interest_free_periods <= max(terms.installments, 0):
        yield Refusal(
            "interest_free_periods",
            "interest_free_periods_out_of_range",
            "There are no more interest-free periods than installments.",
        )


def _fees(terms: Terms) -> Iterator[Refusal]:
    fee = terms.opening_fee
    if not ZERO <= terms.late_fee <= MAX_LATE_FEE:
        yield Refusal("late_fee", "late_fee_out_of_range", f"A late fee lies between 0.00 and {MAX_LATE_FEE}.")
    if not ZERO <= fee.flat <= MAX_MONEY:
        yield Refusal("opening_fee/flat", "opening_fee_out_of_range", f"A fee lies between 0.00 and {MAX_MONEY}.")
    elif fee.flat and fee.rate:
        yield Refusal("opening_fee", "opening_fee_twice", "An opening fee is flat or a part of the amount, not both.")
    elif 0 <= fee.rate <= 1 and 0 <= terms.vat_rate <= 1 and CENT <= terms.amount <= MAX_MONEY:
        if terms.handed_over <= ZERO:
            yield Refusal(
                "opening_fee", "opening_fee_takes_all", "The opening fee with its VAT is less than the amount."
            )
        if terms.principal > MAX_MONEY:
            yield Refusal("opening_fee", "principal_out_of_range", f"Amount and financed fee are at most {MAX_MONEY}.")
    multiple = terms.installment_multiple
    if multiple is not None and not CENT <= multiple <= MAX_MONEY:
        yield Refusal(
            "installment_multiple",
            "installment_multiple_out_of_range",
            f"An installment multiple lies between {CENT} and {MAX_MONEY}.",
        )


def _vat_inside(terms: Terms) -> Iterator[Refusal]:
    if terms.amortization is not Amortization.EQUAL_INSTALLMENTS:
        yield Refusal("vat_mode", "vat_inside_not_level", "VAT inside the total needs equal installments.")
    if terms.grace_interest_payment:
        yield Refusal(
            "grace_interest_payment",
            "vat_inside_not_level",
            "VAT inside the total excludes a grace on interest payment.",
        )


def _is_waterfall(waterfall: tuple[Bucket, ...]) -> bool:
    without_vat = [bucket for bucket in waterfall if bucket is not Bucket.VAT]
    return sorted(without_vat) == sorted(DEFAULT_WATERFALL) and len(waterfall) - len(without_vat) <= 1


def _date_range(field: str) -> Refusal:
    return Refusal(field, "date_out_of_range", f"A date lies between {MIN_DATE} and {MAX_DATE}.")


def _name(field: str) -> str:
    return field.replace("/", "_")


def _title(field: str) -> str:
    return field.replace("/", ".")
