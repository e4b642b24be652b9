"""Both database servers, asked as the application's role: it may see all of this, and no more is needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from time import monotonic

import asyncpg
from alembic.script import ScriptDirectory

from backend_api.cli.doctor.clocks import judge_clock
from backend_api.cli.doctor.verdicts import Setup, Verdict, judge_version, not_checked, ok, start, warning, wrong
from backend_api.cli.initialise import alembic_configuration
from backend_api.db.pools import Connection, connect
from backend_api.db.sampler import MAX_LAG_SECONDS
from backend_api.domain.dates import business_date
from backend_api.http.health import OUTBOX_LATE_SECONDS
from backend_api.outbox import parked
from backend_api.portfolio import queries as portfolio
from backend_api.relay.queries import LEADER_LOCK

SLOT = "sofipo_replica"
INSERT_ONLY = (
    "events", "payments", "loan_movements", "ledger_entries", "postings", "loan_product_versions", "daily_totals",
    "ledger_periods",
)  # fmt: skip
INIT = "Run `sofipo init` (`python3 local-stack/stack.py sofipo init`, or `docker compose run --rm migrate`)."
CLOSE_DAYS = (
    "See whether the worker runs and what its log says (`make logs ARGS=worker`, or `docker compose logs worker`), or "
    "close them with `sofipo eod`; with END_OF_DAY_AT=never nobody else does."
)
HEARTBEAT_SECONDS = 5.0
"""The leading relay and each worker give a sign of life every second."""
POLL_SECONDS = 0.02

ROLE = """
SELECT current_user AS name, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS powerful,
       EXISTS (SELECT FROM pg_shdepend d
                WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'o')
       OR pg_has_role(current_user, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER')
           AS owner
  FROM pg_roles r WHERE rolname = current_user
"""
CHANGEABLE = """
SELECT t FROM unnest($1::text[]) t
 WHERE to_regclass(t) IS NOT NULL
   AND (has_any_column_privilege(t, 'UPDATE') OR has_table_privilege(t, 'DELETE, TRUNCATE')
        OR NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(t) AND tgname = 'insert_only'
                                                AND tgenabled IN ('O', 'A')))
"""
# A bigint key stands in the lock table as its two halves.
LEADER = """
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = $1 AND objsubid = 1
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

WORKER = """
SELECT extract(epoch FROM clock_timestamp() - max(query_start))::float8 FROM pg_stat_activity
 WHERE application_name = 'sofipo-worker' AND datname = current_database()
"""


@asynccontextmanager
async def _asked(setup: Setup, *, replica: bool = False) -> AsyncIterator[Connection]:
    connection = await connect(setup.settings, replica=replica, name="sofipo-doctor")
    try:
        yield connection
    finally:
        connection.terminate()


async def primary(setup: Setup) -> Verdict:
    """It answers the application's role, and takes writes."""
    settings = setup.settings
    where = f"{settings.postgres_host}:{settings.postgres_port}"
    try:
        async with _asked(setup) as connection:
            is_standby = await connection.fetchval("SELECT pg_is_in_recovery()")
    except asyncpg.PostgresError as error:
        return wrong(f"The primary at {where} turns us away: {error}.", _remedy_of(error))
    except (OSError, TimeoutError):
        return wrong(
            f"No primary answers at {where}: nothing can be written.",
            f"{start('postgres-primary')}, or set POSTGRES_HOST and POSTGRES_PORT.",
        )
    if is_standby:
        return wrong(
            f"The server at {where} is a replica: nothing can be written.",
            "Set POSTGRES_HOST and POSTGRES_PORT to the primary, or promote this one if the primary is lost.",
        )
    return ok(f"The primary answers at {where} and takes writes.")


async def version(setup: Setup) -> Verdict:
    """The server is new enough."""
    async with _asked(setup) as connection:
        return judge_version("PostgreSQL", await connection.fetchval("SHOW server_version"))


