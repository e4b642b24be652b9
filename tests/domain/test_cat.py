"""The CAT against published figures and where it ends."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from backend_api.domain.cat import UNITS_PER_YEAR, CatConvention, CatOverflow, CatPayment, annual_cost, cat
from backend_api.domain.terms import (
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestPeriod,
    OpeningFee,
    Terms,
    TermsRefused,
)

from tests.domain.published import MEXICO, Case

TENTH = Decimal("0.1")


def terms(**changes: Any) -> Terms:
    """10 000 at 22 % in 12 equal months."""
    fields: dict[str, Any] = {
        "amount": Decimal(10000),
        "interest_rate": Decimal("0.22"),
        "installments": 12,
        "disbursed_on": date(2026, 1, 31),
        "interest_period": InterestPeriod.SAME_AS_PERIOD,
        **changes,
    }
    return Terms(**fields)


def payments_of(case: Case, units_per_year: int) -> list[CatPayment]:
    """The payments of a published case, in the units of its convention."""
    listed = case["payments"]
    if isinstance(listed, dict):
        return [CatPayment(30 * k, listed["amount_without_iva"]) for k in range(1, listed["count"] + 1)]
    return [CatPayment(round(item["t_years"] * units_per_year), Decimal(item["amount_without_iva"])) for item in listed]


@pytest.mark.parametrize("case", MEXICO["cat"], ids=lambda case: case["id"])
def test_a_published_cat_agrees(case: Case) -> None:
    units_per_year = UNITS_PER_YEAR[CatConvention(case["time_convention"])]
    received = Decimal(case["net_disbursed"]).quantize(Decimal("0.01"))
    found = annual_cost(received, payments_of(case, units_per_year), units_per_year)
    assert round(found, 4) == Decimal(case["computed_pct"])
    assert round(found, 1) == Decimal(case["computed_pct_1_decimal"])


@pytest.mark.parametrize(
    ("received", "units", "amount", "percent"),
    [
        ("96010.00", 90, "105500.00", "45.7954"),  # a single payment after 90 days, published as 45.8
        ("960.10", 1, "1000.6111111111111111", "289458538.17"),  # after one day, published with all its digits
        ("1000.00", 360, "1000.00", "0.0000"),
        ("1000.00", 360, "2000.00", "100.0000"),
    ],
)
def test_the_cost_of_a_single_payment(received: str, units: int, amount: str, percent: str) -> None:
    found = annual_cost(Decimal(received), [CatPayment(units, Decimal(amount))], 360)
    assert found.quantize(Decimal(percent)) == Decimal(percent)


def test_the_present_value_at_the_root_is_what_was_received() -> None:
    payments = [CatPayment(30 * k, Decimal("935.94")) for k in range(1, 13)]
    factor = 1 + annual_cost(Decimal(9601), payments, 360) / 100
    worth = sum((item.amount / factor ** (Decimal(item.units) / 360) for item in payments), Decimal(0))
    assert abs(worth - 9601) < Decimal("1e-15")


@pytest.mark.parametrize("received", ["0.00", "-1.00", "935.95"])
def test_what_has_no_cost_is_an_error(received: str) -> None:
    with pytest.raises(ValueError, match="needs money received"):
        annual_cost(Decimal(received), [CatPayment(30, Decimal("935.94"))], 360)


def test_a_cost_beyond_all_figures_overflows() -> None:
    with pytest.raises(CatOverflow):
        annual_cost(Decimal("0.01"), [CatPayment(1, Decimal("9999999999999.99"))], 365)
    one_day = terms(
        installments=1, frequency=Frequency(1, FrequencyUnit.DAY), opening_fee=OpeningFee(flat=Decimal(8000))
    )
    with pytest.raises(TermsRefused) as refused:
        cat(one_day)
    assert [(refusal.field, refusal.code) for refusal in refused.value.refusals] == [("opening_fee", "cat_overflow")]
    assert cat(replace(one_day, opening_fee=OpeningFee(), interest_rate=Decimal(10))).percent > 10**5


def test_the_cat_of_terms_counts_the_fee_and_not_the_vat() -> None:
    with_fee = terms(opening_fee=OpeningFee(rate=Decimal("0.0399")))
    assert cat(with_fee).percent == Decimal("34.5")
    assert cat(replace(with_fee, vat_rate=Decimal(0))).percent == Decimal("34.5")
    financed = replace(with_fee, opening_fee=replace(with_fee.opening_fee, collection=FeeCollection.FINANCED))
    assert cat(terms()).percent < cat(financed).percent < cat(with_fee).percent
    assert cat(replace(financed, vat_rate=Decimal("0.08"))) == cat(financed)


@pytest.mark.parametrize(
    ("unit", "convention"),
    [
        ("month", "equal_periods"),
        ("semimonth", "equal_periods"),
        ("week", "weeks_over_52"),
        ("day", "days_over_360"),
    ],
)
def test_the_convention_follows_the_frequency_and_stands_beside_the_figure(unit: str, convention: str) -> None:
    assert cat(terms(frequency=Frequency(1, FrequencyUnit(unit)))).convention == convention


@pytest.mark.parametrize(("unit", "parts"), [("month", 12), ("semimonth", 24), ("week", 52)])
def test_without_fees_it_is_the_rate_compounded_every_period(unit: str, parts: int) -> None:
    found = cat(terms(amount=Decimal(1_000_000), frequency=Frequency(1, FrequencyUnit(unit))))
    exact = ((1 + Decimal("0.22") / parts) ** parts - 1) * 100
    assert found.percent == exact.quantize(TENTH)


def test_a_loan_without_cost_has_a_cat_of_zero() -> None:
    assert cat(terms(interest_rate=Decimal(0))).percent == 0
    assert cat(terms(interest_free_periods=12)).percent == 0
