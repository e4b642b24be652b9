"""Products: which terms and limits are impossible, and which loans the limits let through."""

from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from backend_api.domain.products import Limits, check_product
from backend_api.domain.terms import (
    Amortization,
    FeeCollection,
    OpeningFee,
    Terms,
    TermsRefused,
    VatMode,
)
from hypothesis import given
from hypothesis import strategies as st

LOAN = Terms(amount=Decimal("1000.00"), interest_rate=Decimal("0.30"), installments=12, disbursed_on=date(2026, 1, 31))
NARROW = Limits(
    min_amount=Decimal("1000.00"),
    max_amount=Decimal("2000.00"),
    min_rate=Decimal("0.20"),
    max_rate=Decimal("0.40"),
    min_installments=6,
    max_installments=24,
)
money = st.decimals(min_value=Decimal("0.01"), max_value=Decimal("9999999999999.99"), places=2)
rates = st.decimals(min_value=0, max_value=10, places=6)
any_limits = st.builds(
    Limits,
    min_amount=st.none() | money,
    max_amount=st.none() | money,
    min_rate=st.none() | rates,
    max_rate=st.none() | rates,
    min_installments=st.none() | st.integers(1, 600),
    max_installments=st.none() | st.integers(1, 600),
)


def refusals(refused: pytest.ExceptionInfo[TermsRefused]) -> list[tuple[str, str]]:
    """Field and code of each."""
    return [(refusal.field, refusal.code) for refusal in refused.value.refusals]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amount": Decimal("2000.00")},
        {"interest_rate": Decimal("0.2")},
        {"interest_rate": Decimal("0.40")},
        {"installments": 6},
        {"installments": 24},
    ],
)
def test_both_ends_of_a_limit_belong_to_it(changes: dict[str, Any]) -> None:
    NARROW.check(replace(LOAN, **changes))


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"amount": Decimal("999.99")}, "amount", "This product takes 1000.00 to 2000.00."),
        ({"amount": Decimal("2000.01")}, "amount", "This product takes 1000.00 to 2000.00."),
        ({"interest_rate": Decimal("0.199999")}, "interest_rate", "This product takes 0.20 to 0.40."),
        ({"interest_rate": Decimal("0.400001")}, "interest_rate", "This product takes 0.20 to 0.40."),
        ({"installments": 5}, "installments", "This product takes 6 to 24."),
        ({"installments": 25}, "installments", "This product takes 6 to 24."),
    ],
)
def test_a_loan_outside_of_a_limit_is_refused_with_the_range(changes: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(TermsRefused) as refused:
        NARROW.check(replace(LOAN, **changes))
    assert refusals(refused) == [(field, f"{field}_outside_product")]
    assert refused.value.refusals[0].rule == rule


def test_a_limit_may_have_one_end_and_a_rate_of_zero_is_one() -> None:
    for limits, rule in (
        (Limits(min_amount=Decimal("1000.01")), "This product takes at least 1000.01."),
        (Limits(max_installments=11), "This product takes at most 11."),
        (Limits(max_rate=Decimal(0)), "This product takes at most 0."),
    ):
        with pytest.raises(TermsRefused) as refused:
            limits.check(LOAN)
        assert [refusal.rule for refusal in refused.value.refusals] == [rule]
    Limits().check(LOAN)
    Limits(max_rate=Decimal(0)).check(replace(LOAN, interest_rate=Decimal(0)))


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(max_rate=Decimal("10.1")), [("max_rate", "max_rate_out_of_range")]),
        (Limits(min_installments=0), [("min_installments", "min_installments_out_of_range")]),
        (Limits(max_installments=601), [("max_installments", "max_installments_out_of_range")]),
        (Limits(min_amount=Decimal(0)), [("min_amount", "min_amount_out_of_range")]),
        (Limits(min_amount=Decimal(2), max_amount=Decimal(1)), [("min_amount", "limits_reversed")]),
        (Limits(min_rate=Decimal("0.2"), max_rate=Decimal("0.1")), [("min_rate", "limits_reversed")]),
        (Limits(min_installments=3, max_installments=2), [("min_installments", "limits_reversed")]),
        (
            Limits(min_rate=Decimal(12), max_rate=Decimal(11)),
            [
                ("min_rate", "min_rate_out_of_range"),
                ("max_rate", "max_rate_out_of_range"),
                ("min_rate", "limits_reversed"),
            ],
        ),
    ],
)
def test_limits_that_no_loan_can_keep_are_refused(limits: Limits, found: list[tuple[str, str]]) -> None:
    with pytest.raises(TermsRefused) as refused:
        limits.check_themselves()
    assert refusals(refused) == found


def test_limits_whose_ends_meet_are_accepted() -> None:
    Limits(min_amount=Decimal(5), max_amount=Decimal(5), min_installments=1, max_installments=1).check_themselves()
    Limits().check_themselves()


@pytest.mark.parametrize(
    ("values", "limits", "found"),
    [
        ({"interest_rate": Decimal("0.5")}, NARROW, [("interest_rate", "interest_rate_outside_product")]),
        ({"installments": 25}, NARROW, [("installments", "installments_outside_product")]),
        ({"grace_principal": 12, "installments": 12}, Limits(), [("grace_principal", "grace_principal_out_of_range")]),
        ({"grace_principal": 24}, NARROW, [("grace_principal", "grace_principal_out_of_range")]),
        ({"opening_fee": OpeningFee(rate=Decimal("0.9"))}, Limits(), [("opening_fee", "opening_fee_takes_all")]),
        ({"opening_fee": OpeningFee(flat=Decimal(2000))}, NARROW, [("opening_fee", "opening_fee_takes_all")]),
        (
            {"vat_mode": VatMode.INSIDE_TOTAL, "amortization": Amortization.INTEREST_ONLY},
            Limits(),
            [("vat_mode", "vat_inside_not_level")],
        ),
        ({"early_days": -1}, Limits(), [("early_days", "early_days_out_of_range")]),
    ],
)
def test_terms_that_no_loan_within_the_limits_can_have_are_refused(
    values: dict[str, Any], limits: Limits, found: list[tuple[str, str]]
) -> None:
    with pytest.raises(TermsRefused) as refused:
        check_product(values, limits)
    assert refusals(refused) == found


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ({}, Limits()),
        ({}, NARROW),
        ({"grace_principal": 23}, NARROW),
        ({"grace_principal": 599}, Limits()),
        ({"opening_fee": OpeningFee(flat=Decimal("1700.00"))}, NARROW),
        ({"opening_fee": OpeningFee(flat=Decimal("50000.00"))}, Limits()),
        ({"opening_fee": OpeningFee(flat=Decimal("50000.00"), collection=FeeCollection.FINANCED)}, Limits()),
        ({"opening_fee": OpeningFee(rate=Decimal("0.1"), collection=FeeCollection.FINANCED)}, Limits()),
        ({"interest_rate": Decimal("0.3"), "installments": 12}, NARROW),
    ],
)
def test_terms_that_some_loan_within_the_limits_can_have_are_accepted(values: dict[str, Any], limits: Limits) -> None:
    check_product(values, limits)


@given(any_limits)
def test_stored_limits_give_the_same_limits_back(limits: Limits) -> None:
    stored = limits.sheet()
    assert stored.keys() == asdict(limits).keys()
    assert {type(value) for value in stored.values()} <= {str, int, type(None)}
    assert Limits.of(stored) == limits
