"""The rules of a loan's account one by one, with figures worked out by hand."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from backend_api.domain import delinquency
from backend_api.domain.account import (
    Account,
    Movement,
    MovementKind,
    MovementRefused,
    Split,
    apply,
    replay,
)
from backend_api.domain.daycount import DayCount
from backend_api.domain.money import ZERO
from backend_api.domain.terms import (
    DEFAULT_WATERFALL,
    Amortization,
    Bucket,
    BusinessDays,
    ExcessPolicy,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    Terms,
    VatMode,
)

from tests.domain.published import MEXICO, Case

START = date(2026, 1, 15)
FIRST_DUE, SECOND_DUE, THIRD_DUE = date(2026, 2, 15), date(2026, 3, 15), date(2026, 4, 15)
VAT_FIRST = (Bucket.VAT, *DEFAULT_WATERFALL)
MORATORY_CASES = [case for case in MEXICO["interest_and_moratory"] if case["id"].startswith("mora")]
BY_ID: dict[str, Case] = {
    case["id"]: case for section in MEXICO.values() if isinstance(section, list) for case in section
}


def opened(**changes: Any) -> Account:
    """10 000 at 36 % in 12 equal months of 30 days, VAT of 16 % on top; changed as named.

    1 % of interest a month is 100.00. Its first installments are 1 052.62 (704.62 + 300.00 + 48.00 VAT) on 15 February
    and 1 049.24 (725.76 + 278.86 + 44.62) on 15 March.
    """
    fields: dict[str, Any] = {
        "amount": Decimal(10000),
        "interest_rate": Decimal("0.36"),
        "installments": 12,
        "disbursed_on": START,
        "interest_period": InterestPeriod.SAME_AS_PERIOD,
        **changes,
    }
    return Account.opened(Terms(**fields))


def moved(
    account: Account, kind: MovementKind, day: date, amount: str | Decimal = ZERO, concept: Bucket | None = None
) -> tuple[Account, Split]:
    """The account after one movement, and its split."""
    return apply(account, Movement(UUID(int=1), kind, day, 1, Decimal(amount), concept))


def paid(account: Account, day: date, amount: str | Decimal) -> tuple[Account, Split]:
    """The account after a payment, and its split."""
    return moved(account, MovementKind.PAYMENT, day, amount)


def paid_on_time(account: Account, count: int) -> Account:
    """The account after so many installments, each paid on its day."""
    for row in account.rows[:count]:
        account, _ = paid(account, row.due_on, row.open)
    return account


def split(**parts: str) -> Split:
    """A split; parts that are not named are zero."""
    return Split(**{name: Decimal(amount) for name, amount in parts.items()})


def installments_open(account: Account) -> list[str]:
    """What each installment that is not paid yet comes to."""
    return [str(row.open) for row in account.rows if row.open]


def payoff(account: Account, day: date) -> Decimal:
    return account.position(day).payoff_amount


# The life of a loan that is paid as agreed.


def test_on_the_day_of_disbursement_all_is_principal() -> None:
    account = opened()
    assert payoff(account, START) == Decimal("10000.00")
    account, first = paid(account, START, "1052.62")
    assert first == split(principal="1052.62")
    assert account.principal == Decimal("8947.38")
    # Nothing of it counts as the installment, even when that is due within the early days, or paid in advance.
    for changes in ({"early_days": 366}, {"excess": ExcessPolicy.ADVANCE}):
        assert paid(opened(**changes), START, "1052.62")[1] == split(principal="1052.62")


def test_what_is_due_today_is_due_but_not_late() -> None:
    position = opened().position(FIRST_DUE)
    assert position.due == split(principal="704.62", interest="300.00", vat="48.00")
    assert (position.current_balance, position.payoff_amount) == (Decimal("10000.00"), Decimal("10348.00"))
    assert (position.days_past_due, position.next_due_on) == (0, SECOND_DUE)
    assert position.next_due_total == Decimal("1049.24")
    assert opened().position(FIRST_DUE + timedelta(days=1)).days_past_due == 1


def test_days_past_due_count_from_the_oldest_unpaid_installment() -> None:
    day = THIRD_DUE + timedelta(days=5)
    assert opened().position(day).days_past_due == (day - FIRST_DUE).days
    # The first one paid, with the moratory interest that it bore: the second is the oldest.
    caught_up, _ = paid(opened(), SECOND_DUE, opened().position(SECOND_DUE).due.total)
    assert caught_up.position(day).days_past_due == 5


# The waterfall.


def test_a_part_payment_goes_to_moratory_interest_and_principal_each_with_its_vat() -> None:
    day = FIRST_DUE + timedelta(days=10)
    account, first = paid(opened(), day, "200.00")
    # Moratory: 704.62 x 0.72 / 360 x 10 = 14.09, VAT 2.25. Left 183.66 for interest of 300.00 and VAT of 48.00:
    # VAT 183.66 x 48 / 348 = 25.33, interest 158.33.
    assert first == split(moratory="14.09", interest="158.33", vat="27.58")
    account, second = paid(account, day, "164.34")
    # The last part takes the rest: 300.00 - 158.33 and 48.00 - 25.33.
    assert second == split(interest="141.67", vat="22.67")
    _, third = paid(account, day, "704.62")
    assert third == split(principal="704.62")


def test_vat_before_all_else_as_published() -> None:
    case = BY_ID["wf-01"]
    # 704.62 overdue for ten days at 84.66 %: 16.57 of moratory interest, and 2.65 of VAT to the 48.00.
    account = opened(waterfall=VAT_FIRST, moratory_rate=Decimal("0.8466"))
    day = FIRST_DUE + timedelta(days=10)
    due = account.position(day).due
    assert due == split(
        vat=case["due"]["iva"],
        moratory=case["due"]["moratory_interest"],
        interest=case["due"]["ordinary_interest"],
        principal=case["due"]["overdue_principal"],
    )
    account, found = paid(account, day, case["payment"])
    applied = case["applied"]
    assert found == split(
        vat=applied["iva"], moratory=applied["moratory_interest"], interest=applied["ordinary_interest"]
    )
    left = account.position(day).due
    assert left == split(
        interest=case["remaining"]["ordinary_interest"], principal=case["remaining"]["overdue_principal"]
    )


def test_where_vat_is_a_bucket_no_other_bucket_takes_any() -> None:
    late_vat = (Bucket.INTEREST, Bucket.PRINCIPAL, Bucket.FEES, Bucket.MORATORY, Bucket.VAT)
    account, first = paid(opened(waterfall=late_vat), FIRST_DUE, "350.00")
    assert first == split(interest="300.00", principal="50.00")
    _, second = paid(account, FIRST_DUE, "702.62")
    assert second == split(principal="654.62", vat="48.00")


def test_the_oldest_installment_is_finished_before_the_next() -> None:
    account = opened(moratory_rate=Decimal(0))
    _, found = paid(account, SECOND_DUE, "1352.62")
    # 1 052.62 for the first; 300.00 of the second: 300 x 44.62 / 323.48 = 41.38 VAT, 258.62 interest.
    assert found == split(principal="704.62", interest="558.62", vat="89.38")


def test_a_fee_is_due_at_once_and_paid_by_its_age() -> None:
    account, charged = moved(opened(), MovementKind.FEE, date(2026, 1, 20), "100.00")
    assert charged == split(fees="100.00", vat="16.00")
    assert account.position(date(2026, 1, 20)).due == charged
    account, younger = moved(account, MovementKind.FEE, date(2026, 2, 20), "50.00")
    assert younger.total == Decimal("58.00")
    day = date(2026, 2, 20)
    account, found = paid(account, day, account.position(day).due.total - Decimal("58.00"))
    assert found.fees == Decimal("100.00")
    assert account.position(day).due == younger


@pytest.mark.parametrize(
    ("waterfall", "found"),
    [(DEFAULT_WATERFALL, split(fees="50.00", vat="8.00")), (VAT_FIRST, split(fees="42.00", vat="16.00"))],
)
def test_a_fee_takes_its_vat_with_it_or_first(waterfall: tuple[Bucket, ...], found: Split) -> None:
    account, _ = moved(opened(waterfall=waterfall), MovementKind.FEE, START, "100.00")
    assert paid(account, START, "58.00")[1] == found


# Paying late.


@pytest.mark.parametrize("case", MORATORY_CASES, ids=lambda case: case["id"])
def test_moratory_interest_as_published(case: Case) -> None:
    account = opened(
        amount=Decimal(case["overdue_principal"]),
        interest_rate=Decimal(0),
        installments=1,
        moratory_rate=Decimal(case["annual_rate_pct"]) / 100,
        vat_rate=Decimal(case["iva_pct"]) / 100,
    )
    assert account.position(FIRST_DUE).moratory == ZERO
    position = account.position(FIRST_DUE + timedelta(days=case["days_late"]))
    assert (position.moratory, position.vat) == (Decimal(case["moratory_interest"]), Decimal(case["iva"]))
    assert position.payoff_amount == Decimal(case["overdue_principal"]) + Decimal(case["total"])


def test_moratory_interest_is_rounded_once_however_often_it_is_looked_at() -> None:
    account = opened(amount=Decimal("828.53"), installments=1, vat_rate=Decimal(0))
    for late in range(1, 11):
        account = account.on(FIRST_DUE + timedelta(days=late))
    # 828.53 x 0.72 / 360 x 10 = 16.57; ten times the 1.66 of a day would be 16.60.
    assert account.rows[0].moratory.net == Decimal("16.57")


def test_moratory_interest_follows_what_is_paid_of_the_overdue_principal() -> None:
    account = opened(amount=Decimal(1000), interest_rate=Decimal(0), installments=1, moratory_rate=Decimal("0.36"))
    # Ten days on 1 000.00: 10.00 and 1.60 of VAT; then ten days on 500.00: 5.00 and 0.80.
    account, found = paid(account, FIRST_DUE + timedelta(days=10), "511.60")
    assert found == split(principal="500.00", moratory="10.00", vat="1.60")
    assert account.position(FIRST_DUE + timedelta(days=20)).due == split(
        principal="500.00", moratory="5.00", vat="0.80"
    )


def test_overdue_principal_bears_moratory_interest_only() -> None:
    position = opened().position(SECOND_DUE)
    # Ordinary interest of both installments as agreed, 300.00 + 278.86: the unpaid 704.62 adds nothing to it.
    assert position.interest == Decimal("578.86")
    # 704.62 x 0.72 / 360 x 28 days = 39.46.
    assert position.moratory == Decimal("39.46")


def test_moratory_interest_ends_when_the_installment_is_paid() -> None:
    principal_first = (Bucket.PRINCIPAL, Bucket.INTEREST, Bucket.FEES, Bucket.MORATORY)
    account, found = paid(opened(waterfall=principal_first), FIRST_DUE + timedelta(days=10), "1052.62")
    assert found == split(principal="704.62", interest="300.00", vat="48.00")
    for days in (10, 28):
        position = account.position(FIRST_DUE + timedelta(days=days))
        assert (position.moratory, position.days_past_due) == (Decimal("14.09"), 0)


def test_a_late_fee_is_charged_once_per_installment_instead_of_moratory_interest() -> None:
    account = opened(late_fee=Decimal("150.00"))
    assert account.position(FIRST_DUE).fees == ZERO
    for day in (FIRST_DUE + timedelta(days=1), SECOND_DUE):
        position = account.position(day)
        assert (position.fees, position.moratory) == (Decimal("150.00"), ZERO)
    # Its VAT of 24.00 beside the 48.00 of the installment.
    assert account.position(FIRST_DUE + timedelta(days=1)).due.vat == Decimal("72.00")
    assert account.position(SECOND_DUE + timedelta(days=1)).fees == Decimal("300.00")
    account, found = paid(account, FIRST_DUE + timedelta(days=1), "174.00")
    assert found == split(fees="150.00", vat="24.00")
    assert account.position(SECOND_DUE).fees == ZERO


# Paying early.


def test_within_the_early_days_a_payment_counts_as_the_installment() -> None:
    account, found = paid(opened(), FIRST_DUE - timedelta(days=10), "1052.62")
    assert found == split(principal="704.62", interest="300.00", vat="48.00")
    # The schedule stays as it was, and interest of the period is not charged again.
    assert installments_open(account)[0] == "1049.24"
    assert payoff(account, FIRST_DUE) == Decimal("9295.38")
    assert account.position(FIRST_DUE).next_due_on == SECOND_DUE


def test_a_part_of_the_installment_may_be_paid_early_too() -> None:
    account, found = paid(opened(), FIRST_DUE - timedelta(days=1), "348.00")
    assert found == split(interest="300.00", vat="48.00")
    assert account.position(FIRST_DUE).due == split(principal="704.62")


def test_before_the_early_days_interest_to_the_day_is_paid_and_then_principal() -> None:
    account, found = paid(opened(), FIRST_DUE - timedelta(days=11), "1052.62")
    # 19 days of thirty: 190.00 and 30.40; the rest, 832.22, is principal.
    assert found == split(principal="832.22", interest="190.00", vat="30.40")
    assert account.principal == Decimal("9167.78")
    # The other 11 days of the month on what is left: 9 167.78 x 0.36 x 11 / 360 = 100.85.
    assert account.rows[0].interest.net == Decimal("100.85")
    assert account.position(FIRST_DUE - timedelta(days=11)).payoff_amount == Decimal("9167.78")


def test_less_than_the_interest_to_the_day_is_taken_off_the_installment() -> None:
    day = FIRST_DUE - timedelta(days=11)
    account, found = paid(opened(), day, "58.00")
    assert found == split(interest="50.00", vat="8.00")
    # 190.00 - 50.00 and 30.40 - 8.00 are left of what arose; 300.00 - 50.00 and 48.00 - 8.00 of the installment.
    assert payoff(account, day) == Decimal("10162.40")
    assert account.position(FIRST_DUE).due == split(principal="704.62", interest="250.00", vat="40.00")


def test_more_than_the_early_installment_lowers_the_installments_as_published() -> None:
    case = BY_ID["am-14"]
    account = paid_on_time(opened(vat_rate=Decimal(0)), 3)
    assert account.principal == Decimal(case["balance_before_prepayment"])
    account, found = paid(account, THIRD_DUE, "2000.00")
    assert found == split(principal="2000.00")
    rows = [row for row in account.rows if row.open]
    assert [(row.number, str(row.principal), str(row.interest.net), str(row.open)) for row in rows] == [
        (row["n"], row["principal"], row["interest"], row["total"]) for row in case["rows"]
    ]


def test_or_shortens_the_term_with_the_installment_as_it_was() -> None:
    account = paid_on_time(opened(vat_rate=Decimal(0), excess=ExcessPolicy.REDUCE_TERM), 3)
    account, _ = paid(account, THIRD_DUE, "2000.00")
    # Of 5 822.09 at 3 %: 174.66 interest leaves 829.96 of 1 004.62, and so on; 453.58 + 13.61 are left for the seventh.
    assert installments_open(account) == ["1004.62"] * 6 + ["467.19"]
    assert sum(row.interest.net_open for row in account.rows) == Decimal("672.82")


def test_a_shorter_term_keeps_the_share_of_level_principal() -> None:
    account = opened(installments=10, amortization=Amortization.EQUAL_PRINCIPAL, excess=ExcessPolicy.REDUCE_TERM)
    account, _ = paid(account, START, "2500.00")
    # 7 500.00 in shares of at most 1 000.00: eight of 937.50.
    assert [str(row.principal) for row in account.rows] == ["937.50"] * 8


def test_paying_a_part_does_not_bring_the_day_of_a_single_repayment_closer() -> None:
    account = opened(installments=3, amortization=Amortization.INTEREST_ONLY, excess=ExcessPolicy.REDUCE_TERM)
    account, _ = paid(account, START, "1000.00")
    # 270.00 and 43.20 of VAT each month, and the 9 000.00 with the last one.
    assert installments_open(account) == ["313.20", "313.20", "9313.20"]


def test_a_shorter_term_with_vat_inside_keeps_the_installment_that_contains_it() -> None:
    account = opened(vat_mode=VatMode.INSIDE_TOTAL, excess=ExcessPolicy.REDUCE_TERM)
    assert {row.open for row in account.rows[:-1]} == {Decimal("1033.62")}
    account, _ = paid(account, START, "5000.00")
    # 5 000.00 x 3 % x 1.16 = 174.00 of 1 033.62 in the first month.
    assert (account.rows[0].principal, account.rows[0].interest.open) == (Decimal("859.62"), Decimal("174.00"))
    assert {row.open for row in account.rows[:-1]} == {Decimal("1033.62")}
    assert len(account.rows) == 6


def test_a_grace_outlasts_a_shorter_term() -> None:
    account = opened(grace_interest_payment=4, excess=ExcessPolicy.REDUCE_TERM, vat_rate=Decimal(0))
    account, _ = paid(account, START, "8500.00")
    # 1 500.00 would be repaid by two installments; the interest of the grace is charged with the fifth.
    assert [row.number for row in account.rows] == [1, 2, 3, 4, 5]
    assert account.rows[-1].interest.net == sum(row.earned for row in account.rows)


def test_a_balance_of_a_cent_is_repaid_at_once() -> None:
    for grace in (0, 2):
        account, _ = paid(opened(grace_interest_payment=grace), START, "9999.99")
        assert sum(row.principal for row in account.rows) == Decimal("0.01")
        assert installments_open(account) == ["0.01"]


def test_or_goes_to_the_next_installments_and_leaves_the_schedule_alone() -> None:
    account = opened(excess=ExcessPolicy.ADVANCE)
    account, found = paid(account, date(2026, 1, 20), "1552.62")
    # The first installment, and 500.00 of the second: 278.86 + 44.62 VAT, 176.52 of principal.
    assert found == split(principal="881.14", interest="578.86", vat="92.62")
    assert installments_open(account)[:2] == ["549.24", "1045.75"]
    assert account.position(FIRST_DUE).next_due_on == SECOND_DUE
    assert account.position(SECOND_DUE).due == split(principal="549.24")


# What interest has arisen in the middle of a period.


@pytest.mark.parametrize(
    ("changes", "day", "interest"),
    [
        # 15 days of thirty; the 31st is the 30th; 29 days; the whole month.
        ({}, date(2026, 1, 30), "150.00"),
        ({}, date(2026, 1, 31), "150.00"),
        ({}, date(2026, 2, 14), "290.00"),
        ({}, FIRST_DUE, "300.00"),
        ({"interest_period": InterestPeriod.DAILY, "day_count": DayCount.THIRTY_360}, date(2026, 2, 14), "290.00"),
        # 10 000 x 0.36 x 16 / 360 and x 16 / 365.
        ({"interest_period": InterestPeriod.DAILY}, date(2026, 1, 31), "160.00"),
        (
            {"interest_period": InterestPeriod.DAILY, "day_count": DayCount.ACTUAL_365},
            date(2026, 1, 31),
            "157.81",
        ),
        # A week is 1/52: 10 000 x 0.364 x 3 / 364.
        (
            {"interest_rate": Decimal("0.364"), "frequency": Frequency(1, FrequencyUnit.WEEK)},
            date(2026, 1, 18),
            "30.00",
        ),
        # None in the first month, 10.00 on the first day of the second.
        ({"interest_free_periods": 1}, FIRST_DUE, "0.00"),
        ({"interest_free_periods": 1, "amortization": Amortization.INTEREST_ONLY}, date(2026, 2, 16), "10.00"),
    ],
)
def test_the_payoff_charges_interest_to_the_day(changes: dict[str, Any], day: date, interest: str) -> None:
    account = opened(vat_rate=Decimal(0), **changes)
    assert account.position(day).interest == Decimal(interest)
    assert payoff(account, day) == 10000 + Decimal(interest)


def test_one_day_of_interest_as_published() -> None:
    case = BY_ID["ord-01"]
    account = opened(
        amount=Decimal(case["principal"]),
        interest_rate=Decimal(case["annual_rate_pct"]) / 100,
        interest_period=InterestPeriod.DAILY,
    )
    day = START + timedelta(days=case["days"])
    assert account.position(day).interest == Decimal(case["ordinary_interest"])
    # 20.83 and its VAT of 3.33.
    assert payoff(account, day) == Decimal("50024.16")


def test_the_payoff_of_a_flat_loan_charges_the_days_that_have_passed() -> None:
    account = opened(interest_method=InterestMethod.FLAT)
    # 300.00 a month on the original amount; 150.00 after half of the first one, and 24.00 of VAT.
    assert payoff(account, date(2026, 1, 30)) == Decimal("10174.00")
    account = paid_on_time(account, 2)
    # 8 333.34 are left; 10 days of the third month are 100.00, with VAT 116.00.
    day = SECOND_DUE + timedelta(days=10)
    assert payoff(account, day) == Decimal("8449.34")
    account, found = paid(account, day, "8449.34")
    assert found == split(principal="8333.34", interest="100.00", vat="16.00")
    assert account.position(date(2027, 6, 1)).payoff_amount == ZERO


def test_a_flat_loan_that_is_paid_early_goes_on_flat_on_what_is_left() -> None:
    account = opened(interest_method=InterestMethod.FLAT, early_days=0)
    account, found = paid(account, date(2026, 1, 30), "1174.00")
    assert found == split(principal="1000.00", interest="150.00", vat="24.00")
    # Half a month on 9 000.00, then 270.00 every month.
    assert [str(row.interest.net) for row in account.rows] == ["135.00"] + ["270.00"] * 11


# Graces.


def test_interest_of_a_grace_goes_on_after_an_early_payment() -> None:
    """Nothing falls due with the first installment: no principal, and its interest is charged with the second."""
    account = opened(installments=3, grace_principal=1, grace_interest_payment=1, early_days=0)
    account, found = paid(account, date(2026, 1, 30), "1174.00")
    assert found == split(principal="1000.00", interest="150.00", vat="24.00")
    # 9 000.00 for the other half of the month 135.00, and for the second month 270.00: due with the second one.
    assert account.position(FIRST_DUE).interest == Decimal("135.00")
    assert account.position(FIRST_DUE).due == Split()
    assert account.rows[1].interest.net == Decimal("405.00")


def test_in_a_grace_on_principal_an_early_payment_lowers_the_interest() -> None:
    account = opened(installments=3, grace_principal=1, early_days=0)
    assert account.rows[0].open == Decimal("348.00")
    account, _ = paid(account, date(2026, 1, 30), "1174.00")
    # 15 days on 9 000.00 with VAT; still no principal.
    assert (account.rows[0].open, account.rows[0].principal) == (Decimal("156.60"), ZERO)


def test_after_a_grace_an_early_payment_pays_all_the_interest_that_waited() -> None:
    account = opened(installments=3, amortization=Amortization.INTEREST_ONLY, grace_interest_payment=1, early_days=0)
    day = date(2026, 2, 25)
    # 300.00 of the first month and 100.00 of ten days: 464.00 with VAT, the rest is principal.
    account, found = paid(account, day, "1464.00")
    assert found == split(principal="1000.00", interest="400.00", vat="64.00")
    # 9 000.00 for 20 days.
    assert account.position(SECOND_DUE).due == split(interest="180.00", vat="28.80")


def test_an_installment_paid_in_advance_in_a_grace_is_not_charged_again() -> None:
    account = opened(installments=3, grace_principal=1, grace_interest_payment=1, excess=ExcessPolicy.ADVANCE)
    second = account.rows[1].open
    account, _ = paid(account, date(2026, 1, 20), second)
    assert account.position(SECOND_DUE).payoff_amount == account.rows[2].principal
    assert account.position(SECOND_DUE).next_due_on == THIRD_DUE


# The end of a loan.


def test_the_last_installment_paid_as_agreed_a_few_days_early() -> None:
    account = opened(installments=1, interest_period=InterestPeriod.DAILY)
    day = FIRST_DUE - timedelta(days=5)
    # 26 of 31 days: 260.00 of 310.00, with VAT 301.60 of 359.60.
    assert payoff(account, day) == Decimal("10301.60")
    assert account.largest_payment(day) == Decimal("10359.60")
    as_agreed, found = paid(account, day, "10359.60")
    assert found == split(principal="10000.00", interest="310.00", vat="49.60")
    # Whatever is between the two closes the loan too: 18.40 more, of which 18.40 x 8 / 58 = 2.54 are VAT.
    between, more = paid(account, day, "10320.00")
    assert more == split(principal="10000.00", interest="275.86", vat="44.14")
    for closed in (as_agreed, between, paid(account, day, "10301.60")[0]):
        assert closed.position(FIRST_DUE).payoff_amount == closed.largest_payment(FIRST_DUE) == ZERO
        assert closed.position(FIRST_DUE).next_due_on is None
    with pytest.raises(MovementRefused):
        paid(account, day, "10359.61")


def test_interest_paid_early_brings_its_vat_whatever_the_waterfall() -> None:
    day = FIRST_DUE - timedelta(days=5)
    late_vat = (Bucket.FEES, Bucket.MORATORY, Bucket.INTEREST, Bucket.VAT, Bucket.PRINCIPAL)
    for waterfall in (DEFAULT_WATERFALL, VAT_FIRST, late_vat):
        account, found = paid(opened(waterfall=waterfall), day, "116.00")
        assert found == split(interest="100.00", vat="16.00")
        # 25 of 30 days: 250.00 and 40.00, of which 150.00 and 24.00 are left. All of the VAT first would be too much.
        position = account.position(day)
        assert (position.interest, position.vat) == (Decimal("150.00"), Decimal("24.00"))


def test_a_fee_after_the_end_is_owed() -> None:
    account, _ = paid(opened(), FIRST_DUE, payoff(opened(), FIRST_DUE))
    account, _ = moved(account, MovementKind.FEE, SECOND_DUE, "10.00")
    assert payoff(account, SECOND_DUE) == Decimal("11.60")
    account, found = paid(account, SECOND_DUE, "5.80")
    assert found == split(fees="5.00", vat="0.80")
    account, found = paid(account, SECOND_DUE, "5.80")
    assert found == split(fees="5.00", vat="0.80")
    assert payoff(account, SECOND_DUE) == ZERO


def test_a_written_off_loan_owes_nothing_and_what_comes_in_is_a_recovery() -> None:
    day = FIRST_DUE + timedelta(days=10)
    account, lost = moved(opened(), MovementKind.WRITE_OFF, day)
    # 10 000.00; 300.00 + 92.95 of ten days on 9 295.38; 14.09 moratory; VAT 48.00 + 14.87 + 2.25.
    assert lost == split(principal="10000.00", interest="392.95", vat="65.12", moratory="14.09")
    assert account.position(day + timedelta(days=400)).payoff_amount == ZERO
    assert account.principal == ZERO
    account, back = moved(account, MovementKind.RECOVERY, day, "10000.00")
    assert back == split(principal="10000.00")
    assert account.largest_payment(day) == Decimal("472.16")
    account, _ = moved(account, MovementKind.RECOVERY, day, "472.16")
    with pytest.raises(MovementRefused):
        moved(account, MovementKind.RECOVERY, day, "0.01")


def test_a_restructured_loan_owes_nothing_and_takes_nothing() -> None:
    account, carried = moved(opened(), MovementKind.RESTRUCTURE, FIRST_DUE)
    assert carried == split(principal="10000.00", interest="300.00", vat="48.00")
    assert account.largest_payment(FIRST_DUE) == account.position(SECOND_DUE).payoff_amount == ZERO
    with pytest.raises(MovementRefused):
        moved(account, MovementKind.RECOVERY, SECOND_DUE, "1.00")


# Waivers.


def test_what_is_forgiven_is_due_and_of_one_concept_with_its_vat() -> None:
    day = FIRST_DUE + timedelta(days=10)
    account, found = moved(opened(), MovementKind.WAIVER, day, "16.34", Bucket.MORATORY)
    assert found == split(moratory="14.09", vat="2.25")
    assert account.position(day).due == split(principal="704.62", interest="300.00", vat="48.00")
    account, found = moved(account, MovementKind.WAIVER, day, "34.80", Bucket.INTEREST)
    assert found == split(interest="30.00", vat="4.80")
    _, found = moved(account, MovementKind.WAIVER, day, "4.62", Bucket.PRINCIPAL)
    assert found == split(principal="4.62")
    # Moratory interest goes on from there: 704.62 x 0.72 / 360 x 5 = 7.05.
    assert account.position(day + timedelta(days=5)).moratory == Decimal("7.05")


@pytest.mark.parametrize(
    ("amount", "concept"),
    [
        ("16.35", Bucket.MORATORY),
        ("348.01", Bucket.INTEREST),
        ("704.63", Bucket.PRINCIPAL),
        ("0.01", Bucket.FEES),
        ("0.01", Bucket.VAT),
        ("0.01", None),
    ],
)
def test_no_more_is_forgiven_than_is_due_of_the_concept(amount: str, concept: Bucket | None) -> None:
    with pytest.raises(MovementRefused):
        moved(opened(), MovementKind.WAIVER, FIRST_DUE + timedelta(days=10), amount, concept)


def test_a_charged_fee_may_be_forgiven() -> None:
    account, _ = moved(opened(), MovementKind.FEE, START, "100.00")
    account, found = moved(account, MovementKind.WAIVER, START, "116.00", Bucket.FEES)
    assert found == split(fees="100.00", vat="16.00")
    assert payoff(account, START) == Decimal("10000.00")


# What is refused.


def test_more_than_the_payoff_is_refused_to_the_cent() -> None:
    for day in (START, date(2026, 1, 30), FIRST_DUE, FIRST_DUE + timedelta(days=40)):
        most = payoff(opened(), day)
        assert opened().largest_payment(day) == most
        paid(opened(), day, most)
        with pytest.raises(MovementRefused):
            paid(opened(), day, most + Decimal("0.01"))


@pytest.mark.parametrize("kind", [MovementKind.PAYMENT, MovementKind.FEE, MovementKind.RECOVERY])
@pytest.mark.parametrize("amount", ["0.00", "-1.00"])
def test_a_movement_of_nothing_is_refused(kind: MovementKind, amount: str) -> None:
    account = opened()
    if kind is MovementKind.RECOVERY:
        account, _ = moved(account, MovementKind.WRITE_OFF, START)
    with pytest.raises(MovementRefused):
        moved(account, kind, START, amount)


@pytest.mark.parametrize("kind", [MovementKind.PAYMENT, MovementKind.FEE, MovementKind.WRITE_OFF])
def test_nothing_moves_before_the_disbursement(kind: MovementKind) -> None:
    with pytest.raises(MovementRefused):
        moved(opened(), kind, START - timedelta(days=1), "1.00")


@pytest.mark.parametrize("kind", list(MovementKind))
def test_a_loan_is_closed_once(kind: MovementKind) -> None:
    account, _ = moved(opened(), MovementKind.RESTRUCTURE, FIRST_DUE)
    with pytest.raises(MovementRefused):
        moved(account, kind, FIRST_DUE, "1.00", Bucket.FEES)


@pytest.mark.parametrize("kind", [MovementKind.WRITE_OFF, MovementKind.RESTRUCTURE])
def test_a_loan_of_which_nothing_is_owed_is_not_closed(kind: MovementKind) -> None:
    account, _ = paid(opened(), START, "10000.00")
    with pytest.raises(MovementRefused):
        moved(account, kind, FIRST_DUE)


def test_a_loan_that_is_still_owed_has_no_recovery() -> None:
    with pytest.raises(MovementRefused):
        moved(opened(), MovementKind.RECOVERY, START, "1.00")


def test_the_disbursement_is_the_principal_of_the_account() -> None:
    account = opened()
    disbursement = Movement(UUID(int=7), MovementKind.DISBURSEMENT, START, 1)
    same, splits = replay(account.terms, [disbursement])
    assert same == account
    assert splits == {disbursement.id: split(principal="10000")}


# A due date on which banks are closed. 15 February 2026 is a Sunday, and so is 15 March; Monday the 16th of March is a
# holiday, kept for the 21st.


@pytest.mark.parametrize(("due_on", "in_time_until"), [(FIRST_DUE, "2026-02-16"), (SECOND_DUE, "2026-03-17")])
def test_an_installment_is_in_time_on_the_next_business_day(due_on: date, in_time_until: str) -> None:
    agreed = opened(business_days=BusinessDays.FOLLOWING)
    strict = opened()
    assert [row.due_on for row in agreed.rows] == [row.due_on for row in strict.rows], "due dates stay"
    last = date.fromisoformat(in_time_until)
    row = next(row for row in agreed.rows if row.due_on == due_on)
    agreed, strict = (paid_on_time(account, row.number - 1) for account in (agreed, strict))
    for day in (due_on, last):
        position = agreed.position(day)
        assert (position.days_past_due, position.moratory, position.due) == (0, ZERO, strict.position(due_on).due)
        assert not delinquency.days_past_due(delinquency.in_time_until(agreed), day)
    assert strict.position(last).days_past_due == (last - due_on).days
    # From the day after it is late, and as many days as have passed since the day on which it was in time.
    for late in (1, 20):
        position = agreed.position(last + timedelta(days=late))
        assert position.days_past_due == late
        assert position.moratory == strict.position(due_on + timedelta(days=late)).moratory > ZERO
    account, settled = paid(agreed, last, row.open)
    assert settled == split(principal=f"{row.principal}", interest=f"{row.interest.net}", vat=f"{row.interest.vat}")
    assert account.position(last + timedelta(days=20)).days_past_due == 0


def test_a_late_fee_waits_for_the_next_business_day_too() -> None:
    account = opened(business_days=BusinessDays.FOLLOWING, late_fee=Decimal("150.00"))
    monday = FIRST_DUE + timedelta(days=1)
    assert account.position(monday).fees == ZERO
    assert account.position(monday + timedelta(days=1)).fees == Decimal("150.00")


def test_a_business_day_that_is_due_is_not_put_off() -> None:
    account = opened(business_days=BusinessDays.FOLLOWING, first_due_on=date(2026, 2, 13))
    assert account.position(date(2026, 2, 14)).days_past_due == 1


# A payoff gives back interest that was paid before it arose (LTOSF 10).


def test_a_payoff_gives_back_the_interest_of_days_that_were_not_used() -> None:
    """Of 300.00 that 30 days of the first month bear, 20 days have come when the installment is paid, 25 at the end."""
    account = opened(early_days=20)
    day, later = date(2026, 2, 5), date(2026, 2, 10)
    before = payoff(account, day)
    account, first = paid(account, day, "1052.62")
    assert first == split(principal="704.62", interest="300.00", vat="48.00")
    position = account.position(day)
    assert (position.interest, position.vat) == (Decimal("-100.00"), Decimal("-16.00"))
    assert position.payoff_amount == before - Decimal("1052.62")
    position = account.position(later)
    assert (position.interest, position.vat, position.due.total) == (Decimal("-50.00"), Decimal("-8.00"), ZERO)
    # 9 295.38 of principal less 58.00.
    assert position.payoff_amount == Decimal("9237.38")
    closed, last = paid(account, later, "9237.38")
    assert last == split(principal="9295.38", interest="-50.00", vat="-8.00")
    assert payoff(closed, later) == payoff(closed, FIRST_DUE + timedelta(days=100)) == ZERO
    # The same in all as from somebody who paid nothing until then: 25 days of interest.
    assert first + last == paid(opened(), later, payoff(opened(), later))[1]
    # A day later than it fell due nothing is left to give back.
    assert account.position(FIRST_DUE).interest == ZERO


def test_installments_paid_in_advance_give_back_their_interest() -> None:
    account = opened(excess=ExcessPolicy.ADVANCE)
    day = START + timedelta(days=15)
    two = account.rows[0].open + account.rows[1].open
    account, in_advance = paid(account, day, two)
    assert in_advance == split(principal="1430.38", interest="578.86", vat="92.62")
    position = account.position(day)
    # 15 of 30 days of the first month have borne 150.00.
    assert (position.interest, position.vat) == (Decimal("-428.86"), Decimal("-68.62"))
    assert position.payoff_amount == payoff(opened(), day) - two


def test_when_what_is_given_back_is_worth_the_principal_left_the_loan_is_paid_off() -> None:
    account = opened(excess=ExcessPolicy.ADVANCE)
    day = START + timedelta(days=1)
    account, _ = paid(account, day, payoff(account, day) - Decimal("0.01"))
    assert account.principal > ZERO
    account, _ = paid(account, day, "0.01")
    assert (account.principal, payoff(account, day + timedelta(days=300))) == (ZERO, ZERO)


def test_the_rounding_of_vat_leaves_no_principal_of_which_nothing_is_owed() -> None:
    """VAT of 2 cents was paid on 8 cents of interest; of the 9 cents that have arisen by the end it is 1 cent."""
    account = opened(
        amount=Decimal("8.16"),
        interest_rate=Decimal(1),
        installments=6,
        interest_period=InterestPeriod.DAILY,
        frequency=Frequency(1, FrequencyUnit.WEEK),
        waterfall=(Bucket.PRINCIPAL, Bucket.INTEREST, Bucket.MORATORY, Bucket.FEES),
        excess=ExcessPolicy.REDUCE_TERM,
        early_days=60,
    )
    account, _ = paid(account, START + timedelta(days=1), "1.39")
    day = START + timedelta(days=4)
    assert payoff(account, day) == Decimal("6.88")
    account, last = paid(account, day, "6.87")
    assert last == split(principal="6.87", interest="0.01", vat="-0.01")
    assert (account.principal, payoff(account, day + timedelta(days=300))) == (ZERO, ZERO)


def test_a_prepayment_is_principal_where_interest_was_paid_in_advance() -> None:
    account = opened(early_days=20)
    account, _ = paid(account, date(2026, 2, 5), "1052.62")
    before = payoff(account, date(2026, 2, 5))
    account, second = paid(account, date(2026, 2, 5), "500.00")
    assert second == split(principal="500.00")
    assert payoff(account, date(2026, 2, 5)) == before - 500


def test_a_loss_is_what_is_owed_after_what_is_given_back() -> None:
    day = date(2026, 2, 5)
    account, _ = paid(opened(early_days=20), day, "1052.62")
    lost, owed = moved(account, MovementKind.WRITE_OFF, day)
    assert owed == split(principal="9295.38", interest="-100.00", vat="-16.00")
    assert lost.largest_payment(day) == Decimal("9179.38")


# What a loan carries that takes the place of another one.

CARRIED = Split(interest=Decimal("300.00"), vat=Decimal("65.60"), fees=Decimal("100.00"), moratory=Decimal("10.00"))


def restructured(carried: Split = CARRIED, **changes: Any) -> Account:
    """A loan that takes the place of another one, and what was owed there besides principal."""
    account = opened(**changes)
    opening = Movement(UUID(int=1), MovementKind.TRANSFER, START, 1, carried=carried)
    account, found = apply(account, opening)
    assert found == replace(carried, principal=account.terms.principal)
    return account


def test_what_is_carried_is_owed_by_concept_and_bears_nothing() -> None:
    account = restructured()
    position = account.position(START)
    assert position.due == CARRIED
    assert account.position(FIRST_DUE - timedelta(days=1)).due == CARRIED
    # Fees first, moratory interest next, interest last, each with its VAT: 116.00, 11.60 and 348.00 less 10 cents.
    account, first = paid(account, START, "475.50")
    assert first == split(fees="100.00", moratory="10.00", interest="299.91", vat="65.59")
    account, second = paid(account, START, "1000.10")
    assert second == split(principal="1000.00", interest="0.09", vat="0.01")


def test_vat_that_was_paid_of_it_before_is_not_asked_for_again() -> None:
    carried = Split(interest=Decimal("300.00"), moratory=Decimal("0.01"))
    assert restructured(carried).position(START).due == carried
    only_vat = Split(vat=Decimal("0.03"))
    assert restructured(only_vat).position(START).due == only_vat
    assert restructured(Split()).fees == ()


def test_carried_interest_can_be_forgiven() -> None:
    account, forgiven = moved(restructured(), MovementKind.WAIVER, START, "348.00", Bucket.INTEREST)
    assert forgiven == split(interest="300.00", vat="48.00")
    assert account.position(START).due == split(fees="100.00", moratory="10.00", vat="17.60")


# Three sustained payments.


def stages(account: Account, *payments: tuple[date, str | Decimal | None]) -> list[int]:
    """The stage after each payment; None pays what is due."""
    found = []
    for day, amount in payments:
        account, _ = paid(account, day, account.position(day).due.total if amount is None else amount)
        found.append(int(delinquency.stage_of(account, day)))
    return found


def test_three_installments_in_time_are_sustained() -> None:
    account = restructured()
    assert delinquency.stage_of(account, START) == delinquency.stage_of(account, FIRST_DUE) == 3
    assert stages(account, (FIRST_DUE, None), (SECOND_DUE, None), (THIRD_DUE, None)) == [3, 3, 1]
    # Whatever happens after that, days past due count.
    account = paid_after(account, FIRST_DUE, SECOND_DUE, THIRD_DUE)
    assert [delinquency.stage_of(account, THIRD_DUE + timedelta(days=days)) for days in (60, 61, 120)] == [1, 2, 3]


def paid_after(account: Account, *days: date) -> Account:
    """The account after what was due on each of these days was paid on it."""
    for day in days:
        account, _ = paid(account, day, account.position(day).due.total)
    return account


def test_a_payment_of_three_installments_is_one() -> None:
    account = restructured(excess=ExcessPolicy.ADVANCE)
    three = sum((row.open for row in account.rows[:3]), ZERO) + CARRIED.total
    later = [row.due_on for row in account.rows[3:6]]
    assert stages(account, (FIRST_DUE, three), *((day, None) for day in later)) == [3, 3, 1, 1]


def test_what_is_paid_long_before_its_day_is_none() -> None:
    account = restructured(excess=ExcessPolicy.ADVANCE)
    early = START + timedelta(days=5)
    first = account.rows[0].open + CARRIED.total
    assert stages(account, (early, first), (SECOND_DUE, None), (THIRD_DUE, None)) == [3, 3, 3]
    within = FIRST_DUE - timedelta(days=10)
    assert stages(account, (within, first), (SECOND_DUE, None), (THIRD_DUE, None)) == [3, 3, 1]


def test_a_late_installment_starts_the_count_anew() -> None:
    account = restructured()
    days = [row.due_on for row in account.rows]
    late = days[2] + timedelta(days=1)
    paid_in_time = [(day, None) for day in days[3:6]]
    assert stages(account, (days[0], None), (days[1], None), (late, None), *paid_in_time) == [3, 3, 3, 3, 3, 1]
    # The late one and the next in one payment, in time for the next: that one counts.
    assert stages(account, (days[0], None), (days[1], None), *paid_in_time) == [3, 3, 3, 3, 1]


def test_an_installment_in_two_payments_counts_once_and_business_days_are_in_time() -> None:
    account = restructured(business_days=BusinessDays.FOLLOWING)
    monday = FIRST_DUE + timedelta(days=1)
    first = (FIRST_DUE, CARRIED.total + Decimal("500.00"))
    assert stages(account, first, (monday, None), (SECOND_DUE, None), (THIRD_DUE, None)) == [3, 3, 3, 1]
    assert stages(restructured(), first, (monday, None), (SECOND_DUE, None), (THIRD_DUE, None)) == [3, 3, 3, 3]


def test_a_loan_of_its_own_needs_none() -> None:
    assert stages(opened(), (FIRST_DUE + timedelta(days=5), None)) == [1]
