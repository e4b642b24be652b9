"""What holds for every schedule, whatever its terms (see `conftest` for how many are tried)."""

import itertools
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from backend_api.domain.cat import cat
from backend_api.domain.daycount import DayCount
from backend_api.domain.due_dates import periods, rest_of
from backend_api.domain.interest import accrued_interest
from backend_api.domain.money import CENT
from backend_api.domain.rounding import Rounding
from backend_api.domain.schedule import Installment, installments, schedule, totals
from backend_api.domain.terms import (
    MAX_INSTALLMENTS,
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
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

MONTHLY = {
    "frequency": Frequency(),
    "first_due_on": None,
    "interest_period": InterestPeriod.SAME_AS_PERIOD,
    "interest_free_periods": 0,
    "grace_interest_payment": 0,
    "opening_fee": OpeningFee(),
}

amounts = st.decimals(min_value=Decimal(1000), max_value=Decimal(5_000_000), places=2)
rates = st.decimals(min_value=0, max_value=Decimal("0.9"), places=4)
days = st.dates(min_value=date(1990, 1, 1), max_value=date(2060, 12, 31))


@st.composite
def terms(draw: st.DrawFn, /, **fixed: Any) -> Terms:
    """Possible terms of any kind, for up to 600 installments; `fixed` ones are as given."""
    count = fixed.get("installments") or draw(st.integers(1, MAX_INSTALLMENTS) | st.integers(1, 48))
    disbursed_on = draw(days)
    fields: dict[str, Any] = {
        "amount": draw(amounts),
        "interest_rate": draw(rates),
        "installments": count,
        "disbursed_on": disbursed_on,
        "first_due_on": draw(st.none() | st.dates(date(2061, 1, 1), date(2061, 12, 31))) if count < 60 else None,
        "frequency": Frequency(draw(st.integers(1, 3)), draw(st.sampled_from(FrequencyUnit))),
        "amortization": draw(st.sampled_from(Amortization)),
        "interest_method": draw(st.sampled_from(InterestMethod)),
        "interest_period": draw(st.sampled_from(InterestPeriod)),
        "day_count": draw(st.sampled_from(DayCount)),
        "grace_principal": draw(st.integers(0, min(6, count - 1))),
        "grace_interest_payment": draw(st.integers(0, min(6, count - 1))),
        "interest_free_periods": draw(st.integers(0, min(6, count))),
        "month_end": draw(st.sampled_from(MonthEnd)),
        "vat_rate": draw(st.sampled_from([Decimal(0), Decimal("0.08"), Decimal("0.16")])),
        "opening_fee": OpeningFee(
            rate=draw(st.decimals(0, Decimal("0.1"), places=3)), collection=draw(st.sampled_from(FeeCollection))
        ),
        "rounding": draw(st.sampled_from(Rounding)),
        **fixed,
    }
    if fields["first_due_on"] is not None:
        # A first period of up to three months, on a day that every frequency has.
        due = disbursed_on.replace(day=15)
        month = due.month + fields["first_due_on"].month % 3 + 1
        fields["first_due_on"] = due.replace(year=due.year + (month > 12), month=(month - 1) % 12 + 1)
    return Terms(**fields)


def schedule_or_skip(possible: Terms) -> tuple[Installment, ...]:
    """The schedule; terms that cannot be paid in equal whole cents are another test's matter."""
    try:
        return schedule(possible)
    except TermsRefused as refused:
        assert [refusal.code for refusal in refused.refusals] == ["installment_never_amortizes"]  # noqa: PT017 - it is no other
        assume(False)
        raise


@given(terms())
def test_rows_sum_to_the_principal_and_nothing_is_negative(possible: Terms) -> None:
    rows = schedule_or_skip(possible)
    assert [row.number for row in rows] == list(range(1, possible.installments + 1))
    assert sum(row.principal for row in rows) == possible.principal
    assert rows[-1].balance == 0
    balance = possible.principal
    for row in rows:
        balance -= row.principal
        assert row.balance == balance
        assert row.total == row.principal + row.interest + row.vat + row.fees
        assert min(row.principal, row.interest, row.vat, row.fees, row.balance) >= 0
        for part in (row.principal, row.interest, row.vat, row.fees, row.balance):
            assert part.as_tuple().exponent == -2 or part == part.quantize(Decimal("0.01"))
        assert row.vat == possible.rounding.cents(row.interest * possible.vat_rate)
    assert totals(rows).total == sum(row.total for row in rows)


@given(terms())
def test_due_dates_strictly_increase_after_the_disbursement(possible: Terms) -> None:
    due = [possible.disbursed_on, *(period.due_on for period in periods(possible))]
    assert all(earlier < later for earlier, later in itertools.pairwise(due))


@pytest.mark.parametrize(("turn", "unit"), list(enumerate(FrequencyUnit)))
def test_rows_sum_to_the_amount_for_every_term(turn: int, unit: FrequencyUnit) -> None:
    """Every term from 1 to 600; with few examples the frequencies take turns, with many each has all of them."""
    first, step = (1, 1) if settings().max_examples > 1000 else (1 + turn, len(FrequencyUnit))
    for count in range(first, MAX_INSTALLMENTS + 1, step):
        agreed = Terms(
            amount=Decimal("123456.78"),
            interest_rate=Decimal("0.12"),
            installments=count,
            disbursed_on=date(2024, 1, 31),
            frequency=Frequency(1, unit),
        )
        rows = schedule(agreed)
        assert len(rows) == count
        assert sum(row.principal for row in rows) == agreed.amount
        assert min(row.principal for row in rows) >= 0
        assert rows[-1].balance == 0


def spread(rows: tuple[Installment, ...]) -> Decimal:
    """By how much the totals of a schedule's rows differ, the last one left out."""
    found = [row.total for row in rows[:-1]] or [Decimal(0)]
    return max(found) - min(found)


LEVEL = {
    "amortization": Amortization.EQUAL_INSTALLMENTS,
    "grace_principal": 0,
    "grace_interest_payment": 0,
    "interest_free_periods": 0,
    "first_due_on": None,
}


@given(
    terms(**LEVEL, interest_method=InterestMethod.DECLINING, vat_rate=Decimal(0))
    | terms(**LEVEL, vat_mode=VatMode.INSIDE_TOTAL),
    st.integers(1, 60),
)
def test_installments_are_level_but_for_the_last(possible: Terms, count: int) -> None:
    usual = replace(possible, installments=count, interest_rate=possible.interest_rate / 2, frequency=Frequency())
    # A cent where VAT inside the total leaves one over of the largest interest that fits.
    assert spread(schedule(usual)) <= (CENT if usual.vat_mode is VatMode.INSIDE_TOTAL else 0)


@given(
    terms(
        **LEVEL,
        interest_method=InterestMethod.DECLINING,
        interest_period=InterestPeriod.SAME_AS_PERIOD,
        day_count=DayCount.ACTUAL_360,
    )
)
def test_however_long_a_loan_its_installments_differ_by_cents_only(possible: Terms) -> None:
    untaxed = replace(possible, vat_rate=Decimal(0))
    assert spread(schedule_or_skip(untaxed)) <= 2 * CENT
    assert spread(schedule_or_skip(replace(possible, vat_mode=VatMode.INSIDE_TOTAL))) <= 4 * CENT


@given(terms(**MONTHLY, interest_method=InterestMethod.DECLINING))
@example(
    Terms(
        amount=Decimal(10000),
        interest_rate=Decimal("0.36"),
        installments=12,
        disbursed_on=date(2026, 1, 31),
        interest_period=InterestPeriod.SAME_AS_PERIOD,
    )
)
def test_the_cat_of_a_monthly_loan_without_fees_is_its_compounded_rate(possible: Terms) -> None:
    assume(possible.installments <= 120 and possible.interest_rate <= Decimal("0.6"))
    schedule_or_skip(possible)
    exact = ((1 + possible.interest_rate / 12) ** 12 - 1) * 100
    # Cents move the cost of a small loan by less than half a tenth.
    assert abs(cat(possible).percent - exact) <= Decimal("0.1")


@given(terms(installments=12, interest_free_periods=0), st.sampled_from([Decimal("0.08"), Decimal("0.16")]))
def test_the_cat_does_not_change_with_vat_and_rises_with_a_fee(possible: Terms, vat_rate: Decimal) -> None:
    fields = {name: getattr(possible, name) for name in Terms.__dataclass_fields__}
    schedule_or_skip(possible)
    assert cat(Terms(**fields | {"vat_rate": vat_rate})) == cat(possible)
    without = cat(Terms(**fields | {"opening_fee": OpeningFee()}))
    dearer = cat(Terms(**fields | {"opening_fee": OpeningFee(rate=Decimal("0.2"))}))
    assert dearer.percent > without.percent


@given(terms(interest_method=InterestMethod.DECLINING), st.integers(1, 600), st.decimals(1000, 90000, places=2))
def test_the_rest_of_a_schedule_can_be_made_anew_from_any_balance(possible: Terms, paid: int, balance: Decimal) -> None:
    schedule_or_skip(possible)
    rest = periods(possible)[min(paid, possible.installments - 1) :]
    try:
        rows = installments(balance, rest, possible)
    except TermsRefused:
        assume(False)
    assert sum(row.principal for row in rows) == balance
    assert [row.due_on for row in rows] == [period.due_on for period in rest]


@given(terms(), st.tuples(st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 4000)))
def test_interest_accrues_in_pieces_as_it_does_in_one(possible: Terms, cuts: tuple[int, int, int]) -> None:
    all_periods = periods(possible)
    balance = Decimal(10**9)
    first, middle, last = (possible.disbursed_on + timedelta(days=cut) for cut in sorted(cuts))
    pieces = [
        accrued_interest(possible, all_periods, balance, start, end) for start, end in ((first, middle), (middle, last))
    ]
    whole = accrued_interest(possible, all_periods, balance, first, last)
    assert abs(whole - sum(pieces)) <= Decimal("0.02"), "each piece is rounded"


@given(terms(grace_principal=0, grace_interest_payment=0, vat_rate=Decimal(0)))
def test_interest_accrued_to_the_due_date_is_that_of_the_row(possible: Terms) -> None:
    all_periods = periods(possible)
    balance = Decimal(10**6)
    for period in all_periods[:3]:
        accrued = accrued_interest(possible, all_periods, balance, period.starts_on, period.due_on)
        assert accrued == installments(balance, [period], possible)[0].interest
        assert rest_of(all_periods, period.starts_on)[0] == period
