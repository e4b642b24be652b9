"""What the client calls take and answer."""

import re
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from backend_api.domain.errors import DomainError
from backend_api.domain.identifiers import check_clabe, check_curp
from backend_api.domain.states import ClientStatus, LoanStatus
from backend_api.http import examples
from backend_api.http.strict import BirthDay, Day, Kept, Label, MoneyOrZero, MoneyOut, StrictModel, Text

EXAMPLE: dict[str, Any] = {"full_name": "Carlos Perez", "email": "carlos.perez@example.com", "rfc": "PEPJ800101HNE"}
RECORD_EXAMPLE: dict[str, Any] = {
    "id": examples.CLIENT_ID,
    **EXAMPLE,
    "external_id": None,
    "status": "ACTIVE",
    "credit_limit": None,
    "kind": None,
    "curp": None,
    "clabe": None,
    "phone": None,
    "birth_date": None,
    "address": None,
    "warnings": [
        {
            "code": "rfc_looks_like_curp",
            "detail": "This RFC looks like the beginning of a CURP; please check it against the tax certificate.",
        }
    ],
    "version": 1,
    "created_at": examples.REGISTERED_AT,
    "updated_at": examples.REGISTERED_AT,
}
LOOKUP_EXAMPLE: dict[str, Any] = {
    "id": examples.CLIENT_ID,
    "rfc": "PE**********E",
    "full_name": "C. P.",
    "status": "ACTIVE",
}
BALANCE_EXAMPLE: dict[str, Any] = {
    "client_id": examples.CLIENT_ID,
    "business_date": examples.TODAY,
    "total_debt": "47500.00",
    "credit_limit": None,
    "available_credit": None,
    "loans": [
        {
            "loan_id": examples.LOAN_ID,
            "folio": examples.FOLIO,
            "status": "ACTIVE",
            "current_balance": "47500.00",
            "payoff_amount": "47500.00",
        }
    ],
}
_LINE_EXAMPLE: dict[str, Any] = {
    "posted_on": examples.TODAY,
    "value_date": examples.TODAY,
    "loan_id": examples.LOAN_ID,
    "reference": None,
    "charge": "0.00",
    "credit": "0.00",
}
STATEMENT_EXAMPLE: dict[str, Any] = {
    "client_id": examples.CLIENT_ID,
    "period_from": "2026-01-01",
    "period_to": examples.TODAY,
    "opening_balance": "0.00",
    "charges": "50000.00",
    "credits": "2500.00",
    "closing_balance": "47500.00",
    "lines": [
        {**_LINE_EXAMPLE, "kind": "DISBURSEMENT", "charge": "50000.00", "balance": "50000.00"},
        {**_LINE_EXAMPLE, "kind": "PAYMENT", "credit": "2500.00", "balance": "47500.00"},
    ],
    "commissions": [
        {
            "posted_on": examples.TODAY,
            "payment_id": examples.PAYMENT_ID,
            "reference": None,
            "amount": "10.00",
            "vat": "1.60",
            "total": "11.60",
        }
    ],
}


MAX_LOCAL_PART = 64
"""Of an e-mail address, before the @ (RFC 5321 4.5.3.1.1)."""


class ClientKind(StrEnum):
    """What the tax law sees in a client."""

    INDIVIDUAL = "individual"
    INDIVIDUAL_BUSINESS = "individual_business"
    COMPANY = "company"


# The letters, digits and signs of RFC 5322's dot-atom: nearly every address, and nothing in it to normalise.
_PLAIN_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)


@lru_cache(maxsize=1024)
def _domain(domain: str) -> str:
    return validate_email(f"x@{domain}", check_deliverability=False).domain


def _email(value: str) -> str:
    local_part, _, domain = value.rpartition("@")
    try:
        if len(local_part) <= MAX_LOCAL_PART and _PLAIN_LOCAL_PART.fullmatch(local_part):
            return f"{local_part}@{_domain(domain)}".lower()  # a tenth of the time that judging all of it anew takes
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise PydanticCustomError("email_malformed", "This is not an e-mail address.") from error


def _curp(value: str) -> str:
    try:
        return check_curp(value).normalized
    except DomainError as error:
        raise PydanticCustomError(error.code, error.message) from error


def _clabe(value: str) -> str:
    try:
        return check_clabe(value)
    except DomainError as error:
        raise PydanticCustomError(error.code, error.message) from error


