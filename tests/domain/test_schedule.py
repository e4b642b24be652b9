"""Schedules against published tables, and the rules that those tables do not show."""

from dataclasses import replace
from datetime import date
from decimal import Decimal, getcontext, localcontext
from typing import Any

import pytest
from backend_api.domain.daycount import DayCount
from backend_api.domain.due_dates import periods, rest_of
from backend_api.domain.money import MAX_MONEY
from backend_api.domain.rounding import Rounding
from backend_api.domain.schedule import Installment, installments, installments_at, schedule, totals
from backend_api.domain.terms import (
    Amortization,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    OpeningFee,
    Terms,
    TermsRefused,
    VatMode,
)

from tests.domain.published import MEXICO, SCHEDULES, Case, terms_of

THIRTY = {"interest_period": InterestPeriod.SAME_AS_PERIOD}


def terms(**changes: Any) -> Terms:
    """10 000 at 36 % in 12 equal months without VAT, unless said otherwise."""
    fields: dict[str, Any] = {
        "amount": Decimal(10000),
        "interest_rate": Decimal("0.36"),
        "installments": 12,
        "disbursed_on": date(2026, 1, 31),
        "vat_rate": Decimal(0),
        **changes,
    }
    return Terms(**fields)


def column(rows: tuple[Installment, ...], name: str) -> list[str]:
    """One column of a schedule as people read it."""
    return [f"{getattr(row, name)}" for row in rows]


def codes(**changes: Any) -> dict[str, str]:
    """Why these terms are refused: codes by field."""
    with pytest.raises(TermsRefused) as refused:
        schedule(terms(**changes))
    return {refusal.field: refusal.code for refusal in refused.value.refusals}


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: case["id"])
def test_a_published_schedule_agrees_to_the_cent(case: Case) -> None:
    found = [
        (row.number, row.due_on.isoformat(), row.principal, row.interest, row.total, row.balance)
        for row in schedule(terms_of(case))
    ]
    expected = [
        (row["n"], row["due_date"], row["principal"], row["interest"], row["total"], row["balance"])
        for row in case["expected"]
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("month_end", "day_count", "due", "principal", "interest"),
    [
        ("last_day", "actual/actual", "02-28 03-31 04-30", "3305.77 3329.59 3364.64", "92.05 68.23 33.19"),
        ("last_day", "30/360", "02-28 03-31 04-30", "3300.22 3333.22 3366.56", "100.00 67.00 33.67"),
        ("next_month_first", "actual/actual", "03-01 03-31 05-01", "3303.22 3332.51 3364.27", "95.34 66.05 34.29"),
        ("next_month_first", "30/360", "03-01 03-31 05-01", "3300.22 3333.22 3366.56", "100.00 67.00 33.67"),
    ],
)
def test_the_published_month_end_strategies_agree(
    month_end: str, day_count: str, due: str, principal: str, interest: str
) -> None:
    rows = schedule(
        terms(
            interest_rate=Decimal("0.12"),
            installments=3,
            disbursed_on=date(2025, 1, 31),
            month_end=MonthEnd(month_end),
            day_count=DayCount(day_count),
            rounding=Rounding.HALF_EVEN,
        )
    )
    assert [f"{row.due_on:%m-%d}" for row in rows] == due.split()
    assert column(rows, "principal") == principal.split()
    assert column(rows, "interest") == interest.split()


def amortization(name: str) -> Case:
    """A published example of amortization."""
    found: Case = next(case for case in MEXICO["amortization"] if case["id"] == name)
    return found


@pytest.mark.parametrize(
    ("name", "amount", "rate", "months"),
    [("am-05", "300997.13", "0.11", 180), ("am-07", "5000", "0.38", 6), ("am-01", "200000", "0.075", 180)],
)
def test_the_level_payment_agrees(name: str, amount: str, rate: str, months: int) -> None:
    case = amortization(name)
    level = Decimal(case["level_payment"]) if "level_payment" in case else -case["expected"]
    rows = schedule(terms(amount=Decimal(amount), interest_rate=Decimal(rate), installments=months, **THIRTY))
    assert rows[0].total == Rounding.HALF_UP.cents(level)


