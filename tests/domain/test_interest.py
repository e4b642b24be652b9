"""Ordinary and moratory interest and VAT, against published figures."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from backend_api.domain.daycount import DayCount, YearPart
from backend_api.domain.due_dates import periods
from backend_api.domain.interest import accrued_interest, interest_of, moratory_interest, period_part
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import Frequency, FrequencyUnit, InterestPeriod, Terms
from backend_api.domain.vat import real_interest, vat_on

from tests.domain.published import MEXICO, Case

HALF_UP = Rounding.HALF_UP
DUE = date(2026, 1, 31)
MORATORY = [case for case in MEXICO["interest_and_moratory"] if case["id"].startswith("mora")]
ORDINARY = [case for case in MEXICO["interest_and_moratory"] if case["id"].startswith("ord")]


def terms(**changes: Any) -> Terms:
    """A loan of 12 months from 31 January 2026."""
    fields: dict[str, Any] = {
        "amount": Decimal(1000),
        "interest_rate": Decimal("0.36"),
        "installments": 12,
        "disbursed_on": DUE,
        **changes,
    }
    return Terms(**fields)


@pytest.mark.parametrize("case", MORATORY, ids=lambda case: case["id"])
def test_published_moratory_interest_agrees(case: Case) -> None:
    rate = Decimal(case["annual_rate_pct"]) / 100
    on = DUE + timedelta(days=case["days_late"])
    found = moratory_interest(Decimal(case["overdue_principal"]), rate, DUE, on, HALF_UP)
    assert f"{found}" == case["moratory_interest"]
    vat = vat_on(found, Decimal(case["iva_pct"]) / 100, HALF_UP)
    assert f"{vat}" == case["iva"]
    assert f"{found + vat}" == case["total"]


def test_moratory_interest_begins_the_day_after_the_due_date() -> None:
    principal, rate = Decimal("828.53"), Decimal("0.72")
    assert moratory_interest(principal, rate, DUE, DUE, HALF_UP) == 0
    assert moratory_interest(principal, rate, DUE, DUE - timedelta(days=30), HALF_UP) == 0
    assert moratory_interest(principal, rate, DUE, DUE + timedelta(days=1), HALF_UP) == Decimal("1.66")
    # Computed at once, not as ten rounded days.
    assert moratory_interest(principal, rate, DUE, DUE + timedelta(days=10), HALF_UP) == Decimal("16.57")


def test_the_moratory_rate_is_twice_the_rate_unless_agreed_otherwise() -> None:
    assert terms().yearly_moratory_rate == Decimal("0.72")
    assert terms(moratory_rate=Decimal("1.2")).yearly_moratory_rate == Decimal("1.2")
    assert terms(moratory_rate=Decimal(0)).yearly_moratory_rate == 0


@pytest.mark.parametrize("case", ORDINARY, ids=lambda case: case["id"])
def test_published_ordinary_interest_agrees(case: Case) -> None:
    part = YearPart(case["days"], case["year_basis"])
    found = interest_of(Decimal(case["principal"]), Decimal(case["annual_rate_pct"]) / 100, part, HALF_UP)
    assert f"{found}" == case["ordinary_interest"]


def test_half_a_cent_is_half_a_cent() -> None:
    # 30 x 7 % / 12 is exactly 17.5 cents; divided early it would be a little less.
    part = YearPart(30, 360)
    assert interest_of(Decimal(30), Decimal("0.07"), part, Rounding.HALF_UP) == Decimal("0.18")
    assert interest_of(Decimal(300) / 4, Decimal("0.07"), YearPart(6, 360), Rounding.HALF_EVEN) == Decimal("0.09")
    assert interest_of(Decimal(30) * 3, Decimal("0.07"), part, Rounding.HALF_EVEN) == Decimal("0.52")


@pytest.mark.parametrize(
    ("unit", "every", "count", "period", "part"),
    [
        ("month", 1, "actual/360", "daily", YearPart(28, 360)),
        ("month", 1, "30/360", "daily", YearPart(30, 360)),
        ("month", 2, "30/360", "daily", YearPart(60, 360)),
        ("month", 1, "actual/365", "same_as_period", YearPart(30, 360)),
        ("semimonth", 1, "actual/365", "same_as_period", YearPart(15, 360)),
        ("week", 2, "actual/365", "same_as_period", YearPart(14, 364)),
        ("week", 2, "30/360", "daily", YearPart(14, 360)),
        ("day", 6, "actual/365", "same_as_period", YearPart(6, 365)),
        ("day", 45, "30/360", "daily", YearPart(45, 360)),
    ],
)
def test_the_part_of_a_year_that_a_period_is(unit: str, every: int, count: str, period: str, part: YearPart) -> None:
    agreed = terms(
        frequency=Frequency(every, FrequencyUnit(unit)),
        day_count=DayCount(count),
        interest_period=InterestPeriod(period),
    )
    assert period_part(agreed, periods(agreed)[0]) == part


def test_interest_accrues_by_the_day_and_stops_with_the_last_due_date() -> None:
    agreed = terms(installments=2)
    all_periods = periods(agreed)

    def accrued(start: date, end: date) -> str:
        return f"{accrued_interest(agreed, all_periods, Decimal(1000), start, end)}"

    assert accrued(DUE, DUE) == "0.00"
    assert accrued(DUE, date(2026, 2, 1)) == "1.00"
    assert accrued(DUE, date(2026, 2, 28)) == "28.00"
    assert accrued(date(2026, 2, 20), date(2026, 3, 10)) == "18.00"
    assert accrued(DUE, date(2026, 3, 31)) == accrued(DUE, date(2027, 1, 1)) == "59.00"
    assert accrued(date(2027, 1, 1), date(2027, 2, 1)) == "0.00"
    with pytest.raises(ValueError, match="ends before it starts"):
        accrued(DUE, DUE - timedelta(days=1))


def test_in_a_month_of_thirty_days_a_clamped_due_date_still_ends_a_whole_month() -> None:
    agreed = terms(day_count=DayCount.THIRTY_360, installments=2)
    found = [
        f"{accrued_interest(agreed, periods(agreed), Decimal(1000), DUE, day)}"
        for day in (date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 30), date(2026, 3, 31))
    ]
    assert found == ["27.00", "30.00", "60.00", "60.00"]


def test_an_interest_free_period_accrues_nothing() -> None:
    agreed = terms(interest_free_periods=1)
    assert accrued_interest(agreed, periods(agreed), Decimal(1000), DUE, date(2026, 3, 1)) == Decimal("1.00")


def test_published_vat_agrees() -> None:
    nominal = next(case for case in MEXICO["iva"] if case["id"] == "iva-01")
    assert f"{vat_on(Decimal(nominal['interest']), Decimal('0.16'), HALF_UP)}" == nominal["iva"]
    real = next(case for case in MEXICO["iva"] if case["id"] == "iva-03")
    principal = Decimal(real["principal"])
    taxable = real_interest(principal * Decimal(real["period_rate"]), principal, Decimal(real["inflation"]), HALF_UP)
    assert f"{taxable}" == real["taxable_interest"]
    assert f"{vat_on(taxable, Decimal('0.16'), HALF_UP)}" == real["iva_16"]
    assert real_interest(Decimal("10.00"), principal, Decimal("0.01"), HALF_UP) == 0
