"""Reversals and movements dated back: the account is always what a replay of the movements that stand gives."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

import pytest
from backend_api.domain.account import (
    Account,
    Movement,
    MovementKind,
    MovementRefused,
    Split,
    apply,
    replay,
)
from backend_api.domain.corrections import Booked, Correction, add, remove
from backend_api.domain.money import ZERO
from backend_api.domain.terms import Bucket, InterestPeriod, Terms
from backend_api.ledger import state
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.domain.histories import (
    GAPS,
    History,
    disbursed,
    histories,
    next_movement,
    parts,
    payment,
    positions,
    possible_terms,
)

START, FIRST_DUE = date(2026, 1, 15), date(2026, 2, 15)
TERMS = Terms(
    amount=Decimal("10000.00"),
    interest_rate=Decimal("0.36"),
    installments=12,
    disbursed_on=START,
    interest_period=InterestPeriod.SAME_AS_PERIOD,
)

lengths, pauses = st.integers(0, 10), st.sampled_from(GAPS)
turns = st.sampled_from(["now", "now", "now", "dated back", "taken back"])
waits = st.integers(0, 200).map(lambda days: timedelta(days=days))


@dataclass
class Book:
    """A loan as it is kept: rows that are never edited, and a snapshot that new movements go on from."""

    terms: Terms
    snapshot: str
    rows: list[tuple[Booked, int]]
    """Every row ever booked, with +1, or -1 for a contra row."""

    @classmethod
    def opened(cls, terms: Terms) -> "Book":
        """The book of a loan that was just disbursed."""
        first = disbursed(terms)
        account, split = apply(Account.opened(terms), first)
        return cls(terms, state.encode(account), [(Booked(first.id, first, split), 1)])

    @property
    def account(self) -> Account:
        """What the snapshot says."""
        return state.decode(self.snapshot, self.terms)

    @property
    def standing(self) -> list[Booked]:
        """The rows that no contra row takes back."""
        undone = {booked.row_id for booked, sign in self.rows if sign < 0}
        return [booked for booked, _ in self.rows if booked.row_id not in undone]

    @property
    def last_day(self) -> date:
        """The day that the snapshot has reached."""
        return max(booked.movement.value_date for booked in self.standing)

    def record(self, movement: Movement) -> None:
        """Book a movement: onto the snapshot, or between earlier ones when it is dated back."""
        if movement.value_date >= self.last_day:
            account, split = apply(self.account, movement)
            self._book(movement, split)
            self._keep(account)
        else:
            self._correct(add(self.terms, self.standing, movement))

    def take_back(self, movement_id: UUID) -> None:
        """Undo a movement."""
        self._correct(remove(self.terms, self.standing, movement_id))

    def _correct(self, correction: Correction) -> None:
        self.rows += [(booked, -1) for booked in correction.undone]
        for movement, split in correction.booked:
            self._book(movement, split)
        self._keep(correction.account)

    def _book(self, movement: Movement, split: Split) -> None:
        self.rows.append((Booked(UUID(int=1000 + len(self.rows)), movement, split), 1))

    def _keep(self, account: Account) -> None:
        self.snapshot = state.encode(state.compact(account, self.last_day))


@st.composite
def books(draw: st.DrawFn) -> Book:
    """A loan that was kept for a while: movements of the day, dated back, and taken back, in any order."""
    book = Book.opened(draw(possible_terms()))
    today = book.terms.disbursed_on
    numbers = count(1)
    for _ in range(draw(lengths)):
        today += timedelta(days=draw(pauses))
        try:
            match draw(turns):
                case "now":
                    day = max(today, book.last_day)
                    movement = draw(next_movement(book.account, next(numbers), day))
                    if movement:
                        book.record(movement)
                case "dated back":
                    back = draw(st.integers(0, (today - book.terms.disbursed_on).days))
                    cents = draw(st.integers(1, int(book.terms.principal * 50) + 1))
                    book.record(payment(next(numbers), today - timedelta(days=back), Decimal(cents).scaleb(-2)))
                case "taken back":
                    _, *later = sorted(book.standing, key=lambda booked: booked.movement.sequence)
                    if later:
                        book.take_back(draw(st.sampled_from(later)).movement.id)
        except MovementRefused:
            continue
    return book


@given(books(), waits)
def test_what_is_kept_is_what_a_replay_gives(book: Book, wait: timedelta) -> None:
    movements = [booked.movement for booked in book.standing]
    account, splits = replay(book.terms, movements)
    days = [book.last_day, book.last_day + wait, book.last_day + 3 * wait]
    assert positions(book.account, days) == positions(account, days)
    assert {booked.movement.id: booked.split for booked in book.standing} == splits


@given(books())
def test_rows_and_contra_rows_add_up_to_what_stands(book: Book) -> None:
    kept = dict.fromkeys(range(5), ZERO)
    for booked, sign in book.rows:
        for index, part in enumerate(parts(booked.split)):
            kept[index] += sign * part
    standing = [parts(booked.split) for booked in book.standing]
    assert tuple(kept.values()) == tuple(sum(column, ZERO) for column in zip(*standing, strict=True))
    undone = [booked.row_id for booked, sign in book.rows if sign < 0]
    assert len(set(undone)) == len(undone)


@given(books(), waits, st.data())
def test_booked_and_taken_back_is_as_if_it_had_never_been(book: Book, wait: timedelta, data: st.DataObject) -> None:
    before = replace(book, rows=list(book.rows))
    back = data.draw(st.integers(0, (book.last_day - book.terms.disbursed_on).days))
    movement = payment(500, book.last_day + wait - timedelta(days=back), Decimal("10.00"))
    assume(movement.value_date >= book.terms.disbursed_on)
    try:
        book.record(movement)
    except MovementRefused:
        assume(False)
    book.take_back(movement.id)
    days = [before.last_day, before.last_day + wait, before.last_day + 3 * wait]
    assert positions(book.account, days) == positions(before.account, days)
    assert {row.movement.id: row.split for row in book.standing} == {
        row.movement.id: row.split for row in before.standing
    }


@given(histories(may_close=False), st.data())
def test_a_payment_can_always_be_taken_back_while_only_payments_and_fees_came_later(
    history: History, data: st.DataObject
) -> None:
    taken = [one for one in history.movements if one.kind is MovementKind.PAYMENT]
    assume(taken)
    chosen = data.draw(st.sampled_from(taken))
    later = history.movements[history.movements.index(chosen) + 1 :]
    assume({one.kind for one in later} <= {MovementKind.PAYMENT, MovementKind.FEE})
    without, _ = replay(history.terms, [one for one in history.movements if one is not chosen])
    with_it, _ = replay(history.terms, history.movements)
    assert without.position(history.last_day).payoff_amount >= with_it.position(history.last_day).payoff_amount


def booked(*movements: Movement) -> list[Booked]:
    """The rows of these movements; a row's id is its movement's plus 100."""
    _, splits = replay(TERMS, movements)
    return [Booked(UUID(int=100 + one.id.int), one, splits[one.id]) for one in movements]


def test_a_row_whose_split_stays_is_kept() -> None:
    first = payment(1, FIRST_DUE, Decimal("1052.62"))
    second = payment(2, FIRST_DUE, Decimal("500.00"))
    rows = booked(disbursed(TERMS), first, second)
    taken_back = remove(TERMS, rows, second.id)
    assert taken_back.undone == (rows[2],)
    assert taken_back.booked == ()
    assert taken_back.account.principal == Decimal("9295.38")


def test_a_row_whose_split_changes_is_undone_and_booked_anew() -> None:
    first = payment(1, FIRST_DUE, Decimal("1052.62"))
    second = payment(2, FIRST_DUE, Decimal("500.00"))
    rows = booked(disbursed(TERMS), first, second)
    assert rows[2].split == Split(principal=Decimal("500.00"))
    taken_back = remove(TERMS, rows, first.id)
    assert taken_back.undone == (rows[1], rows[2])
    # Without the first payment the second meets interest: 300.00 + 48.00, and 152.00 of principal.
    again = Split(principal=Decimal("152.00"), interest=Decimal("300.00"), vat=Decimal("48.00"))
    assert taken_back.booked == ((second, again),)


def test_a_payment_dated_back_comes_before_those_of_later_days() -> None:
    late = payment(1, FIRST_DUE + timedelta(days=10), Decimal("1068.96"))
    rows = booked(disbursed(TERMS), late)
    # Ten days late: 14.09 + 2.25 of moratory interest on top of the 1 052.62.
    assert rows[1].split.moratory == Decimal("14.09")
    on_time = payment(2, FIRST_DUE, Decimal("1052.62"))
    corrected = add(TERMS, rows, on_time)
    assert corrected.undone == (rows[1],)
    assert [movement for movement, _ in corrected.booked] == [on_time, late]
    # Now the installment was paid on its day; ten days on 9 295.38 are 92.95 + 14.87, the rest is principal.
    assert corrected.booked[1][1] == Split(principal=Decimal("961.14"), interest=Decimal("92.95"), vat=Decimal("14.87"))


def test_a_payment_dated_back_onto_a_loan_that_was_paid_off_later_is_refused() -> None:
    payoff = Account.opened(TERMS).position(FIRST_DUE).payoff_amount
    rows = booked(disbursed(TERMS), payment(1, FIRST_DUE, payoff))
    with pytest.raises(MovementRefused):
        add(TERMS, rows, payment(2, START, Decimal("100.00")))


def test_taking_back_the_payoff_reopens_the_loan() -> None:
    payoff = payment(1, FIRST_DUE, Account.opened(TERMS).position(FIRST_DUE).payoff_amount)
    reopened = remove(TERMS, booked(disbursed(TERMS), payoff), payoff.id)
    assert reopened.account.position(FIRST_DUE).payoff_amount == Decimal("10348.00")


def test_a_charge_that_was_forgiven_later_is_not_taken_back() -> None:
    fee = Movement(UUID(int=1), MovementKind.FEE, START, 1, Decimal("100.00"))
    waiver = Movement(UUID(int=2), MovementKind.WAIVER, FIRST_DUE, 2, Decimal("116.00"), Bucket.FEES)
    rows = booked(disbursed(TERMS), fee, waiver)
    with pytest.raises(MovementRefused):
        remove(TERMS, rows, fee.id)
    assert remove(TERMS, rows, waiver.id).account.position(FIRST_DUE).fees == Decimal("100.00")


def test_a_payment_dated_before_a_write_off_lowers_what_was_lost() -> None:
    lost = Movement(UUID(int=1), MovementKind.WRITE_OFF, FIRST_DUE, 1)
    rows = booked(disbursed(TERMS), lost)
    corrected = add(TERMS, rows, payment(2, START, Decimal("1000.00")))
    # A month on 9 000.00 instead of 10 000.00.
    assert corrected.booked[1][1] == Split(
        principal=Decimal("9000.00"), interest=Decimal("270.00"), vat=Decimal("43.20")
    )
    assert corrected.account.largest_payment(FIRST_DUE) == Decimal("9313.20")