def test_actual_days_over_360_agree() -> None:
    case = amortization("am-10")
    dates = terms(amount=Decimal(5000), interest_rate=Decimal("0.38"), installments=6, disbursed_on=date(2026, 4, 1))
    # Its months have 30, 30, 31, 30, 31 and 31 days, an order that no calendar has: the periods are cut to it.
    start, rows = dates.disbursed_on, []
    for period, days in zip(periods(dates), case["days"], strict=True):
        due = date.fromordinal(start.toordinal() + days)
        rows.append(replace(period, starts_on=start, accrues_from=start, due_on=due))
        start = due
    found = installments(Decimal(5000), rows, dates)
    for name in ("principal", "interest", "balance"):
        assert column(found, name) == [row[name] for row in case["rows"]]
    assert column(found, "total") == [row["payment"] for row in case["rows"]]


def test_vat_inside_the_level_total_agrees() -> None:
    case = amortization("am-12")
    rows = schedule(terms(vat_rate=Decimal("0.16"), vat_mode=VatMode.INSIDE_TOTAL, **THIRTY))
    expected = [(row["principal"], row["interest"], row["iva"], row["total"]) for row in case["rows"]]
    found = list(zip(*(column(rows, name) for name in ("principal", "interest", "vat", "total")), strict=True))
    assert found == expected
    sums = totals(rows)
    assert [f"{sums.interest}", f"{sums.vat}", f"{sums.total}"] == [
        case["total_interest"], case["total_iva"], case["total_paid"]
    ]  # fmt: skip


def test_vat_on_top_leaves_principal_and_interest_as_they_are() -> None:
    without, with_vat = schedule(terms(**THIRTY)), schedule(terms(vat_rate=Decimal("0.16"), **THIRTY))
    assert [(row.principal, row.interest) for row in without] == [(row.principal, row.interest) for row in with_vat]
    assert (f"{totals(with_vat).vat}", f"{totals(with_vat).total}") == ("328.86", "12384.31")


def test_after_an_early_payment_the_rest_is_made_anew_with_a_smaller_installment() -> None:
    case = amortization("am-14")
    agreed = terms(**THIRTY)
    before = schedule(agreed)
    assert f"{before[2].balance}" == case["balance_before_prepayment"]
    rest = rest_of(periods(agreed), before[2].due_on)
    rows = installments(Decimal(case["balance_after_prepayment"]), rest, agreed)
    expected = [(row["n"], row["principal"], row["interest"], row["total"]) for row in case["rows"]]
    assert [(row.number, f"{row.principal}", f"{row.interest}", f"{row.total}") for row in rows] == expected
    assert f"{totals(rows).interest}" == case["interest_after_prepayment"]


def test_or_with_the_same_installment_and_fewer_of_them() -> None:
    agreed = terms(**THIRTY)
    rest = rest_of(periods(agreed), schedule(agreed)[2].due_on)
    rows = installments_at(Decimal("1004.62"), Decimal("5822.09"), rest, agreed)
    assert column(rows, "total") == ["1004.62"] * 6 + ["467.19"]
    assert f"{totals(rows).interest}" == "672.82"


def test_an_installment_too_small_for_the_rest_is_refused() -> None:
    agreed = terms(**THIRTY)
    with pytest.raises(TermsRefused):
        installments_at(Decimal("600.00"), Decimal(10000), periods(agreed), agreed)


def test_a_rest_in_the_middle_of_a_period_bears_interest_for_its_days_only() -> None:
    agreed = terms(day_count=DayCount.ACTUAL_360)
    rest = rest_of(periods(agreed), date(2026, 2, 10))
    assert [period.number for period in rest] == list(range(1, 13))
    assert installments(Decimal(10000), rest, agreed)[0].interest == Decimal("180.00")


