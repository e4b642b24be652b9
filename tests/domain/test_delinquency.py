"""Days past due, stages, the share of bad loans, and provisions, against published figures."""

from datetime import date
from decimal import Decimal

import pytest
from backend_api.domain import provisions
from backend_api.domain.delinquency import Stage, days_past_due, imor, stage
from backend_api.domain.provisions import ProvisionTable, provision

from tests.domain.published import MEXICO, Case

DELAYS = [case for case in MEXICO["days_past_due"] if "as_of" in case]
TABLES = {("consumer", "I"): provisions.CONSUMER, ("consumer", "II"): provisions.CONSUMER_MARGINAL_ZONE}


@pytest.mark.parametrize("case", DELAYS, ids=lambda case: case["id"])
def test_days_past_due_and_stage_agree(case: Case) -> None:
    days = days_past_due(date.fromisoformat(case["oldest_unpaid_due_date"]), date.fromisoformat(case["as_of"]))
    assert (days, stage(days)) == (case["days_past_due"], case["stage"])


def test_nothing_unpaid_or_not_due_yet_is_not_late() -> None:
    assert days_past_due(None, date(2026, 1, 31)) == 0
    assert days_past_due(date(2026, 2, 28), date(2026, 1, 31)) == 0


def test_the_stages_change_on_the_31st_and_the_90th_day() -> None:
    assert [stage(days) for days in (0, 30, 31, 89, 90, 1000)] == [
        Stage.PERFORMING, Stage.PERFORMING, Stage.UNDERPERFORMING, Stage.UNDERPERFORMING, Stage.NON_PERFORMING,
        Stage.NON_PERFORMING,
    ]  # fmt: skip


def test_the_published_imor_agrees_and_an_empty_portfolio_has_none() -> None:
    known, loans = MEXICO["portfolio_quality"]
    assert imor(Decimal(known["non_performing"]), Decimal(known["total"])) == Decimal(known["imor_pct"])
    bad = sum(Decimal(loan["balance"]) for loan in loans["loans"] if stage(loan["dpd"]) is Stage.NON_PERFORMING)
    total = sum(Decimal(loan["balance"]) for loan in loans["loans"])
    assert (f"{bad}", f"{total}") == (loans["non_performing"], loans["total"])
    assert f"{imor(Decimal(bad), Decimal(total))}" == loans["imor_pct"]
    assert imor(Decimal(0), Decimal(0)) is None


@pytest.mark.parametrize("case", MEXICO["provisioning"]["cases"], ids=lambda case: case["id"])
def test_a_published_provision_agrees(case: Case) -> None:
    table = TABLES[case["portfolio"], case["type"]]
    assert f"{provision(table, Decimal(case['base']), case['dpd'])}" == case["reserve"]


@pytest.mark.parametrize(
    ("table", "bands", "column"),
    [
        (provisions.CONSUMER, MEXICO["provisioning"]["consumer_annex_D_table"], "type_I_pct"),
        (
            provisions.CONSUMER_MARGINAL_ZONE,
            MEXICO["provisioning"]["consumer_annex_D_table"],
            "type_II_marginal_zone_pct",
        ),
        (provisions.MICROCREDIT, MEXICO["provisioning"]["microcredit_table"]["bands"], 0),
        (provisions.MICROCREDIT_MARGINAL_ZONE, MEXICO["provisioning"]["microcredit_table"]["bands"], 1),
        (provisions.HOUSING, MEXICO["provisioning"]["housing_table"]["bands"], 0),
    ],
    ids=lambda value: value.portfolio if isinstance(value, ProvisionTable) else "",
)
def test_the_tables_are_the_published_ones(table: ProvisionTable, bands: list[Case], column: str | int) -> None:
    for band in bands:
        percent = band["pct"][column] if isinstance(column, int) else band[column]
        last = band["dpd_from"] + 5000 if band["dpd_to"] is None else band["dpd_to"]
        for days in (band["dpd_from"], last):
            assert table.rate(days) == Decimal(percent) / 100, days
    with pytest.raises(ValueError, match="never negative"):
        table.rate(-1)
