"""Use cases of clients. Each: read, refuse, decide; the writing is done by `http.write`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record

from backend_api.clients import events, queries
from backend_api.clients.schemas import ClientIn, ClientOut, ClientPatch
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError, RfcInvalid
from backend_api.domain.identifiers import RfcVerdict, check_rfc
from backend_api.domain.states import ClientStatus
from backend_api.http import etag
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, FieldRefused, NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import clients
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Fact, Origin

NOBODY = UUID(int=0)
NOTHING_TO_TELL = Answer(204, b"", {})
RECORD_VIEW = "record"
STAFF = "staff"


class _Duplicate(DomainError):
    """Another client has this value; `field` says of what."""

    status = 409
    field: str

    def __init__(self) -> None:
        super().__init__(field=self.field)
        self.errors = [FieldError(pointer=f"/{self.field}", code="duplicate", detail=self.message)]


class DuplicateRfc(_Duplicate):
    """Another client has this RFC."""

    code = "duplicate_rfc"
    field = "rfc"
    message = "Another client has this RFC."


class DuplicateEmail(_Duplicate):
    """Another client has this e-mail address."""

    code = "duplicate_email"
    field = "email"
    message = "Another client has this e-mail address."


class DuplicateExternalId(_Duplicate):
    """Another client has this external id."""

    code = "duplicate_external_id"
    field = "external_id"
    message = "Another client has this external id."


class ClientHasOpenLoans(DomainError):
    """A client who owes or is about to owe cannot be deleted."""

    code = "client_has_open_loans"
    status = 409
    message = "The client has open loans; close them first."


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {
    "clients_rfc_key": DuplicateRfc,
    "clients_email_key": DuplicateEmail,
    "clients_external_id_key": DuplicateExternalId,
}


def create_client(body: ClientIn, *, rfc_strict: bool) -> UseCase:
    """A new client. Raises `FieldRefused` for the RFC, `DuplicateRfc`, `DuplicateEmail`, `DuplicateExternalId`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        verdict = check_rfc_field(body.rfc, strict=rfc_strict)
        return await _registered(connection, origin, body.model_dump(), verdict)

    return use_case


def create_partner_client(external_id: str, credit_limit: Decimal, status: ClientStatus) -> UseCase:
    """A client of whom a partner tells its own id and a credit line.

    RFC and e-mail are not known yet, and the id stands where the name will: whoever learns them adds them to the
    record. Raises `DuplicateExternalId`.
    """
    fields = dict.fromkeys(ClientIn.model_fields) | {
        "full_name": external_id,
        "external_id": external_id,
        "credit_limit": credit_limit,
        "status": status,
    }

    async def use_case(connection: Connection, origin: Origin) -> Change:
        return await _registered(connection, origin, fields, None)

    return use_case


async def _registered(
    connection: Connection, origin: Origin, fields: Mapping[str, Any], verdict: RfcVerdict | None
) -> Change:
    rfc = verdict.normalized if verdict else None
    taken = await _refuse_taken(connection, rfc, fields["email"], fields["external_id"], NOBODY)
    change = registration(fields, verdict, taken["today"], origin)
    client = _client_out({**change.values, "id": change.aggregate.id})
    return replace(change, answer=_answer(201, client, sequence=1, today=taken["today"], location=True))


def registration(fields: Mapping[str, Any], verdict: RfcVerdict | None, today: date, origin: Origin) -> Change:
    """The change that registers a client with these fields, which nobody else has, and without an answer. A client of
    whom no RFC is known has no `verdict` on one."""
    client_id = uuid7(origin.at)
    given = [name for name, value in fields.items() if value is not None]
    values = {
        **fields,
        "rfc": verdict.normalized if verdict else None,
        "warnings": _warnings(verdict) if verdict else "[]",
        "version": 1,
        "created_at": origin.at,
        "updated_at": origin.at,
    }
    return Change(
        aggregate=Aggregate("client", clients, client_id, 0, GENESIS),
        business_date=today,
        values=values,
        facts=[events.client_created(client_id, fields["status"], given)],
        answer=NOTHING_TO_TELL,
    )


def replace_client(client_id: UUID, body: ClientIn, if_match: str | None, *, rfc_strict: bool) -> UseCase:
    """The whole record anew. Raises what `create_client` does, `NotFound` and `PreconditionFailed`."""
    return _change_record(client_id, body.model_dump(), if_match, rfc_strict=rfc_strict)


