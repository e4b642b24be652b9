"""What the payment calls take and answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.domain.states import LoanStatus, PaymentStatus
from backend_api.http.strict import Day, Label, MoneyOut, PositiveMoney, StrictModel


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

    payment_details: Annotated[list[PaymentDetail], Field(max_length=50)] = Field(default_factory=list)


class AllocationOut(BaseModel):
    """What a payment did to one loan, and where that leaves the loan."""

    loan_id: UUID
    amount: MoneyOut
    principal: MoneyOut
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    current_balance: MoneyOut | None = Field(
        default=None, description="The loan's balance after this payment; only in the answer to its registration."
    )
    loan_status: LoanStatus | None = Field(default=None, description="Only in the answer to its registration.")


class PaymentOut(BaseModel):
    """A payment as it was received."""

    model_config = ConfigDict(title="Payment")

    id: UUID
    client_id: UUID
    status: PaymentStatus
    amount: MoneyOut
    paid_on: Day
    posted_on: Day
    method: Method
    reference: str | None
    external_id: str | None
    reason: str | None = Field(description="Why a REJECTED payment was refused.")
    allocations: list[AllocationOut]
    created_at: datetime
