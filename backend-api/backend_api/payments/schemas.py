"""What the payment calls take and answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.domain.states import LoanStatus, PaymentStatus
from backend_api.http import examples
from backend_api.http.strict import Day, Label, MoneyOut, PositiveMoney, Remark, StrictModel
from backend_api.loans.schemas import GIVEN_BACK

_ALLOCATION_EXAMPLE: dict[str, Any] = {
    "loan_id": examples.LOAN_ID,
    "amount": "2500.00",
    "principal": "2500.00",
    "interest": "0.00",
    "vat": "0.00",
    "fees": "0.00",
    "moratory": "0.00",
    "current_balance": None,
    "loan_status": None,
}
PAYMENT_EXAMPLE: dict[str, Any] = {
    "id": examples.PAYMENT_ID,
    "client_id": examples.CLIENT_ID,
    "status": "REGISTERED",
    "amount": "2500.00",
    "paid_on": examples.TODAY,
    "posted_on": examples.TODAY,
    "method": "transfer",
    "reference": None,
    "external_id": None,
    "reason": None,
    "allocations": [_ALLOCATION_EXAMPLE],
    "created_at": examples.PAID_AT,
}
REVERSED_EXAMPLE: dict[str, Any] = {**PAYMENT_EXAMPLE, "status": "REVERSED", "allocations": []}
REGISTRATION_EXAMPLE: dict[str, Any] = {
    **PAYMENT_EXAMPLE,
    "allocations": [{**_ALLOCATION_EXAMPLE, "current_balance": "47500.00", "loan_status": "ACTIVE"}],
}


class Method(StrEnum):
    """How the money came."""

    CASH = "cash"
    TRANSFER = "transfer"
    CARD = "card"
    DIRECT_DEBIT = "direct_debit"
    OTHER = "other"


class PaymentIn(StrictModel):
    """A payment on one loan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 2500.00}]})

    amount: PositiveMoney
    paid_on: Annotated[Day | None, Field(description="Value date; today by default, never later.")] = None
    method: Method = Method.TRANSFER
    reference: Annotated[
        Label | None, Field(description="SPEI key or receipt number; counts once per client, for ever.")
    ] = None
    external_id: Label | None = None


class PaymentDetail(StrictModel):
    """What a payment on a client means for one loan."""

    loan_id: UUID
    amount: PositiveMoney


class ClientPaymentIn(PaymentIn):
    """A payment on a client: spread over its loans, owed longest first, or as the details say."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"amount": 2500.00, "payment_details": [{"loan_id": examples.LOAN_ID, "amount": 2500.00}]}]
        }
    )

    payment_details: Annotated[list[PaymentDetail], Field(max_length=50)] = Field(default_factory=list)


class ReversalIn(StrictModel):
    """Why a payment is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Registered twice."}]})

    reason: Remark | None = None


class AllocationOut(BaseModel):
    """What a payment did to one loan, and where that leaves the loan."""

    loan_id: UUID
    amount: MoneyOut
    principal: MoneyOut
    interest: MoneyOut = Field(description=GIVEN_BACK)
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    current_balance: MoneyOut | None = Field(
        default=None, description="The loan's balance after this payment; only in the answer to its registration."
    )
    loan_status: LoanStatus | None = Field(default=None, description="Only in the answer to its registration.")


class PaymentOut(BaseModel):
    """A payment as it was received."""

    model_config = ConfigDict(title="Payment", json_schema_extra={"examples": [PAYMENT_EXAMPLE]})

    id: UUID
    client_id: UUID
    status: PaymentStatus = Field(description="REVERSED: it was taken back, and its allocations with it.")
    amount: MoneyOut
    paid_on: Day
    posted_on: Day
    method: Method
    reference: str | None
    external_id: str | None
    reason: str | None = Field(description="Why a REJECTED payment was refused.")
    allocations: list[AllocationOut]
    created_at: datetime