def update_client(client_id: UUID, body: ClientPatch, if_match: str | None, *, rfc_strict: bool) -> UseCase:
    """Some fields anew. Raises what `replace_client` does."""
    return _change_record(client_id, body.model_dump(exclude_unset=True), if_match, rfc_strict=rfc_strict)


def delete_client(client_id: UUID, if_match: str | None) -> UseCase:
    """Block the personal data, free RFC and e-mail. Raises `NotFound`, `ClientHasOpenLoans`, `PreconditionFailed`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        row = await for_change(connection, client_id, if_match)
        if row["open_loans"]:
            raise ClientHasOpenLoans
        return Change(
            aggregate=aggregate(row),
            business_date=row["today"],
            values={"deleted_at": origin.at, "version": row["version"] + 1, "updated_at": origin.at},
            facts=[events.client_deleted(client_id)],
            answer=Answer(204, b"", {}),
        )

    return use_case


def _change_record(client_id: UUID, wanted: dict[str, Any], if_match: str | None, *, rfc_strict: bool) -> UseCase:
    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await for_change(connection, client_id, if_match)
        values = dict(wanted)
        if "rfc" in values:
            verdict = check_rfc_field(values["rfc"], strict=rfc_strict)
            values["rfc"] = verdict.normalized
        changed = {name: value for name, value in values.items() if value != row[name]}
        if "rfc" in changed:
            changed["warnings"] = _warnings(verdict)
        current = {name: row[name] for name in ClientOut.model_fields}
        if not changed:
            return _answer(200, _client_out(current), sequence=row["event_sequence"], today=row["today"])
        merged = {**current, **changed}
        await _refuse_taken(connection, merged["rfc"], merged["email"], merged["external_id"], client_id)
        changed |= {"version": row["version"] + 1, "updated_at": origin.at}
        facts = _facts(client_id, changed)
        return Change(
            aggregate=aggregate(row),
            business_date=row["today"],
            values=changed,
            facts=facts,
            answer=_answer(
                200,
                _client_out({**current, **changed}),
                sequence=row["event_sequence"] + len(facts),
                today=row["today"],
            ),
        )

    return use_case


def _facts(client_id: UUID, changed: Mapping[str, Any]) -> list[Fact]:
    names = [name for name in changed if name not in ("status", "version", "updated_at", "warnings")]
    facts = [events.client_updated(client_id, names)] if names else []
    if "status" in changed:
        facts.append(events.client_status_changed(client_id, ClientStatus(changed["status"])))
    return facts


async def for_change(connection: Connection, client_id: UUID, if_match: str | None) -> Record:
    """A client as it is to be changed. Raises `NotFound`, `PreconditionFailed`."""
    row = await queries.for_change(connection, client_id)
    if row is None:
        raise NotFound
    etag.check_if_match(if_match, row["version"])
    return row


async def _refuse_taken(
    connection: Connection, rfc: str | None, email: str | None, external_id: str | None, but: UUID
) -> Record:
    taken = await queries.taken(connection, rfc, email, external_id, but)
    for field, duplicate in (
        ("rfc_taken", DuplicateRfc),
        ("email_taken", DuplicateEmail),
        ("external_id_taken", DuplicateExternalId),
    ):
        if taken[field]:
            raise duplicate
    return taken


def check_rfc_field(rfc: str, *, strict: bool) -> RfcVerdict:
    """Whether this can be a borrower's RFC. Raises `FieldRefused`."""
    try:
        return check_rfc(rfc, strict=strict)
    except RfcInvalid as refusal:
        raise FieldRefused("/rfc", refusal.code, refusal.message) from refusal


def _warnings(verdict: RfcVerdict) -> str:
    return orjson.dumps([{"code": code, "detail": detail} for code, detail in verdict.warnings]).decode()


def aggregate(row: Record) -> Aggregate:
    """The boundary of a change of this client."""
    return Aggregate("client", clients, row["id"], row["event_sequence"], row["chain_head"])


def _client_out(values: Mapping[str, Any]) -> ClientOut:
    return ClientOut.model_validate({**values, "warnings": orjson.loads(values["warnings"])})


def _answer(status: int, client: ClientOut, *, sequence: int, today: Any, location: bool = False) -> Answer:
    headers = {"ETag": etag.make(client.version, sequence, today, RECORD_VIEW, STAFF)}
    if location:
        headers["Location"] = f"/api/v1/clients/{client.id}"
    return Answer(status, client.model_dump_json().encode(), headers)
