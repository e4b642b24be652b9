"""The sheet of a loan's terms: what is stored gives exactly the terms back, and nothing but a complete sheet does."""

import dataclasses
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from backend_api.domain.daycount import DayCount
from backend_api.domain.rounding import Rounding
from backend_api.domain.term_sheet import product_sheet, product_values, sheet, terms_of
from backend_api.domain.terms import (
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
    Terms,
    VatBase,
    VatMode,
)
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 1, 31)
ANY = Terms(amount=Decimal("50000.00"), interest_rate=Decimal("0.15"), installments=24, disbursed_on=TODAY)
STANDARD_SHEET = {
    "amount": "50000.00",
    "interest_rate": "0.15",
    "installments": 24,
    "first_due_on": None,
    "frequency": {"every": 1, "unit": "month"},
    "amortization": "equal_installments",
    "interest_method": "declining",
    "interest_period": "daily",
    "day_count": "actual/360",
    "grace_principal": 0,
    "grace_interest_payment": 0,
    "interest_free_periods": 0,
    "month_end": "last_day",
    "business_days": "none",
    "vat_rate": "0.16",
    "vat_mode": "on_top",
    "vat_base": "nominal",
    "opening_fee": {"flat": "0.00", "rate": "0", "collection": "deducted"},
    "late_fee": "0.00",
    "moratory_rate": None,
    "waterfall": ["fees", "moratory", "interest", "principal"],
    "excess": "reduce_installment",
    "early_days": 10,
    "rounding": "half_up",
    "installment_multiple": None,
    "portfolio": "consumer",
}

money = st.decimals(min_value=0, max_value=Decimal("9999999999999.99"), places=2)
rates = st.integers(0, 18).flatmap(lambda places: st.decimals(min_value=0, max_value=20, places=places))
counts = st.integers(0, 600)
all_terms = st.builds(
    Terms,
    amount=money,
    interest_rate=rates,
    installments=counts,
    disbursed_on=st.dates(),
    first_due_on=st.none() | st.dates(),
    frequency=st.builds(Frequency, counts, st.sampled_from(FrequencyUnit)),
    amortization=st.sampled_from(Amortization),
    interest_method=st.sampled_from(InterestMethod),
    interest_period=st.sampled_from(InterestPeriod),
    day_count=st.sampled_from(DayCount),
    grace_principal=counts,
    grace_interest_payment=counts,
    interest_free_periods=counts,
    month_end=st.sampled_from(MonthEnd),
    business_days=st.sampled_from(BusinessDays),
    vat_rate=rates,
    vat_mode=st.sampled_from(VatMode),
    vat_base=st.sampled_from(VatBase),
    opening_fee=st.builds(OpeningFee, money, rates, st.sampled_from(FeeCollection)),
    late_fee=money,
    moratory_rate=st.none() | rates,
    waterfall=st.permutations(list(Bucket)).map(tuple),
    excess=st.sampled_from(ExcessPolicy),
    early_days=counts,
    rounding=st.sampled_from(Rounding),
    installment_multiple=st.none() | money,
    portfolio=st.sampled_from(Portfolio),
)


@given(all_terms)
def test_a_stored_sheet_gives_the_same_terms_back(terms: Terms) -> None:
    stored = json.loads(json.dumps(sheet(terms)))
    again = terms_of(stored, terms.disbursed_on)
    assert again == terms
    # Equal decimals may differ in their digits (0.10 and 0.1), and members of StrEnum equal their text: compare both.
    assert repr(again) == repr(terms)
    assert stored == sheet(terms)


@pytest.mark.parametrize(("rate", "text"), [("1E-18", "0.000000000000000001"), ("1E+1", "10"), ("0E-7", "0.0000000")])
def test_a_rate_is_stored_in_plain_digits(rate: str, text: str) -> None:
    terms = dataclasses.replace(ANY, interest_rate=Decimal(rate))
    assert sheet(terms)["interest_rate"] == text
    assert terms_of(sheet(terms), TODAY) == terms


@given(all_terms)
def test_only_plain_values_are_stored(terms: Terms) -> None:
    def check(value: Any) -> None:
        # The exact type: a StrEnum is a str as well.
        assert type(value) in {str, int, type(None), list, dict}
        if isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                check(part)

    check(sheet(terms))


def test_every_term_is_stored_but_the_day_of_the_disbursement() -> None:
    assert sheet(ANY).keys() == {field.name for field in dataclasses.fields(Terms)} - {"disbursed_on"}


def test_the_sheet_of_standard_terms_is_this_one() -> None:
    # Loans are stored like this: a change of any line needs a migration of what is stored.
    assert sheet(ANY) == STANDARD_SHEET
    assert terms_of(STANDARD_SHEET, TODAY) == ANY


@pytest.mark.parametrize("name", STANDARD_SHEET)
def test_a_missing_term_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        terms_of({key: value for key, value in STANDARD_SHEET.items() if key != name}, TODAY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"disbursed_on": "2026-01-31"},
        {"frequency": {"every": 1}},
        {"frequency": {"every": 1, "unit": "month", "colour": "red"}},
        {"opening_fee": {"flat": "0.00", "collection": "deducted"}},
        {"opening_fee": {"flat": "0.00", "rate": "0", "collection": "deducted", "colour": "red"}},
        {"amortization": "red"},
        {"waterfall": ["fees", "red"]},
    ],
)
def test_what_is_not_known_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"colour|disbursed_on|unit|rate|red"):
        terms_of({**STANDARD_SHEET, **wrong}, TODAY)


def test_a_product_s_sheet_is_complete_and_leaves_to_the_loan_what_it_does_not_say() -> None:
    loan_only = {"amount", "first_due_on"}
    standard = {name: value for name, value in STANDARD_SHEET.items() if name not in loan_only}
    assert product_sheet({}) == {**standard, "interest_rate": None, "installments": None}
    assert product_sheet({"interest_rate": Decimal("0.15"), "installments": 24}) == standard
    assert product_sheet({"late_fee": Decimal("50.00")})["late_fee"] == "50.00"


@given(all_terms, st.booleans())
def test_a_product_s_sheet_gives_the_same_values_back(terms: Terms, leaves_rate: bool) -> None:
    left = {"amount", "first_due_on", "disbursed_on"} | ({"interest_rate"} if leaves_rate else set())
    values = {name: value for name, value in _values(terms).items() if name not in left}
    assert product_values(json.loads(json.dumps(product_sheet(values)))) == values


def _values(terms: Terms) -> dict[str, Any]:
    return {field.name: getattr(terms, field.name) for field in dataclasses.fields(terms)}


def test_a_product_s_sheet_with_a_wrong_key_is_refused() -> None:
    whole = product_sheet({})
    for wrong in ({**whole, "amount": "5.00"}, {name: whole[name] for name in whole if name != "excess"}):
        with pytest.raises(ValueError, match=r"amount|excess"):
            product_values(wrong)
