"""Facts about clients: ids, states and names of fields, never what stands in them."""

from collections.abc import Sequence
from uuid import UUID

from backend_api.domain.states import ClientStatus
from backend_api.outbox.record import Fact


def client_created(client_id: UUID, status: ClientStatus, fields: Sequence[str]) -> Fact:
    """A new client; `fields` are those that were given."""
    return Fact(
        "client_created", client_id, {"client_id": str(client_id), "status": status.value, "fields": sorted(fields)}
    )


def client_updated(client_id: UUID, changed: Sequence[str]) -> Fact:
    """Fields of the record changed."""
    return Fact("client_updated", client_id, {"client_id": str(client_id), "changed": sorted(changed)})


def client_status_changed(client_id: UUID, status: ClientStatus) -> Fact:
    """The client was deactivated or reactivated."""
    name = "client_reactivated" if status is ClientStatus.ACTIVE else "client_deactivated"
    return Fact(name, client_id, {"client_id": str(client_id), "status": status.value})


def person_data_exported(client_id: UUID) -> Fact:
    """Somebody got everything that is stored about a client."""
    return Fact("person_data_exported", client_id, {"client_id": str(client_id)})


def client_deleted(client_id: UUID) -> Fact:
    """Personal data is blocked; RFC and e-mail are free again."""
    return Fact("client_deleted", client_id, {"client_id": str(client_id)})
