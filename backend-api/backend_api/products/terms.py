"""Terms as calls take them: what a product says, and what a loan says beside its amount and its days."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend_api.domain.daycount import DayCount
from backend_api.domain.errors import DomainError
from backend_api.domain.rounding import Rounding
from backend_api.domain.term_sheet import OPTIONAL
from backend_api.domain.terms import (
    DEFAULT_WATERFALL,
    MAX_EARLY_DAYS,
    MAX_EVERY,
    MAX_INSTALLMENTS,
    MAX_MORATORY_RATE,
    MAX_RATE,
    Amortization,
    Bucket,
    BusinessDays,
    ExcessPolicy,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    OpeningFee,
    Portfolio,
    TermsRefused,
    VatBase,
    VatMode,
)
from backend_api.http.problems import FieldError
from backend_api.http.strict import MoneyOrZero, PositiveMoney, StrictModel, Text

CODE = r"^[A-Z][A-Z0-9_]{1,39}$"
"""How a product's code is spelled."""
MAX_DECIMALS = 18
"""Decimals of a rate. With them, amount x rate x days still fits the 40 digits of the arithmetic."""

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


def _six_decimals(rate: Decimal) -> Decimal:
    if rate.normalize().as_tuple().exponent < -6:  # type: ignore[operator]  # `_fraction` lets only finite ones through
        raise PydanticCustomError("rate_too_fine", "The rate of a loan has at most six decimals.")
    return rate


# The ranges stand in the OpenAPI document; they are checked in one place, the domain, which names the rule.
ProductCode = Annotated[Text, StringConstraints(pattern=CODE)]
Rate = Annotated[Decimal, BeforeValidator(_fraction)]
Count = Annotated[int, Field(strict=True)]
InterestRate = Annotated[Rate, _rate_schema(MAX_RATE, "Yearly nominal rate as a fraction: 0.15 is fifteen percent.")]
StoredRate = Annotated[InterestRate, AfterValidator(_six_decimals)]
"""A rate that a loan is stored with, as exact as its column."""
Installments = Annotated[Count, _count_schema(1, MAX_INSTALLMENTS)]
Periods = Annotated[Count, _count_schema(0, MAX_INSTALLMENTS)]


class FrequencyIn(StrictModel):
    """How often an installment falls due. `semimonth` is the 15th and the last day of each month."""

    every: Annotated[Count, _count_schema(1, MAX_EVERY)] = 1
    unit: FrequencyUnit = FrequencyUnit.MONTH


class OpeningFeeIn(StrictModel):
    """A fee for granting the loan, without its VAT: `flat` in pesos, or `rate` as a fraction of the amount."""

    flat: MoneyOrZero = Decimal("0.00")
    rate: Annotated[Rate, _rate_schema(Decimal(1), "Fraction of the amount.")] = Decimal(0)
    collection: FeeCollection = FeeCollection.DEDUCTED


class TermsIn(StrictModel):
    """What a product says of its loans, and what a loan may say itself: no amount and no days."""

    interest_rate: InterestRate | None = None
    installments: Installments | None = None
    frequency: FrequencyIn = FrequencyIn()
    amortization: Amortization = Amortization.EQUAL_INSTALLMENTS
    interest_method: InterestMethod = InterestMethod.DECLINING
    interest_period: InterestPeriod = InterestPeriod.DAILY
    day_count: DayCount = DayCount.ACTUAL_360
    grace_principal: Periods = Field(0, description="Installments, from the first one, without principal.")
    grace_interest_payment: Periods = Field(
        0, description="Installments, from the first one, whose interest is paid with the one after them."
    )
    interest_free_periods: Periods = Field(0, description="Periods, from the first one, without interest.")
    month_end: MonthEnd = MonthEnd.LAST_DAY
    business_days: BusinessDays = Field(
        BusinessDays.NONE,
        description="`following`: due on a bank holiday, it is paid in time on the next business day too.",
    )
    vat_rate: Annotated[Rate, _rate_schema(Decimal(1), "VAT on interest and fees as a fraction.")] = Decimal("0.16")
    vat_mode: VatMode = VatMode.ON_TOP
    vat_base: VatBase = Field(VatBase.NOMINAL, description="`real` is refused: no index of inflation is kept.")
    opening_fee: OpeningFeeIn = OpeningFeeIn()
    late_fee: MoneyOrZero = Decimal("0.00")
    moratory_rate: (
        Annotated[Rate, _rate_schema(MAX_MORATORY_RATE, "Yearly rate on overdue principal; twice the rate if null.")]
        | None
    ) = None
    waterfall: Annotated[tuple[Bucket, ...], Field(max_length=len(Bucket))] = DEFAULT_WATERFALL
    excess: ExcessPolicy = ExcessPolicy.REDUCE_INSTALLMENT
    early_days: Annotated[Count, _count_schema(0, MAX_EARLY_DAYS)] = 10
    rounding: Rounding = Rounding.HALF_UP
    installment_multiple: PositiveMoney | None = Field(None, description="Level installments are multiples of this.")
    portfolio: Portfolio = Field(Portfolio.CONSUMER, description="By which table losses are provided for.")

    def said(self) -> dict[str, Any]:
        """The terms that were sent, by field of the domain's `Terms`, which has not checked them yet. Rate and number
        of installments count as not sent when they are null."""
        sent = self.model_fields_set & TermsIn.model_fields.keys()
        values = {name: getattr(self, name) for name in sent}
        values |= {name: parts(**dict(values[name])) for name, parts in _PARTS.items() if name in values}
        return {name: value for name, value in values.items() if value is not None or name not in OPTIONAL}


_PARTS = {"frequency": Frequency, "opening_fee": OpeningFee}


class FrequencyOut(BaseModel):
    """How often an installment falls due."""

    every: int
    unit: FrequencyUnit


class OpeningFeeOut(BaseModel):
    """The fee for granting the loan, without its VAT."""

    flat: str
    rate: str
    collection: FeeCollection


class TermsOut(BaseModel):
    """Terms as they are stored: all of them; rates and money are strings."""

    interest_rate: str | None
    installments: int | None
    frequency: FrequencyOut
    amortization: Amortization
    interest_method: InterestMethod
    interest_period: InterestPeriod
    day_count: DayCount
    grace_principal: int
    grace_interest_payment: int
    interest_free_periods: int
    month_end: MonthEnd
    business_days: BusinessDays
    vat_rate: str
    vat_mode: VatMode
    vat_base: VatBase
    opening_fee: OpeningFeeOut
    late_fee: str
    moratory_rate: str | None
    waterfall: list[Bucket]
    excess: ExcessPolicy
    early_days: int
    rounding: Rounding
    installment_multiple: str | None
    portfolio: Portfolio


class TermsImpossible(DomainError):
    """The terms break a rule; every field that does is named with it, below `under` in the body.

    A rule about the number of installments names the field that was `sent` for it.
    """

    code = TermsRefused.code
    message = TermsRefused.message

    def __init__(self, refused: TermsRefused, under: str = "", sent: Collection[str] = ()) -> None:
        super().__init__()
        in_months = "term_months" in sent and "installments" not in sent
        names = {"installments": "term_months"} if in_months else {}
        self.errors = [
            FieldError(
                pointer=f"{under}/{names.get(refusal.field, refusal.field)}", code=refusal.code, detail=refusal.rule
            )
            for refusal in refused.refusals
        ]
