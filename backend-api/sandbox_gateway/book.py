"""What became of each order: who tried to pay, with which operation number, and what the API was told. In memory."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sandbox_gateway.orders import Order

MAX_ORDERS = 1000
"""The oldest are forgotten first."""
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Outcome(StrEnum):
    """How a try to pay ended."""

    PAID = "paid"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the API is told. `sequence` counts the notices of an order: the higher one is the newer one."""

    order_id: UUID
    status: Outcome
    transaction_code: str
    amount: Decimal
    sequence: int

    def told(self) -> dict[str, str | int]:
        """The body of the call."""
        return {
            "order_id": str(self.order_id),
            "status": self.status.value,
            "transaction_code": self.transaction_code,
            "amount": str(self.amount),
            "sequence": self.sequence,
        }


@dataclass(slots=True)
class Entry:
    """An order and the tries to pay it. `refunded`: the API wanted nothing of the money, so it went back."""

    order: Order
    notices: list[Notice] = field(default_factory=list)
    taken: int = 0
    """Calls that were answered with 2xx."""
    refunded: bool = False

    @property
    def payment(self) -> Notice | None:
        """The try that succeeded; an order is paid once."""
        return next((notice for notice in self.notices if notice.status is Outcome.PAID), None)

    def add(self, status: Outcome) -> Notice:
        """A try with the next sequence and an operation number of its own."""
        order = self.order
        notice = Notice(order.order_id, status, _operation_number(), order.amount, len(self.notices) + 1)
        self.notices.append(notice)
        return notice


class Book:
    """All orders that the page has seen, the newest last."""

    def __init__(self) -> None:
        self._entries: OrderedDict[UUID, Entry] = OrderedDict()

    def entry(self, order: Order) -> Entry:
        """The entry of an order, a new one if it is not known."""
        if order.order_id not in self._entries:
            self._entries[order.order_id] = Entry(order)
            if len(self._entries) > MAX_ORDERS:
                self._entries.popitem(last=False)
        return self._entries[order.order_id]

    def newest(self, count: int) -> list[Entry]:
        """The last orders, the newest first."""
        return list(reversed(self._entries.values()))[:count]


def _operation_number() -> str:
    """Sixteen signs, none of which is read for another."""
    return "SB" + "".join(secrets.choice(_LETTERS) for _ in range(14))
