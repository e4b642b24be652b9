"""Every figure of the dashboard against the ledger: what postings, movements and events say, by other statements."""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from backend_api.backoffice import charts
from backend_api.backoffice.dashboard import context, event_tiles
from backend_api.clients.statement.spanish import amount
from backend_api.db.pools import Connection
from backend_api.demo.lender import MANAGER, PASSWORD
from backend_api.domain.money import ZERO
from backend_api.outbox.parked import OutboxStatus, Queue
from backend_api.pages.chart import HEIGHT, WIDTH
from backend_api.portfolio.dashboard import FLOW_DAYS, LATENESS, dashboard
from backend_api.portfolio.schemas import DashboardOut

from tests.engine.lender import STORY, Lender
from tests.support.builders import LOANS, get
from tests.support.pages import Visitor

DASHBOARD = "/api/v1/portfolio/dashboard"
AGING = "/api/v1/portfolio/aging"
OFFICE = "/oficina"
YESTERDAY = STORY.until - timedelta(days=1)

BALANCES = """
SELECT d.business_date AS day,
       coalesce(sum(p.amount) FILTER (WHERE p.account IN ('1301', '1302', '1304')), 0) AS balance,
       coalesce(-sum(p.amount) FILTER (WHERE p.account = '1390'), 0) AS provisions
  FROM day_closes d
  LEFT JOIN (ledger_entries e JOIN postings p ON p.entry_id = e.id) ON e.posted_on <= d.business_date
 GROUP BY d.business_date
"""
BANK = """
SELECT coalesce(sum(p.amount) FILTER (WHERE p.amount > 0), 0) AS received,
       coalesce(-sum(p.amount) FILTER (WHERE p.amount < 0), 0) AS paid_out
  FROM ledger_entries e JOIN postings p ON p.entry_id = e.id WHERE p.account = '1101' AND e.posted_on = $1
"""
# What is left of a loan's principal is what was lent less what came back, and nothing of it is taken from its row.
PRINCIPAL = """
WITH owed AS (
    SELECT m.loan_id, sum(m.principal * CASE WHEN m.kind IN ('DISBURSEMENT', 'TRANSFER') THEN 1 ELSE -1 END
                          * CASE WHEN m.undoes_id IS NULL THEN 1 ELSE -1 END) AS principal
      FROM loan_movements m WHERE m.posted_on <= $1 GROUP BY m.loan_id)
SELECT o.loan_id, o.principal, l.stage, greatest($2::date - l.in_time_until, 0) AS days, l.moved_on
  FROM owed o JOIN loans l ON l.id = o.loan_id WHERE o.principal > 0
"""
PENDING = """
SELECT count(*) AS count, coalesce(sum((c.payload->>'amount')::numeric), 0) AS amount FROM events c
 WHERE c.event_type = 'loan_created' AND c.payload->>'status' = 'PENDING' AND NOT EXISTS (
       SELECT FROM events d WHERE d.aggregate_id = c.aggregate_id AND d.entity_id = c.entity_id
                              AND d.event_type IN ('loan_activated', 'loan_rejected', 'loan_cancelled'))
"""
ASKED = """
SELECT count(*) AS count, coalesce(sum((r.payload->>'amount')::numeric), 0) AS amount FROM events r
 WHERE r.event_type = 'approval_requested' AND NOT EXISTS (
       SELECT FROM events d WHERE d.aggregate_id = r.aggregate_id AND d.entity_id = r.entity_id
                              AND d.event_type IN ('approval_granted', 'approval_refused', 'approval_expired'))
"""


@pytest.fixture(scope="module")
async def figures(told: Lender) -> DashboardOut:
    """The dashboard at the end of the story."""
    at = datetime.combine(STORY.until, time.max, told.resources.settings.zone)
    return await told.resources.reads.on_primary(lambda connection: dashboard(connection, STORY.until, at))


