"""What a database needs before anything can run: schema, business date, and in development somebody to sign in."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

import backend_api
from backend_api.auth.passwords import hash_password
from backend_api.auth.permissions import Role
from backend_api.auth.users import service as users
from backend_api.auth.users.schemas import UserIn
from backend_api.cli.eod import Told
from backend_api.db.pools import Connection
from backend_api.domain.dates import business_date
from backend_api.domain.errors import DomainError
from backend_api.http import context
from backend_api.http.write import carry_out
from backend_api.loans.adoption import NotAllAdopted, adopt
from backend_api.opening import open_resources, utc_now
from backend_api.outbox.record import Origin
from backend_api.settings import Settings

BEFORE_ADOPTION = "20261121_approvals"
"""The last version of the schema that does not demand an account of every loan."""
DEVELOPMENT_USER = "admin"
DEVELOPMENT_PASSWORD = "string"  # noqa: S105 - documented, and created in development only

# Exclusive: no write is between reading the business date and its commit (see open_business_date() in the migration).
MOVE_TO_TODAY = """
WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock(7301001))
INSERT INTO business_day (singleton, business_date, opened_at)
SELECT true, $1, clock_timestamp() FROM alone
ON CONFLICT (singleton) DO UPDATE SET business_date = excluded.business_date, opened_at = excluded.opened_at
 WHERE business_day.business_date < excluded.business_date
"""

# The books of a lender that has begun are not taken back.
OPEN_PAST = """
WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock(7301001))
UPDATE business_day SET business_date = $1, opened_at = clock_timestamp() FROM alone
 WHERE NOT EXISTS (SELECT FROM clients) AND NOT EXISTS (SELECT FROM ledger_entries)
   AND NOT EXISTS (SELECT FROM day_closes)
RETURNING true
"""


class BooksInUse(DomainError):
    """There are clients, or days that are closed."""

    code = "books_in_use"
    status = 409
    message = (
        "This database has clients or closed days, and a history can only be told from the beginning: nothing was "
        "changed. `make reset` followed by `make up` gives an empty one (and deletes what is there); POSTGRES_DB names "
        "another database, prepared with `sofipo init`."
    )


def alembic_configuration() -> Config:
    """Where the migrations are: beside the package, or where the image or the stack has put them."""
    default = Path(backend_api.__file__).parent.parent / "alembic.ini"
    return Config(os.environ.get("ALEMBIC_CONFIG", str(default)))


def migrate(revision: str = "head") -> None:
    """Bring the schema to the newest version, or to this one if it is not there yet."""
    command.upgrade(alembic_configuration(), revision)


async def adopt_loans(settings: Settings) -> int:
    """Work out the loans of the version before; how many it were. Raises `NotAllAdopted`."""
    async with _as_owner(settings) as owner:
        opened = await owner.fetchval("SELECT max(business_date) FROM business_day")
        today = business_date(utc_now(), settings.zone)
        adopted = await adopt(owner, max(today, opened or today), partial(Told(), "loans worked out"))
    if adopted.failed:
        raise NotAllAdopted(adopted.failed)
    return adopted.done


async def open_business_day(settings: Settings) -> date:
    """Open the current calendar day, unless the books are there already or ahead; as the owner of the schema."""
    async with _as_owner(settings) as owner:
        await owner.execute(MOVE_TO_TODAY, business_date(utc_now(), settings.zone))
        today: date = await owner.fetchval("SELECT business_date FROM business_day")
    return today


async def open_past(settings: Settings, day: date) -> None:
    """Let empty books begin on an earlier day; as the owner of the schema. Raises `BooksInUse`."""
    async with _as_owner(settings) as owner:
        if not await owner.fetchval(OPEN_PAST, day):
            raise BooksInUse


async def create_development_user(settings: Settings) -> bool:
    """Create admin/string. False if the name exists already."""
    origin = Origin("system:init", context.request_id(), context.current().traceparent, utc_now())
    admin = UserIn(username=DEVELOPMENT_USER, role=Role.ADMIN)
    use_case = users.create_user(admin, None, await hash_password(DEVELOPMENT_PASSWORD))
    async with open_resources(settings) as resources:
        try:
            await carry_out(resources, origin, use_case, users.CONFLICTS)
        except users.UsernameTaken:
            return False
    return True


@asynccontextmanager
async def _as_owner(settings: Settings) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
    )
    try:
        yield connection
    finally:
        await connection.close()