def test_equal_principal_declines_and_ignores_the_multiple() -> None:
    rows = schedule(
        terms(
            amount=Decimal(2_000_000),
            interest_rate=Decimal("0.12"),
            installments=36,
            amortization=Amortization.EQUAL_PRINCIPAL,
            installment_multiple=Decimal(100),
            **THIRTY,
        )
    )
    assert f"{rows[0].total}" == "75555.56"
    assert abs(totals(rows[:12]).interest - Decimal("203333.33")) <= Decimal("0.05")


def test_interest_only_repays_all_with_the_last_row() -> None:
    rows = schedule(terms(amortization=Amortization.INTEREST_ONLY, **THIRTY))
    assert column(rows, "total") == ["300.00"] * 11 + ["10300.00"]
    assert {row.balance for row in rows[:-1]} == {Decimal(10000)}


def test_grace_on_principal_grace_on_interest_payment_and_interest_free_periods_are_three_things() -> None:
    rows = schedule(terms(grace_principal=2, **THIRTY))
    assert column(rows[:3], "principal") == ["0.00", "0.00", "872.31"]
    rows = schedule(terms(grace_interest_payment=2, **THIRTY))
    assert column(rows[:3], "interest") == ["0.00", "0.00", "835.95"]
    assert totals(rows).interest == totals(schedule(terms(**THIRTY))).interest
    rows = schedule(terms(interest_free_periods=2, **THIRTY))
    assert column(rows[:3], "interest")[:2] == ["0.00", "0.00"]
    assert rows[2].interest == Rounding.HALF_UP.cents(rows[1].balance * Decimal("0.03"))
    assert len({row.total for row in rows[:-1]}) == 1


def test_flat_interest_is_charged_on_the_original_principal() -> None:
    rows = schedule(terms(interest_method=InterestMethod.FLAT, **THIRTY))
    assert {row.interest for row in rows} == {Decimal("300.00")}
    assert column(rows, "total") == ["1133.33"] * 11 + ["1133.37"]


def test_flat_and_declining_by_the_day_differ_from_equal_periods() -> None:
    daily = schedule(terms(interest_method=InterestMethod.FLAT))
    assert f"{daily[0].interest}" == "280.00"
    assert totals(daily).interest == Decimal(3650)


def test_semimonthly_rows_bear_half_a_month_of_interest() -> None:
    rows = schedule(terms(frequency=Frequency(1, FrequencyUnit.SEMIMONTH), installments=4, **THIRTY))
    assert [f"{row.due_on}" for row in rows] == ["2026-02-15", "2026-02-28", "2026-03-15", "2026-03-31"]
    assert f"{rows[0].interest}" == "150.00"


def test_a_longer_first_period_bears_more_interest() -> None:
    rows = schedule(terms(first_due_on=date(2026, 3, 15), day_count=DayCount.THIRTY_360))
    assert [f"{row.due_on}" for row in rows[:3]] == ["2026-03-15", "2026-04-15", "2026-05-15"]
    assert f"{rows[0].interest}" == "450.00"
    assert len({row.total for row in rows[:-1]}) == 1


def test_a_first_period_whose_interest_exceeds_the_installment_pushes_interest_forward() -> None:
    rows = schedule(terms(first_due_on=date(2028, 1, 31), interest_rate=Decimal("0.15")))
    assert rows[0].principal == 0
    assert rows[0].interest == rows[0].total == rows[1].total
    assert rows[1].principal == 0
    charged = totals(rows).interest
    assert charged > Decimal(10000) * Decimal("0.15") * 2


def test_a_financed_fee_is_repaid_with_the_principal_and_a_deducted_one_is_not() -> None:
    fee = OpeningFee(rate=Decimal("0.03"), collection=FeeCollection.FINANCED)
    financed = terms(opening_fee=fee, vat_rate=Decimal("0.16"))
    assert (financed.principal, financed.handed_over) == (Decimal("10348.00"), Decimal(10000))
    assert totals(schedule(financed)).principal == Decimal("10348.00")
    deducted = replace(financed, opening_fee=replace(fee, collection=FeeCollection.DEDUCTED))
    assert (deducted.principal, deducted.handed_over) == (Decimal(10000), Decimal("9652.00"))
    assert totals(schedule(deducted)).principal == Decimal(10000)


