"""CouchDB, asked as the consumer: a member may see who else has access, so no administrator's password is needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from backend_api.cli.doctor.clocks import judge_clock
from backend_api.cli.doctor.verdicts import Setup, Verdict, judge_version, not_checked, ok, start, wrong
from backend_api.cli.doctor.web import web

DATABASE = "business_events"
RULE = "_design/immutable"
RULE_WORDS = ("newDoc._deleted", "oldDoc", "forbidden")
INIT = "couchdb-init/setup-users-db.sh (`make down && make up`, or `docker compose up couchdb-init`)"


@asynccontextmanager
async def _client(setup: Setup) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has signed in, as the consumer does."""
    async with web(_address(setup)) as client:
        (await _sign_in(client, setup)).raise_for_status()
        yield client


async def _sign_in(client: httpx2.AsyncClient, setup: Setup) -> httpx2.Response:
    password = setup.settings.couchdb_consumer_password
    assert password is not None  # noqa: S101 - `server` comes first and asks nothing without one
    account = {"name": setup.settings.couchdb_consumer_user, "password": password.get_secret_value()}
    return await client.post("/_session", json=account)


def _address(setup: Setup) -> str:
    return f"http://{setup.settings.couchdb_host}:{setup.settings.couchdb_port}"


async def server(setup: Setup) -> Verdict:
    """It answers, and knows the consumer. One try only: five wrong passwords lock a CouchDB user out for minutes."""
    where = _address(setup)
    if not setup.settings.couchdb_consumer_password:
        return not_checked("COUCHDB_CONSUMER_PASSWORD is not set here, so CouchDB cannot be asked.")
    try:
        async with web(where) as client:
            answer = await _sign_in(client, setup)
    except httpx2.HTTPError:
        return wrong(
            f"No CouchDB answers at {where}: events wait in the queue.",
            f"{start('couchdb')}, or set COUCHDB_HOST and COUCHDB_PORT.",
        )
    if answer.status_code in (401, 403):
        return wrong(
            f"CouchDB at {where} refuses the consumer's user or password: events wait in the queue.",
            f"Set COUCHDB_CONSUMER_USER and COUCHDB_CONSUMER_PASSWORD for all services, and run {INIT}.",
        )
    if answer.status_code != 200 or "AuthSession" not in answer.cookies:
        return wrong(
            f"Something else than CouchDB answers at {where} (HTTP {answer.status_code}).",
            "Set COUCHDB_HOST and COUCHDB_PORT.",
        )
    return ok(f"CouchDB answers at {where} and knows the consumer.")


async def auditor(setup: Setup) -> Verdict:
    """The API's account may read the events. One try only, as above."""
    settings = setup.settings
    async with web(
        _address(setup), settings.couchdb_auditor_user, settings.couchdb_auditor_password.get_secret_value()
    ) as client:
        answer = await client.get(f"/{DATABASE}/_all_docs", params={"limit": "1"})
    if answer.status_code in (401, 403):
        return wrong(
            "CouchDB refuses the auditor's user or password: neither histories nor `sofipo verify` can be had.",
            f"Set COUCHDB_AUDITOR_USER and COUCHDB_AUDITOR_PASSWORD for all services, and run {INIT}.",
        )
    answer.raise_for_status()
    return ok("The auditor may read the events.")


async def version(setup: Setup) -> Verdict:
    """The server is new enough; the stand-in of `make up` is for development."""
    async with _client(setup) as client:
        welcome = (await client.get("/")).raise_for_status().json()
    if "couchdb" in welcome:
        return judge_version("CouchDB", welcome["version"])
    if setup.settings.is_development:
        return ok("This is the stand-in for CouchDB that `make up` starts, for development.")
    return wrong("This is a stand-in for CouchDB, made for development.", "Install CouchDB 3 for production.")


async def members(setup: Setup) -> Verdict:
    """The consumer is a member of the database and not its administrator, and the public is neither."""
    async with web(_address(setup)) as anybody:
        public = (await anybody.get(f"/{DATABASE}")).status_code == 200
    async with _client(setup) as client:
        answer = await client.get(f"/{DATABASE}/_security")
        session = (await client.get("/_session")).raise_for_status().json()["userCtx"]
    if answer.status_code == 404:
        return wrong(f"There is no database {DATABASE}.", f"Run {INIT}.")
    if answer.status_code in (401, 403):
        return wrong(f"The consumer is not a member of {DATABASE}: events wait in the queue.", f"Run {INIT}.")
    security = answer.raise_for_status().json()
    if public or not _named(security, "members"):
        return wrong(f"{DATABASE} is open to the public: it has no members.", f"Run {INIT}.")
    if {"_admin", *_named(security, "admins")} & {session["name"], *session["roles"]}:
        return wrong(
            f"The consumer is an administrator of {DATABASE}: it could change what protects the events.",
            f"Run {INIT}, which makes it a member only.",
        )
    return ok(f"The consumer is a member of {DATABASE}, not its administrator, and the public is neither.")


async def immutability(setup: Setup) -> Verdict:
    """The database refuses to change or delete an event."""
    async with _client(setup) as client:
        answer = await client.get(f"/{DATABASE}/{RULE}")
    if answer.status_code in (401, 403):
        return not_checked("See the finding about couchdb members.")
    rule = str(answer.json().get("validate_doc_update", "")) if answer.status_code == 200 else ""
    if not all(word in rule for word in RULE_WORDS):
        return wrong(
            f"{DATABASE} has no rule in {RULE} that refuses changes and deletions: events could be changed unseen.",
            f"Run {INIT}.",
        )
    return ok(f"{DATABASE} refuses changes and deletions.")


async def clock(setup: Setup) -> Verdict:
    """CouchDB's clock and this machine's agree. Its answer shows whole seconds, rounded down."""
    async with _client(setup) as client:
        before = setup.clock()
        answer = await client.get("/")
        after = setup.clock()
    theirs = parsedate_to_datetime(answer.headers["Date"])
    return judge_clock("CouchDB", (before, after), (theirs, theirs + timedelta(seconds=1)))


def _named(security: dict[str, Any], kind: str) -> set[str]:
    entry = security.get(kind) or {}
    return {*(entry.get("names") or ()), *(entry.get("roles") or ())}
