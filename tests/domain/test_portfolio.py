"""Sums over loans at the end of a day, what changes when, and the entries that bring the books there."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from backend_api.domain.account import MovementKind, Position, Split
from backend_api.domain.delinquency import AgeBucket, Stage, age_bucket, next_change, stage
from backend_api.domain.ledger import Adjustment, Posting, adjustment, entry_for
from backend_api.domain.money import ZERO
from backend_api.domain.portfolio import Figures, by_product_sheet, total
from backend_api.domain.provisions import CONSUMER
from hypothesis import given
from hypothesis import strategies as st

DUE = date(2026, 1, 31)
SPLIT = Split(Decimal("1.00"), Decimal("2.00"), Decimal("3.00"), Decimal("4.00"), Decimal("5.00"))


def position(days: int, principal: str = "1000.00", interest: str = "20.00", moratory: str = "3.00") -> Position:
    """A loan so many days late."""
    return Position(
        DUE, Decimal(principal), Decimal(interest), Decimal("9.99"), Decimal("50.00"), Decimal(moratory), Split(),
        days, None, ZERO,
    )  # fmt: skip


def figures(*late: int) -> Figures:
    """The sums of loans that are so many days late."""
    found = Figures()
    for days in late:
        found.count(position(days), stage(days), CONSUMER)
    return found


def test_interest_is_an_asset_until_the_third_stage() -> None:
    found = figures(0, 31, 90)
    assert found.loans == 3
    sums = [found.principal, found.interest, found.moratory, found.suspended, found.balance, found.fees]
    assert sums == [3000, 40, 6, 23, 3046, 150]
    # 1 percent and 30 percent of 1 023.00, 50 percent of the bare principal.
    assert found.provisions == Decimal("10.23") + Decimal("306.90") + Decimal("500.00")
    assert [share.balance for share in found.stages.values()] == [1023, 1023, 1000]
    assert [share.loans for share in found.buckets.values()] == [1, 1, 1]


def test_interest_that_was_paid_before_it_arose_is_income_in_no_stage() -> None:
    for days in (0, 90):
        found = Figures()
        found.count(position(days, interest="-20.00", moratory="0.00"), stage(days), CONSUMER)
        assert [found.interest, found.suspended, found.balance] == [-20, 0, 980]


@given(st.lists(st.integers(0, 400), max_size=20), st.integers(0, 20))
def test_sums_of_parts_are_sums_of_the_whole(late: list[int], cut: int) -> None:
    assert total([figures(*late[:cut]), figures(*late[cut:])]) == figures(*late)


def test_a_sheet_holds_money_as_text() -> None:
    sheet = by_product_sheet({"B": figures(0), "A": figures(95)})
    assert [product["product"] for product in sheet["products"]] == ["A", "B"]
    assert (sheet["total"]["loans"], sheet["total"]["balance"], sheet["total"]["suspended"]) == (2, "2023.00", "23.00")
    assert sheet["total"]["buckets"]["90+"] == sheet["total"]["stages"]["3"] == {"loans": 1, "balance": "1000.00"}


@pytest.mark.parametrize(
    ("days", "bucket"), [(0, "0-30"), (30, "0-30"), (31, "31-89"), (89, "31-89"), (90, "90+"), (5000, "90+")]
)
def test_buckets_have_no_gap(days: int, bucket: str) -> None:
    assert age_bucket(days) == bucket
    fewest, most = AgeBucket(bucket).days
    assert fewest <= days <= (most or days)


@given(st.sets(st.integers(0, 200), min_size=1, max_size=8), st.integers(-5, 320))
def test_between_changes_nothing_changes(due: set[int], after: int) -> None:
    """What is overdue, and the stage, are those of the day before on every day that is not a change."""
    days = [DUE + timedelta(days=number) for number in sorted(due)]

    def standing(day: date) -> tuple[int, Stage]:
        return sum(each < day for each in days), stage(max((day - days[0]).days, 0))

    change = next_change(days, DUE + timedelta(days=after))
    day = DUE + timedelta(days=after)
    while day < (change or DUE + timedelta(days=400)) - timedelta(days=1):
        day += timedelta(days=1)
        assert standing(day) == standing(DUE + timedelta(days=after))
    if change:
        assert standing(change) != standing(change - timedelta(days=1))


def test_a_loan_that_owes_no_installment_never_changes() -> None:
    assert next_change([], DUE) is None


@pytest.mark.parametrize(
    ("kind", "target", "posted", "entry"),
    [
        (Adjustment.INTEREST, "30.00", "20.00", [("1302", "10.00"), ("5101", "-10.00")]),
        (Adjustment.INTEREST, "0.00", "20.00", [("1302", "-20.00"), ("5101", "20.00")]),
        (Adjustment.MORATORY, "5.00", "0.00", [("1304", "5.00"), ("5102", "-5.00")]),
        (Adjustment.FEES, "5.00", "5.00", []),
        (Adjustment.SUSPENDED, "7.00", "0.00", [("7101", "7.00"), ("7201", "-7.00")]),
        (Adjustment.PROVISIONS, "-90.00", "-100.00", [("1390", "10.00"), ("6201", "-10.00")]),
    ],
)
def test_an_adjustment_brings_the_account_to_its_target(
    kind: Adjustment, target: str, posted: str, entry: list[tuple[str, str]]
) -> None:
    found = adjustment(kind, Decimal(target), Decimal(posted))
    assert found == tuple(Posting(account, Decimal(amount)) for account, amount in entry)


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        (
            "PAYMENT",
            {"1101": "15.00", "1301": "-1.00", "5101": "-2.00", "1303": "-4.00", "5102": "-5.00", "2201": "-3.00"},
        ),
        ("WAIVER", {"1303": "-4.00", "5201": "4.00"}),
        ("WRITE_OFF", {"6101": "5.00", "1301": "-1.00", "1303": "-4.00"}),
        ("RESTRUCTURE", {"1399": "5.00", "1301": "-1.00", "1303": "-4.00"}),
    ],
)
def test_interest_of_stage_3_is_income_when_it_is_paid_and_no_loss_when_it_is_not(
    kind: str, entry: dict[str, str]
) -> None:
    found = entry_for(MovementKind(kind), SPLIT, suspended=True)
    assert {posting.account: str(posting.amount) for posting in found} == entry
    assert sum(posting.amount for posting in found) == 0
