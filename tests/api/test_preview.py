"""`POST /loans/preview`: the published schedules over HTTP, what it refuses, and that nothing is stored."""

from datetime import date
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.domain.daycount import DayCount
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import (
    Amortization,
    FeeCollection,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    VatBase,
    VatMode,
)
from backend_api.http.resources import Resources
from backend_api.loans.preview import PreviewIn, PreviewOut
from backend_api.loans.preview import preview as preview_of
from backend_api.products.terms import TermsImpossible
from backend_api.settings import Settings
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.domain.published import SCHEDULES, Case, request_of
from tests.support.postgres import row_counts
from tests.support.problems import problem
from tests.support.proxy import Mode, Proxy
from tests.support.service import client_of, running, signed_in_as

PREVIEW = "/api/v1/loans/preview"
TERMS = {"amount": "10000.00", "interest_rate": "0.36", "installments": 12, "disbursed_on": "2026-01-31"}
MONEY = ("principal", "interest", "vat", "fees", "total", "balance")


async def preview(api: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    """The preview of 10 000 at 36 % in 12 months with these changes; None leaves a term out."""
    answer = await api.post(PREVIEW, json=body(**changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def body(**changes: Any) -> dict[str, Any]:
    """A request with these changes; None leaves a term out."""
    return {name: value for name, value in (TERMS | changes).items() if value is not None}


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: case["id"])
async def test_a_published_schedule_agrees_to_the_cent(case: Case, api: httpx2.AsyncClient) -> None:
    answer = await api.post(PREVIEW, json=request_of(case))
    assert answer.status_code == 200, answer.text
    found = [
        (row["number"], row["due_on"], *(Decimal(row[name]) for name in ("principal", "interest", "total", "balance")))
        for row in answer.json()["installments"]
    ]
    expected = [
        (row["n"], row["due_date"], row["principal"], row["interest"], row["total"], row["balance"])
        for row in case["expected"]
    ]
    assert found == expected
    totals = answer.json()["totals"]
    assert {name: Decimal(totals[name]) for name in case["totals"]} == case["totals"]


async def test_amounts_and_rates_may_be_numbers(api: httpx2.AsyncClient) -> None:
    spelled = await preview(api)
    assert await preview(api, amount=10000.00, interest_rate=0.36) == spelled
    assert await preview(api, interest_rate=0.36, vat_rate=0.16, amount=10000) == spelled
    await preview(api, interest_rate=4.4 / 100, disbursed_on="2024-01-01")


async def test_what_is_left_out_is_as_in_the_standard_product(api: httpx2.AsyncClient) -> None:
    standard = {
        "first_due_on": "2026-02-28",
        "frequency": {"every": 1, "unit": "month"},
        "amortization": "equal_installments",
        "interest_method": "declining",
        "interest_period": "daily",
        "day_count": "actual/360",
        "grace_principal": 0,
        "grace_interest_payment": 0,
        "interest_free_periods": 0,
        "month_end": "last_day",
        "vat_rate": "0.16",
        "vat_mode": "on_top",
        "vat_base": "nominal",
        "opening_fee": {},
        "late_fee": "0.00",
        "moratory_rate": "0.72",
        "waterfall": ["fees", "moratory", "interest", "principal"],
        "excess": "reduce_installment",
        "early_days": 10,
        "rounding": "half_up",
        "installment_multiple": None,
    }
    assert await preview(api, **standard) == await preview(api)


async def test_the_totals_are_the_sums_of_the_columns_and_money_has_two_decimals(api: httpx2.AsyncClient) -> None:
    found = await preview(api, opening_fee={"rate": "0.03"})
    for name in ("principal", "interest", "vat", "fees", "total"):
        assert Decimal(found["totals"][name]) == sum(Decimal(row[name]) for row in found["installments"])
    assert all(row[name] == f"{Decimal(row[name]):.2f}" for row in found["installments"] for name in MONEY)
    assert (
        found["totals"] | {"opening_fee": "300.00", "opening_fee_vat": "48.00", "handed_over": "9652.00"}
        == (found["totals"])
    )


async def test_the_published_cat_agrees(api: httpx2.AsyncClient) -> None:
    equal = {"interest_period": "same_as_period", "vat_rate": "0.16"}
    found = await preview(api, interest_rate="0.22", opening_fee={"rate": "0.0399"}, **equal)
    assert found["cat"] == {"percent": "34.5", "convention": "equal_periods"}
    found = await preview(
        api,
        amount="100000",
        interest_rate="0.22",
        installments=1,
        frequency={"every": 90, "unit": "day"},
        opening_fee={"flat": "3990.00"},
    )
    assert found["cat"] == {"percent": "45.8", "convention": "days_over_360"}
    assert (await preview(api, **equal))["cat"]["percent"] == "42.6"
    assert (await preview(api, frequency={"unit": "week"}))["cat"]["convention"] == "weeks_over_52"


async def test_without_a_disbursement_date_it_is_today(api: httpx2.AsyncClient, resources: Resources) -> None:
    today = (await resources.reads.business_date()).isoformat()
    assert await preview(api, disbursed_on=None) == await preview(api, disbursed_on=today)


async def test_a_term_in_months_is_a_number_of_monthly_installments(api: httpx2.AsyncClient) -> None:
    assert await preview(api, installments=None, term_months=12) == await preview(api)
    assert await preview(api, term_months=12) == await preview(api)
    quarterly = {"frequency": {"every": 3}}
    assert await preview(api, installments=None, term_months=12, **quarterly) == await preview(
        api, installments=4, **quarterly
    )


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"installments": 0}, "/installments", "installments_out_of_range"),
        ({"installments": 601}, "/installments", "installments_out_of_range"),
        ({"installments": -1}, "/installments", "installments_out_of_range"),
        ({"installments": None}, "/installments", "missing"),
        ({"term_months": 11}, "/installments", "term_ambiguous"),
        ({"installments": None, "term_months": 5, "frequency": {"every": 2}}, "/term_months", "term_not_monthly"),
        ({"term_months": 5, "frequency": {"every": 0}}, "/term_months", "term_not_monthly"),
        ({"term_months": 5, "frequency": {"unit": "week"}}, "/term_months", "term_not_monthly"),
        ({"interest_rate": "10.01"}, "/interest_rate", "interest_rate_out_of_range"),
        ({"interest_rate": -0.01}, "/interest_rate", "interest_rate_out_of_range"),
        ({"interest_rate": "10", "installments": 600}, "/installments", "installment_never_amortizes"),
        ({"installment_multiple": 5000}, "/installment_multiple", "installment_never_amortizes"),
        ({"first_due_on": "2026-01-31"}, "/first_due_on", "first_due_not_after_disbursement"),
        ({"first_due_on": "2025-12-31"}, "/first_due_on", "first_due_not_after_disbursement"),
        (
            {"first_due_on": "2026-02-16", "frequency": {"unit": "semimonth"}},
            "/first_due_on",
            "first_due_not_semimonth",
        ),
        ({"disbursed_on": "2199-12-31", "installments": 13}, "/installments", "last_due_out_of_range"),
        ({"installments": 600, "frequency": {"every": 366}}, "/installments", "last_due_out_of_range"),
        (
            {"disbursed_on": "2200-12-31", "installments": 600, "frequency": {"every": 366, "unit": "week"}},
            "/installments",
            "last_due_out_of_range",
        ),
        ({"frequency": {"every": 0}}, "/frequency/every", "frequency_every_out_of_range"),
        ({"frequency": {"every": 10**17}}, "/frequency/every", "frequency_every_out_of_range"),
        ({"grace_principal": 12}, "/grace_principal", "grace_principal_out_of_range"),
        ({"grace_principal": -1}, "/grace_principal", "grace_principal_out_of_range"),
        ({"grace_interest_payment": 12}, "/grace_interest_payment", "grace_interest_payment_out_of_range"),
        ({"interest_free_periods": 13}, "/interest_free_periods", "interest_free_periods_out_of_range"),
        ({"vat_rate": "1.01"}, "/vat_rate", "vat_rate_out_of_range"),
        (
            {"vat_mode": "inside_total", "amortization": "equal_principal"},
            "/vat_mode",
            "vat_inside_not_level",
        ),
        ({"vat_mode": "inside_total", "amortization": "interest_only"}, "/vat_mode", "vat_inside_not_level"),
        (
            {"vat_mode": "inside_total", "grace_interest_payment": 1},
            "/grace_interest_payment",
            "vat_inside_not_level",
        ),
        ({"vat_base": "real"}, "/vat_base", "vat_base_not_offered"),
        ({"moratory_rate": "20.5"}, "/moratory_rate", "moratory_rate_out_of_range"),
        ({"opening_fee": {"rate": "1.1"}}, "/opening_fee/rate", "opening_fee_rate_out_of_range"),
        ({"opening_fee": {"rate": "0.1", "flat": "1"}}, "/opening_fee", "opening_fee_twice"),
        ({"opening_fee": {"rate": "1"}}, "/opening_fee", "opening_fee_takes_all"),
        ({"opening_fee": {"flat": "8620.69"}}, "/opening_fee", "opening_fee_takes_all"),
        (
            {"amount": "9999999999999.99", "opening_fee": {"rate": "0.1", "collection": "financed"}},
            "/opening_fee",
            "principal_out_of_range",
        ),
        (
            {"opening_fee": {"flat": "8000"}, "installments": 1, "frequency": {"unit": "day"}},
            "/opening_fee",
            "cat_overflow",
        ),
        ({"amount": "9999999999999.99"}, "/amount", "installment_out_of_range"),
        ({"waterfall": ["principal"]}, "/waterfall", "waterfall_incomplete"),
        ({"waterfall": ["vat", "vat", "fees", "interest", "principal"]}, "/waterfall", "waterfall_incomplete"),
        ({"early_days": -1}, "/early_days", "early_days_out_of_range"),
    ],
)
async def test_impossible_terms_are_refused_with_field_and_rule(
    changes: dict[str, Any], pointer: str, code: str, api: httpx2.AsyncClient
) -> None:
    if changes.get("amount"):
        changes = {"installments": 1, **changes}
    found = problem(await api.post(PREVIEW, json=body(**changes)), 422, "terms_refused")
    assert [(error["pointer"], error["code"]) for error in found["errors"]] == [(pointer, code)]
    assert found["errors"][0]["detail"].endswith(".")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"amount":"1e5","interest_rate":0.1,"installments":2}', "/amount"),
        ('{"amount":0,"interest_rate":0.1,"installments":2}', "/amount"),
        ('{"amount":5,"interest_rate":"15%","installments":2}', "/interest_rate"),
        ('{"amount":5,"interest_rate":1e400,"installments":2}', "/interest_rate"),
        ('{"amount":5,"interest_rate":1e-400,"installments":2}', "/interest_rate"),
        ('{"amount":5,"interest_rate":true,"installments":2}', "/interest_rate"),
        ('{"amount":5,"interest_rate":"\\u0661","installments":2}', "/interest_rate"),
        ('{"amount":5,"interest_rate":0.1,"installments":2.5}', "/installments"),
        ('{"amount":5,"interest_rate":0.1,"installments":"2"}', "/installments"),
        ('{"amount":5,"interest_rate":0.1,"installments":true}', "/installments"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"colour":1}', "/colour"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"frequency":{"unit":"year"}}', "/frequency/unit"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"frequency":{"units":"day"}}', "/frequency/units"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"opening_fee":{"flat":-1}}', "/opening_fee/flat"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"day_count":"actual/366"}', "/day_count"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"waterfall":["a"]}', "/waterfall/0"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"disbursed_on":"2026-02-30"}', "/disbursed_on"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"disbursed_on":"1969-12-31"}', "/disbursed_on"),
        ('{"amount":5,"interest_rate":0.1,"installments":2,"installment_multiple":0}', "/installment_multiple"),
        ("[]", ""),
        ("{", ""),
    ],
)
async def test_a_malformed_body_is_refused_with_its_pointer(text: str, pointer: str, api: httpx2.AsyncClient) -> None:
    answer = await api.post(PREVIEW, content=text, headers={"Content-Type": "application/json"})
    assert [error["pointer"] for error in problem(answer, 422)["errors"]] == [pointer]


