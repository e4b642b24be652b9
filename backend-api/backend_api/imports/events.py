"""Facts about imports: how many, never who."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from backend_api.outbox.record import Fact


def import_requested(import_id: UUID, values: Mapping[str, Any]) -> Fact:
    """Somebody sent a file; `sha256` names it."""
    return Fact(
        "import_requested",
        import_id,
        {
            "import_id": str(import_id),
            "format": values["format"],
            "mode": values["mode"],
            "dry_run": values["dry_run"],
            "bytes": values["file_bytes"],
            "sha256": values["file_digest"].hex(),
        },
    )


def import_completed(import_id: UUID, values: Mapping[str, Any]) -> Fact:
    """It came to its end, whichever: `status` says how, the counts what of it stands."""
    counts = {name: values[name] for name in ("accepted", "duplicates", "refused", "loans")}
    payload = {"import_id": str(import_id), "status": values["status"], "dry_run": values["dry_run"], **counts}
    return Fact("import_completed", import_id, payload)
