"""What holds for every loan, whatever happens to it (see `conftest` for how many histories are tried)."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from backend_api.domain.account import Account, Movement, MovementKind, Split, apply, replay
from backend_api.domain.money import CENT, ZERO
from backend_api.domain.schedule import schedule
from backend_api.domain.terms import ExcessPolicy, Terms
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.domain.histories import History, histories, money, parts, payment, payment_amounts, possible_terms

LOWERS = (MovementKind.PAYMENT, MovementKind.WAIVER, MovementKind.WRITE_OFF, MovementKind.RESTRUCTURE)

waits = st.integers(0, 200).map(lambda count: timedelta(days=count))


@given(histories())
def test_splits_add_up_and_principal_is_owed_until_it_is_paid(history: History) -> None:
    account, splits = replay(history.terms, history.movements)
    collected = Split()
    for movement in history.movements:
        split = splits[movement.id]
        assert min(split.principal, split.fees, split.moratory) >= ZERO
        if movement.kind in LOWERS:
            collected += split
        # What was paid before it arose is given back when the loan is closed, and nothing else.
        assert min(split.interest, split.vat) >= ZERO or not account.principal
        assert min(parts(collected)) >= ZERO
        assert all(part == part.quantize(CENT) for part in parts(split))
        if movement.kind is MovementKind.FEE:
            assert split.fees == movement.amount
            assert split.total == split.fees + split.vat
        elif movement.amount:
            assert split.total == movement.amount
    taken_off = sum((splits[one.id].principal for one in history.movements if one.kind in LOWERS), ZERO)
    assert account.principal == history.terms.principal - taken_off


@given(histories(), waits)
def test_nothing_owed_is_negative_and_what_is_due_is_part_of_it(history: History, wait: timedelta) -> None:
    account, _ = replay(history.terms, history.movements)
    position = account.position(history.last_day + wait)
    assert min(*parts(position.due), position.next_due_total, position.payoff_amount) >= ZERO
    in_advance = [row.interest for row in account.rows if row.due_on > position.on]
    settled = sum((interest.net_settled for interest in in_advance), ZERO)
    vat_settled = sum((interest.vat_settled for interest in in_advance), ZERO)
    least = (ZERO, -settled, -vat_settled, ZERO, ZERO)
    assert all(due + low <= owed for low, due, owed in zip(least, parts(position.due), parts(position), strict=True))
    assert bool(position.principal) <= bool(position.payoff_amount or wait)
    assert account.least_owed(position.on) <= position.payoff_amount
    assert (position.days_past_due > 0) <= (position.due.total > 0)
    assert (position.next_due_on is None) == (position.next_due_total == ZERO)
    # All interest that arises is charged by some installment, and no other.
    charged = sum((row.interest.net for row in account.rows), ZERO)
    assert account.interest_before + sum((row.earned for row in account.rows), ZERO) == charged
    assert all(row.earned >= ZERO for row in account.rows)


@given(histories(), st.lists(waits, min_size=2, max_size=4))
def test_a_position_depends_on_the_movements_and_not_on_when_it_was_looked_at(
    history: History, pauses: list[timedelta]
) -> None:
    account, _ = replay(history.terms, history.movements)
    *between, last = sorted(history.last_day + pause for pause in pauses)
    looked_at = account
    for day in between:
        looked_at = looked_at.on(day)
    assert looked_at.position(last) == account.position(last)


@given(histories(), waits)
def test_days_between_movements_change_nothing(history: History, wait: timedelta) -> None:
    account = Account.opened(history.terms)
    day = history.terms.disbursed_on
    for movement in history.movements:
        account = account.on(day + (movement.value_date - day) // 2).on(movement.value_date)
        account, _ = apply(account, movement)
        day = movement.value_date
    straight, _ = replay(history.terms, reversed(history.movements))
    assert account.position(day + wait) == straight.position(day + wait)


@given(histories(may_close=False), waits, waits, st.data())
def test_paying_the_payoff_leaves_nothing_for_ever(
    history: History, wait: timedelta, later: timedelta, data: st.DataObject
) -> None:
    account, _ = replay(history.terms, history.movements)
    day = history.last_day + wait
    position, most = account.position(day), account.largest_payment(day)
    assume(position.payoff_amount)
    assert position.payoff_amount <= most
    paid, split = apply(account, payment(99, day, position.payoff_amount))
    assert parts(split) == parts(position)
    more = Decimal(data.draw(st.integers(0, int((most - position.payoff_amount) * 100)))).scaleb(-2)
    as_agreed, dearer = apply(account, payment(99, day, position.payoff_amount + more))
    assert dearer.total == split.total + more
    assert all(more >= part for part, more in zip(parts(split), parts(dearer), strict=True))
    for closed in (paid, as_agreed):
        after = closed.position(day + later)
        assert (after.payoff_amount, after.days_past_due, after.next_due_on) == (ZERO, 0, None)
        assert closed.largest_payment(day + later) == ZERO


@given(histories(may_close=False, late_fee=ZERO), waits, st.data())
def test_whoever_pays_more_owes_no_more(history: History, wait: timedelta, data: st.DataObject) -> None:
    account, _ = replay(history.terms, history.movements)
    day = history.last_day + wait
    assume(account.largest_payment(day))
    amount = data.draw(payment_amounts(account, day))
    assume(amount > ZERO)
    before = account.position(day)
    paid, split = apply(account, payment(99, day, amount))
    after = paid.position(day)
    assert after.payoff_amount <= before.payoff_amount
    assert after.principal == before.principal - split.principal
    assert after.due.total <= before.due.total


@given(histories(may_close=False), waits, st.data())
def test_whatever_is_paid_comes_off_the_payoff(history: History, wait: timedelta, data: st.DataObject) -> None:
    """Interest that is paid before it arises is no loss to whoever pays the loan off after all (LTOSF 10)."""
    account, _ = replay(history.terms, history.movements)
    day = history.last_day + wait
    payoff = account.position(day).payoff_amount
    assume(payoff)
    amount = min(data.draw(payment_amounts(account, day)), payoff)
    assume(amount > ZERO)
    paid, _ = apply(account, payment(99, day, amount))
    left = paid.position(day).payoff_amount
    # VAT is rounded by installment when it is settled, and once for all when it is worked out.
    assert abs(payoff - amount - left) <= CENT * (len(account.rows) + 1)


@given(possible_terms())
def test_paying_every_installment_on_its_day_follows_the_schedule_to_the_end(terms: Terms) -> None:
    account = Account.opened(terms)
    rows = [row for row in schedule(terms) if row.total]
    for row in rows:
        if not account.principal:
            # Level installments of a multiple may repay a flat loan before its last period: then it is paid off.
            assert terms.installment_multiple
            break
        position = account.position(row.due_on)
        assert position.due.total == row.total
        account, split = apply(account, payment(row.number, row.due_on, row.total))
        assert parts(split) == (row.principal, row.interest, row.vat, ZERO, ZERO)
        assert account.principal == row.balance
    assert account.position(rows[-1].due_on + timedelta(days=500)).payoff_amount == ZERO


@given(possible_terms(late_fee=ZERO), st.data())
def test_an_installment_paid_within_the_early_days_is_that_installment(terms: Terms, data: st.DataObject) -> None:
    account = Account.opened(terms)
    for row in schedule(terms):
        earliest = max(row.due_on - timedelta(days=terms.early_days), terms.disbursed_on + timedelta(days=1))
        day = earliest + timedelta(days=data.draw(st.integers(0, (row.due_on - earliest).days)))
        day = max(day, *(earlier.moratory_until or day for earlier in account.rows))
        most = account.largest_payment(day)
        if not row.total or row.total > most or account.position(day).due.total:
            return
        account, split = apply(account, payment(row.number, day, row.total))
        if account.position(day).payoff_amount == ZERO:
            assert split.total == row.total
            return
        assert parts(split) == (row.principal, row.interest, row.vat, ZERO, ZERO)


@given(histories(may_close=False), waits)
def test_a_loan_that_was_closed_owes_nothing_but_what_may_be_recovered(history: History, wait: timedelta) -> None:
    account, _ = replay(history.terms, history.movements)
    day = history.last_day + wait
    assume(account.position(day).payoff_amount)
    owed = account.position(day)
    lost, split = apply(account, Movement(UUID(int=98), MovementKind.WRITE_OFF, day, 98))
    assert parts(split) == parts(owed)
    assert lost.position(day + wait).payoff_amount == ZERO
    assert lost.largest_payment(day) == owed.payoff_amount
    back, found = apply(lost, Movement(UUID(int=99), MovementKind.RECOVERY, day, 99, CENT))
    assert found.total == CENT
    assert back.largest_payment(day) == owed.payoff_amount - CENT


@given(histories(may_close=False, may_carry=False, late_fee=ZERO), waits)
def test_vat_is_paid_once_on_all_that_bears_it(history: History, wait: timedelta) -> None:
    account, splits = replay(history.terms, history.movements)
    day = history.last_day + wait
    assume(account.position(day).payoff_amount)
    number_of_charges = 3 * len(account.rows) + 2 * len(history.movements)
    _, last = apply(account, payment(99, day, account.position(day).payoff_amount))
    settled = [splits[one.id] for one in history.movements if one.kind in LOWERS] + [last]
    taxed = sum((split.interest + split.fees + split.moratory for split in settled), ZERO)
    vat = sum((split.vat for split in settled), ZERO)
    assert abs(vat - taxed * history.terms.vat_rate) <= Decimal("0.005") * number_of_charges


@given(possible_terms(early_days=0, installment_multiple=None), st.integers(0, 40), st.integers(0, 40), st.data())
def test_an_early_payment_saves_the_interest_of_what_it_repaid_and_no_more(
    terms: Terms, after: int, wait: int, data: st.DataObject
) -> None:
    account = Account.opened(terms)
    charged_on = next(row.due_on for row in account.rows if row.open)
    day = terms.disbursed_on + timedelta(days=after)
    later = day + timedelta(days=wait)
    assume(later < charged_on and terms.excess is not ExcessPolicy.ADVANCE)
    amount = data.draw(money(1, int(account.position(day).payoff_amount * 100)))
    paid, split = apply(account, payment(1, day, amount))
    saved = account.position(later).payoff_amount - (amount + paid.position(later).payoff_amount)
    # Not more days of interest than 31 in a month of thirty, and VAT on them.
    most = split.principal * terms.interest_rate * (1 + terms.vat_rate) * (wait + 2) / 360
    assert -3 * CENT <= saved <= most + 3 * CENT