wild_counts = st.sampled_from([-1, 0, 1, 2, 11, 12, 13, 366, 367, 600, 601, 10**17]) | st.integers(0, 700)
wild_rates = st.sampled_from(["0", "0.000000000000000001", "0.15", "0.999999999999999999", "1", "10", "20", "99"])
wild_money = st.sampled_from(["0.01", "0.05", "1", "999.99", "50000", "9999999999999.98", "9999999999999.99"])
wild_days = st.sampled_from(["1970-01-01", "2024-02-29", "2026-01-15", "2026-01-31", "2200-12-30", "2200-12-31"])
wild_terms = st.fixed_dictionaries(
    {"amount": wild_money, "interest_rate": wild_rates, "installments": wild_counts, "disbursed_on": wild_days},
    optional={
        "first_due_on": wild_days,
        "frequency": st.fixed_dictionaries({"every": wild_counts, "unit": st.sampled_from(FrequencyUnit)}),
        "amortization": st.sampled_from(Amortization),
        "interest_method": st.sampled_from(InterestMethod),
        "interest_period": st.sampled_from(InterestPeriod),
        "day_count": st.sampled_from(DayCount),
        "grace_principal": wild_counts,
        "grace_interest_payment": wild_counts,
        "interest_free_periods": wild_counts,
        "month_end": st.sampled_from(MonthEnd),
        "vat_rate": wild_rates,
        "vat_mode": st.sampled_from(VatMode),
        "vat_base": st.sampled_from(VatBase),
        "opening_fee": st.fixed_dictionaries(
            {}, optional={"flat": wild_money, "rate": wild_rates, "collection": st.sampled_from(FeeCollection)}
        ),
        "moratory_rate": wild_rates,
        "rounding": st.sampled_from(Rounding),
        "installment_multiple": wild_money,
    },
)


