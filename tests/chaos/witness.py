"""Somebody who changes things and at once looks at them through other doors, and counts what was seen too late."""

from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from typing import Any

import httpx2

from tests.chaos.chain import Api, Chain
from tests.support.builders import CLIENTS, LOANS, new_client, new_loan

LENT = Decimal("100000.00")
PAID = Decimal("1.00")
READS_OF_A_ROUND = 5


@dataclass
class Witness:
    """A writer that reads its own writes at every API in turn, with the consistency token or without.

    A bystander, who wrote nothing, reads the same beside it: that fills the cache with whatever the replica says, and
    shows by what it sees too late that the replica was read at all.
    """

    doors: list[httpx2.AsyncClient]
    bystanders: list[httpx2.AsyncClient]
    with_token: bool
    reads: int = 0
    stale: list[str] = field(default_factory=list)
    late_for_bystanders: int = 0
    statuses: set[int] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    client: dict[str, Any] = field(default_factory=dict)
    loan: dict[str, Any] = field(default_factory=dict)
    phone: str = ""
    paid: int = 0

    async def begin(self) -> None:
        """A client with a loan, to be changed."""
        self.client = await new_client(self.doors[0])
        self.loan = await new_loan(self.doors[0], self.client["id"], amount=str(LENT))

    async def round(self) -> None:
        """An edit and a payment, each looked at from every side. A refusal (5xx) is noted, not raised."""
        phone = f"55 {self.paid + 1:08d}"
        token = await self._write("PATCH", f"{CLIENTS}/{self.client['id']}", {"phone": phone})
        if token is not None:
            self.phone = phone
        await self._bystander(f"{CLIENTS}/{self.client['rfc']}")
        for key in ("id", "rfc"):
            record = await self._read(f"{CLIENTS}/{self.client[key]}", token)
            self._expect(record, "phone", self.phone)

        token = await self._write("POST", f"{LOANS}/{self.loan['id']}/payments", {"amount": str(PAID)})
        if token is not None:
            self.paid += 1
        payments = f"{CLIENTS}/{self.client['id']}/payments?limit=100"
        seen = await self._bystander(payments)
        self.late_for_bystanders += seen is not None and len(seen["data"]) < min(self.paid, 100)
        owed = str(LENT - PAID * self.paid)
        self._expect(await self._read(f"{LOANS}/{self.loan['id']}", token), "current_balance", owed)
        self._expect(await self._read(f"{CLIENTS}/{self.client['id']}/balance", token), "total_debt", owed)
        listed = await self._read(payments, token)
        self._expect(listed and {"payments": len(listed["data"])}, "payments", min(self.paid, 100))

    async def close(self) -> None:
        """Close all doors."""
        for door in (*self.doors, *self.bystanders):
            await door.aclose()

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> str | None:
        answer = await self.doors[0].request(method, path, json=body)
        self.statuses.add(answer.status_code)
        return answer.headers["x-consistency-token"] if answer.is_success else None

    async def _read(self, path: str, token: str | None) -> Any:
        door = self.doors[self.reads % len(self.doors)]
        headers = {"X-Consistency-Token": token} if token and self.with_token else {}
        began = monotonic()
        answer = await door.get(path, headers=headers)
        self.seconds.append(monotonic() - began)
        self.reads += 1
        self.statuses.add(answer.status_code)
        return answer.json() if answer.is_success else None

    async def _bystander(self, path: str) -> Any:
        answer = await self.bystanders[self.paid % len(self.bystanders)].get(path)
        self.statuses.add(answer.status_code)
        return answer.json() if answer.is_success else None

    def _expect(self, found: Any, field: str, value: object) -> None:
        if found is not None and found[field] != value:
            self.stale.append(f"{field} is {found[field]}, not {value}")


def witness(chain: Chain, apis: list[Api], *, with_token: bool) -> Witness:
    """A witness who writes at the first API and reads at all of them."""
    me, nobody = chain.token(), chain.token()
    return Witness([api.client(me) for api in apis], [api.client(nobody) for api in apis], with_token)
