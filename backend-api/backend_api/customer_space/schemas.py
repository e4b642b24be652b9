"""What the calls of the customer space take and answer."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from backend_api.domain.cart import CheckoutStatus
from backend_api.domain.states import LoanStatus
from backend_api.http import examples
from backend_api.http.strict import Day, MoneyOrZero, MoneyOut, PositiveMoney, Remark, StrictModel
from backend_api.payments.schemas import PAYMENT_EXAMPLE, PaymentOut

MOST_INSTALLMENTS = 600
MOST_LOANS = 50
"""In one cart, as in the details of one payment."""
_LINE: dict[str, Any] = {"number": 1, "due_on": "2026-02-28", "amount": "2525.23"}
_OWED: dict[str, Any] = {
    "number": 1,
    "due_on": "2026-02-28",
    "agreed": "2525.23",
    "added": "0.00",
    "total": "2525.23",
    "late": False,
}
_ITEM: dict[str, Any] = {
    "loan_id": examples.LOAN_ID,
    "folio": examples.FOLIO,
    "product": "STANDARD",
    "lines": [_LINE],
    "amount": "2525.23",
    "pays_off": False,
}
DEBTS_EXAMPLE: dict[str, Any] = {
    "on": examples.TODAY,
    "overdue": "0.00",
    "due": "0.00",
    "payoff": "50000.00",
    "next_due_on": "2026-02-28",
    "next_due": "2525.23",
    "loans": [
        {
            "loan_id": examples.LOAN_ID,
            "folio": examples.FOLIO,
            "product": "STANDARD",
            "product_name": "Standard loan",
            "status": "ACTIVE",
            "amount": "50000.00",
            "current_balance": "50000.00",
            "disbursed_on": examples.TODAY,
            "days_past_due": 0,
            "next_due_on": "2026-02-28",
            "due": "0.00",
            "payoff": "50000.00",
            "installments": [_OWED],
        }
    ],
}
CART_EXAMPLE: dict[str, Any] = {
    "number": 42,
    "items": [_ITEM],
    "amount": "2525.23",
    "commission": "0.00",
    "commission_vat": "0.00",
    "total": "2525.23",
    "priced_on": examples.TODAY,
    "expires_at": "2026-01-31T18:38:00.123464Z",
}
EMPTY_CART_EXAMPLE: dict[str, Any] = {
    **CART_EXAMPLE,
    "number": None,
    "items": [],
    "amount": "0.00",
    "total": "0.00",
    "priced_on": None,
    "expires_at": None,
}
CHECKOUT_EXAMPLE: dict[str, Any] = {
    "id": examples.CHECKOUT_ID,
    "cart_number": 42,
    "status": "WAITING",
    "items": [_ITEM],
    "amount": "2525.23",
    "commission": "0.00",
    "commission_vat": "0.00",
    "total": "2525.23",
    "transaction_code": None,
    "payment_id": None,
    "reason": None,
    "created_at": examples.PAID_AT,
    "expires_at": "2026-01-31T18:38:00.123464Z",
    "pay_url": "http://127.0.0.1:8002/pay?order=eyJvcmRlcl9pZCI6…&signature=5f0c1d2e…",
}
PAID_EXAMPLE: dict[str, Any] = {
    **CHECKOUT_EXAMPLE,
    "status": "PAID",
    "transaction_code": "SBX-000000042",
    "payment_id": examples.PAYMENT_ID,
    "pay_url": None,
}
OWN_PAYMENT_EXAMPLE: dict[str, Any] = {
    **PAYMENT_EXAMPLE,
    "amount": "2525.23",
    "method": "card",
    "reference": "SBX-000000042",
    "external_id": examples.CHECKOUT_ID,
    "receipt": PAID_EXAMPLE,
    "undo": "now",
}


class InstallmentOut(BaseModel):
    """An installment of which something is owed."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    due_on: Day
    agreed: MoneyOut = Field(description="What is left of what was agreed.")
    added: MoneyOut = Field(description="What being late added, and fees charged until its day.")
    total: MoneyOut = Field(description="What settles it today.")
    late: bool


class LoanDebtOut(BaseModel):
    """What is owed of one loan."""

    loan_id: UUID
    folio: int
    product: str
    product_name: str
    status: LoanStatus
    amount: MoneyOut
    current_balance: MoneyOut
    disbursed_on: Day
    days_past_due: int
    next_due_on: Day | None
    due: MoneyOut = Field(description="What can be demanded today, overdue or not.")
    payoff: MoneyOut = Field(description="What ends the loan today.")
    installments: list[InstallmentOut]


