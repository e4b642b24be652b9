"""Preview of a loan: terms in, schedule, totals and CAT out. Nothing is stored."""

from datetime import date
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from backend_api.domain import schedule as schedules
from backend_api.domain.cat import Cat, CatConvention, cat
from backend_api.domain.products import Product
from backend_api.domain.terms import FIRST_DUE_TOO_EARLY, Terms, TermsRefused
from backend_api.http import examples
from backend_api.http.strict import Day, MoneyOut
from backend_api.loans.terms import LoanTermsIn, without_defaults
from backend_api.products.terms import CODE, ProductCode, TermsImpossible

EXAMPLE_TERMS: dict[str, Any] = {
    "amount": "50000.00",
    "interest_rate": "0.15",
    "installments": 3,
    "disbursed_on": examples.TODAY,
    "opening_fee": {"rate": "0.02"},
}


class PreviewIn(LoanTermsIn):
    """The terms of a loan. What is left out is as in the product, without one as in the first version of STANDARD;
    `disbursed_on` is today."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_TERMS]})

    product: ProductCode | None = Field(None, description="Code of the product whose terms are meant, with its limits.")
    disbursed_on: Day | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Two forms: the defaults are those of terms by themselves, and nobody's once a product is named."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        about = {key: schema[key] for key in ("title", "description", "examples")}
        fields = {name: field for name, field in schema["properties"].items() if name != "product"}
        alone = {"properties": fields, "required": ["amount", "interest_rate"]}
        product = schema["properties"]["product"] | {"anyOf": [{"type": "string", "pattern": CODE}]}
        of_product = {"properties": {"product": product, **without_defaults(fields)}, "required": ["product", "amount"]}
        forms = {"Terms by themselves": alone, "Terms of a product": of_product}
        shared = {"type": "object", "additionalProperties": False}
        return {**about, "anyOf": [{"title": title, **shared, **form} for title, form in forms.items()]}


class InstallmentOut(BaseModel):
    """One installment; `balance` is the principal outstanding after it."""

    number: int
    due_on: Day
    principal: MoneyOut
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    total: MoneyOut
    balance: MoneyOut


class TotalsOut(BaseModel):
    """The sums of the installments, and what happens on the day of the disbursement."""

    principal: MoneyOut = Field(description="The amount, with a financed opening fee and its VAT.")
    interest: MoneyOut
    vat: MoneyOut
    fees: MoneyOut
    total: MoneyOut
    opening_fee: MoneyOut
    opening_fee_vat: MoneyOut
    handed_over: MoneyOut = Field(description="The amount, less a deducted opening fee and its VAT.")


class CatOut(BaseModel):
    """Costo anual total, without VAT, for information and comparison only."""

    percent: str
    convention: CatConvention = Field(description="How years are counted in it.")


class PreviewOut(BaseModel):
    """What the loan would be like."""

    model_config = ConfigDict(title="LoanPreview")

    installments: list[InstallmentOut]
    totals: TotalsOut
    cat: CatOut


def preview(body: PreviewIn, product: Product | None, today: date) -> bytes:
    """The preview as JSON. Up to 600 rows of exact arithmetic: run it beside the event loop.

    Raises TermsImpossible.
    """
    try:
        terms = body.terms(body.disbursed_on or today, product)
        rows = schedules.schedule(terms)
        cost = cat(terms)
    except TermsRefused as refused:
        raise TermsImpossible(refused, sent=body.model_fields_set) from refused
    return _out(terms, rows, cost).model_dump_json().encode()


def _out(terms: Terms, rows: tuple[schedules.Installment, ...], cost: Cat) -> PreviewOut:
    sums = schedules.totals(rows)
    return PreviewOut(
        installments=[InstallmentOut.model_validate(row, from_attributes=True) for row in rows],
        totals=TotalsOut(
            principal=sums.principal,
            interest=sums.interest,
            vat=sums.vat,
            fees=sums.fees,
            total=sums.total,
            opening_fee=terms.opening_fee_amount,
            opening_fee_vat=terms.opening_fee_vat,
            handed_over=terms.handed_over,
        ),
        cat=CatOut(percent=f"{cost.percent:f}", convention=cost.convention),
    )


EXAMPLE_ANSWER: dict[str, Any] = orjson.loads(preview(PreviewIn.model_validate(EXAMPLE_TERMS), None, date.min))
EXAMPLE_REFUSAL = TermsImpossible(TermsRefused(FIRST_DUE_TOO_EARLY))
