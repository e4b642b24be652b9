"""What the calls about the ledger answer."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.http import examples
from backend_api.http.strict import MoneyOut

ENTRY_EXAMPLE: dict[str, Any] = {
    "id": "019a8b1e-4444-7b00-9b22-0000000000e6",
    "movement_id": "019a8b1e-4444-7b00-9b22-0000000000e5",
    "payment_id": None,
    "kind": "PAYMENT",
    "product": "STANDARD",
    "posted_on": examples.TODAY,
    "created_at": examples.PAID_AT,
    "postings": [
        {"account": "1101", "amount": "2500.00"},
        {"account": "1301", "amount": "-2500.00"},
    ],
}
ACCOUNT_EXAMPLE = {
    "account": "1301",
    "name": "Cartera de crédito vigente / Loans receivable",
    "kind": "asset",
    "debit": "50000.00",
    "credit": "2500.00",
    "balance": "47500.00",
}
TRIAL_BALANCE_EXAMPLE: dict[str, Any] = {
    "on": examples.TODAY,
    "accounts": [
        {
            "account": "1101",
            "name": "Bancos / Bank",
            "kind": "asset",
            "debit": "2500.00",
            "credit": "50000.00",
            "balance": "-47500.00",
        },
        ACCOUNT_EXAMPLE,
    ],
    "debit": "52500.00",
    "credit": "52500.00",
}
PERIOD_EXAMPLE: dict[str, Any] = {
    "id": "019a8b1e-7777-7d00-8d44-0000000000f1",
    "period": "2026-01",
    "ends_on": "2026-01-31",
    "closed_at": "2026-02-02T16:00:00.123470Z",
}


class PostingOut(BaseModel):
    """One line of an entry."""

    account: str
    amount: MoneyOut = Field(description="Debit positive, credit negative.")


class EntryOut(BaseModel):
    """A balanced entry: of a movement, of a payment's commission, or of the end of a day for a whole product."""

    model_config = ConfigDict(title="LedgerEntry", json_schema_extra={"examples": [ENTRY_EXAMPLE]})

    id: UUID
    movement_id: UUID | None
    payment_id: UUID | None = Field(description="Of a COMMISSION, which is of no loan: the payment it came with.")
    kind: str
    product: str
    posted_on: date
    created_at: datetime
    postings: list[PostingOut]


class AccountBalanceOut(BaseModel):
    """An account with all that was posted on it up to a day."""

    account: str
    name: str
    kind: str
    debit: MoneyOut
    credit: MoneyOut
    balance: MoneyOut = Field(description="Debit less credit.")


class TrialBalanceOut(BaseModel):
    """All accounts at the end of a day, or so far; debit and credit are equal."""

    model_config = ConfigDict(title="TrialBalance", json_schema_extra={"examples": [TRIAL_BALANCE_EXAMPLE]})

    on: date
    accounts: list[AccountBalanceOut]
    debit: MoneyOut
    credit: MoneyOut


class PeriodOut(BaseModel):
    """A month in which nothing is posted any more."""

    model_config = ConfigDict(title="LedgerPeriod", json_schema_extra={"examples": [PERIOD_EXAMPLE]})

    id: UUID
    period: str
    ends_on: date
    closed_at: datetime


class PeriodsOut(BaseModel):
    """The closed months."""

    model_config = ConfigDict(title="LedgerPeriods", json_schema_extra={"examples": [{"data": [PERIOD_EXAMPLE]}]})

    data: list[PeriodOut]
