"""What the portfolio calls answer."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend_api.domain.delinquency import AgeBucket, imor
from backend_api.domain.states import LoanStatus
from backend_api.http import examples
from backend_api.http.strict import MoneyOut

BUCKETS = {
    "0-30": {"loans": 1, "balance": "48095.21"},
    "31-89": {"loans": 0, "balance": "0.00"},
    "90+": {"loans": 0, "balance": "0.00"},
}
FIGURES_EXAMPLE: dict[str, Any] = {
    "loans": 1,
    "balance": "48095.21",
    "principal": "47500.00",
    "interest": "592.29",
    "moratory": "2.92",
    "fees": "0.00",
    "suspended": "0.00",
    "provisions": "1923.81",
    "imor": "0.00",
    "buckets": BUCKETS,
    "stages": dict(zip("123", BUCKETS.values(), strict=True)),
}
SUMMARY_EXAMPLE: dict[str, Any] = {
    "on": "2026-03-02",
    "total": FIGURES_EXAMPLE,
    "products": [{"product": "STANDARD", **FIGURES_EXAMPLE}],
    "loans_failed": 0,
}
AGED_LOAN_EXAMPLE: dict[str, Any] = {
    "id": examples.LOAN_ID,
    "folio": examples.FOLIO,
    "client_id": examples.CLIENT_ID,
    "product": "STANDARD",
    "status": "ACTIVE",
    "stage": 2,
    "current_balance": "47500.00",
    "next_due_on": "2026-02-28",
    "days_past_due": 35,
    "bucket": "31-89",
}


class ShareOut(BaseModel):
    """How many loans, and their balance."""

    loans: int
    balance: str


class FiguresOut(BaseModel):
    """The sums of some loans at the end of a day."""

    loans: int
    balance: str = Field(description="Principal, and interest that is an asset: that of stage 3 loans is not.")
    principal: str
    interest: str
    moratory: str
    fees: str
    suspended: str = Field(description="Interest of stage 3 loans, which is no income before it is paid.")
    provisions: str
    imor: str | None = Field(description="Balance of stage 3 in percent of all; null when there is none.")
    buckets: dict[str, ShareOut] = Field(description="By days past due: 0-30, 31-89, 90+.")
    stages: dict[str, ShareOut]


class ProductFiguresOut(FiguresOut):
    """The same of the loans of one product."""

    product: str


class SummaryOut(BaseModel):
    """A portfolio at the end of a closed day."""

    model_config = ConfigDict(title="PortfolioSummary", json_schema_extra={"examples": [SUMMARY_EXAMPLE]})

    on: date
    total: FiguresOut
    products: list[ProductFiguresOut]
    loans_failed: int = Field(description="Loans that could not be worked out and are not in the figures.")


class AgedLoanOut(BaseModel):
    """An owed loan, and how late it was at the end of the last closed day."""

    model_config = ConfigDict(title="AgedLoan", json_schema_extra={"examples": [AGED_LOAN_EXAMPLE]})

    id: UUID
    folio: int
    client_id: UUID
    product: str
    status: LoanStatus
    stage: int
    current_balance: MoneyOut
    next_due_on: date | None
    days_past_due: int
    bucket: AgeBucket


def summary_out(on: date, totals: dict[str, Any]) -> SummaryOut:
    """A summary from what the end of the day has stored."""
    return SummaryOut(
        on=on,
        total=FiguresOut(**_with_imor(totals["total"])),
        products=[ProductFiguresOut(**_with_imor(product)) for product in totals["products"]],
        loans_failed=totals["loans_failed"],
    )


def _with_imor(figures: dict[str, Any]) -> dict[str, Any]:
    ratio = imor(Decimal(figures["stages"]["3"]["balance"]), Decimal(figures["balance"]))
    return {**figures, "imor": None if ratio is None else f"{ratio:f}"}
