"""The running customer space, and borrowers with something to pay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from secrets import token_hex
from typing import Any
from uuid import UUID

import httpx2
from backend_api.db.pools import Connection

from tests.support.builders import get, new_client, new_loan
from tests.support.waiting import eventually

PASSWORD = "tres tristes tigres"
PRODUCT = "PERSONAL"
SECOND_PERSON_ABOVE = "100000"
"""Loans of more than this are activated by two people."""
COMMISSION = "10.00"
COMMISSION_WITH_VAT = Decimal("11.60")
"""What each payment at the gateway costs."""


@dataclass(frozen=True)
class Borrower:
    """Somebody who can sign in, with two loans: of one, two installments are overdue; the other is paid up to now."""

    username: str
    client_id: str
    late_folio: int
    folio: int
    loan_id: str
    """Of the latter."""


@dataclass
class Site:
    """Address of the API, calls by `admin`, and the database by name and as its owner."""

    address: str
    database: str
    api: httpx2.AsyncClient
    owner: Connection

    async def prepare(self) -> None:
        """Make the product of which loans are granted."""
        await self._post("/api/v1/loan-products", {"code": PRODUCT, "name": "Crédito personal"})

    async def borrower(self) -> Borrower:
        """A new one."""
        client_id, today = await self._new_client(), await self._today()
        first_day = today - timedelta(days=100)
        # Of a preview, which unlike a schedule is not as it stands on the day that the API has noticed last.
        terms = {"product": PRODUCT, "amount": "30000.00", "interest_rate": "0.36", "installments": 24}
        preview = await self._post("/api/v1/loans/preview", {**terms, "disbursed_on": first_day.isoformat()})
        due = [(date.fromisoformat(row["due_on"]), row["total"]) for row in preview["installments"]]
        try:
            other = await self._lend(client_id, first_day, amount="30000.00", term_months=24)
            late = await self._lend(client_id, today - timedelta(days=75), amount="12000.00")
            for day, total in due:
                if day <= today:
                    await self._open_day(day)
                    await self._post(f"/api/v1/loans/{other['id']}/payments", {"amount": total})
        finally:
            await self._open_day(today)

        async def is_today_again() -> bool:
            found = await get(self.api, f"/api/v1/clients/{client_id}/balance")
            return bool(found["business_date"] == today.isoformat())

        await eventually(is_today_again)
        username, secret = await self.invite(client_id)
        chosen = {"username": username, "one_time_secret": secret, "new_password": PASSWORD}
        await self._post("/api/v1/auth/password/reset", chosen)
        return Borrower(username, client_id, late["folio"], other["folio"], other["id"])

    async def invite(self, client_id: str | None = None) -> tuple[str, str]:
        """A user for this client, or for one who owes nothing, and the secret with which they choose a password."""
        username = f"maria-{token_hex(4)}"
        body = {"username": username, "role": "client", "client_id": client_id or await self._new_client()}
        return username, (await self._post("/api/v1/users", body))["one_time_secret"]

    async def staff(self, role: str) -> str:
        """Somebody of the house who can sign in; their user name."""
        username = f"{role}-{token_hex(4)}"
        secret = (await self._post("/api/v1/users", {"username": username, "role": role}))["one_time_secret"]
        chosen = {"username": username, "one_time_secret": secret, "new_password": PASSWORD}
        await self._post("/api/v1/auth/password/reset", chosen)
        return username

    async def park(self) -> str:
        """Set the event of a new client aside, as a relay does that cannot encode it; the client's id."""
        client_id = await self._new_client()
        await self.owner.execute(
            "UPDATE outbox SET parked_at = now(), parked_reason = 'The event is too large.' WHERE aggregate_id = $1",
            UUID(client_id),
        )
        return client_id

    async def card_payments(self, borrower: Borrower) -> list[dict[str, Any]]:
        """What the borrower paid through the gateway, as the books have it."""
        found = await get(self.api, f"/api/v1/clients/{borrower.client_id}/payments")
        return [payment for payment in found["data"] if payment["method"] == "card"]

    async def charge_fee(self, borrower: Borrower) -> None:
        """A fee on the loan that is in order, so that more is owed than before."""
        await self._post(f"/api/v1/loans/{borrower.loan_id}/fees", {"amount": "100.00", "reason": "A letter."})

    @asynccontextmanager
    async def busy_with(self, borrower: Borrower) -> AsyncIterator[None]:
        """Nothing of the borrower can be changed: what the gateway tells it has to tell again, however late it is."""
        async with self.owner.transaction():
            await self.owner.execute("SELECT FROM clients WHERE id = $1 FOR NO KEY UPDATE", UUID(borrower.client_id))
            yield

    async def let_carts_expire(self) -> None:
        """The time of every cart is over."""
        await self.owner.execute("UPDATE carts SET expires_at = now() - interval '1 second'")

    async def _new_client(self) -> str:
        client_id: str = (await new_client(self.api, full_name="María Fernanda López Ruiz"))["id"]
        return client_id

    async def _lend(self, client_id: str, day: date, **terms: Any) -> dict[str, Any]:
        """A loan of that day, which is over."""
        await self._open_day(day)
        return await new_loan(self.api, client_id, product=PRODUCT, interest_rate="0.36", **terms)

    async def _today(self) -> date:
        today: date = await self.owner.fetchval("SELECT business_date FROM business_day")
        return today

    async def _open_day(self, day: date) -> None:
        await self.owner.execute("UPDATE business_day SET business_date = $1", day)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = (await self.api.post(path, json=body)).raise_for_status()
        said: dict[str, Any] = answer.json() if answer.content else {}
        return said
