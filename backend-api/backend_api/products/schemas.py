"""What the product calls take and answer."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from backend_api.domain.products import Limits, ProductStatus
from backend_api.domain.term_sheet import product_sheet
from backend_api.http import examples
from backend_api.http.strict import PositiveMoney, StrictModel, Text
from backend_api.products.terms import Installments, ProductCode, StoredRate, TermsIn, TermsOut


class ProductTermsIn(TermsIn):
    """The terms of a product. What is left out is as it says here; rate and installments are left to each loan."""

    interest_rate: StoredRate | None = None
    installments: Installments | None = None


class LimitsIn(StrictModel):
    """Within which loans of the product are granted, both ends included; null is no limit."""

    min_amount: PositiveMoney | None = None
    max_amount: PositiveMoney | None = None
    min_rate: StoredRate | None = None
    max_rate: StoredRate | None = None
    min_installments: Installments | None = None
    max_installments: Installments | None = None

    def limits(self) -> Limits:
        """These limits for the domain, which has not checked them yet."""
        return Limits(**dict(self))


TERMS_EXAMPLE = {
    "interest_rate": "0.36",
    "installments": 24,
    "frequency": {"unit": "semimonth"},
    "opening_fee": {"rate": "0.02"},
}
LIMITS_EXAMPLE = {"min_amount": "5000.00", "max_amount": "100000.00", "max_installments": 72}
BODY_EXAMPLE: dict[str, Any] = {"name": "Payroll loan", "terms": TERMS_EXAMPLE, "limits": LIMITS_EXAMPLE}
VERSION_EXAMPLE: dict[str, Any] = {
    "code": "PAYROLL",
    "version": 1,
    "terms": product_sheet(ProductTermsIn.model_validate(TERMS_EXAMPLE).said()),
    "limits": LimitsIn.model_validate(LIMITS_EXAMPLE).limits().sheet(),
    "created_at": examples.REGISTERED_AT,
}
PRODUCT_EXAMPLE: dict[str, Any] = {
    "id": examples.PRODUCT_ID,
    "name": "Payroll loan",
    "status": "ACTIVE",
    **VERSION_EXAMPLE,
    "updated_at": examples.REGISTERED_AT,
}


class ProductChangeIn(StrictModel):
    """A product's name, terms and limits, all of them anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [BODY_EXAMPLE]})

    name: Annotated[Text, StringConstraints(min_length=1, max_length=100)]
    # By a factory, so that the document holds no copy of the defaults that would change with every new term.
    terms: ProductTermsIn = Field(default_factory=lambda: ProductTermsIn.model_validate({}))
    limits: LimitsIn = Field(default_factory=LimitsIn)


class ProductIn(ProductChangeIn):
    """A new product."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "PAYROLL", **BODY_EXAMPLE}]})

    code: ProductCode


class LimitsOut(BaseModel):
    """Within which loans of the product are granted; null is no limit."""

    min_amount: str | None
    max_amount: str | None
    min_rate: str | None
    max_rate: str | None
    min_installments: int | None
    max_installments: int | None


class ProductVersionOut(BaseModel):
    """The terms that loans copied while this version was the newest."""

    model_config = ConfigDict(title="ProductVersion", json_schema_extra={"examples": [VERSION_EXAMPLE]})

    code: str
    version: int
    terms: TermsOut
    limits: LimitsOut
    created_at: datetime


class ProductOut(BaseModel):
    """A product with the terms that a loan copies now."""

    model_config = ConfigDict(title="Product", json_schema_extra={"examples": [PRODUCT_EXAMPLE]})

    id: UUID
    code: str
    name: str
    status: ProductStatus
    version: int = Field(description="Of its terms. Send it back as If-Match (the ETag begins with it).")
    terms: TermsOut
    limits: LimitsOut
    created_at: datetime
    updated_at: datetime