async def migrations(setup: Setup) -> Verdict:
    """The schema is the one this program was written for."""
    scripts = ScriptDirectory.from_config(alembic_configuration())
    newest = scripts.get_current_head()
    async with _asked(setup) as connection:
        try:
            found = [row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")]
        except asyncpg.UndefinedTableError:
            found = []
    if not found:
        return wrong("The database has no schema.", INIT)
    if found == [newest]:
        return ok(f"The schema is the newest, {newest}.")
    known = {script.revision for script in scripts.walk_revisions()}
    if known.issuperset(found):
        return wrong(f"The schema is at {', '.join(found)}, and {newest} is the newest.", INIT)
    return wrong(
        f"The schema is at {', '.join(found)}, which this program does not know.",
        "Run the version of the program that the database was migrated with, or a newer one.",
    )


async def role(setup: Setup) -> Verdict:
    """The application's role owns nothing and cannot change money rows."""
    async with _asked(setup) as connection:
        found = await connection.fetchrow(ROLE)
        changeable = [row["t"] for row in await connection.fetch(CHANGEABLE, INSERT_ONLY)]
    assert found is not None  # noqa: S101 - the role is connected, so it exists
    if found["powerful"] or found["owner"]:
        return wrong(
            f"The application's role {found['name']} owns things or is an administrator of the server: a fault in "
            "the application could change what must never change.",
            "Set POSTGRES_APP_USER and POSTGRES_APP_PASSWORD to the role that postgres-init/00-config-hba.sh makes.",
        )
    if changeable:
        return wrong(
            f"Rows can be changed that must stay as they are, in {', '.join(changeable)}.",
            f"As the owner: REVOKE UPDATE, DELETE, TRUNCATE ON {', '.join(changeable)} FROM {found['name']}; and "
            "ALTER TABLE … ENABLE TRIGGER insert_only for each.",
        )
    return ok(f"The application's role {found['name']} owns nothing and cannot change money rows.")


async def business_day(setup: Setup) -> Verdict:
    """The books are open for today in the business time zone."""
    today = business_date(setup.clock(), setup.settings.zone)
    async with _asked(setup) as connection:
        opened: date | None = await connection.fetchval("SELECT business_date FROM business_day")
    if opened is None:
        return wrong("No business day is open: nothing can be written.", INIT)
    behind = (today - opened).days
    zone = setup.settings.business_time_zone
    if behind < 0:
        return wrong(
            f"The business date {opened} is {_days(-behind)} ahead of the calendar in {zone}.",
            "Books never go back: mend clock and BUSINESS_TIME_ZONE, and wait until the calendar has caught up.",
        )
    if behind > 0:
        say = warning if behind == 1 else wrong
        return say(f"The business date {opened} is {_days(behind)} behind {today} in {zone}.", INIT)
    return ok(f"The business date is today in {zone}, {today}.")


async def end_of_day(setup: Setup) -> Verdict:
    """Every day that has passed is closed, with all its loans."""
    yesterday = business_date(setup.clock(), setup.settings.zone) - timedelta(days=1)
    async with _asked(setup) as connection:
        if await connection.fetchval("SELECT NOT EXISTS (SELECT FROM business_day)"):
            return not_checked("See the finding about business date.")
        first, _ = await portfolio.first_open_day(connection)
        failed = await portfolio.open_failures(connection)
    if first <= yesterday:
        # In the first hours of a day yesterday may be closed any moment.
        say = warning if first == yesterday else wrong
        days = (yesterday - first).days + 1
        return say(f"The end of day is {_days(days)} behind: {first} is not closed.", CLOSE_DAYS)
    if failed:
        some = ", ".join(sorted(str(loan_id) for loan_id in failed)[:3])
        return warning(
            f"The end of day could not look at {len(failed)} loans: {some}{' …' if len(failed) > 3 else ''}",
            "The table day_close_failures says why; the worker tries them again every minute.",
        )
    return ok(f"Every day before {yesterday + timedelta(days=1)} is closed.")


async def worker(setup: Setup) -> Verdict:
    """A worker is at work."""
    async with _asked(setup) as connection:
        silent: float | None = await connection.fetchval(WORKER)
    if silent is None:
        return wrong(
            "No worker runs: nobody closes days, lets approvals expire and deletes old stored answers.",
            f"{start('worker')}, or `sofipo worker`.",
        )
    if silent > HEARTBEAT_SECONDS:
        return wrong(
            f"The worker hangs: its last sign of life was {silent:.0f} s ago.",
            "Restart it: what it was doing is taken up again, and nothing is done twice.",
        )
    return ok(f"A worker runs; its last sign of life was {silent:.1f} s ago.")


async def clock(setup: Setup) -> Verdict:
    """The primary's clock and this machine's agree."""
    async with _asked(setup) as connection:
        before = setup.clock()
        theirs = await connection.fetchval("SELECT clock_timestamp()")
        return judge_clock("the primary", (before, setup.clock()), (theirs, theirs))


async def replica(setup: Setup) -> Verdict:
    """It answers the application's role, and is a replica."""
    settings = setup.settings
    where = f"{settings.postgres_replica_host}:{settings.postgres_replica_port}"
    try:
        async with _asked(setup, replica=True) as connection:
            is_standby = await connection.fetchval("SELECT pg_is_in_recovery()")
    except asyncpg.PostgresError as error:
        return wrong(f"The replica at {where} turns us away: {error}.", _remedy_of(error))
    except (OSError, TimeoutError):
        return wrong(
            f"No replica answers at {where}: all reads go to the primary.",
            f"{start('postgres-replica')}, or set POSTGRES_REPLICA_HOST and POSTGRES_REPLICA_PORT.",
        )
    if not is_standby:
        return wrong(
            f"The server at {where} is no replica, it takes writes of its own.",
            "Set POSTGRES_REPLICA_HOST and POSTGRES_REPLICA_PORT to the replica; if it was promoted by mistake, stop "
            "it, empty its data folder and start it: it copies the primary anew.",
        )
    return ok(f"The replica answers at {where}.")


async def streaming(setup: Setup) -> Verdict:
    """The replica is a copy of this primary, which keeps for it what it still needs."""
    async with _asked(setup) as first, _asked(setup, replica=True) as second:
        identifiers = {
            await connection.fetchval("SELECT system_identifier FROM pg_control_system()")
            for connection in (first, second)
        }
        slot = await first.fetchrow("SELECT active, wal_status FROM pg_replication_slots WHERE slot_name = $1", SLOT)
    if len(identifiers) != 1:
        return wrong(
            "The replica is a copy of another primary.",
            "Point its POSTGRES_HOST and POSTGRES_PORT to this primary and restart it: it copies the primary anew.",
        )
    if slot is None:
        return wrong(
            f"The primary has no replication slot {SLOT}: the replica cannot follow, or not for long.",
            "Restart the replica: it makes the slot again and copies the primary anew.",
        )
    if slot["wal_status"] == "lost":
        return wrong(
            "The primary no longer keeps the log that the replica needs.",
            "Restart the replica: it copies the primary anew.",
        )
    if not slot["active"]:
        return wrong(
            f"Nothing streams from the primary's replication slot {SLOT}.",
            "See what the replica's log says, and restart it: `make logs ARGS=postgres-replica`, or `docker compose "
            "restart postgres-replica`.",
        )
    return ok("The replica streams from this primary.")


async def lag(setup: Setup) -> Verdict:
    """How soon the replica has what the primary has now."""
    async with _asked(setup) as first, _asked(setup, replica=True) as second:
        if await second.fetchval("SELECT pg_is_wal_replay_paused()"):
            return wrong(
                "The replica is paused: it takes in nothing new, and all reads go to the primary.",
                "As the owner on the replica: SELECT pg_wal_replay_resume().",
            )
        began = monotonic()
        wanted = await first.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        behind = "SELECT greatest($1::text::pg_lsn - pg_last_wal_replay_lsn(), 0)::bigint"
        while left := await second.fetchval(behind, wanted):
            if monotonic() - began > MAX_LAG_SECONDS:
                return wrong(
                    f"The replica is more than {MAX_LAG_SECONDS:.0f} s ({left} bytes) behind: all reads go to the "
                    "primary.",
                    "See what the replica's log says, and whether its disk or the network is too slow.",
                )
            await asyncio.sleep(POLL_SECONDS)
    return ok(f"The replica had everything within {monotonic() - began:.2f} s.")


async def relay(setup: Setup) -> Verdict:
    """A relay leads and is alive."""
    async with _asked(setup) as connection:
        status = await parked.status(connection, limit=1)
        leads = await connection.fetchval(LEADER, LEADER_LOCK)
    if not leads:
        return wrong("No relay runs: events wait in the outbox.", f"{start('relay')}, or `sofipo relay`.")
    silent = status.relay_heartbeat_seconds
    if silent is None or silent > HEARTBEAT_SECONDS:
        since = "never" if silent is None else f"{silent:.0f} s ago"
        return wrong(
            f"The leading relay hangs: its last sign of life was {since}.",
            "Restart it: another one takes over at once, and nothing is lost.",
        )
    return ok(f"A relay leads; its last sign of life was {silent:.1f} s ago.")


async def outbox(setup: Setup) -> Verdict:
    """Events leave in time, and none was set aside."""
    async with _asked(setup) as connection:
        status = await parked.status(connection, limit=1)
    waiting = status.interactive + status.bulk
    if status.parked:
        return wrong(
            f"Events are parked in the outbox, the first since {status.parked[0].since:%Y-%m-%d %H:%M}Z.",
            "See `sofipo outbox parked`; after mending the cause `sofipo outbox replay --all`.",
        )
    if (status.oldest_seconds or 0.0) > OUTBOX_LATE_SECONDS:
        return wrong(
            f"Events do not leave the outbox: {waiting} waiting, the oldest for {status.oldest_seconds:.0f} s.",
            "See the findings about relay, exchange and queue; if they are well, the relay's log.",
        )
    return ok(f"Events leave the outbox in time: {waiting} waiting.")


def _remedy_of(error: asyncpg.PostgresError) -> str:
    if isinstance(error, (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)):
        return "Set POSTGRES_DB, POSTGRES_APP_USER and POSTGRES_APP_PASSWORD as they were when the primary was made."
    return "See the server's log."


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
