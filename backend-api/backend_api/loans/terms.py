"""The terms of one loan as calls take them: its amount and days, and what it says itself instead of its product."""

from datetime import date

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from backend_api.domain.products import Product
from backend_api.domain.terms import Frequency, FrequencyUnit, Refusal, Terms, TermsRefused
from backend_api.http.strict import Day, PositiveMoney
from backend_api.products.terms import Installments, TermsIn

RATE_MISSING = Refusal("interest_rate", "missing", "Say the interest rate: the product has none.")
COUNT_MISSING = Refusal("installments", "missing", "Say how many installments, or `term_months`.")


class OwnTermsIn(TermsIn):
    """What a loan says itself; what is left out is as in the product, or as it was."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Without the defaults: whoever read and sent them would overrule the product."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        return {**schema, "properties": without_defaults(schema["properties"])}


class LoanTermsIn(OwnTermsIn):
    """The terms of a loan; what is left out is as in the product."""

    amount: PositiveMoney
    installments: Installments | None = Field(
        None, description="How many. Needed unless `term_months` is given or the product has a number."
    )
    term_months: Installments | None = Field(None, description="The same in months, for a frequency in months.")
    first_due_on: Day | None = Field(None, description="One period after the disbursement unless given.")

    def terms(self, disbursed_on: date, product: Product | None) -> Terms:
        """These terms for the domain, which has checked nothing yet but the product's limits.

        Raises TermsRefused: a rate or a number of installments is missing or doubtful, or a limit is passed.
        """
        values = {**(product.values if product else {}), **self.said()}
        if self.term_months is not None:
            values["installments"] = self._months(values.get("frequency", Frequency()), self.term_months)
        missing = [refusal for refusal in (RATE_MISSING, COUNT_MISSING) if refusal.field not in values]
        if missing:
            raise TermsRefused(*missing)
        terms = Terms(amount=self.amount, disbursed_on=disbursed_on, first_due_on=self.first_due_on, **values)
        if product:
            product.limits.check(terms)
        return terms

    def _months(self, frequency: Frequency, months: int) -> int:
        every = frequency.every
        if frequency.unit is not FrequencyUnit.MONTH or every < 1 or months % every:
            rule = "A term in months fits a frequency in months that divides it; else say `installments`."
            raise TermsRefused(Refusal("term_months", "term_not_monthly", rule))
        if self.installments not in (None, months // every):
            raise TermsRefused(Refusal("installments", "term_ambiguous", "Both are given and say different things."))
        return months // every


def without_defaults(properties: JsonSchemaValue) -> JsonSchemaValue:
    """The fields of a JSON schema without the defaults of those that a product may say."""
    return {
        name: {key: value for key, value in field.items() if key != "default" or name not in TermsIn.model_fields}
        for name, field in properties.items()
    }