class DebtsOut(BaseModel):
    """What a borrower owes today."""

    model_config = ConfigDict(title="Debts", json_schema_extra={"examples": [DEBTS_EXAMPLE]})

    on: Day
    overdue: MoneyOut
    due: MoneyOut
    payoff: MoneyOut
    next_due_on: Day | None = Field(description="When the next installment that is not late yet falls due.")
    next_due: MoneyOut = Field(description="What falls due on that day, of all loans.")
    loans: list[LoanDebtOut]


class ItemIn(StrictModel):
    """What to pay of one loan: so many of its oldest unpaid installments, or an amount."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"loan_id": examples.LOAN_ID, "installments": 1}]})

    loan_id: UUID
    installments: Annotated[int | None, Field(strict=True, ge=1, le=MOST_INSTALLMENTS)] = None
    amount: PositiveMoney | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.installments is None) == (self.amount is None):
            raise PydanticCustomError("item_ambiguous", "Give either installments or an amount.")
        return self

    @property
    def wanted(self) -> int | Decimal:
        """Installments (int) or an amount (Decimal)."""
        wanted = self.installments if self.installments is not None else self.amount
        assert wanted is not None  # noqa: S101 - see above
        return wanted


class CartIn(StrictModel):
    """All that the cart is to hold; each loan once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"loan_id": examples.LOAN_ID, "installments": 1}]}]}
    )

    items: Annotated[list[ItemIn], Field(max_length=MOST_LOANS)]

    @model_validator(mode="after")
    def _each_loan_once(self) -> Self:
        if len({item.loan_id for item in self.items}) != len(self.items):
            raise PydanticCustomError("loan_repeated", "Each loan may appear once.")
        return self


class CheckOutIn(StrictModel):
    """What is being confirmed; both may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cart_number": 42, "total": "2525.23"}]})

    cart_number: Annotated[int | None, Field(strict=True, ge=1, le=999_999_999)] = None
    total: Annotated[
        MoneyOrZero | None, Field(description="What the borrower saw: if it is another amount now, nothing is done.")
    ] = None


class UndoIn(StrictModel):
    """Why a payment is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Pagué dos veces."}]})

    reason: Remark | None = None


class LineOut(BaseModel):
    """An installment in a cart, at its price."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    due_on: Day
    amount: MoneyOut


class ItemOut(BaseModel):
    """What a cart holds of one loan."""

    loan_id: UUID
    folio: int
    product: str
    lines: list[LineOut] = Field(description="Installments, oldest first; none for an amount of the borrower's choice.")
    amount: MoneyOut = Field(description="The price; less than the lines when a payoff saves interest.")
    pays_off: bool = Field(description="The loan is paid off by it.")


class CartOut(BaseModel):
    """A cart as it was priced when it was last changed."""

    model_config = ConfigDict(title="Cart", json_schema_extra={"examples": [CART_EXAMPLE]})

    number: int | None
    items: list[ItemOut]
    amount: MoneyOut
    commission: MoneyOut
    commission_vat: MoneyOut
    total: MoneyOut
    priced_on: Day | None
    expires_at: datetime | None


class CheckoutOut(BaseModel):
    """An order: what is paid at the gateway, and what came of it."""

    model_config = ConfigDict(title="Checkout", json_schema_extra={"examples": [CHECKOUT_EXAMPLE]})

    id: UUID
    cart_number: int
    status: CheckoutStatus
    items: list[ItemOut]
    amount: MoneyOut
    commission: MoneyOut
    commission_vat: MoneyOut
    total: MoneyOut
    transaction_code: str | None = Field(description="The gateway's number of the operation.")
    payment_id: UUID | None
    reason: str | None = Field(description="Why it was refused.")
    created_at: datetime
    expires_at: datetime
    pay_url: str | None = Field(description="Where a browser pays it, for as long as it can be paid.")


class Undo(StrEnum):
    """What a borrower may do about a payment: take it back now, ask for it, or wait for the answer."""

    NOW = "now"
    REQUEST = "request"
    REQUESTED = "requested"


class OwnPaymentOut(PaymentOut):
    """A payment as its borrower sees it."""

    model_config = ConfigDict(title="OwnPayment", json_schema_extra={"examples": [OWN_PAYMENT_EXAMPLE]})

    receipt: CheckoutOut | None = Field(description="The order that it paid, if it was paid from a cart.")
    undo: Undo | None = Field(description="Null: it is not theirs to take back, or was taken back.")


class Outcome(StrEnum):
    """What was done about a notice; `refund`: the gateway gives the money back."""

    REGISTERED = "registered"
    NOTED = "noted"
    REFUND = "refund"


class OutcomeOut(BaseModel):
    """What the gateway learns."""

    model_config = ConfigDict(
        title="NoticeOutcome",
        json_schema_extra={"examples": [{"outcome": "registered", "payment_id": examples.PAYMENT_ID, "reason": None}]},
    )

    outcome: Outcome
    payment_id: UUID | None
    reason: str | None = Field(description="Why the money is to be given back.")
