"""The events this service records are the golden ones, to the byte: payload, envelope, hash and routing."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from backend_api.approvals import events as approval_events
from backend_api.auth import events as user_events
from backend_api.auth.api_keys import events as api_key_events
from backend_api.auth.permissions import Role
from backend_api.clients import events as client_events
from backend_api.customer_space import events as customer_events
from backend_api.decoys import events as decoy_events
from backend_api.domain.account import Split
from backend_api.domain.states import ClientStatus, LoanStatus
from backend_api.imports import events as import_events
from backend_api.ledger import events as ledger_events
from backend_api.loans import events as loan_events
from backend_api.outbox import envelope
from backend_api.outbox.record import Fact, Origin, seal
from backend_api.payments import events as payment_events
from backend_api.portfolio import events as portfolio_events
from backend_api.products import events as product_events

from tests.support import golden

GOLDEN = golden.load()
Payload = dict[str, Any]


def _loan(payload: Payload, **more: Any) -> Payload:
    return {"id": UUID(payload["loan_id"]), "client_id": UUID(payload["client_id"]), **more}


def _closed(payload: Payload, _: UUID) -> Fact:
    return loan_events.loan_closed(UUID(payload["loan_id"]), UUID(payload["client_id"]), LoanStatus(payload["status"]))


def _changed(before: LoanStatus) -> Callable[[Payload, UUID], Fact]:
    def fact(payload: Payload, _: UUID) -> Fact:
        loan, client = UUID(payload["loan_id"]), UUID(payload["client_id"])
        return loan_events.loan_changed(loan, client, before, LoanStatus(payload["status"]))

    return fact


def _fee_waived(payload: Payload, entity: UUID) -> Fact:
    split = Split(**{part: Decimal(payload[part]) for part in ("interest", "vat", "fees", "moratory")})
    return loan_events.fee_waived(UUID(payload["loan_id"]), UUID(payload["client_id"]), entity, split)


def _fee_charged(payload: Payload, entity: UUID) -> Fact:
    split = Split(fees=Decimal(payload["amount"]), vat=Decimal(payload["vat"]))
    return loan_events.fee_charged(UUID(payload["loan_id"]), UUID(payload["client_id"]), entity, split)


def _written_off(payload: Payload, _: UUID) -> Fact:
    principal, total = Decimal(payload["principal"]), Decimal(payload["total"])
    split = Split(principal=principal, interest=total - principal)
    return loan_events.loan_written_off(UUID(payload["loan_id"]), UUID(payload["client_id"]), split)


def _recovered(payload: Payload, _: UUID) -> Fact:
    split = Split(principal=Decimal(payload["amount"]))
    return loan_events.loan_recovered(UUID(payload["loan_id"]), UUID(payload["client_id"]), split)


def _loan_updated(payload: Payload, entity: UUID) -> Fact:
    return loan_events.loan_updated(entity, UUID(payload["client_id"]), payload["changed"][::-1])


def _restructured(payload: Payload, entity: UUID) -> Fact:
    return loan_events.loan_restructured(entity, UUID(payload["client_id"]), UUID(payload["new_loan_id"]))


def _undone(payload: Payload, _: UUID) -> Fact:
    return loan_events.disbursement_undone(UUID(payload["loan_id"]), UUID(payload["client_id"]))


def _payment_reversed(payload: Payload, entity: UUID) -> Fact:
    loans, day = [UUID(loan) for loan in payload["loan_ids"]], date.fromisoformat(payload["value_date"])
    return payment_events.payment_reversed(entity, loans, Decimal(payload["amount"]), day)


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


def _product_created(payload: Payload, entity: UUID) -> Fact:
    return product_events.product_created(entity, payload["code"], payload["fields"][::-1])


def _product_updated(payload: Payload, entity: UUID) -> Fact:
    return product_events.product_updated(entity, payload["code"], payload["version"], payload["changed"][::-1])


def _product_retired(payload: Payload, entity: UUID) -> Fact:
    return product_events.product_retired(entity, payload["code"], payload["version"])


def _installment_overdue(payload: Payload, entity: UUID) -> Fact:
    client, due_on = UUID(payload["client_id"]), date.fromisoformat(payload["due_on"])
    return portfolio_events.installment_overdue(entity, client, payload["number"], due_on)


def _day_closed(payload: Payload, entity: UUID) -> Fact:
    totals = {name: value for name, value in payload.items() if name != "business_date"}
    return portfolio_events.day_closed(entity, date.fromisoformat(payload["business_date"]), totals)


def _import_requested(payload: Payload, entity: UUID) -> Fact:
    values = {**payload, "file_bytes": payload["bytes"], "file_digest": bytes.fromhex(payload["sha256"])}
    return import_events.import_requested(entity, values)


def _period_closed(payload: Payload, entity: UUID) -> Fact:
    return ledger_events.period_closed(entity, payload["period"], date.fromisoformat(payload["ends_on"]))


def _approval(payload: Payload, entity: UUID) -> dict[str, Any]:
    ids = {name: UUID(payload[name]) for name in ("client_id", "target_id")}
    return {"id": entity, "kind": payload["kind"], "amount": Decimal(payload["amount"]), **ids}


def _checkout(payload: Payload, entity: UUID) -> dict[str, Any]:
    amounts = ("amount", "commission", "commission_vat", "total")
    return {"id": entity, "client_id": UUID(payload["client_id"]), **{name: Decimal(payload[name]) for name in amounts}}


def _cart_checked_out(payload: Payload, entity: UUID) -> Fact:
    return customer_events.cart_checked_out(_checkout(payload, entity), [UUID(loan) for loan in payload["loan_ids"]])


def _cart_paid(payload: Payload, entity: UUID) -> Fact:
    paid = UUID(payload["payment_id"]), payload["transaction_code"]
    return customer_events.cart_paid(_checkout(payload, entity), *paid)


def _cart_refused(payload: Payload, entity: UUID) -> Fact:
    checkout = {"id": entity, "client_id": UUID(payload["client_id"])}
    return customer_events.cart_refused(checkout, payload["reason"])


def _user_updated(payload: Payload, entity: UUID) -> Fact:
    return user_events.user_updated(entity, payload["role"], payload["status"], payload["changed"][::-1])


def _session_ended(payload: Payload, entity: UUID) -> Fact:
    return user_events.user_session_ended(entity, UUID(payload["session_id"]), payload["reason"])


def _api_key_created(payload: Payload, entity: UUID) -> Fact:
    return api_key_events.api_key_created(entity, UUID(payload["owner_id"]), payload["scopes"][::-1])


def _api_key_rotated(payload: Payload, entity: UUID) -> Fact:
    return api_key_events.api_key_rotated(entity, UUID(payload["owner_id"]))


def _api_key_revoked(payload: Payload, entity: UUID) -> Fact:
    return api_key_events.api_key_revoked(entity, UUID(payload["owner_id"]))


FACTS: dict[str, Callable[[Payload, UUID], Fact]] = {
    "client_created": _created,
    "client_updated": lambda payload, entity: client_events.client_updated(entity, payload["changed"][::-1]),
    "client_deactivated": _status_changed,
    "client_reactivated": _status_changed,
    "client_deleted": lambda _, entity: client_events.client_deleted(entity),
    "loan_created": _loan_created,
    "loan_updated": _loan_updated,
    "loan_activated": _loan_activated,
    "loan_rejected": _closed,
    "loan_cancelled": _closed,
    "loan_paid_off": _changed(LoanStatus.ACTIVE),
    "loan_reopened": _changed(LoanStatus.PAID_OFF),
    "loan_cured": _changed(LoanStatus.DEFAULTED),
    "loan_defaulted": _changed(LoanStatus.ACTIVE),
    "installment_overdue": _installment_overdue,
    "day_closed": _day_closed,
    "period_closed": _period_closed,
    "import_requested": _import_requested,
    "import_completed": lambda payload, entity: import_events.import_completed(entity, payload),
    "loan_written_off": _written_off,
    "loan_restructured": _restructured,
    "loan_recovered": _recovered,
    "loan_disbursement_undone": _undone,
    "fee_charged": _fee_charged,
    "fee_waived": _fee_waived,
    "payment_reversed": _payment_reversed,
    "payment_registered": _payment_registered,
    "payment_rejected": _payment_rejected,
    "approval_requested": lambda payload, entity: approval_events.approval_requested(_approval(payload, entity)),
    "approval_granted": lambda payload, entity: approval_events.approval_granted(_approval(payload, entity)),
    "approval_refused": lambda payload, entity: approval_events.approval_refused(_approval(payload, entity)),
    "approval_expired": lambda payload, entity: approval_events.approval_expired(_approval(payload, entity)),
    "cart_checked_out": _cart_checked_out,
    "cart_paid": _cart_paid,
    "cart_refused": _cart_refused,
    "product_created": _product_created,
    "product_updated": _product_updated,
    "product_retired": _product_retired,
    "decoy_touched": lambda payload, entity: decoy_events.decoy_touched(
        entity, payload["path"], datetime.fromisoformat(payload["hour"])
    ),
    "person_data_exported": lambda payload, _: client_events.person_data_exported(UUID(payload["client_id"])),
    "user_created": lambda payload, entity: user_events.user_created(entity, Role(payload["role"])),
    "user_updated": _user_updated,
    "user_password_changed": lambda _, entity: user_events.user_password_changed(entity),
    "user_password_reset": lambda _, entity: user_events.user_password_reset(entity),
    "user_session_ended": _session_ended,
    "user_sessions_ended": lambda _, entity: user_events.user_sessions_ended(entity),
    "api_key_created": _api_key_created,
    "api_key_rotated": _api_key_rotated,
    "api_key_revoked": _api_key_revoked,
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
    entity = next((long for long in ("api_key", "person_data") if name.startswith(long)), name.partition("_")[0])
    assert envelope.routing_key(name) == f"sofipo.{entity}.{name.removeprefix(f'{entity}_')}"


def test_an_event_of_an_unknown_entity_has_no_routing_key() -> None:
    with pytest.raises(ValueError, match="no known entity"):
        envelope.routing_key("weather_changed")
