"""Facts about decoys; the address stands in the table, where it can be forgotten."""

from datetime import datetime
from uuid import UUID

from backend_api.outbox.envelope import timestamp
from backend_api.outbox.record import Fact


def decoy_touched(decoy_id: UUID, path: str, hour: datetime) -> Fact:
    """An address asked for a decoy, for the first time in this hour."""
    return Fact("decoy_touched", decoy_id, {"decoy_id": str(decoy_id), "path": path, "hour": timestamp(hour)})