FullName = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Email = Annotated[Text, StringConstraints(max_length=254), AfterValidator(_email)]
Rfc = Annotated[Text, StringConstraints(min_length=1, max_length=40)]
Curp = Annotated[Text, StringConstraints(max_length=40), AfterValidator(_curp)]
Clabe = Annotated[Text, StringConstraints(max_length=40), AfterValidator(_clabe)]
Phone = Annotated[Text, StringConstraints(min_length=1, max_length=30, pattern=r"^[0-9+() .-]+$")]
Address = Annotated[Text, StringConstraints(min_length=1, max_length=500)]


class ClientIn(StrictModel):
    """A client's whole record, for creation and replacement."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    full_name: FullName
    email: Email
    rfc: Rfc
    external_id: Label | None = None
    status: ClientStatus = ClientStatus.ACTIVE
    credit_limit: MoneyOrZero | None = None
    kind: ClientKind | None = None
    curp: Curp | None = None
    clabe: Clabe | None = None
    phone: Phone | None = None
    birth_date: BirthDay | None = None
    address: Address | None = None


class ClientPatch(StrictModel):
    """The fields to change; null empties an optional one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phone": "+52 55 1234 5678"}]})

    full_name: Annotated[FullName | None, Kept] = None
    email: Annotated[Email | None, Kept] = None
    rfc: Annotated[Rfc | None, Kept] = None
    external_id: Label | None = None
    status: Annotated[ClientStatus | None, Kept] = None
    credit_limit: MoneyOrZero | None = None
    kind: ClientKind | None = None
    curp: Curp | None = None
    clabe: Clabe | None = None
    phone: Phone | None = None
    birth_date: BirthDay | None = None
    address: Address | None = None


class RecordWarning(BaseModel):
    """Something that is accepted and should be looked at by a person."""

    code: str
    detail: str


class ClientOut(BaseModel):
    """A client's record."""

    model_config = ConfigDict(title="Client", json_schema_extra={"examples": [RECORD_EXAMPLE]})

    id: UUID
    full_name: str
    email: str | None
    rfc: str | None
    external_id: str | None
    status: ClientStatus
    credit_limit: MoneyOut | None
    kind: ClientKind | None
    curp: str | None
    clabe: str | None
    phone: str | None
    birth_date: BirthDay | None
    address: str | None
    warnings: list[RecordWarning]
    version: int = Field(description="Send it back as If-Match (the ETag begins with it).")
    created_at: datetime
    updated_at: datetime


class ClientLookup(BaseModel):
    """What anybody may know of a client by its RFC: masked, unless a setting says otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [LOOKUP_EXAMPLE]})

    id: UUID
    rfc: str
    full_name: str
    status: ClientStatus


class LoanBalance(BaseModel):
    """One loan's part of a balance."""

    loan_id: UUID
    folio: int
    status: LoanStatus
    current_balance: MoneyOut
    payoff_amount: MoneyOut


class Balance(BaseModel):
    """What a client owes today."""

    model_config = ConfigDict(json_schema_extra={"examples": [BALANCE_EXAMPLE]})

    client_id: UUID
    business_date: Day
    total_debt: MoneyOut
    credit_limit: MoneyOut | None
    available_credit: MoneyOut | None = Field(description="Null when no credit limit is set.")
    loans: list[LoanBalance]


class StatementLineOut(BaseModel):
    """One movement of a statement. `charge` raises the balance, `credit` lowers it."""

    posted_on: Day
    value_date: Day
    loan_id: UUID
    kind: str
    reference: str | None
    charge: MoneyOut
    credit: MoneyOut
    balance: MoneyOut


class CommissionOut(BaseModel):
    """What a payment cost besides what it pays; negative when it was given back. It is in no balance."""

    posted_on: Day
    payment_id: UUID
    reference: str | None
    amount: MoneyOut
    vat: MoneyOut
    total: MoneyOut


class AccountStatement(BaseModel):
    """A period's statement: opening + charges - credits = closing. Lines stand under their posting date, and so do
    the commissions, which no loan owes."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATEMENT_EXAMPLE]})

    client_id: UUID
    period_from: Day
    period_to: Day
    opening_balance: MoneyOut
    charges: MoneyOut
    credits: MoneyOut
    closing_balance: MoneyOut
    lines: list[StatementLineOut]
    commissions: list[CommissionOut]
