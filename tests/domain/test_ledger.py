"""Every movement has an entry that balances, on accounts that exist."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from backend_api.domain.account import MovementKind, Split, replay
from backend_api.domain.ledger import CHART, LOANS_RECEIVABLE, Posting, disbursement, entry_for, undone
from backend_api.domain.money import ZERO
from backend_api.domain.terms import FeeCollection, OpeningFee, Terms
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import History, histories, money, possible_terms

KINDS = [kind for kind in MovementKind if kind is not MovementKind.DISBURSEMENT]
CODES = {account.code for account in CHART}
cents = money(0, 10**10)
signed = money(-(10**10), 10**10)
splits = st.builds(Split, cents, signed, signed, cents, cents)
ADVANCE = Split(Decimal("10.00"), Decimal("-2.00"), Decimal("-0.32"))
SPLIT = Split(Decimal("1.00"), Decimal("2.00"), Decimal("3.00"), Decimal("4.00"), Decimal("5.00"))


def lines(entry: tuple[Posting, ...]) -> dict[str, str]:
    """Amounts by account, as people read them."""
    assert len({posting.account for posting in entry}) == len(entry)
    return {posting.account: str(posting.amount) for posting in entry}


@pytest.mark.parametrize(
    ("kind", "split", "expected"),
    [
        (
            MovementKind.PAYMENT,
            SPLIT,
            {"1101": "15.00", "1301": "-1.00", "1302": "-2.00", "1303": "-4.00", "1304": "-5.00", "2201": "-3.00"},
        ),
        (MovementKind.FEE, Split(fees=Decimal("100.00"), vat=Decimal("16.00")), {"1303": "100.00", "5201": "-100.00"}),
        (
            MovementKind.WAIVER,
            SPLIT,
            {
                "1301": "-1.00",
                "6101": "1.00",
                "1302": "-2.00",
                "5101": "2.00",
                "1303": "-4.00",
                "5201": "4.00",
                "1304": "-5.00",
                "5102": "5.00",
            },
        ),
        (
            MovementKind.WRITE_OFF,
            SPLIT,
            {"6101": "12.00", "1301": "-1.00", "1302": "-2.00", "1303": "-4.00", "1304": "-5.00"},
        ),
        (
            # The loan that takes its place is in stage 3: what was income is none any more.
            MovementKind.RESTRUCTURE,
            SPLIT,
            {
                "1399": "5.00",
                "1301": "-1.00",
                "1302": "-2.00",
                "5101": "2.00",
                "1303": "-4.00",
                "1304": "-5.00",
                "5102": "5.00",
            },
        ),
        (MovementKind.TRANSFER, SPLIT, {"1399": "-5.00", "1301": "1.00", "1303": "4.00"}),
        # Interest of 2.00 and its VAT, paid before they arose, are given back.
        (MovementKind.PAYMENT, ADVANCE, {"1101": "7.68", "1301": "-10.00", "1302": "2.00", "2201": "0.32"}),
        (MovementKind.WRITE_OFF, ADVANCE, {"6101": "7.68", "1301": "-10.00", "1302": "2.00", "2201": "0.32"}),
        (MovementKind.RESTRUCTURE, ADVANCE, {"1399": "7.68", "1301": "-10.00", "1302": "2.00", "2201": "0.32"}),
        (MovementKind.RECOVERY, Split(principal=Decimal("7.00")), {"1101": "7.00", "5301": "-7.00"}),
        # VAT is booked when it is collected: forgiving nothing but a cent of it books nothing.
        (MovementKind.WAIVER, Split(vat=Decimal("0.01")), {}),
    ],
)
def test_the_entry_of_every_kind(kind: MovementKind, split: Split, expected: dict[str, str]) -> None:
    assert lines(entry_for(kind, split)) == expected


def test_a_disbursement_has_an_entry_of_its_own() -> None:
    with pytest.raises(ValueError, match="entry of its own"):
        entry_for(MovementKind.DISBURSEMENT, SPLIT)


@pytest.mark.parametrize(
    ("collection", "receivable", "bank"),
    [(FeeCollection.DEDUCTED, "10000.00", "-9768.00"), (FeeCollection.FINANCED, "10232.00", "-10000.00")],
)
def test_an_opening_fee_is_income_and_its_vat_payable_at_once(
    collection: FeeCollection, receivable: str, bank: str
) -> None:
    # 2 % of 10 000.00 and 16 % of that.
    fee = OpeningFee(rate=Decimal("0.02"), collection=collection)
    terms = Terms(
        amount=Decimal("10000.00"),
        interest_rate=Decimal("0.36"),
        installments=12,
        disbursed_on=date(2026, 1, 15),
        opening_fee=fee,
    )
    assert lines(disbursement(terms)) == {"1301": receivable, "1101": bank, "5201": "-200.00", "2201": "-32.00"}


def test_every_account_has_its_own_code() -> None:
    assert len(CODES) == len(CHART)


@given(st.sampled_from(KINDS), splits, st.booleans())
def test_every_entry_balances_on_known_accounts_and_its_undoing_cancels_it(
    kind: MovementKind, split: Split, suspended: bool
) -> None:
    entry = entry_for(kind, split, suspended=suspended)
    assert sum(posting.amount for posting in entry) == ZERO
    assert all(posting.amount != ZERO for posting in entry)
    assert {posting.account for posting in entry} <= CODES
    balances = dict.fromkeys(CODES, ZERO)
    for posting in (*entry, *undone(entry)):
        balances[posting.account] += posting.amount
    assert set(balances.values()) == {ZERO}


@given(possible_terms(opening_fee=OpeningFee(rate=Decimal("0.03"), collection=FeeCollection.FINANCED)))
def test_a_disbursement_balances(terms: Terms) -> None:
    assert sum(posting.amount for posting in disbursement(terms)) == ZERO


@given(histories())
def test_the_receivable_is_the_outstanding_principal_after_any_history(history: History) -> None:
    account, found = replay(history.terms, history.movements)
    _, *later = history.movements
    entries = [disbursement(history.terms), *(entry_for(one.kind, found[one.id]) for one in later)]
    receivable = sum(
        posting.amount for entry in entries for posting in entry if posting.account == LOANS_RECEIVABLE.code
    )
    assert receivable == account.position(history.last_day + timedelta(days=1)).principal
