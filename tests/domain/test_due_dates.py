"""Due dates: anchors, month ends, halves of months, and where the calendar of the books ends."""

from datetime import date

import pytest
from backend_api.domain.due_dates import periods, rest_of
from backend_api.domain.terms import Frequency, FrequencyUnit, MonthEnd, Terms, TermsRefused

from tests.domain.published import MEXICO


def due(disbursed_on: str, count: int, every: int = 1, unit: str = "month", **changes: object) -> list[str]:
    """Due dates as people write them."""
    return [f"{period.due_on}" for period in periods(terms(disbursed_on, count, every, unit, **changes))]


def terms(disbursed_on: str, count: int, every: int = 1, unit: str = "month", **changes: object) -> Terms:
    """A loan with these due dates."""
    return Terms(
        amount=1000,  # type: ignore[arg-type]  # dates do not look at it
        interest_rate=0,  # type: ignore[arg-type]  # nor at this
        installments=count,
        disbursed_on=date.fromisoformat(disbursed_on),
        frequency=Frequency(every, FrequencyUnit(unit)),
        **changes,  # type: ignore[arg-type]  # each test knows what it changes
    )


def test_the_anchor_day_is_kept() -> None:
    published = next(case for case in MEXICO["days_past_due"] if case["id"] == "dpd-07")
    first, *others = published["due_dates"]
    assert due(first, 3) == others
    assert due("2025-12-31", 4, first_due_on=date(2026, 1, 31)) == published["due_dates"]
    assert due("2023-11-30", 4) == ["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]


def test_a_month_without_the_day_may_lead_into_the_next() -> None:
    found = due("2026-01-31", 4, month_end=MonthEnd.NEXT_MONTH_FIRST)
    assert found == ["2026-03-01", "2026-03-31", "2026-05-01", "2026-05-31"]
    assert due("2026-11-30", 3, month_end=MonthEnd.NEXT_MONTH_FIRST) == ["2026-12-30", "2027-01-30", "2027-03-01"]


def test_days_weeks_and_several_months() -> None:
    assert due("2024-02-20", 3, 14, "day") == ["2024-03-05", "2024-03-19", "2024-04-02"]
    assert due("2024-02-20", 2, 2, "week") == ["2024-03-05", "2024-03-19"]
    assert due("2026-08-31", 3, 3) == ["2026-11-30", "2027-02-28", "2027-05-31"]


@pytest.mark.parametrize(
    ("disbursed_on", "expected"),
    [
        ("2026-01-01", ["2026-01-15", "2026-01-31", "2026-02-15", "2026-02-28"]),
        ("2026-01-15", ["2026-01-31", "2026-02-15", "2026-02-28", "2026-03-15"]),
        ("2026-01-20", ["2026-01-31", "2026-02-15", "2026-02-28", "2026-03-15"]),
        ("2023-12-31", ["2024-01-15", "2024-01-31", "2024-02-15", "2024-02-29"]),
    ],
)
def test_halves_of_months_end_on_the_15th_and_the_last_day(disbursed_on: str, expected: list[str]) -> None:
    assert due(disbursed_on, 4, unit="semimonth") == expected
    assert due(disbursed_on, 2, 2, unit="semimonth") == expected[1::2]
    assert due(disbursed_on, 3, unit="semimonth", first_due_on=date.fromisoformat(expected[1])) == expected[1:]


def test_a_first_due_date_of_its_own_is_the_new_anchor() -> None:
    assert due("2026-01-31", 3, first_due_on=date(2026, 3, 15)) == ["2026-03-15", "2026-04-15", "2026-05-15"]
    assert due("2026-01-31", 3, first_due_on=date(2026, 2, 28)) == ["2026-02-28", "2026-03-31", "2026-04-30"]


def test_a_first_period_of_another_length_is_not_regular() -> None:
    assert [period.regular for period in periods(terms("2026-01-31", 2))] == [True, True]
    assert [period.regular for period in periods(terms("2026-01-31", 2, first_due_on=date(2026, 3, 1)))] == [
        False,
        True,
    ]
    assert periods(terms("2026-01-15", 1, unit="semimonth"))[0].regular
    assert not periods(terms("2026-01-10", 1, unit="semimonth"))[0].regular


def test_the_rest_after_a_day_begins_on_it() -> None:
    all_periods = periods(terms("2026-01-31", 3))
    assert rest_of(all_periods, date(2026, 1, 31)) == all_periods
    assert rest_of(all_periods, date(2026, 2, 28)) == all_periods[1:]
    rest = rest_of(all_periods, date(2026, 3, 5))
    assert [(period.number, period.starts_on, period.accrues_from) for period in rest] == [
        (2, date(2026, 2, 28), date(2026, 3, 5)),
        (3, date(2026, 3, 31), date(2026, 3, 31)),
    ]
    assert rest_of(all_periods, date(2026, 4, 30)) == ()


@pytest.mark.parametrize(
    ("disbursed_on", "count", "every", "unit"),
    [
        ("2200-12-01", 1, 1, "month"),
        ("2026-01-31", 600, 366, "month"),
        ("2026-01-31", 600, 366, "week"),
        ("2199-12-31", 400, 1, "day"),
        ("2200-12-31", 1, 1, "semimonth"),
    ],
)
def test_due_dates_after_the_year_2200_are_refused(disbursed_on: str, count: int, every: int, unit: str) -> None:
    with pytest.raises(TermsRefused) as refused:
        due(disbursed_on, count, every, unit)
    assert [refusal.field for refusal in refused.value.refusals] == ["installments"]


def test_the_last_day_of_the_books_is_a_due_date() -> None:
    assert due("2200-11-30", 1, month_end=MonthEnd.LAST_DAY) == ["2200-12-30"]
    assert due("2200-12-15", 1, unit="semimonth") == ["2200-12-31"]
