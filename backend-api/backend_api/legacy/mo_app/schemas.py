"""What the calls of the MO App take and answer: amounts and states are numbers, names are the partner's own ids."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from backend_api.domain.states import LoanStatus
from backend_api.http import examples
from backend_api.http.strict import Label, MoneyOrZero, PositiveMoney, StrictModel
from backend_api.legacy.amounts import Amount

CUSTOMER_ID = "550e8400-e29b-41d4-a716-446655440000"
LOAN_ID = "7d3b0c7e-54a5-4d3c-9b53-0b1c6a2f9e01"
PAYMENT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"

CUSTOMER_EXAMPLE: dict[str, Any] = {"external_id": CUSTOMER_ID, "score": 750.0, "status": 1}
LOAN_EXAMPLE: dict[str, Any] = {"customer": CUSTOMER_ID, "amount": 500.0, "outstanding": 500.0, "status": 2}
PAYMENT_EXAMPLE: dict[str, Any] = {
    "customer": CUSTOMER_ID,
    "amount": 10.0,
    "status": 1,
    "payment_details": [{"loan_id": LOAN_ID, "payment_amount": 5.0}],
}

ACTIVE, INACTIVE = 1, 2
PENDING_LOAN = 1
REGISTERED = 1
LOAN_STATES = {
    LoanStatus.PENDING: 1,
    LoanStatus.ACTIVE: 2,
    LoanStatus.DEFAULTED: 2,
    LoanStatus.REJECTED: 3,
    LoanStatus.CANCELLED: 3,
    LoanStatus.PAID_OFF: 4,
    LoanStatus.RESTRUCTURED: 4,
    LoanStatus.WRITTEN_OFF: 4,
}
"""This contract knows four states: pending, active, rejected, and closed with nothing outstanding."""


def _whole(value: Any) -> Any:
    """`true` and 1.0 are 1 to Python."""
    if type(value) is int:
        return value
    raise PydanticCustomError("int_type", "The value must be a whole number.")


CustomerStatus = Annotated[Literal[1, 2], BeforeValidator(_whole)]
NewLoanStatus = Annotated[Literal[1, 2], BeforeValidator(_whole)]
NewPaymentStatus = Annotated[Literal[1], BeforeValidator(_whole)]


class OlderModel(StrictModel):
    """A request body; a field that is not known here is ignored, as the older system did."""

    model_config = ConfigDict(extra="ignore")


class MoCustomerIn(OlderModel):
    """A customer: the partner's id and a credit line. `status` 1 is active, 2 inactive."""

    model_config = ConfigDict(json_schema_extra={"examples": [CUSTOMER_EXAMPLE]})

    external_id: Label
    score: Annotated[MoneyOrZero, Field(description="The credit line.")]
    status: CustomerStatus = 1


class MoLoanIn(OlderModel):
    """A loan: `status` 1 is pending, 2 active. `outstanding`, if it is sent, is the amount."""

    model_config = ConfigDict(json_schema_extra={"examples": [LOAN_EXAMPLE]})

    customer: Label
    amount: PositiveMoney
    outstanding: PositiveMoney | None = None
    status: NewLoanStatus = 1
    external_id: Label | None = None

    @model_validator(mode="after")
    def _nothing_is_paid_yet(self) -> "MoLoanIn":
        if self.outstanding not in (None, self.amount):
            raise PydanticCustomError("outstanding_not_amount", "Of a new loan the amount is outstanding.")
        return self


class MoPaymentDetailIn(OlderModel):
    """What of a payment goes to one loan."""

    loan_id: Annotated[Label, Field(description="The partner's id of the loan.")]
    payment_amount: PositiveMoney


class MoPaymentIn(OlderModel):
    """A payment. The details come first; what is left is spread over the active loans, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [PAYMENT_EXAMPLE]})

    customer: Label
    amount: PositiveMoney
    status: NewPaymentStatus = 1
    payment_details: Annotated[list[MoPaymentDetailIn], Field(max_length=50)] | None = None
    external_id: Label | None = None


class MoCustomer(BaseModel):
    """A customer. `score` is null when the office has set no credit line."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**CUSTOMER_EXAMPLE, "created_at": examples.REGISTERED_AT, "updated_at": examples.REGISTERED_AT}
            ]
        }
    )

    external_id: str
    score: Amount | None
    status: int
    created_at: datetime
    updated_at: datetime


class MoBalance(BaseModel):
    """What a customer owes today, and what is left of the credit line. Without a line both are null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"external_id": CUSTOMER_ID, "score": 750.0, "available_amount": 250.0, "total_debt": 500.0}]
        }
    )

    external_id: str
    score: Amount | None
    available_amount: Amount | None
    total_debt: Amount


class MoLoan(BaseModel):
    """A loan; `outstanding` is its principal that is not paid."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "external_id": LOAN_ID,
                    "customer_external_id": CUSTOMER_ID,
                    "amount": 500.0,
                    "outstanding": 500.0,
                    "status": 2,
                }
            ]
        }
    )

    external_id: str
    customer_external_id: str
    amount: Amount
    outstanding: Amount
    status: int = Field(description="1 pending, 2 active, 3 rejected, 4 paid.")


class MoPaymentDetail(BaseModel):
    """What a payment did to one loan."""

    loan_external_id: str
    payment_amount: Amount


class MoPayment(BaseModel):
    """A payment as it was applied."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "external_id": PAYMENT_ID,
                    "customer_external_id": CUSTOMER_ID,
                    "amount": 10.0,
                    "status": 1,
                    "payment_details": [{"loan_external_id": LOAN_ID, "payment_amount": 10.0}],
                }
            ]
        }
    )

    external_id: str
    customer_external_id: str
    amount: Amount
    status: int
    payment_details: list[MoPaymentDetail]


class Detail(BaseModel):
    """A refusal, as the older system said it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "No encontrado."}]})

    detail: str
