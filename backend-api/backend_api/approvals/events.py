"""Facts about approvals: what was asked for and what became of it; who it was stands in the envelope."""

from collections.abc import Mapping
from typing import Any

from backend_api.domain.approvals import ApprovalStatus
from backend_api.domain.money import format_money
from backend_api.outbox.record import Fact


def approval_requested(approval: Mapping[str, Any]) -> Fact:
    """Somebody asked for what a second person has to decide; nothing of it is done."""
    return Fact("approval_requested", approval["id"], _payload(approval, ApprovalStatus.PENDING))


def approval_granted(approval: Mapping[str, Any]) -> Fact:
    """A second person agreed; it was done in the same commit, and its own events come before this one."""
    return Fact("approval_granted", approval["id"], _payload(approval, ApprovalStatus.APPROVED))


def approval_refused(approval: Mapping[str, Any]) -> Fact:
    """A second person declined; nothing was done."""
    return Fact("approval_refused", approval["id"], _payload(approval, ApprovalStatus.REJECTED))


def approval_expired(approval: Mapping[str, Any]) -> Fact:
    """Nobody decided in time; nothing was done."""
    return Fact("approval_expired", approval["id"], _payload(approval, ApprovalStatus.EXPIRED))


def _payload(approval: Mapping[str, Any], status: ApprovalStatus) -> dict[str, Any]:
    return {
        "approval_id": str(approval["id"]),
        "client_id": str(approval["client_id"]),
        "kind": approval["kind"],
        "target_id": str(approval["target_id"]),
        "amount": format_money(approval["amount"]),
        "status": status.value,
    }
