"""An account that was written down and read again goes on as if nothing had happened."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import orjson
from backend_api.domain.account import Account, Closed, Movement, MovementKind, apply, replay
from backend_api.domain.terms import Terms
from backend_api.ledger.state import compact, decode, encode
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import History, histories, next_movement, payment, positions

START, FIRST_DUE = date(2026, 1, 15), date(2026, 2, 15)
TERMS = Terms(amount=Decimal("50000.00"), interest_rate=Decimal("0.15"), installments=24, disbursed_on=START)

waits = st.integers(0, 200).map(lambda days: timedelta(days=days))


def kept(account: Account, day: date) -> Account:
    """The account as it comes back from its row."""
    return decode(encode(compact(account, day)), account.terms)


@given(histories())
def test_what_was_written_is_read_again(history: History) -> None:
    account, _ = replay(history.terms, history.movements)
    assert decode(encode(account), history.terms) == account
    as_json = orjson.loads(encode(account))
    assert decode(as_json, history.terms) == account


@given(histories(), waits, waits)
def test_a_kept_account_has_the_same_position_on_every_later_day(
    history: History, wait: timedelta, more: timedelta
) -> None:
    account, _ = replay(history.terms, history.movements)
    reached = history.last_day + wait
    days = [reached, reached + more, reached + 3 * more]
    assert positions(kept(account, reached), days) == positions(account, days)
    assert positions(kept(account.on(reached), reached), days) == positions(account, days)


@given(histories(), st.data())
def test_later_movements_split_the_same_on_a_kept_account(history: History, data: st.DataObject) -> None:
    account, _ = replay(history.terms, history.movements)
    straight, from_row, day = account, kept(account, history.last_day), history.last_day
    for number in range(100, 104):
        day += timedelta(days=data.draw(st.sampled_from([0, 1, 17, 31, 70])))
        movement = data.draw(next_movement(straight, number, day))
        if movement is None:
            continue
        straight, expected = apply(straight, movement)
        from_row, found = apply(from_row, movement)
        assert found == expected
        from_row = kept(from_row, day)
        assert from_row.position(day) == straight.position(day)


def test_only_what_can_still_change_is_kept() -> None:
    account = Account.opened(TERMS)
    for row in account.rows[:3]:
        account, _ = apply(account, payment(row.number, row.due_on, row.open))
    day = account.rows[2].due_on
    assert [row.number for row in compact(account, day).rows] == list(range(4, 25))
    # An installment that was paid before its day goes on accruing until then.
    early, _ = apply(account, payment(4, day + timedelta(days=25), account.rows[3].open))
    assert early.rows[3].due_on > day + timedelta(days=25)
    assert compact(early, day + timedelta(days=25)).rows[0].number == 4
    assert compact(early, early.rows[3].due_on).rows[0].number == 5


def test_a_fee_that_was_paid_is_not_kept() -> None:
    account, _ = apply(Account.opened(TERMS), Movement(UUID(int=1), MovementKind.FEE, START, 1, Decimal("10.00")))
    assert compact(account, START) == account
    account, _ = apply(account, payment(2, START, Decimal("11.60")))
    assert compact(account, START).fees == ()


def test_a_written_off_account_is_kept_with_what_may_be_recovered() -> None:
    account, _ = apply(Account.opened(TERMS), Movement(UUID(int=1), MovementKind.WRITE_OFF, FIRST_DUE, 1))
    account, _ = apply(account, Movement(UUID(int=2), MovementKind.RECOVERY, FIRST_DUE, 2, Decimal("100.00")))
    found = kept(account, FIRST_DUE)
    assert (found.closed, found.recovered) == (Closed.WRITTEN_OFF, Decimal("100.00"))
    assert found.largest_payment(FIRST_DUE) == account.largest_payment(FIRST_DUE)


def test_amounts_are_written_as_text_and_dates_as_dates() -> None:
    written = orjson.loads(encode(Account.opened(TERMS)))
    assert written["rows"][0][:6] == [1, "2026-01-15", "2026-02-15", True, "2026-01-15", "50000.00"]
    # 50 000 x 0.15 x 31 / 360 and 16 % of it; no fee and no moratory interest.
    assert written["rows"][0][-3:] == [["645.83", "103.33", "0.00", "0.00"], None, None]
