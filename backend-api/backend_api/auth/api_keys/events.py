"""Facts about API keys: what a key may do, and never anything of the key itself."""

from collections.abc import Iterable
from uuid import UUID

from backend_api.outbox.record import Fact


def api_key_created(key_id: UUID, owner_id: UUID, scopes: Iterable[str]) -> Fact:
    """A program may call from now on; its owner answers for it."""
    payload = {"api_key_id": str(key_id), "owner_id": str(owner_id), "scopes": sorted(scopes)}
    return Fact("api_key_created", key_id, payload)


def api_key_rotated(key_id: UUID, owner_id: UUID) -> Fact:
    """The key has a new secret; the one before counts for a while yet."""
    return Fact("api_key_rotated", key_id, {"api_key_id": str(key_id), "owner_id": str(owner_id)})


def api_key_revoked(key_id: UUID, owner_id: UUID) -> Fact:
    """The key counts no more."""
    return Fact("api_key_revoked", key_id, {"api_key_id": str(key_id), "owner_id": str(owner_id)})
