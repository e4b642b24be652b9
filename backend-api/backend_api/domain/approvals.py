"""What needs a second person above an amount, and the life of an approval."""

from datetime import timedelta
from enum import StrEnum

LIFE = timedelta(days=7)
"""How long somebody may decide; what is not decided by then has to be asked for again."""


class ApprovalKind(StrEnum):
    """What is asked for."""

    ACTIVATION = "ACTIVATION"
    REVERSAL = "REVERSAL"
    WRITE_OFF = "WRITE_OFF"
    WRITE_OFF_REVERSAL = "WRITE_OFF_REVERSAL"
    WAIVER = "WAIVER"
    RESTRUCTURE = "RESTRUCTURE"


class ApprovalStatus(StrEnum):
    """Decided once; one that is past its time is EXPIRED, whether or not that was recorded already."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
