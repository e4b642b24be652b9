"""Preview of a loan: terms in, schedule, totals and CAT out. Nothing is stored and no database is asked."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend_api.domain import schedule as schedules
from backend_api.domain.cat import Cat, CatConvention, cat
from backend_api.domain.daycount import DayCount
from backend_api.domain.errors import DomainError
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import (
    DEFAULT_WATERFALL,
    FIRST_DUE_TOO_EARLY,
    MAX_EARLY_DAYS,
    MAX_EVERY,
    MAX_INSTALLMENTS,
    MAX_MORATORY_RATE,
    MAX_RATE,
    Amortization,
    Bucket,
    ExcessPolicy,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    OpeningFee,
    Refusal,
    Terms,
    TermsRefused,
    VatBase,
    VatMode,
)
from backend_api.http import examples
from backend_api.http.problems import FieldError
from backend_api.http.strict import Day, MoneyOrZero, MoneyOut, PositiveMoney, StrictModel

MAX_DECIMALS = 18
"""Decimals of a rate. With them, amount x rate x days still fits the 40 digits of the arithmetic."""

EXAMPLE_TERMS: dict[str, Any] = {
    "amount": "50000.00",
    "interest_rate": "0.15",
    "installments": 3,
    "disbursed_on": examples.TODAY,
    "opening_fee": {"rate": "0.02"},
}

_FRACTION = re.compile(rf"[0-9]{{1,2}}(\.[0-9]{{1,{MAX_DECIMALS}}})?")


def _fraction(value: Any) -> Decimal:
    """A fraction as a string or a number; its range is for the domain to check."""
    if isinstance(value, str) and _FRACTION.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        # Magnitude first: normalising 1e999999999 is cheap, computing with it is not.
        if number.adjusted() < len("10") and number.normalize().as_tuple().exponent >= -MAX_DECIMALS:  # type: ignore[operator]  # a JSON number is finite
            return number
    raise PydanticCustomError("rate_malformed", "A rate is a fraction such as 0.15 for fifteen percent.")


def _rate_schema(largest: Decimal, description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": int(largest)}, {"type": "string", "maxLength": 21}],
            "description": description,
        }
    )


def _count_schema(least: int, most: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


# The ranges stand in the OpenAPI document; they are checked in one place, the domain, which names the rule.
_Rate = Annotated[Decimal, BeforeValidator(_fraction)]
_Count = Annotated[int, Field(strict=True)]
_Installments = Annotated[_Count, _count_schema(1, MAX_INSTALLMENTS)]
_Periods = Annotated[_Count, _count_schema(0, MAX_INSTALLMENTS)]


class FrequencyIn(StrictModel):
    """How often an installment falls due. `semimonth` is the 15th and the last day of each month."""

    every: Annotated[_Count, _count_schema(1, MAX_EVERY)] = 1
    unit: FrequencyUnit = FrequencyUnit.MONTH


class OpeningFeeIn(StrictModel):
    """A fee for granting the loan, without its VAT: `flat` in pesos, or `rate` as a fraction of the amount."""

    flat: MoneyOrZero = Decimal("0.00")
    rate: Annotated[_Rate, _rate_schema(Decimal(1), "Fraction of the amount.")] = Decimal(0)
    collection: FeeCollection = FeeCollection.DEDUCTED


class PreviewIn(StrictModel):
    """The terms of a loan. What is left out is as in the product STANDARD; `disbursed_on` is today."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_TERMS]})

    amount: PositiveMoney
    interest_rate: Annotated[
        _Rate, _rate_schema(MAX_RATE, "Yearly nominal rate as a fraction: 0.15 is fifteen percent.")
    ]
    installments: _Installments | None = Field(None, description="How many. Needed unless `term_months` is given.")
    term_months: _Installments | None = Field(None, description="The same in months, for a frequency in months.")
    disbursed_on: Day | None = None
    first_due_on: Day | None = Field(None, description="One period after the disbursement unless given.")
    frequency: FrequencyIn = FrequencyIn()
    amortization: Amortization = Amortization.EQUAL_INSTALLMENTS
    interest_method: InterestMethod = InterestMethod.DECLINING
    interest_period: InterestPeriod = InterestPeriod.DAILY
    day_count: DayCount = DayCount.ACTUAL_360
    grace_principal: _Periods = Field(0, description="Installments, from the first one, without principal.")
    grace_interest_payment: _Periods = Field(
        0, description="Installments, from the first one, whose interest is paid with the one after them."
    )
    interest_free_periods: _Periods = Field(0, description="Periods, from the first one, without interest.")
    month_end: MonthEnd = MonthEnd.LAST_DAY
    vat_rate: Annotated[_Rate, _rate_schema(Decimal(1), "VAT on interest and fees as a fraction.")] = Decimal("0.16")
    vat_mode: VatMode = VatMode.ON_TOP
    vat_base: VatBase = VatBase.NOMINAL
    opening_fee: OpeningFeeIn = OpeningFeeIn()
    late_fee: MoneyOrZero = Decimal("0.00")
    moratory_rate: (
        Annotated[_Rate, _rate_schema(MAX_MORATORY_RATE, "Yearly rate on overdue principal; twice the rate if null.")]
        | None
    ) = None
    waterfall: Annotated[tuple[Bucket, ...], Field(max_length=len(Bucket))] = DEFAULT_WATERFALL
    excess: ExcessPolicy = ExcessPolicy.REDUCE_INSTALLMENT
    early_days: Annotated[_Count, _count_schema(0, MAX_EARLY_DAYS)] = 10
    rounding: Rounding = Rounding.HALF_UP
    installment_multiple: PositiveMoney | None = Field(None, description="Level installments are multiples of this.")

    def terms(self, today: date) -> Terms:
        """These terms for the domain, which has not checked them yet. Raises TermsRefused for a doubtful count."""
        own = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in {"installments", "term_months", "disbursed_on", "frequency", "opening_fee"}
        }
        return Terms(
            **own,
            installments=self._count(),
            disbursed_on=self.disbursed_on or today,
            frequency=Frequency(**dict(self.frequency)),
            opening_fee=OpeningFee(**dict(self.opening_fee)),
        )

    def _count(self) -> int:
        if self.term_months is None:
            if self.installments is None:
                raise TermsRefused(Refusal("installments", "missing", "Say how many installments, or `term_months`."))
            return self.installments
        every = self.frequency.every
        if self.frequency.unit is not FrequencyUnit.MONTH or every < 1 or self.term_months % every:
            rule = "A term in months fits a frequency in months that divides it; else say `installments`."
            raise TermsRefused(Refusal("term_months", "term_not_monthly", rule))
        if self.installments not in (None, self.term_months // every):
            raise TermsRefused(Refusal("installments", "term_ambiguous", "Both are given and say different things."))
        return self.term_months // every


class InstallmentOut(BaseModel):
    """One installment; `balance` is the principal outstanding after it."""

    number: int
    due_on: Day
    principal: MoneyOut
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    total: MoneyOut
    balance: MoneyOut


class TotalsOut(BaseModel):
    """The sums of the installments, and what happens on the day of the disbursement."""

    principal: MoneyOut = Field(description="The amount, with a financed opening fee and its VAT.")
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    total: MoneyOut
    opening_fee: MoneyOut
    opening_fee_vat: MoneyOut
    handed_over: MoneyOut = Field(description="The amount, less a deducted opening fee and its VAT.")


class CatOut(BaseModel):
    """Costo anual total, without VAT, for information and comparison only."""

    percent: str
    convention: CatConvention = Field(description="How years are counted in it.")


class PreviewOut(BaseModel):
    """What the loan would be like."""

    model_config = ConfigDict(title="LoanPreview")

    installments: list[InstallmentOut]
    totals: TotalsOut
    cat: CatOut


class TermsImpossible(DomainError):
    """The terms break a rule; every field that does is named with it."""

    code = TermsRefused.code
    message = TermsRefused.message

    def __init__(self, refused: TermsRefused) -> None:
        super().__init__()
        self.errors = [
            FieldError(pointer=f"/{refusal.field}", code=refusal.code, detail=refusal.rule)
            for refusal in refused.refusals
        ]


def preview(body: PreviewIn, today: date) -> bytes:
    """The preview as JSON. Up to 600 rows of exact arithmetic: run it beside the event loop.

    Raises TermsImpossible.
    """
    try:
        terms = body.terms(today)
        rows = schedules.schedule(terms)
        cost = cat(terms)
    except TermsRefused as refused:
        raise TermsImpossible(refused) from refused
    return _out(terms, rows, cost).model_dump_json().encode()


def _out(terms: Terms, rows: tuple[schedules.Installment, ...], cost: Cat) -> PreviewOut:
    sums = schedules.totals(rows)
    return PreviewOut(
        installments=[InstallmentOut.model_validate(row, from_attributes=True) for row in rows],
        totals=TotalsOut(
            principal=sums.principal,
            interest=sums.interest,
            vat=sums.vat,
            fees=sums.fees,
            total=sums.total,
            opening_fee=terms.opening_fee_amount,
            opening_fee_vat=terms.opening_fee_vat,
            handed_over=terms.handed_over,
        ),
        cat=CatOut(percent=f"{cost.percent:f}", convention=cost.convention),
    )


EXAMPLE_ANSWER: dict[str, Any] = orjson.loads(preview(PreviewIn.model_validate(EXAMPLE_TERMS), date.min))
EXAMPLE_REFUSAL = TermsImpossible(TermsRefused(FIRST_DUE_TOO_EARLY))
