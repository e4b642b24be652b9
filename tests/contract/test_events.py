"""The events this service records are the golden ones, to the byte: payload, envelope, hash and routing."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from backend_api.auth import events as user_events
from backend_api.auth.permissions import Role
from backend_api.clients import events as client_events
from backend_api.domain.states import ClientStatus, LoanStatus
from backend_api.loans import events as loan_events
from backend_api.outbox import envelope
from backend_api.outbox.record import Fact, Origin, seal
from backend_api.payments import events as payment_events

from tests.support import golden

GOLDEN = golden.load()
Payload = dict[str, Any]


def _loan(payload: Payload, **more: Any) -> Payload:
    return {"id": UUID(payload["loan_id"]), "client_id": UUID(payload["client_id"]), **more}


def _closed(payload: Payload, _: UUID) -> Fact:
    return loan_events.loan_closed(UUID(payload["loan_id"]), UUID(payload["client_id"]), LoanStatus(payload["status"]))


def _status_changed(payload: Payload, _: UUID) -> Fact:
    return client_events.client_status_changed(UUID(payload["client_id"]), ClientStatus(payload["status"]))


def _created(payload: Payload, _: UUID) -> Fact:
    status = ClientStatus(payload["status"])
    return client_events.client_created(UUID(payload["client_id"]), status, payload["fields"][::-1])


def _loan_created(payload: Payload, _: UUID) -> Fact:
    return loan_events.loan_created(
        _loan(
            payload,
            folio=payload["folio"],
            amount=Decimal(payload["amount"]),
            interest_rate=Decimal(payload["interest_rate"] + "0000"),
            term_months=payload["term_months"],
            status=payload["status"],
        )
    )


def _loan_activated(payload: Payload, _: UUID) -> Fact:
    amount, day = Decimal(payload["amount"]), date.fromisoformat(payload["disbursed_on"])
    return loan_events.loan_activated(_loan(payload, amount=amount, disbursed_on=day))


def _payment_registered(payload: Payload, entity: UUID) -> Fact:
    loans, day = [UUID(loan) for loan in payload["loan_ids"]], date.fromisoformat(payload["value_date"])
    return payment_events.payment_registered(entity, loans, Decimal(payload["amount"]), day)


def _payment_rejected(payload: Payload, entity: UUID) -> Fact:
    loans, day = [UUID(loan) for loan in payload["loan_ids"]], date.fromisoformat(payload["value_date"])
    return payment_events.payment_rejected(entity, loans, Decimal(payload["amount"]), day, payload["reason"])


FACTS: dict[str, Callable[[Payload, UUID], Fact]] = {
    "client_created": _created,
    "client_updated": lambda payload, entity: client_events.client_updated(entity, payload["changed"][::-1]),
    "client_deactivated": _status_changed,
    "client_reactivated": _status_changed,
    "client_deleted": lambda _, entity: client_events.client_deleted(entity),
    "loan_created": _loan_created,
    "loan_activated": _loan_activated,
    "loan_rejected": _closed,
    "loan_cancelled": _closed,
    "loan_paid_off": _closed,
    "payment_registered": _payment_registered,
    "payment_rejected": _payment_rejected,
    "user_created": lambda payload, entity: user_events.user_created(entity, Role(payload["role"])),
}


def test_every_event_type_has_a_golden_file() -> None:
    assert set(FACTS) == set(GOLDEN)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_recorded_event_is_the_golden_one_to_the_byte(name: str) -> None:
    expected = GOLDEN[name]
    fact = FACTS[name](expected["payload"], UUID(expected["entity_id"]))
    origin = Origin(
        expected["actor"],
        expected["request_id"],
        expected["traceparent"],
        datetime.fromisoformat(expected["timestamp"]),
    )
    [row] = seal(
        expected["aggregate_type"],
        UUID(expected["aggregate_id"]),
        expected["sequence"] - 1,
        bytes.fromhex(expected["prev_hash"]),
        [fact],
        origin,
    )

    assert row["event_type"] == name
    assert orjson.loads(envelope.body(row)) == expected
    assert envelope.headers(row)["cloudEvents:id"] == expected["event_id"]
    entity, fact_name = name.split("_", 1)
    assert envelope.routing_key(name) == f"sofipo.{entity}.{fact_name}"


def test_an_event_of_an_unknown_entity_has_no_routing_key() -> None:
    with pytest.raises(ValueError, match="no known entity"):
        envelope.routing_key("weather_changed")
