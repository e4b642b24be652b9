"""What the loan calls take and answer."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema

from backend_api.domain.products import STANDARD, Limits, Product
from backend_api.domain.states import LoanStatus
from backend_api.domain.term_sheet import sheet
from backend_api.domain.terms import Terms
from backend_api.http import examples
from backend_api.http.strict import Day, Label, MoneyOut, PositiveMoney, Remark, StrictModel, Text
from backend_api.loans.terms import LoanTermsIn, OwnTermsIn
from backend_api.products.terms import Installments, ProductCode, StoredRate, TermsIn

TERMS_EXAMPLE = sheet(
    Terms(
        amount=Decimal("50000.00"),
        interest_rate=Decimal("0.15"),
        installments=24,
        disbursed_on=date.fromisoformat(examples.TODAY),
    )
)
LOAN_EXAMPLE: dict[str, Any] = {
    "id": examples.LOAN_ID,
    "folio": examples.FOLIO,
    "client_id": examples.CLIENT_ID,
    "external_id": None,
    "status": "ACTIVE",
    "amount": "50000.00",
    "interest_rate": "0.15",
    "term_months": 24,
    "product": "STANDARD",
    "product_version": 1,
    "terms": TERMS_EXAMPLE,
    "disbursed_on": examples.TODAY,
    "notes": None,
    "next_due_on": "2026-02-28",
    "current_balance": "50000.00",
    "restructured_from": None,
    "version": 1,
    "created_at": examples.GRANTED_AT,
    "updated_at": examples.GRANTED_AT,
}
MOVEMENT_EXAMPLE: dict[str, Any] = {
    "id": examples.DISBURSEMENT_ID,
    "loan_id": examples.LOAN_ID,
    "payment_id": None,
    "kind": "DISBURSEMENT",
    "undoes_id": None,
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


SCHEDULE_EXAMPLE: dict[str, Any] = {
    "loan_id": examples.LOAN_ID,
    "installments": [
        {
            "number": 1,
            "due_on": "2026-02-28",
            "principal": "1752.32",
            "interest": "554.17",
            "vat": "88.67",
            "fees": "0.00",
            "moratory": "0.00",
            "total": "2395.16",
            "open": "2395.16",
        }
    ],
}
PAYOFF_EXAMPLE: dict[str, Any] = {
    "loan_id": examples.LOAN_ID,
    "on": "2026-02-10",
    "principal": "47500.00",
    "interest": "197.92",
    "vat": "31.67",
    "fees": "0.00",
    "moratory": "0.00",
    "payoff_amount": "47729.59",
    "due": "0.00",
    "days_past_due": 0,
    "next_due_on": "2026-02-28",
    "next_due_total": "2395.16",
}


GIVEN_BACK = "Below zero, with its VAT, when a payoff gives back interest that was paid before it arose."


def _plain(terms: Any) -> Any:
    """asyncpg leaves JSON as text, SQLAlchemy reads it."""
    return orjson.loads(terms) if isinstance(terms, str) else terms


def _spell_rate(rate: Decimal) -> str:
    return f"{rate.normalize():f}"


Rate = Annotated[
    Decimal,
    PlainSerializer(_spell_rate, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 10}, {"type": "string", "maxLength": 9}],
            "description": "Yearly nominal rate as a fraction: 0.15 is fifteen percent.",
        }
    ),
]


class LoanIn(LoanTermsIn):
    """A loan to grant: disbursed today, unless it is asked for as PENDING. What is left out is as in the product."""

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
    product: ProductCode = Field(STANDARD, description="Code of the product whose terms the loan copies.")
    interest_rate: StoredRate | None = None
    status: Literal[LoanStatus.ACTIVE, LoanStatus.PENDING] = LoanStatus.ACTIVE
    external_id: Label | None = None


_NEEDED = {"amount", "interest_rate", "installments", "term_months"}


class LoanPatch(OwnTermsIn):
    """What to change of a loan: its terms while it is pending, and its notes at any time.

    Null empties the notes, and keeps a term that has to be there.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"notes": "Asks for the money on a Monday."}]})

    amount: PositiveMoney | None = None
    interest_rate: StoredRate | None = None
    term_months: Installments | None = None
    first_due_on: Day | None = None
    notes: Annotated[Text, StringConstraints(min_length=1, max_length=1000)] | None = None

    @property
    def changes_terms(self) -> bool:
        """Whether anything but the notes was sent."""
        return bool(self.model_fields_set - {"notes"})

    def terms(self, kept: Terms) -> Terms:
        """The terms so far with what was sent of them; null keeps a term that has to be there. Raises TermsRefused."""
        sent = {name: getattr(self, name) for name in self.model_fields_set - {"notes"}}
        sent = {name: value for name, value in sent.items() if value is not None or name not in _NEEDED}
        amounts = {"amount": kept.amount, "first_due_on": kept.first_due_on}
        loan = LoanTermsIn.model_construct(set(sent), **(amounts | sent))
        values = {name: getattr(kept, name) for name in TermsIn.model_fields}
        return loan.terms(kept.disbursed_on, Product("", 0, values, Limits()))


