"""What a line must be like to be taken: the rules of the calls that register a client and grant a loan, in one go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from backend_api.clients.schemas import ClientIn
from backend_api.clients.service import check_rfc_field
from backend_api.domain.errors import DomainError
from backend_api.domain.identifiers import RfcVerdict
from backend_api.domain.states import ClientStatus
from backend_api.http.problems import FieldRefused
from backend_api.http.strict import Label, MoneyOrZero, StrictModel
from backend_api.imports.files import FORMULA, Line
from backend_api.loans.schemas import LoanIn
from backend_api.loans.service import ClientInactive, CreditLimitExceeded

SOMEBODY = UUID(int=0)
"""Stands for the client of a loan until there is one."""
NO_ZERO = frozenset({"0", "0.0", "0.00"})
NEVER_A_FORMULA = ("full_name", "external_id", "address")
LOAN_COLUMNS = {
    "opening_balance": "amount",
    "product": "product",
    "interest_rate": "interest_rate",
    "term_months": "term_months",
    "loan_external_id": "external_id",
}
_COLUMN_OF_LOAN = {name: column for column, name in LOAN_COLUMNS.items()}
_NO_FIELDS = dict.fromkeys(ClientIn.model_fields)

FORMULA_REFUSED = "A text that begins with =, +, - or @ would be a formula to a spreadsheet."
SURPLUS = "The line has more cells than there are columns."


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line, or the file, was not taken. `column` is empty for what concerns the whole line."""

    column: str
    code: str
    detail: str

    def json(self) -> dict[str, str]:
        """As it is stored and shown."""
        return {"column": self.column, "code": self.code, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for opening balances whose line does not say."""

    product: str
    interest_rate: Decimal | None
    term_months: int | None


Key = tuple[str, str]
"""A column, and what stands in it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A line as far as it can be judged by itself: the fields of a client, maybe a loan, or what is wrong."""

    line: Line
    fields: Mapping[str, Any]
    rfc: RfcVerdict | None = None
    loan: LoanIn | None = None
    keys: tuple[Key, ...] = ()
    """What no two clients, and no two loans, share."""
    problems: tuple[Problem, ...] = ()


class CustomerIn(StrictModel):
    """A line of the older contract: a partner's id and a credit line."""

    external_id: Label
    score: MoneyOrZero


def check_customer(line: Line) -> Checked:
    """A line of text. The client has no RFC or e-mail yet, and is called by the partner's id."""
    try:
        body = CustomerIn.model_validate(line.values)
    except ValidationError as error:
        return _refused(line, *_problems(error))
    problems = _of_line(line, {"external_id": body.external_id})
    if problems:
        return _refused(line, *problems)
    known = {"full_name": body.external_id, "external_id": body.external_id, "credit_limit": body.score}
    keys = (("external_id", body.external_id),)
    return Checked(line, {**_NO_FIELDS, **known, "status": ClientStatus.ACTIVE}, keys=keys)


def check_client(line: Line, terms: Terms, *, rfc_strict: bool) -> Checked:
    """A line of CSV or a workbook."""
    own = line.values
    if not LOAN_COLUMNS.keys().isdisjoint(own):
        own = {column: value for column, value in own.items() if column not in LOAN_COLUMNS}
    problems: list[Problem] = []
    body = verdict = loan = None
    try:
        body = ClientIn.model_validate(own)
        verdict = check_rfc_field(body.rfc, strict=rfc_strict)
        problems += _of_line(line, vars(body))
    except ValidationError as error:
        problems += _problems(error)
    except FieldRefused as refused:
        problems += [Problem(error.pointer.lstrip("/"), error.code, error.detail) for error in refused.errors]
    if line.values.get("opening_balance", "0") not in NO_ZERO:
        try:
            loan = LoanIn.model_validate(_loan(line.values, terms))
        except ValidationError as error:
            problems += _problems(error, _COLUMN_OF_LOAN)
    if body is not None and loan is not None:
        problems += _of_loan(body, loan)
    if problems or body is None or verdict is None:
        return _refused(line, *problems)
    return Checked(line, vars(body), verdict, loan, _keys(body, verdict, loan))


def _keys(body: ClientIn, verdict: RfcVerdict, loan: LoanIn | None) -> tuple[Key, ...]:
    keys = [("rfc", verdict.normalized), ("email", body.email)]
    if body.external_id is not None:
        keys.insert(1, ("external_id", body.external_id))
    if loan and loan.external_id is not None:
        keys.append(("loan_external_id", loan.external_id))
    return tuple(keys)


def _loan(values: Mapping[str, str], terms: Terms) -> dict[str, Any]:
    given: dict[str, Any] = {name: values[column] for column, name in LOAN_COLUMNS.items() if column in values}
    months = given.get("term_months", "")
    if months.isascii() and months.isdigit() and len(months) <= len("600"):
        given["term_months"] = int(months)
    asked = {"interest_rate": terms.interest_rate, "term_months": terms.term_months}
    return {
        "client_id": SOMEBODY,
        "product": terms.product,
        **{name: value for name, value in asked.items() if value is not None},
        **given,
    }


def _of_line(line: Line, fields: Mapping[str, Any]) -> list[Problem]:
    problems = [Problem("", "cells_surplus", SURPLUS)] if line.surplus else []
    for column in NEVER_A_FORMULA:
        text = fields.get(column)
        if text and text[0] in FORMULA:
            problems.append(Problem(column, "text_formula", FORMULA_REFUSED))
    return problems


def _of_loan(client: ClientIn, loan: LoanIn) -> Iterator[Problem]:
    if client.status is not ClientStatus.ACTIVE:
        yield of_refusal(ClientInactive())
    if client.credit_limit is not None and loan.amount > client.credit_limit:
        yield of_refusal(CreditLimitExceeded())


def of_refusal(refusal: DomainError) -> Problem:
    """A refusal of the loan that an opening balance asks for."""
    return Problem("opening_balance", refusal.code, refusal.message)


def of_field(pointer: str, code: str, detail: str) -> Problem:
    """What is wrong with a field of such a loan, by the name of its column."""
    name = pointer.strip("/")
    return Problem(_COLUMN_OF_LOAN.get(name, name), code, detail)


def _problems(error: ValidationError, names: Mapping[str, str] | None = None) -> Iterator[Problem]:
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        yield Problem((names or {}).get(field, field), str(item["type"]), str(item["msg"]))


def _refused(line: Line, *problems: Problem) -> Checked:
    return Checked(line, _NO_FIELDS, problems=problems)
