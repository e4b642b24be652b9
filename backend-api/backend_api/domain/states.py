"""States of clients, loans and payments. A move that is not in the table is impossible."""

from enum import StrEnum

from backend_api.domain.errors import TransitionRefused


class ClientStatus(StrEnum):
    """An inactive client may always pay and gets no new loan."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class PaymentStatus(StrEnum):
    """A refused payment is recorded too, with its reason. A reversed one was registered; its row stays as it was."""

    REGISTERED = "REGISTERED"
    REJECTED = "REJECTED"
    REVERSED = "REVERSED"


class LoanStatus(StrEnum):
    """Where a loan stands."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    PAID_OFF = "PAID_OFF"
    DEFAULTED = "DEFAULTED"
    RESTRUCTURED = "RESTRUCTURED"
    WRITTEN_OFF = "WRITTEN_OFF"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class LoanEvent(StrEnum):
    """What can happen to a loan that moves it to another state.

    A write-off is undone to the state it came from, so that undoing has two names: the caller knows the past.
    """

    ACTIVATE = "activate"
    REJECT = "reject"
    CANCEL = "cancel"
    UNDO_DISBURSEMENT = "undo_disbursement"
    PAY_OFF = "pay_off"
    REOPEN = "reopen"
    DEFAULT = "default"
    CURE = "cure"
    RESTRUCTURE = "restructure"
    WRITE_OFF = "write_off"
    UNDO_WRITE_OFF_TO_ACTIVE = "undo_write_off_to_active"
    UNDO_WRITE_OFF_TO_DEFAULTED = "undo_write_off_to_defaulted"


TRANSITIONS: dict[tuple[LoanStatus, LoanEvent], LoanStatus] = {
    (LoanStatus.PENDING, LoanEvent.ACTIVATE): LoanStatus.ACTIVE,
    (LoanStatus.PENDING, LoanEvent.REJECT): LoanStatus.REJECTED,
    (LoanStatus.PENDING, LoanEvent.CANCEL): LoanStatus.CANCELLED,
    (LoanStatus.ACTIVE, LoanEvent.UNDO_DISBURSEMENT): LoanStatus.CANCELLED,
    (LoanStatus.ACTIVE, LoanEvent.PAY_OFF): LoanStatus.PAID_OFF,
    (LoanStatus.ACTIVE, LoanEvent.DEFAULT): LoanStatus.DEFAULTED,
    (LoanStatus.ACTIVE, LoanEvent.RESTRUCTURE): LoanStatus.RESTRUCTURED,
    (LoanStatus.ACTIVE, LoanEvent.WRITE_OFF): LoanStatus.WRITTEN_OFF,
    (LoanStatus.DEFAULTED, LoanEvent.CURE): LoanStatus.ACTIVE,
    (LoanStatus.DEFAULTED, LoanEvent.PAY_OFF): LoanStatus.PAID_OFF,
    (LoanStatus.DEFAULTED, LoanEvent.RESTRUCTURE): LoanStatus.RESTRUCTURED,
    (LoanStatus.DEFAULTED, LoanEvent.WRITE_OFF): LoanStatus.WRITTEN_OFF,
    (LoanStatus.PAID_OFF, LoanEvent.REOPEN): LoanStatus.ACTIVE,
    (LoanStatus.WRITTEN_OFF, LoanEvent.UNDO_WRITE_OFF_TO_ACTIVE): LoanStatus.ACTIVE,
    (LoanStatus.WRITTEN_OFF, LoanEvent.UNDO_WRITE_OFF_TO_DEFAULTED): LoanStatus.DEFAULTED,
}

OWING = frozenset({LoanStatus.ACTIVE, LoanStatus.DEFAULTED})
"""Loans that are owed now: they take payments and make up a client's total debt."""

PAYABLE = OWING | {LoanStatus.WRITTEN_OFF}
"""Loans that take a payment when it is meant for them; on one that is written off it is a recovery."""

OPEN = OWING | {LoanStatus.PENDING}
"""Loans that count against the credit line and keep a client from being deleted."""


def transition(state: LoanStatus, event: LoanEvent) -> LoanStatus:
    """The state after the event. Raises TransitionRefused when the table has no such move."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionRefused(loan_status=state.value, event=event.value) from None
