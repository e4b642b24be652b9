"""Orders as the API signs them into the address of the pay page. Pure.

`?order=<payload>&signature=<hex>`: the payload is the base64url text, without padding, of a JSON object; the signature
is HMAC-SHA256 under the shared secret over `order.` and that text.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

MAX_PAYLOAD = 4096
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,12})\.[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid. `amount` as the API wrote it, with two decimals; `expires_at` in seconds since 1970."""

    order_id: UUID
    amount: Decimal
    currency: str
    description: str
    return_url: str
    expires_at: int

    @property
    def origin(self) -> str:
        """Scheme and host that the borrower comes back to."""
        parts = urlsplit(self.return_url)
        return f"{parts.scheme}://{parts.netloc}"


class OrderRefused(Exception):
    """Nothing can be paid; the text is for the person who sees the page. `order` is there if the API signed it."""

    def __init__(self, sentence: str, order: Order | None = None) -> None:
        super().__init__(sentence)
        self.order = order


def read_order(payload: str, signature: str, secret: bytes) -> Order:
    """The order, expired or not. Raises `OrderRefused` for what the API did not sign."""
    if len(payload) > MAX_PAYLOAD or not payload.isascii() or not signature.isascii():
        raise OrderRefused("La orden no se puede leer.")
    expected = hmac.new(secret, f"order.{payload}".encode("ascii"), "sha256").hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise OrderRefused("La orden no está firmada por el comercio.")
    try:
        return _order(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (Base64Error, ValueError, KeyError, TypeError) as error:
        raise OrderRefused("La orden no se puede leer.") from error


def _order(told: dict[str, Any]) -> Order:
    """Raises KeyError, TypeError or ValueError for what is missing or none."""
    if not _AMOUNT.fullmatch(told["amount"]) or urlsplit(told["return_url"]).scheme not in ("http", "https"):
        raise ValueError
    return Order(
        order_id=UUID(told["order_id"]),
        amount=Decimal(told["amount"]),
        currency=str(told["currency"]),
        description=str(told["description"]),
        return_url=told["return_url"],
        expires_at=int(told["expires_at"]),
    )
