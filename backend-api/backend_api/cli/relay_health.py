"""Is the relay on this host at work? Asked of the database, by what the relay last did there."""

from backend_api.db.pools import Connection

SILENT_SECONDS = 10
"""The leader renews its lead and a standby asks for it once a second; ten times as long is silence."""
AT_WORK = f"""
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name = 'sofipo-relay-leader' AND datname = current_database()
                  AND client_addr = inet_client_addr()
                  AND query_start > clock_timestamp() - interval '{SILENT_SECONDS} s') AS here,
       EXISTS (SELECT FROM relay_lease
                WHERE name = 'main' AND heartbeat_at > clock_timestamp() - interval '{SILENT_SECONDS} s') AS led
"""  # noqa: S608 - the interval is a constant


async def complaint(connection: Connection) -> str | None:
    """What is wrong, as a sentence; None when a relay on this host asks for the lead or holds it, and one holds it."""
    row = await connection.fetchrow(AT_WORK)
    assert row is not None  # noqa: S101 - a select of scalars has one row
    if not row["here"]:
        return f"no relay on this host has asked the database anything for {SILENT_SECONDS} s"
    if not row["led"]:
        return f"no relay has given a sign of life for {SILENT_SECONDS} s: nobody leads"
    return None