async def differences(owner: Connection, figures: DashboardOut) -> set[str]:
    """The figures that the ledger does not say."""
    found = set()
    balances = {row["day"]: row for row in await owner.fetch(BALANCES)}
    for day in figures.trend:
        found |= _other("trend", balances[day.on], {"balance": day.balance, "provisions": day.provisions})
    for flow in figures.flow:
        moved = {"received": flow.received, "paid_out": flow.paid_out}
        found |= _other("flow", await owner.fetchrow(BANK, flow.on), moved)
    late = await owner.fetch(PRINCIPAL, STORY.until, YESTERDAY)
    for age in figures.late:
        such = [
            row for row in late if age.days_from <= row["days"] and (age.days_to is None or row["days"] <= age.days_to)
        ]
        expected = {"loans": len(such), "principal": sum((row["principal"] for row in such), Decimal(0))}
        found |= _other("late", expected, {"loans": age.loans, "principal": age.principal})
    for name, statement, waiting in (
        ("pending", PENDING, figures.loans_pending),
        ("approvals", ASKED, figures.approvals),
    ):
        found |= _other(name, await owner.fetchrow(statement), dict(waiting))
    return found


def _other(name: str, expected: Any, said: Mapping[str, Any]) -> set[str]:
    """Figures of a row that are not as expected, by name."""
    assert expected is not None
    return {f"{name}.{field}" for field, value in said.items() if expected[field] != value}


async def test_every_figure_is_what_the_ledger_says(told: Lender, figures: DashboardOut) -> None:
    assert await differences(told.owner, figures) == set()
    assert figures.trend[-1].on == figures.closed_through == YESTERDAY
    assert len(figures.flow) == FLOW_DAYS + 1
    assert figures.flow[-1].on == STORY.until
    assert [age.loans for age in figures.late] == [5, 1, 0, 1]
    assert figures.approvals.count == 2
    assert figures.loans_pending.count == 1


async def test_one_posting_off_is_seen(told: Lender, figures: DashboardOut) -> None:
    """Each change is undone: the figures were asked before."""
    changes = {
        "trend.balance": "UPDATE postings SET amount = amount + 1 WHERE account = '1301'",
        "trend.provisions": "UPDATE postings SET amount = amount + 1 WHERE account = '1390'",
        "flow.received": "UPDATE postings SET amount = amount + 1 WHERE account = '1101' AND amount > 0",
        "flow.paid_out": "UPDATE postings SET amount = amount - 1 WHERE account = '1101' AND amount < 0",
        "late.principal": "UPDATE loan_movements SET principal = principal - 1, interest = interest + 1"
        " WHERE kind = 'DISBURSEMENT' AND loan_id IN (SELECT id FROM loans WHERE current_balance > 1)",
        "pending.count": "DELETE FROM events WHERE event_type IN ('loan_activated', 'loan_rejected')",
        "approvals.amount": "DELETE FROM events WHERE event_type = 'approval_granted'",
    }
    for figure, change in changes.items():
        transaction = told.owner.transaction()
        await transaction.start()
        await told.owner.execute("SET LOCAL session_replication_role = replica")  # no trigger refuses it
        await told.owner.execute(change)
        assert figure in await differences(told.owner, figures)
        await transaction.rollback()


async def test_the_non_performing_part(told: Lender, figures: DashboardOut) -> None:
    """At the end of yesterday, by movements up to it; the stage of a loan that moved today may be another one."""
    rows = [row for row in await told.owner.fetch(PRINCIPAL, YESTERDAY, YESTERDAY) if row["stage"] == 3]
    assert all(row["moved_on"] <= YESTERDAY for row in rows)
    last = figures.trend[-1]
    assert last.non_performing == sum(row["principal"] for row in rows)
    assert last.imor == f"{100 * last.non_performing / last.balance:.2f}"
    assert last.loans == await told.owner.fetchval(
        "SELECT (totals->'total'->>'loans')::int FROM day_closes WHERE business_date = $1", YESTERDAY
    )


async def test_what_is_due_today_is_what_the_loans_say(told: Lender, figures: DashboardOut) -> None:
    due = figures.due_today
    assert due.count == len(due.loans) > 0
    for loan in due.loans:
        quote = await get(told.api, f"{LOANS}/{loan.id}/payoff-quote")
        assert Decimal(quote["due"]) == loan.amount
    listed = (await get(told.api, f"{AGING}?next_due_on={STORY.until}"))["data"]
    assert {loan["id"] for loan in listed} == {str(loan.id) for loan in due.loans}


