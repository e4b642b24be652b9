"""Every movement has an entry that balances, on accounts that exist."""

from decimal import Decimal

import pytest
from backend_api.domain.account import MovementKind, Split
from backend_api.domain.ledger import BANK, CHART, LOANS_RECEIVABLE, Posting, entry_for
from hypothesis import given
from hypothesis import strategies as st

CENTS = st.integers(0, 10**10).map(lambda cents: Decimal(cents) / 100)
SPLITS = st.builds(Split, CENTS, CENTS, CENTS, CENTS, CENTS).filter(lambda split: split.total > 0)
AMOUNT = Decimal("2500.00")


@pytest.mark.parametrize(
    ("kind", "bank"),
    [
        (MovementKind.DISBURSEMENT, -AMOUNT),
        (MovementKind.PAYMENT, AMOUNT),
        (MovementKind.PAYMENT_REVERSAL, -AMOUNT),
        (MovementKind.DISBURSEMENT_REVERSAL, AMOUNT),
    ],
)
def test_principal_moves_between_bank_and_receivables(kind: MovementKind, bank: Decimal) -> None:
    assert entry_for(kind, Split(principal=AMOUNT)) == (
        Posting(BANK.code, bank),
        Posting(LOANS_RECEIVABLE.code, -bank),
    )


def test_a_payment_is_split_over_its_accounts() -> None:
    split = Split(Decimal("1.00"), Decimal("2.00"), Decimal("3.00"), Decimal("4.00"), Decimal("5.00"))
    assert {line.account: line.amount for line in entry_for(MovementKind.PAYMENT, split)} == {
        "1101": Decimal("15.00"),
        "1301": Decimal("-1.00"),
        "1302": Decimal("-2.00"),
        "2201": Decimal("-3.00"),
        "1303": Decimal("-4.00"),
        "1304": Decimal("-5.00"),
    }


def test_a_movement_of_nothing_has_no_entry() -> None:
    with pytest.raises(ValueError, match="nothing"):
        entry_for(MovementKind.PAYMENT, Split())


def test_every_account_has_its_own_code() -> None:
    assert len({account.code for account in CHART}) == len(CHART)


@given(st.sampled_from(MovementKind), SPLITS)
def test_every_entry_balances_on_known_accounts_without_empty_lines(kind: MovementKind, split: Split) -> None:
    entry = entry_for(kind, split)
    assert sum(line.amount for line in entry) == 0
    assert len(entry) >= 2
    assert all(line.amount != 0 for line in entry)
    assert {line.account for line in entry} <= {account.code for account in CHART}
    assert sum(line.amount for line in entry if line.amount > 0) == split.total


@given(SPLITS)
def test_a_reversal_takes_back_every_line(split: Split) -> None:
    paid = {line.account: line.amount for line in entry_for(MovementKind.PAYMENT, split)}
    undone = {line.account: -line.amount for line in entry_for(MovementKind.PAYMENT_REVERSAL, split)}
    assert paid == undone