class RestructureIn(OwnTermsIn):
    """The terms of the loan that takes another one's place; what is left out is as in the product."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"interest_rate": 0.12, "term_months": 36, "reason": "Lost his job."}]}
    )

    product: ProductCode = Field(STANDARD, description="Code of the product whose terms the new loan copies.")
    interest_rate: StoredRate | None = None
    term_months: Installments | None = None
    first_due_on: Day | None = None
    external_id: Label | None = None
    reason: Remark | None = None

    def own_terms(self) -> dict[str, Any]:
        """What was sent of the terms, as a loan takes it."""
        names = self.model_fields_set - {"product", "external_id", "reason"}
        return {name: getattr(self, name) for name in names}


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
    term_months: int | None
    product: str
    product_version: int
    terms: Annotated[dict[str, Any], BeforeValidator(_plain)] = Field(description="All of them, frozen.")
    disbursed_on: Day | None
    notes: str | None = None
    next_due_on: Day | None = Field(description="The oldest unpaid installment falls, or fell, due on it.")
    current_balance: MoneyOut
    restructured_from: UUID | None = Field(None, description="The loan whose place this one takes.")
    version: int = Field(description="Send it back as If-Match (the ETag begins with it).")
    created_at: datetime
    updated_at: datetime


class MovementOut(BaseModel):
    """One row of a loan's movements, by what it was for. One with `undoes_id` takes that row back."""

    model_config = ConfigDict(json_schema_extra={"examples": [MOVEMENT_EXAMPLE]})

    id: UUID
    loan_id: UUID
    payment_id: UUID | None
    kind: str
    undoes_id: UUID | None
    value_date: Day
    posted_on: Day
    amount: MoneyOut
    principal: MoneyOut
    interest: MoneyOut = Field(description=GIVEN_BACK)
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    note: str | None
    created_at: datetime


class NoteIn(StrictModel):
    """Why something is done."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The client cannot be found."}]})

    reason: Remark | None = None


class FeeIn(StrictModel):
    """A fee to charge, due today."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": "350.00", "reason": "Second copy."}]})

    amount: PositiveMoney = Field(description="Without VAT, which is added.")
    reason: Remark | None = None


class WaiverIn(StrictModel):
    """Something to forgive of what is due."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"concept": "fees", "amount": "406.00", "reason": "Charged by mistake."}]}
    )

    concept: Literal["fees", "moratory", "interest"]
    amount: PositiveMoney = Field(description="With VAT.")
    reason: Remark | None = None


class ScheduledInstallment(BaseModel):
    """An installment as it stands: what it holds, with what being late has added, and what of it is open."""

    number: int
    due_on: Day
    principal: MoneyOut
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    total: MoneyOut
    open: MoneyOut


class ScheduleOut(BaseModel):
    """A loan's installments as they stand today. Early payments make the rest of them anew."""

    model_config = ConfigDict(title="Schedule", json_schema_extra={"examples": [SCHEDULE_EXAMPLE]})

    loan_id: UUID
    installments: list[ScheduledInstallment]


class PayoffQuote(BaseModel):
    """What has to be paid on a day to owe nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [PAYOFF_EXAMPLE]})

    loan_id: UUID
    on: Day
    principal: MoneyOut
    interest: MoneyOut = Field(
        description="What is due, and what has accrued to the day; below zero when more was paid in advance."
    )
    vat: MoneyOut
    fees: MoneyOut
    moratory: MoneyOut
    payoff_amount: MoneyOut
    due: MoneyOut = Field(description="What of it can be demanded on the day.")
    days_past_due: int
    next_due_on: Day | None
    next_due_total: MoneyOut
