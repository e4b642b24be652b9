"""The loan's life: the table is complete, and everything outside of it is refused."""

from itertools import product

import pytest
from backend_api.domain.errors import TransitionRefused
from backend_api.domain.states import OPEN, OWING, TRANSITIONS, LoanEvent, LoanStatus, transition

ALLOWED_MOVES = {
    "PENDING": {"ACTIVE", "REJECTED", "CANCELLED"},
    "ACTIVE": {"PAID_OFF", "DEFAULTED", "RESTRUCTURED", "WRITTEN_OFF", "CANCELLED"},
    "DEFAULTED": {"ACTIVE", "PAID_OFF", "RESTRUCTURED", "WRITTEN_OFF"},
    "PAID_OFF": {"ACTIVE"},
    "WRITTEN_OFF": {"ACTIVE", "DEFAULTED"},
    "RESTRUCTURED": set(),
    "REJECTED": set(),
    "CANCELLED": set(),
}


@pytest.mark.parametrize(("state", "event"), list(product(LoanStatus, LoanEvent)))
def test_every_state_and_event_either_moves_by_the_table_or_is_refused(state: LoanStatus, event: LoanEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert transition(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(TransitionRefused) as refusal:
            transition(state, event)
        assert refusal.value.facts == {"loan_status": state.value, "event": event.value}


@pytest.mark.parametrize("state", LoanStatus)
def test_the_table_allows_exactly_the_moves_of_the_specification(state: LoanStatus) -> None:
    assert {target.value for (source, _), target in TRANSITIONS.items() if source is state} == ALLOWED_MOVES[state]


@pytest.mark.parametrize("event", LoanEvent)
def test_every_event_can_happen(event: LoanEvent) -> None:
    assert any(event is used for _, used in TRANSITIONS)


def test_every_state_can_be_reached() -> None:
    reached = {LoanStatus.PENDING}
    while more := {target for (source, _), target in TRANSITIONS.items() if source in reached} - reached:
        reached |= more
    assert reached == set(LoanStatus)


def test_what_is_owed_and_what_counts_against_the_credit_line() -> None:
    assert {"ACTIVE", "DEFAULTED"} == OWING
    assert {"PENDING", "ACTIVE", "DEFAULTED"} == OPEN
