"""What a told story has left in the books."""

from typing import Any

from backend_api.db.pools import Connection

COUNTS = """
SELECT (SELECT count(*) FROM clients) AS clients, (SELECT count(*) FROM events) AS events,
       (SELECT count(*) FROM postings) AS postings, (SELECT count(*) FROM day_closes) AS days_closed
"""
LOANS = "SELECT status, count(*) AS count FROM loans GROUP BY status ORDER BY count(*) DESC, status"
PAYMENTS = """
SELECT CASE WHEN r.payment_id IS NULL THEN p.status ELSE 'REVERSED' END AS status, count(*) AS count
  FROM payments p LEFT JOIN payment_reversals r ON r.payment_id = p.id GROUP BY 1 ORDER BY count(*) DESC, 1
"""
APPROVALS = "SELECT status, count(*) AS count FROM approvals GROUP BY status ORDER BY count(*) DESC, status"


async def counts(connection: Connection) -> dict[str, Any]:
    """How many there are of what; loans, payments and approvals by state."""
    row = await connection.fetchrow(COUNTS)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    by_status = {"loans": LOANS, "payments": PAYMENTS, "approvals": APPROVALS}
    found = {name: await connection.fetch(statement) for name, statement in by_status.items()}
    return dict(row) | {name: {each["status"]: each["count"] for each in rows} for name, rows in found.items()}