async def test_every_age_has_its_list(told: Lender, figures: DashboardOut) -> None:
    for (fewest, most), age in zip(LATENESS, figures.late, strict=True):
        to = "" if most is None else f"&days_to={most}"
        listed = (await get(told.api, f"{AGING}?limit=100&days_from={fewest}{to}"))["data"]
        assert len(listed) == age.loans
        assert sum(Decimal(loan["current_balance"]) for loan in listed) == age.principal


async def test_the_call_answers_the_same(told: Lender, figures: DashboardOut) -> None:
    """But for approvals: those of the story have run out by the clock of the house."""
    answered = DashboardOut.model_validate(await get(told.api, DASHBOARD))
    assert answered.model_copy(update={"approvals": figures.approvals}) == figures


async def test_a_lender_without_a_history(new_lender: Lender) -> None:
    answered = DashboardOut.model_validate(await get(new_lender.api, DASHBOARD))
    assert (answered.closed_through, answered.trend, answered.due_today.count) == (None, [], 0)
    assert {flow.received for flow in answered.flow} == {Decimal(0)}


async def test_the_page_shows_them_and_leads_to_their_lists(told: Lender, figures: DashboardOut) -> None:
    visitor = Visitor(told.api, OFFICE)
    await visitor.sign_in(MANAGER, PASSWORD)
    page = await visitor.get(OFFICE)
    assert page.heading == "Inicio"
    shown = [figures.trend[-1].balance, figures.trend[-1].provisions, figures.flow[-1].received]
    shown += [figures.due_today.amount, *(age.principal for age in figures.late), figures.loans_pending.amount]
    for value in shown:
        assert amount(value) in page.text
    assert f"{figures.trend[-1].imor}%" in page.text
    links = {link["href"] for link in page.all("a") if link["href"].startswith(f"{OFFICE}/cartera?")}
    assert len(links) == 2 + len(LATENESS) + 1
    for link in links:
        assert (await visitor.get(link)).heading == "Cartera"
    events = await visitor.get(f"{OFFICE}/inicio/eventos")
    assert "Eventos por enviar" in events.text
    assert "Eventos por guardar" in events.text


def test_what_waits_too_long_stands_out() -> None:
    well = OutboxStatus(1, 0, 0.2, 1, 0.1, ())
    assert [tile.bad for tile in event_tiles(well, Queue(3, 1))] == [False, False]
    assert [tile.bad for tile in event_tiles(well, Queue(3, 0))] == [False, True]
    assert [tile.bad for tile in event_tiles(well, None)] == [False, True]
    late, nothing = OutboxStatus(0, 2, 31.0, 1, 0.1, ()), OutboxStatus(0, 0, None, 1, 0.1, ())
    assert [event_tiles(outbox, Queue(0, 1))[0].bad for outbox in (late, nothing)] == [True, False]


async def test_pictures_stay_in_their_frame(figures: DashboardOut) -> None:
    """Also of a lender with one closed day, and of one with nothing but zeros."""
    one = figures.trend[:1]
    nothing = [day.model_copy(update={"balance": ZERO, "non_performing": ZERO, "imor": None}) for day in one]
    still = [day.model_copy(update={"received": ZERO, "paid_out": ZERO}) for day in figures.flow]
    for trend, flow in ((figures.trend, figures.flow), (one, still), (nothing, still)):
        for chart in (charts.portfolio(trend), charts.imor(trend), charts.flow(flow)):
            assert all(0 <= y <= HEIGHT for y in chart.grid)
            assert all(0 <= text.x <= WIDTH and 0 <= text.y <= HEIGHT for text in chart.texts)
            numbers = [float(found) for shape in chart.shapes for found in re.findall(r"-?[0-9.]+", shape.path)]
            assert all(-HEIGHT <= number <= WIDTH for number in numbers)
    assert context(figures.model_copy(update={"trend": []}))["charts"] == []
    assert charts.widths([Decimal(50), Decimal(200), ZERO]) == [25.0, 100.0, 0.0]
    assert charts.widths([ZERO, ZERO]) == [0.0, 0.0]
