"""The payment gateway as this house sees it: where a borrower pays an order, and how the gateway tells what came of it.

`Gateway` is all that a real one has to do; `SignedGateway` speaks to the sandbox that ships with this project. How to
put another one in: docs/payment-gateway.md.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from backend_api.domain.errors import DomainError
from backend_api.domain.money import format_money
from backend_api.http import examples
from backend_api.http.strict import Label, PositiveMoney
from backend_api.settings import Settings

CURRENCY = "MXN"
SIGNATURE = "Sofipo-Signature"
NOTICE_EXAMPLE: dict[str, Any] = {
    "order_id": examples.CHECKOUT_ID,
    "status": "paid",
    "transaction_code": "SBX-000000042",
    "amount": "2525.23",
    "sequence": 1,
}
TOLERANCE = timedelta(minutes=5)
"""How old a notice's signature may be, or how far ahead of our clock: what was once overheard is of no use later."""


class NoticeRefused(DomainError):
    """A notice is not signed by the gateway, or was signed too long ago."""

    code = "notice_refused"
    status = 401
    message = "The notice is not signed by the payment gateway, or was signed more than five minutes ago."


class NoticeMalformed(DomainError):
    """A signed notice says nothing that can be understood."""

    code = "notice_malformed"
    status = 422
    message = "The notice holds order_id, status, transaction_code, amount and sequence."


class NoticeStatus(StrEnum):
    """What came of a try to pay."""

    PAID = "paid"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Order:
    """What the gateway is to ask for, and where the borrower goes afterwards. `total` is in Mexican pesos."""

    id: UUID
    total: Decimal
    description: str
    return_url: str
    expires_at: datetime


class Notice(BaseModel):
    """What the gateway tells: again, late, and out of order at times. `sequence` counts the notices of an order."""

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra={"examples": [NOTICE_EXAMPLE]})

    order_id: UUID
    status: Annotated[NoticeStatus, WithJsonSchema({"enum": ["paid", "refused"], "type": "string"})]
    transaction_code: Label
    amount: PositiveMoney
    sequence: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class Gateway(Protocol):
    """What a payment gateway has to do."""

    def pay_url(self, order: Order) -> str:
        """The address at which a browser pays the order."""

    def read_notice(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """What a call to our notice address says. Raises `NoticeRefused`, `NoticeMalformed`."""


class SignedGateway:
    """The gateway gets the order signed in the address of its page, and signs its notices with the same secret."""

    def __init__(self, page: str, secret: str) -> None:
        self._page = page
        self._secret = secret.encode()

    def pay_url(self, order: Order) -> str:
        """The page with the order as JSON in base64url, and its signature."""
        content = {
            "order_id": str(order.id),
            "amount": format_money(order.total),
            "currency": CURRENCY,
            "description": order.description,
            "return_url": order.return_url,
            "expires_at": int(order.expires_at.timestamp()),
        }
        payload = urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=")
        signature = hmac.digest(self._secret, b"order." + payload, sha256).hex()
        return f"{self._page}?{urlencode({'order': payload.decode(), 'signature': signature})}"

    def read_notice(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """The notice, if `Sofipo-Signature: t=<unix time>,v1=<hex HMAC-SHA256 of "t.body">` fits it."""
        signed_at, signature = _parts(headers.get(SIGNATURE, ""))
        if abs(now.timestamp() - signed_at) > TOLERANCE.total_seconds():
            raise NoticeRefused
        wanted = hmac.digest(self._secret, b"%d." % signed_at + body, sha256)
        if not hmac.compare_digest(wanted, signature):
            raise NoticeRefused
        try:
            return Notice.model_validate(orjson.loads(body))
        except (ValidationError, orjson.JSONDecodeError) as error:
            raise NoticeMalformed from error


def gateway_of(settings: Settings) -> Gateway:
    """The gateway that is used: another one is put in here."""
    return SignedGateway(settings.gateway_url, settings.gateway_secret.get_secret_value())


def _parts(header: str) -> tuple[int, bytes]:
    """Time and signature. Raises `NoticeRefused` for anything else."""
    named = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    try:
        time, signature = named["t"], named["v1"]
        if not (time.isascii() and time.isdigit() and len(time) <= 12):
            raise NoticeRefused
        return int(time), bytes.fromhex(signature)
    except (KeyError, ValueError) as error:
        raise NoticeRefused from error
