"""Above an amount a second person decides: what was asked for is kept, and done under their call or not at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

from backend_api.approvals import events, queries
from backend_api.approvals.schemas import ApprovalOut, DecisionIn
from backend_api.db.conditional_write import Insert, Update
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.approvals import LIFE, ApprovalKind, ApprovalStatus
from backend_api.domain.errors import DomainError
from backend_api.domain.money import format_money
from backend_api.http.idempotency import Answer
from backend_api.http.problems import NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import approvals, clients
from backend_api.outbox.record import Origin

GROWING = frozenset({ApprovalKind.WRITE_OFF, ApprovalKind.RESTRUCTURE})
"""What a loan owes grows by the day; everything else is about the amount that was asked for, or about less."""


class ApprovalPending(DomainError):
    """The same was asked for already and waits for a decision. Facts: `approval_id`."""

    code = "approval_pending"
    status = 409
    message = "This was asked for already and waits for a second person."


class ApprovalDecided(DomainError):
    """An approval is decided once. Facts: `approval_status`."""

    code = "approval_decided"
    status = 409
    message = "The approval is decided already."


class ApprovalExpired(DomainError):
    """Nobody decided in time."""

    code = "approval_expired"
    status = 409
    message = "Nobody decided in time: it has to be asked for again."


class MakerIsChecker(DomainError):
    """Who asks does not decide, neither way."""

    code = "maker_is_checker"
    status = 403
    message = "You asked for this yourself, so somebody else has to decide it."


class AmountGrown(DomainError):
    """What was asked for would now be about more money. Facts: `amount` of now."""

    code = "amount_grown"
    status = 409
    message = "This is about a larger amount than when it was asked for: reject it and ask again."


@dataclass(frozen=True, slots=True)
class Asked:
    """What it takes to do later what was asked for: the loan or payment, the body, the versions that were named."""

    target_id: UUID
    body: Mapping[str, Any]
    if_match: str | None


UseCases = Mapping[ApprovalKind, Callable[[Asked], UseCase]]
"""How what was asked for is done. The features above hand it in, so that imports point down."""


def asked(target_id: UUID, body: BaseModel | None = None, if_match: str | None = None) -> Asked:
    """What a call asks for, as it can be stored."""
    return Asked(target_id, body.model_dump(mode="json", exclude_unset=True) if body else {}, if_match)


def with_second_person(
    kind: ApprovalKind, use_case: UseCase, request: Asked, maker: UUID, limit: Decimal | None
) -> UseCase:
    """The use case itself up to `limit` (None: always); above it an approval to be decided by somebody other than
    `maker`, answered 202.

    Raises what the use case raises, before anybody is asked; and `ApprovalPending`.
    """
    if limit is None:
        return use_case

    async def ask_above_limit(connection: Connection, origin: Origin) -> Change | Answer:
        change = await use_case(connection, origin)
        if isinstance(change, Answer):
            return change
        assert change.amount is not None  # noqa: S101 - a use case that has a limit says its amount
        if change.amount <= limit:
            return change
        waiting = await queries.pending(connection, kind, request.target_id, origin.at)
        if waiting is not None:
            raise ApprovalPending(approval_id=str(waiting))
        row = {
            "id": uuid7(origin.at),
            "kind": kind.value,
            "status": ApprovalStatus.PENDING.value,
            "client_id": change.aggregate.id,
            "target_id": request.target_id,
            "amount": change.amount,
            "request": request.body,
            "if_match": request.if_match,
            "maker": maker,
            "requested_at": origin.at,
            "expires_at": origin.at + LIFE,
        }
        return Change(
            aggregate=change.aggregate,
            business_date=change.business_date,
            inserts=[Insert(approvals, [{**row, "request": orjson.dumps(request.body).decode()}])],
            facts=[events.approval_requested(row)],
            answer=_answer(202, row, {"Location": f"/api/v1/approvals/{row['id']}"}),
        )

    return ask_above_limit


def approve(approval_id: UUID, body: DecisionIn, checker: UUID, use_cases: UseCases) -> UseCase:
    """Do what was asked for, as things are now. A refusal of that leaves the approval pending.

    Raises `NotFound`, `MakerIsChecker`, `ApprovalDecided`, `ApprovalExpired`, `AmountGrown`, and what the use case
    raises.
    """

    async def use_case(connection: Connection, origin: Origin) -> Change:
        approval = await _for_decision(connection, approval_id, checker, origin)
        kind = ApprovalKind(approval["kind"])
        request = Asked(approval["target_id"], approval["request"], approval["if_match"])
        try:
            change = await use_cases[kind](request)(connection, origin)
        except DomainError:
            # Maybe because another checker granted it since it was read: then that is the answer.
            await _for_decision(connection, approval_id, checker, origin)
            raise
        assert isinstance(change, Change)  # noqa: S101 - nobody is asked about what changes nothing
        assert change.amount is not None  # noqa: S101 - it had one when it was asked for
        if change.amount > approval["amount"] and kind not in GROWING:
            raise AmountGrown(amount=format_money(change.amount))
        decision = _decision(ApprovalStatus.APPROVED, body, checker, origin)
        return replace(
            change,
            # As it was read with the approval: if it moved since, that may have been another checker.
            aggregate=_aggregate(approval),
            updates=[*change.updates, Update(approvals, approval_id, decision)],
            # Last: what was booked names the sequence of the first event.
            facts=[*change.facts, events.approval_granted(approval)],
            answer=_answer(200, {**approval, **decision}),
        )

    return use_case


def reject(approval_id: UUID, body: DecisionIn, checker: UUID) -> UseCase:
    """Decline what was asked for. Raises `NotFound`, `MakerIsChecker`, `ApprovalDecided`, `ApprovalExpired`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        approval = await _for_decision(connection, approval_id, checker, origin)
        decision = _decision(ApprovalStatus.REJECTED, body, checker, origin)
        return Change(
            aggregate=_aggregate(approval),
            business_date=approval["today"],
            updates=[Update(approvals, approval_id, decision)],
            facts=[events.approval_refused(approval)],
            answer=_answer(200, {**approval, **decision}),
        )

    return use_case


