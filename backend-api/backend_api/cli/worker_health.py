"""Is the worker on this host at work? Asked of the database, by what the worker last did there."""

from backend_api.db.pools import Connection

SILENT_SECONDS = 10
"""It asks something once a second; ten times as long is silence."""
AT_WORK = f"""
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name = 'sofipo-worker' AND datname = current_database()
                  AND client_addr = inet_client_addr()
                  AND query_start > clock_timestamp() - interval '{SILENT_SECONDS} s')
"""  # noqa: S608 - the interval is a constant


async def complaint(connection: Connection) -> str | None:
    """What is wrong, as a sentence; None when a worker on this host is at work."""
    if await connection.fetchval(AT_WORK):
        return None
    return f"no worker on this host has asked the database anything for {SILENT_SECONDS} s"
