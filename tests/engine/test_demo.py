"""An invented lender is a lender: its books hold, its events are whole, and a seed tells one story."""

import hashlib
from dataclasses import replace

import orjson
import pytest
from backend_api.cli import initialise
from backend_api.db.pools import Connection
from backend_api.demo.lender import AUDITOR, MANAGER, OFFICER, PASSWORD
from backend_api.demo.story import CAST, Story
from backend_api.domain.states import LoanStatus, PaymentStatus

from tests.engine.conftest import lending
from tests.engine.lender import STORY, Lender
from tests.support.service import sign_in

# All that was done, by names that people know it by instead of ids, and without the time of day.
CONTENT = {
    "clients": """
        SELECT rfc, full_name, email, curp, clabe, phone, birth_date, address, status, version FROM clients ORDER BY rfc
    """,
    "loans": """
        SELECT folio, rfc, l.status, amount, interest_rate, product, terms, disbursed_on, current_balance, account,
               next_due_on, stage, closed_through
          FROM loans l JOIN clients c ON c.id = client_id ORDER BY folio
    """,
    "movements": """
        SELECT folio, m.kind, m.undoes_id IS NOT NULL AS undone, value_date, posted_on, m.amount, principal, interest,
               vat, fees, moratory, note, sequence
          FROM loan_movements m JOIN loans l ON l.id = loan_id
         ORDER BY folio, sequence, m.kind, undone, value_date, m.amount
    """,
    "payments": """
        SELECT rfc, p.status, amount, paid_on, posted_on, method, reference, reason, sequence
          FROM payments p JOIN clients c ON c.id = client_id ORDER BY rfc, sequence
    """,
    "events": """
        SELECT rfc, sequence, event_type FROM events JOIN clients c ON c.id = aggregate_id ORDER BY rfc, sequence
    """,
    "days": "SELECT posted_on, account, product, debit, credit FROM daily_totals ORDER BY 1, 2, 3",
    "approvals": """
        SELECT rfc, a.kind, a.status, amount FROM approvals a JOIN clients c ON c.id = client_id
         ORDER BY rfc, requested_at
    """,
}
GAPS = """
SELECT count(*) FROM (
    SELECT sequence - lag(sequence, 1, 0::bigint) OVER w AS step, prev_hash, lag(hash) OVER w AS before
      FROM events WINDOW w AS (PARTITION BY aggregate_id ORDER BY sequence)) numbered
 WHERE step <> 1 OR prev_hash <> before
"""
DAYS = "SELECT count(*) AS days, min(business_date) AS first, max(business_date) AS last FROM day_closes"


async def digest(owner: Connection) -> str:
    """What a lender has done, in short."""
    whole = hashlib.sha256()
    for statement in CONTENT.values():
        whole.update(orjson.dumps([dict(row) for row in await owner.fetch(statement)], default=str))
    return whole.hexdigest()


async def states(owner: Connection, table: str) -> set[str]:
    """The states that the rows of a table are in."""
    return {row["status"] for row in await owner.fetch(f"SELECT DISTINCT status FROM {table}")}


async def test_a_seed_tells_one_story(told: Lender, server: Connection, pattern: str) -> None:
    async with lending(server, pattern) as again:
        await again.tell(STORY)
        assert await digest(again.owner) == await digest(told.owner)
        await again.owner.execute(
            "UPDATE clients SET phone = '55 0000 0000' WHERE phone = (SELECT min(phone) FROM clients)"
        )
        assert await digest(again.owner) != await digest(told.owner)


def test_another_seed_tells_another() -> None:
    def people(story: Story) -> list[object]:
        return [next(life) for life in story.lives()]

    assert people(STORY) == people(STORY)
    assert people(STORY) != people(replace(STORY, seed=8))


async def test_the_books_hold(told: Lender) -> None:
    await told.check_books()
    assert await told.owner.fetchval(GAPS) == 0
    days = await told.owner.fetchrow(DAYS)
    assert days is not None
    assert (days["days"], days["first"]) == ((STORY.until - STORY.first).days, STORY.first)
    assert (days["last"] - STORY.until).days == -1
    assert await told.today() == STORY.until


async def test_everything_happens(told: Lender) -> None:
    owner = told.owner
    assert await states(owner, "loans") == set(LoanStatus)
    assert await states(owner, "payments") == {PaymentStatus.REGISTERED, PaymentStatus.REJECTED}
    assert await owner.fetchval("SELECT count(*) FROM payment_reversals")
    assert await states(owner, "approvals") == {"APPROVED", "PENDING"}
    assert await states(owner, "clients") == {"ACTIVE", "INACTIVE"}
    kinds = {row["kind"] for row in await owner.fetch("SELECT DISTINCT kind FROM loan_movements")}
    assert kinds >= {"DISBURSEMENT", "PAYMENT", "WRITE_OFF", "RECOVERY", "RESTRUCTURE", "TRANSFER"}


async def test_its_people_sign_in(told: Lender) -> None:
    borrowers = [username for _, _, username in CAST if username]
    assert borrowers
    for username in (OFFICER, MANAGER, AUDITOR, *borrowers):
        assert await sign_in(told.api, username, PASSWORD)


async def test_books_that_have_begun_are_not_taken_back(told: Lender) -> None:
    with pytest.raises(initialise.BooksInUse, match="nothing was changed"):
        await initialise.open_past(told.resources.settings, STORY.first)
    assert await told.today() == STORY.until
