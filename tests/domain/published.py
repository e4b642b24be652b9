"""Published numbers, and how their fields read as terms."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend_api.domain.daycount import DayCount
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import (
    Amortization,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    Terms,
)

Case = dict[str, Any]

VECTORS = Path(__file__).parent / "vectors"
SCHEDULES: list[Case] = json.loads((VECTORS / "schedules.json").read_text(encoding="utf-8"), parse_float=Decimal)[
    "cases"
]
MEXICO: dict[str, Any] = json.loads((VECTORS / "mexico.json").read_text(encoding="utf-8"), parse_float=Decimal)


def request_of(case: Case) -> dict[str, Any]:
    """The body of a preview for a published case."""
    days_in_month, days_in_year = case["days_in_month"], case["days_in_year"]
    month_end = case["month_end_strategy"] or "LAST_DAY_OF_MONTH"
    multiple = case["installment_multiple_of"]
    return {
        "amount": str(case["principal"]),
        "interest_rate": str(Decimal(case["annual_rate_percent"]) / 100),
        "installments": case["n_installments"],
        "disbursed_on": case["disbursement_date"],
        "frequency": {"every": case["repay_every"], "unit": case["unit"].removesuffix("s")},
        "interest_method": case["interest_type"],
        "amortization": case["amortization"],
        "interest_period": {"daily": "daily", "same_as_repayment": "same_as_period"}[case["interest_period"]],
        "day_count": "30/360" if days_in_month == "30" else f"actual/{days_in_year}",
        "grace_principal": case["grace_on_principal"],
        "grace_interest_payment": case["grace_on_interest_payment"],
        "interest_free_periods": case["interest_free_period"],
        "month_end": {"LAST_DAY_OF_MONTH": "last_day", "FIRST_DAY_OF_NEXT_MONTH": "next_month_first"}[month_end],
        "rounding": case["rounding"],
        "installment_multiple": None if multiple is None else str(multiple),
        "vat_rate": "0",
    }


def terms_of(case: Case) -> Terms:
    """The terms of a published case."""
    body = request_of(case)
    multiple = body["installment_multiple"]
    return Terms(
        amount=Decimal(body["amount"]),
        interest_rate=Decimal(body["interest_rate"]),
        installments=body["installments"],
        disbursed_on=date.fromisoformat(body["disbursed_on"]),
        frequency=Frequency(body["frequency"]["every"], FrequencyUnit(body["frequency"]["unit"])),
        interest_method=InterestMethod(body["interest_method"]),
        amortization=Amortization(body["amortization"]),
        interest_period=InterestPeriod(body["interest_period"]),
        day_count=DayCount(body["day_count"]),
        grace_principal=body["grace_principal"],
        grace_interest_payment=body["grace_interest_payment"],
        interest_free_periods=body["interest_free_periods"],
        month_end=MonthEnd(body["month_end"]),
        rounding=Rounding(body["rounding"]),
        installment_multiple=None if multiple is None else Decimal(multiple),
        vat_rate=Decimal(body["vat_rate"]),
    )
