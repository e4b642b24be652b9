"""The slower control of the latency: a relay that looks into the outbox once a second and is told nothing meanwhile."""

import asyncio
from contextlib import suppress

from backend_api.db.pools import connect
from backend_api.outbox import broker, envelope
from backend_api.relay.publisher import Outcome, Outgoing, Publisher
from backend_api.settings import Settings

POLL_SECONDS = 1.0
BATCH = 200
TAKE = """
SELECT e.* FROM outbox o JOIN events e USING (aggregate_id, sequence) ORDER BY o.aggregate_id, o.sequence LIMIT $1
"""
REMOVE = "DELETE FROM outbox WHERE aggregate_id = $1 AND sequence = $2"


async def run(settings: Settings) -> None:
    """Relay for ever."""
    connection = await connect(settings, name="bench-polling-relay")
    publisher = Publisher(broker.url(settings))
    while True:
        await publisher.connect()
        rows = [dict(row) for row in await connection.fetch(TAKE, BATCH)]
        messages = [
            Outgoing(
                envelope.event_id(row["aggregate_id"], row["sequence"]),
                envelope.routing_key(row["event_type"]),
                envelope.body(row),
                envelope.headers(row),
            )
            for row in rows
        ]
        outcomes = await publisher.publish(messages)
        sent = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome is Outcome.CONFIRMED]
        await connection.executemany(REMOVE, [(row["aggregate_id"], row["sequence"]) for row in sent])
        if len(rows) < BATCH:
            await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(run(Settings()))
