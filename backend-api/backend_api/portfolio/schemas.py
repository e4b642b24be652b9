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
DASHBOARD_EXAMPLE: dict[str, Any] = {
    "on": "2026-03-03",
    "closed_through": "2026-03-02",
    "trend": [
        {
            "on": "2026-03-02",
            "loans": 1,
            "balance": "48095.21",
            "non_performing": "0.00",
            "provisions": "1923.81",
            "imor": "0.00",
        }
    ],
    "flow": [{"on": "2026-03-03", "received": "2500.00", "paid_out": "0.00"}],
    "late": [
        {"days_from": 0, "days_to": 0, "loans": 0, "principal": "0.00"},
        {"days_from": 1, "days_to": 30, "loans": 1, "principal": "47500.00"},
        {"days_from": 31, "days_to": 89, "loans": 0, "principal": "0.00"},
        {"days_from": 90, "days_to": None, "loans": 0, "principal": "0.00"},
    ],
    "due_today": {
        "count": 1,
        "amount": "2395.16",
        "loans": [
            {
                "id": examples.LOAN_ID,
                "folio": examples.FOLIO,
                "client_id": examples.CLIENT_ID,
                "amount": "2395.16",
            }
        ],
    },
    "loans_pending": {"count": 0, "amount": "0.00"},
    "approvals": {"count": 1, "amount": "47500.00"},
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


class DayOut(BaseModel):
    """The portfolio at the end of a closed day, see `PortfolioSummary`."""

    on: date
    loans: int
    balance: MoneyOut
    non_performing: MoneyOut = Field(description="Balance of stage 3.")
    provisions: MoneyOut
    imor: str | None


class FlowOut(BaseModel):
    """What the bank account took in and gave out on a day."""

    on: date
    received: MoneyOut = Field(description="Payments, recoveries, commissions: the debit of the account.")
    paid_out: MoneyOut = Field(description="Disbursements, and payments that were taken back: its credit.")


class LateOut(BaseModel):
    """Owed loans by days past due at the end of the last business date, as `GET /portfolio/aging` lists them."""

    days_from: int
    days_to: int | None
    loans: int
    principal: MoneyOut


class DueLoanOut(BaseModel):
    """A loan of which an installment is due today, and what can be demanded."""

    id: UUID
    folio: int
    client_id: UUID
    amount: MoneyOut


class DueOut(BaseModel):
    """Loans whose oldest unpaid installment is due today: how many, and the first hundred, the largest amount first."""

    count: int
    amount: MoneyOut = Field(description="Of the loans that are named.")
    loans: list[DueLoanOut]


class WaitingOut(BaseModel):
    """How many wait, and for how much money."""

    count: int
    amount: MoneyOut


class DashboardOut(BaseModel):
    """Where the lender stands."""

    model_config = ConfigDict(title="Dashboard", json_schema_extra={"examples": [DASHBOARD_EXAMPLE]})

    on: date = Field(description="The business date.")
    closed_through: date | None = Field(description="The last day that is closed.")
    trend: list[DayOut] = Field(description="Closed days of the last eighteen months, evenly: at most 140 of them.")
    flow: list[FlowOut] = Field(description="The last thirty days and today, which is not over.")
    late: list[LateOut]
    due_today: DueOut
    loans_pending: WaitingOut
    approvals: WaitingOut


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
