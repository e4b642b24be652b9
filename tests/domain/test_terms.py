"""Terms: the defaults of the product STANDARD, and several refusals at once."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from backend_api.domain.money import CENT
from backend_api.domain.schedule import schedule
from backend_api.domain.terms import (
    MAX_LATE_FEE,
    Bucket,
    BusinessDays,
    Frequency,
    FrequencyUnit,
    OpeningFee,
    Terms,
    TermsRefused,
    VatBase,
    VatMode,
    check_terms,
)

AGREED = {
    "amount": Decimal(10000),
    "interest_rate": Decimal("0.36"),
    "installments": 12,
    "disbursed_on": date(2026, 1, 31),
}


def test_the_defaults_are_those_of_the_standard_product() -> None:
    standard = Terms(**AGREED)  # type: ignore[arg-type]  # of four kinds
    words = {name: f"{getattr(standard, name)}" for name in Terms.__dataclass_fields__ if name not in AGREED}
    assert standard.frequency == Frequency(1, FrequencyUnit.MONTH)
    assert standard.opening_fee == OpeningFee()
    assert standard.waterfall == (Bucket.FEES, Bucket.MORATORY, Bucket.INTEREST, Bucket.PRINCIPAL)
    for name in ("frequency", "opening_fee", "waterfall"):
        del words[name]
    assert words == {
        "first_due_on": "None",
        "amortization": "equal_installments",
        "interest_method": "declining",
        "interest_period": "daily",
        "day_count": "actual/360",
        "grace_principal": "0",
        "grace_interest_payment": "0",
        "interest_free_periods": "0",
        "month_end": "last_day",
        "business_days": "none",
        "vat_rate": "0.16",
        "vat_mode": "on_top",
        "vat_base": "nominal",
        "late_fee": "0.00",
        "moratory_rate": "None",
        "excess": "reduce_installment",
        "early_days": "10",
        "rounding": "half_up",
        "installment_multiple": "None",
        "portfolio": "consumer",
    }


def test_every_broken_rule_is_named() -> None:
    with pytest.raises(TermsRefused) as refused:
        check_terms(
            Terms(
                amount=Decimal(0),
                interest_rate=Decimal(11),
                installments=0,
                disbursed_on=date(1950, 1, 1),
                first_due_on=date(2300, 1, 1),
                late_fee=Decimal(-1),
                opening_fee=OpeningFee(flat=Decimal(-1)),
                installment_multiple=Decimal(0),
            )
        )
    assert [refusal.field for refusal in refused.value.refusals] == [
        "amount", "disbursed_on", "installments", "interest_rate", "first_due_on", "late_fee", "opening_fee/flat",
        "installment_multiple",
    ]  # fmt: skip
    assert all(refusal.rule.endswith(".") for refusal in refused.value.refusals)


def test_a_late_fee_is_no_fortune() -> None:
    check_terms(Terms(**AGREED, late_fee=MAX_LATE_FEE))  # type: ignore[arg-type]  # of four kinds
    with pytest.raises(TermsRefused) as refused:
        check_terms(Terms(**AGREED, late_fee=MAX_LATE_FEE + CENT))  # type: ignore[arg-type]  # of four kinds
    [refusal] = refused.value.refusals
    assert (refusal.field, refusal.code) == ("late_fee", "late_fee_out_of_range")


@pytest.mark.parametrize(
    "waterfall",
    [
        ("vat", "fees", "moratory", "interest", "principal"),
        ("interest", "vat", "principal", "fees", "moratory"),
        ("principal", "interest", "moratory", "fees"),
    ],
)
def test_vat_may_be_a_bucket_of_its_own_anywhere(waterfall: tuple[str, ...]) -> None:
    check_terms(Terms(**AGREED, waterfall=tuple(map(Bucket, waterfall))))  # type: ignore[arg-type]  # of four kinds


@pytest.mark.parametrize(
    "waterfall", [(), ("fees",), ("fees", "fees", "moratory", "interest", "principal"), ("vat", "fees", "principal")]
)
def test_a_waterfall_leaves_nothing_out_and_repeats_nothing(waterfall: tuple[str, ...]) -> None:
    with pytest.raises(TermsRefused):
        check_terms(Terms(**AGREED, waterfall=tuple(map(Bucket, waterfall))))  # type: ignore[arg-type]  # of four kinds


def test_only_an_agreed_due_date_on_a_holiday_is_put_off() -> None:
    saturday = date(2026, 2, 14)
    agreed = Terms(
        amount=Decimal(1000),
        interest_rate=Decimal("0.36"),
        installments=1,
        disbursed_on=date(2026, 1, 14),
        business_days=BusinessDays.FOLLOWING,
    )
    assert agreed.in_time_until(saturday) == date(2026, 2, 16)
    assert agreed.in_time_until(date(2026, 2, 13)) == date(2026, 2, 13)
    assert replace(agreed, business_days=BusinessDays.NONE).in_time_until(saturday) == saturday
    assert schedule(agreed) == schedule(replace(agreed, business_days=BusinessDays.NONE)), "the schedule is the same"


@pytest.mark.parametrize("vat_mode", VatMode)
def test_vat_on_real_interest_is_not_offered(vat_mode: VatMode) -> None:
    terms = Terms(
        amount=Decimal(1000),
        interest_rate=Decimal("0.36"),
        installments=12,
        disbursed_on=date(2026, 1, 15),
        vat_base=VatBase.REAL,
        vat_mode=vat_mode,
    )
    with pytest.raises(TermsRefused) as refused:
        schedule(terms)
    assert [(one.field, one.code) for one in refused.value.refusals] == [("vat_base", "vat_base_not_offered")]
