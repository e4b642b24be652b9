"""What must be true of the books after all that load, whoever won which race. Every count must be zero."""

import asyncpg
from backend_api.outbox import envelope
from backend_api.settings import Settings

from bench.tables import owner_dsn

# Each finds offenders; the names are what is printed.
QUESTIONS = {
    "gaps in a client's sequence": """
        SELECT count(*) FROM clients c
         WHERE c.event_sequence <> (SELECT count(*) FROM events e WHERE e.aggregate_id = c.id)
            OR c.event_sequence <> (SELECT max(sequence) FROM events e WHERE e.aggregate_id = c.id)
    """,
    "broken links of the chain": """
        SELECT count(*) FROM (
            SELECT prev_hash, lag(hash, 1, decode(repeat('00', 32), 'hex'))
                   OVER (PARTITION BY aggregate_id ORDER BY sequence) AS before FROM events) e
         WHERE prev_hash <> before
    """,
    "chain heads that are not the last hash": """
        SELECT count(*) FROM clients c
         WHERE NOT EXISTS (SELECT FROM events e WHERE e.aggregate_id = c.id AND e.sequence = c.event_sequence
                                                  AND e.hash = c.chain_head)
    """,
    "balances that are not the sum of their movements": """
        SELECT count(*) FROM loans l WHERE l.current_balance <>
            (SELECT coalesce(sum(CASE kind WHEN 'DISBURSEMENT' THEN principal ELSE -principal END), 0)
               FROM loan_movements m WHERE m.loan_id = l.id)
    """,
    "ledger entries that do not balance": """
        SELECT count(*) FROM (SELECT entry_id FROM postings GROUP BY entry_id HAVING sum(amount) <> 0) unbalanced
    """,
    "movements without an entry": """
        SELECT count(*) FROM loan_movements m WHERE NOT EXISTS (SELECT FROM ledger_entries e WHERE e.movement_id = m.id)
    """,
    "payments without an event of their own": """
        SELECT count(*) FROM payments p WHERE NOT EXISTS
            (SELECT FROM events e WHERE e.aggregate_id = p.client_id AND e.sequence = p.sequence AND e.entity_id = p.id)
    """,
    "clients whose payments are not in the order of their sequence": """
        SELECT count(DISTINCT client_id) FROM (
            SELECT client_id, count(*) OVER (PARTITION BY client_id, sequence) AS twins FROM payments) p WHERE twins > 1
    """,
}
PAYMENTS = "SELECT count(*) FROM payments WHERE status = 'REGISTERED'"
KEYS = "SELECT count(*) FROM idempotency_keys WHERE status = 201 AND headers ->> 'Location' LIKE '%/payments/%'"
EVENTS = "SELECT * FROM events"


async def errors(settings: Settings, accepted: int) -> dict[str, int]:
    """Offenders by question; `accepted` is how many payments were answered with 201."""
    connection = await asyncpg.connect(owner_dsn(settings))
    try:
        found = {question: int(await connection.fetchval(sql)) for question, sql in QUESTIONS.items()}
        payments, keys = await connection.fetchval(PAYMENTS), await connection.fetchval(KEYS)
        found["payments answered but not stored, or the reverse"] = abs(payments - accepted)
        found["payments without their idempotency key"] = abs(payments - keys)
        wrong = 0
        async with connection.transaction():
            async for row in connection.cursor(EVENTS, prefetch=1000):
                wrong += envelope.digest(envelope.canonical(dict(row))) != row["hash"]
        found["events whose hash is not that of their content"] = wrong
    finally:
        await connection.close()
    return found
