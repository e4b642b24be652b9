"""Use cases of API keys: made, rotated, revoked. The key itself leaves in one answer, which is not stored."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from backend_api.auth.api_keys import events, queries
from backend_api.auth.api_keys.schemas import ApiKeyIn, ApiKeyOut, KeyStatus, NewApiKey, RotationIn
from backend_api.auth.api_keys.secrets import Pepper
from backend_api.auth.permissions import EVERYTHING, Role, allowed
from backend_api.auth.service import NO_STORE
from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldRefused, NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import api_keys, revocations
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin


class KeyRevoked(DomainError):
    """A revoked key stays so."""

    code = "api_key_revoked"
    status = 409
    message = "The key is revoked: make a new one."


def create_key(body: ApiKeyIn, caller: UUID, pepper: Pepper) -> UseCase:
    """A new key. Raises `FieldRefused` for owner, scopes, product and end."""
    owner_id = body.owner_id or caller

    async def use_case(connection: Connection, origin: Origin) -> Change:
        owner = await queries.owner(connection, owner_id, body.product)
        if owner["role"] is None:
            raise FieldRefused("/owner_id", "owner_not_found", "There is no such user, or they are disabled.")
        if set(body.scopes) - {EVERYTHING} - allowed(Role(owner["role"]), body.scopes):
            raise FieldRefused("/scopes", "scope_not_held", "A key may not do more than its owner.")
        if not owner["product_known"]:
            raise FieldRefused("/product", "product_not_found", "There is no such product.")
        if body.expires_at is not None and body.expires_at <= origin.at:
            raise FieldRefused("/expires_at", "expires_in_past", "A key that has run out already is of no use.")
        key_id, made = uuid7(origin.at), pepper.new_key()
        values = {
            "public_id": made.public_id,
            "owner_id": owner_id,
            "name": body.name,
            "scopes": body.scopes,
            "secret_hash": made.secret_hash,
            "status": KeyStatus.ACTIVE.value,
            "product": body.product,
            "expires_at": body.expires_at,
            "version": 1,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        return Change(
            aggregate=Aggregate("api_key", api_keys, key_id, 0, GENESIS),
            business_date=owner["today"],
            values=values,
            facts=[events.api_key_created(key_id, owner_id, body.scopes)],
            answer=_shown_once(201, {**values, "id": key_id}, made.text),
        )

    return use_case


def rotate_key(key_id: UUID, body: RotationIn, pepper: Pepper) -> UseCase:
    """A new secret; the one so far counts for the overlap yet. Raises `NotFound`, `KeyRevoked`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await _for_change(connection, key_id)
        if row["status"] != KeyStatus.ACTIVE:
            raise KeyRevoked
        made = pepper.new_key(row["public_id"])
        values = {
            "secret_hash": made.secret_hash,
            "former_hash": row["secret_hash"],
            "former_until": origin.at + timedelta(hours=body.overlap_hours),
            "version": row["version"] + 1,
            "updated_at": origin.at,
        }
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            values=values,
            inserts=[_revocation(key_id, values["version"])],
            facts=[events.api_key_rotated(key_id, row["owner_id"])],
            answer=_shown_once(200, {**row, **values}, made.text),
        )

    return use_case


def revoke_key(key_id: UUID) -> UseCase:
    """The key counts no more; a second time changes nothing. Raises `NotFound`."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await _for_change(connection, key_id)
        if row["status"] == KeyStatus.REVOKED:
            return Answer(204, b"", {})
        version = row["version"] + 1
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            values={"status": KeyStatus.REVOKED.value, "version": version, "updated_at": origin.at},
            inserts=[_revocation(key_id, version)],
            facts=[events.api_key_revoked(key_id, row["owner_id"])],
            answer=Answer(204, b"", {}),
        )

    return use_case


async def _for_change(connection: Connection, key_id: UUID) -> Mapping[str, Any]:
    row = await queries.for_change(connection, key_id)
    if row is None:
        raise NotFound
    return dict(row)


def _revocation(key_id: UUID, version: int) -> Insert:
    """What makes every process read the key anew."""
    return Insert(revocations, [{"subject": key_id, "epoch": version}])


def _aggregate(row: Mapping[str, Any]) -> Aggregate:
    return Aggregate("api_key", api_keys, row["id"], row["event_sequence"], row["chain_head"])


def _shown_once(status: int, row: Mapping[str, Any], key: str) -> Answer:
    shown = {name: row.get(name) for name in ApiKeyOut.model_fields}
    headers = {**NO_STORE, "Location": f"/api/v1/api-keys/{row['id']}"}
    return Answer(status, NewApiKey.model_validate({**shown, "key": key}).model_dump_json().encode(), headers)