@limits(max_examples=300, derandomize=True, deadline=None)
@given(wild_terms)
def test_any_terms_are_answered_or_refused(wild: dict[str, Any]) -> None:
    try:
        found = PreviewOut.model_validate_json(preview_of(PreviewIn.model_validate(wild), None, date(2026, 1, 31)))
    except TermsImpossible:
        return
    assert found.installments[-1].balance == 0
    assert found.totals.principal == sum(row.principal for row in found.installments)
    assert min(min(row.principal, row.interest, row.vat, row.total) for row in found.installments) >= 0


@pytest.mark.parametrize("role", Role)
async def test_everybody_with_a_token_may_ask(role: Role, app: FastAPI) -> None:
    async with signed_in_as(app, role) as caller:
        await preview(caller)


async def test_nobody_without_a_token_may(anonymous: httpx2.AsyncClient) -> None:
    problem(await anonymous.post(PREVIEW, json=TERMS), 401)


async def test_nothing_is_stored(api: httpx2.AsyncClient, owner: Connection) -> None:
    before = await row_counts(owner)
    await preview(api)
    problem(await api.post(PREVIEW, json=body(installments=0)), 422)
    assert await row_counts(owner) == before


@pytest.mark.parametrize("unit", FrequencyUnit)
@pytest.mark.parametrize("amortization", ["equal_installments", "equal_principal", "interest_only"])
async def test_six_hundred_installments_are_answered(
    unit: FrequencyUnit, amortization: str, api: httpx2.AsyncClient
) -> None:
    found = await preview(
        api, installments=600, interest_rate="0.15", frequency={"unit": unit.value}, amortization=amortization
    )
    assert len(found["installments"]) == 600
    assert sum(Decimal(row["principal"]) for row in found["installments"]) == 10000
    assert found["installments"][-1]["balance"] == "0.00"


async def test_a_preview_needs_neither_redis_nor_the_replica(settings: Settings, admin: dict[str, str]) -> None:
    async with (
        Proxy(settings.redis_host, settings.redis_port) as redis,
        Proxy(settings.postgres_replica_host, settings.postgres_replica_port) as replica,
    ):
        changed = settings.model_copy(update={"redis_port": redis.port, "postgres_replica_port": replica.port})
        async with running(changed) as app, client_of(app, admin) as caller:
            expected = await preview(caller)
            await redis.become(Mode.HANG)
            await replica.become(Mode.HANG)
            assert await preview(caller) == expected
            await preview(caller, disbursed_on=None)