def expire(client_id: UUID) -> UseCase:
    """Record that nobody decided in time, for all of a client's approvals of which that is true."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        overdue = await queries.overdue(connection, client_id, origin.at)
        if not overdue:
            return Answer(204, b"", {})
        values = {"status": ApprovalStatus.EXPIRED.value, "decided_at": origin.at}
        return Change(
            aggregate=_aggregate(overdue[0]),
            business_date=overdue[0]["today"],
            updates=[Update(approvals, approval["id"], values) for approval in overdue],
            facts=[events.approval_expired(approval) for approval in overdue],
            answer=Answer(204, b"", {}),
        )

    return use_case


async def _for_decision(connection: Connection, approval_id: UUID, checker: UUID, origin: Origin) -> dict[str, Any]:
    approval = await queries.for_decision(connection, approval_id)
    if approval is None:
        raise NotFound
    if approval["maker"] == checker:
        raise MakerIsChecker
    if approval["status"] == ApprovalStatus.EXPIRED or (
        approval["status"] == ApprovalStatus.PENDING and approval["expires_at"] <= origin.at
    ):
        raise ApprovalExpired
    if approval["status"] != ApprovalStatus.PENDING:
        raise ApprovalDecided(approval_status=approval["status"])
    return approval


def _decision(status: ApprovalStatus, body: DecisionIn, checker: UUID, origin: Origin) -> dict[str, Any]:
    return {"status": status.value, "checker": checker, "decided_at": origin.at, "reason": body.reason}


def _aggregate(approval: Mapping[str, Any]) -> Aggregate:
    return Aggregate("client", clients, approval["client_id"], approval["event_sequence"], approval["chain_head"])


def _answer(status: int, row: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    approval = ApprovalOut.model_validate({name: row.get(name) for name in ApprovalOut.model_fields})
    return Answer(status, approval.model_dump_json().encode(), headers or {})