def test_a_level_that_would_repay_too_early_takes_a_cent_less() -> None:
    rows = schedule(terms(amount=Decimal(1000), interest_rate=Decimal(0), installments=600))
    assert {row.total for row in rows[:-1]} == {Decimal("1.66")}
    assert rows[-1].total == Decimal("5.66")
    flat = schedule(
        terms(amount=Decimal(1000), interest_rate=Decimal(0), installments=600, interest_method=InterestMethod.FLAT)
    )
    assert column(flat, "total") == column(rows, "total")
    equal = schedule(
        terms(
            amount=Decimal(1000),
            interest_rate=Decimal(0),
            installments=600,
            amortization=Amortization.EQUAL_PRINCIPAL,
        )
    )
    assert column(equal, "total") == column(rows, "total")


@pytest.mark.parametrize(("mode", "amount"), [(VatMode.ON_TOP, 1000), (VatMode.INSIDE_TOTAL, 5000)])
def test_where_equal_cents_cannot_repay_the_rows_differ_by_a_few(mode: VatMode, amount: int) -> None:
    """12.50 a month is the interest of 1000 alone; with 12.51 the loan would be repaid years too early."""
    agreed = terms(
        amount=Decimal(amount),
        interest_rate=Decimal("0.15"),
        installments=600,
        vat_rate=Decimal("0.16") if mode is VatMode.INSIDE_TOTAL else Decimal(0),
        vat_mode=mode,
        **THIRTY,
    )
    rows = schedule(agreed)
    found = {row.total for row in rows}
    assert 0 < max(found) - min(found) <= Decimal("0.03")
    assert totals(rows).principal == amount
    by_the_day = schedule(replace(agreed, interest_period=InterestPeriod.DAILY))
    assert all(row.principal >= 0 for row in (*rows, *by_the_day))
    assert min(row.total for row in by_the_day) > 0


def test_a_loan_of_fewer_cents_than_installments_is_repaid_all_the_same() -> None:
    rows = schedule(terms(amount=Decimal("0.05"), interest_rate=Decimal(0), installments=12))
    assert totals(rows).principal == Decimal("0.05")
    assert rows[-1].balance == 0


@pytest.mark.parametrize("mode", VatMode)
def test_a_loan_of_fifty_years_by_the_day_still_amortizes(mode: VatMode) -> None:
    rows = schedule(
        terms(
            amount=Decimal(50000),
            interest_rate=Decimal("0.15"),
            installments=600,
            vat_rate=Decimal("0.16"),
            vat_mode=mode,
        )
    )
    assert all(row.principal >= 0 for row in rows)
    assert 0 < rows[-1].total <= 2 * rows[-2].total


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"interest_rate": Decimal(10), "installments": 600}, "installments"),
        ({"interest_rate": Decimal("0.36"), "installments": 600, **THIRTY}, "installments"),
        ({"interest_rate": Decimal("0.36"), "installments": 600}, "installments"),
        ({"installment_multiple": Decimal(5000)}, "installment_multiple"),
        ({"installment_multiple": Decimal(5000), "interest_rate": Decimal(0)}, "installment_multiple"),
        ({"installment_multiple": Decimal(300), "amount": Decimal(9900), "installments": 60}, "installment_multiple"),
    ],
)
def test_an_installment_that_never_amortizes_is_refused(changes: dict[str, Any], field: str) -> None:
    assert codes(**changes) == {field: "installment_never_amortizes"}


def test_an_installment_larger_than_money_can_be_is_refused() -> None:
    assert codes(amount=MAX_MONEY, installments=1) == {"amount": "installment_out_of_range"}


def test_nothing_depends_on_the_context_of_the_thread() -> None:
    expected = schedule(terms())
    with localcontext() as context:
        context.prec = 5
        context.rounding = "ROUND_UP"
        assert schedule(terms()) == expected
        assert getcontext().prec == 5
