"""What the loan calls take and answer."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend_api.domain.states import LoanStatus
from backend_api.http import examples
from backend_api.http.strict import Day, Label, MoneyOut, PositiveMoney, StrictModel

MAX_RATE = Decimal(10)
MAX_TERM_MONTHS = 600
LOAN_EXAMPLE: dict[str, Any] = {
    "id": examples.LOAN_ID,
    "folio": examples.FOLIO,
    "client_id": examples.CLIENT_ID,
    "external_id": None,
    "status": "ACTIVE",
    "amount": "50000.00",
    "interest_rate": "0.15",
    "term_months": 24,
    "disbursed_on": examples.TODAY,
    "current_balance": "50000.00",
    "version": 1,
    "created_at": examples.GRANTED_AT,
    "updated_at": examples.GRANTED_AT,
}
MOVEMENT_EXAMPLE: dict[str, Any] = {
    "id": examples.DISBURSEMENT_ID,
    "loan_id": examples.LOAN_ID,
    "payment_id": None,
    "kind": "DISBURSEMENT",
    "value_date": examples.TODAY,
    "posted_on": examples.TODAY,
    "amount": "50000.00",
    "principal": "50000.00",
    "interest": "0.00",
    "vat": "0.00",
    "fees": "0.00",
    "moratory": "0.00",
    "created_at": examples.GRANTED_AT,
}


def _rate(value: Any) -> Decimal:
    """A yearly fraction with at most six decimals, 0 to 10."""
    if isinstance(value, str) and len(value) <= 9 and value.isascii() and value.replace(".", "", 1).isdigit():
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("rate_malformed", "A rate is a fraction such as 0.15 for fifteen percent.")
    rate = Decimal(value)
    exponent = rate.as_tuple().exponent
    if not rate.is_finite() or not isinstance(exponent, int) or not 0 <= rate <= MAX_RATE or exponent < -6:
        raise PydanticCustomError("rate_out_of_range", "A rate lies between 0 and 10 and has at most six decimals.")
    return rate.quantize(Decimal("0.000001"))


def _spell_rate(rate: Decimal) -> str:
    return f"{rate.normalize():f}"


Rate = Annotated[
    Decimal,
    BeforeValidator(_rate),
    PlainSerializer(_spell_rate, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 10}, {"type": "string", "maxLength": 9}],
            "description": "Yearly nominal rate as a fraction: 0.15 is fifteen percent.",
        }
    ),
]
StrictInt = Annotated[int, Field(strict=True)]


class LoanIn(StrictModel):
    """A loan to grant: disbursed today, unless it is asked for as PENDING."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "client_id": examples.CLIENT_ID,
                    "amount": 50000.00,
                    "interest_rate": 0.15,
                    "term_months": 24,
                }
            ]
        }
    )

    client_id: UUID
    amount: PositiveMoney
    interest_rate: Rate
    term_months: Annotated[StrictInt, Field(ge=1, le=MAX_TERM_MONTHS)]
    status: Literal[LoanStatus.ACTIVE, LoanStatus.PENDING] = LoanStatus.ACTIVE
    external_id: Label | None = None


class LoanOut(BaseModel):
    """A loan. `current_balance` is the outstanding principal."""

    model_config = ConfigDict(title="Loan", json_schema_extra={"examples": [LOAN_EXAMPLE]})

    id: UUID
    folio: int = Field(description="Running number for people.")
    client_id: UUID
    external_id: str | None
    status: LoanStatus
    amount: MoneyOut
    interest_rate: Rate
    term_months: int
    disbursed_on: Day | None
    current_balance: MoneyOut
    version: int = Field(description="Send it back as If-Match (the ETag begins with it).")
    created_at: datetime
    updated_at: datetime


class MovementOut(BaseModel):
    """One movement of a loan, by what it was for."""

    model_config = ConfigDict(json_schema_extra={"examples": [MOVEMENT_EXAMPLE]})

    id: UUID
    loan_id: UUID
    payment_id: UUID | None
    kind: str
    value_date: Day
    posted_on: Day
    amount: MoneyOut
    principal: MoneyOut
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    created_at: datetime
