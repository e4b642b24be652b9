"""`sofipo doctor` on the whole stack: well, it finds nothing; of each fault made here it names what and the remedy."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from backend_api.cli import doctor
from backend_api.cli.doctor import broker as broker_checks
from backend_api.cli.doctor import couchdb as couchdb_checks
from backend_api.cli.doctor import postgres as postgres_checks
from backend_api.cli.doctor import verdicts
from backend_api.cli.doctor.examination import CHECKS
from backend_api.db.pools import Connection
from backend_api.domain.dates import business_date
from backend_api.opening import utc_now
from backend_api.outbox import broker
from backend_api.settings import Environment
from event_consumer.topology import Topology, declare, policy

from tests.chaos import chain as chains
from tests.chaos.chain import DATABASE, Chain
from tests.chaos.nursery import WORKER, Nursery, Service
from tests.support.builders import new_loan
from tests.support.clock import zone_at_noon
from tests.support.postgres import connect_as_owner
from tests.support.processes import ROOT, free_port, gateway_process, run_command, try_command
from tests.support.waiting import eventually

OK, WARNING, WRONG, NOT_CHECKED = doctor.Level
NAMES = ("settings", *(check.name for check in CHECKS))
NOTHING: Mapping[str, str] = {}
Clock = Callable[[], datetime]
WRONG_PASSWORD = "not-the-password-at-all"


@dataclass
class House:
    """The running services, and what the doctor says of them."""

    chain: Chain
    worker: Service
    environment: dict[str, str]
    findings: dict[str, doctor.Finding] = field(default_factory=dict)

    async def examine(self, environment: Mapping[str, str] = NOTHING, clock: Clock = utc_now) -> None:
        """Ask the doctor, as `sofipo doctor` with this environment does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            found = await doctor.examine(clock)
        assert WRONG_PASSWORD not in doctor.report(found)
        self.findings = {finding.check: finding for finding in found}

    async def expect(
        self,
        levels: Mapping[str, doctor.Level],
        aside: frozenset[str] = frozenset(),
        environment: Mapping[str, str] = NOTHING,
        clock: Clock = utc_now,
    ) -> None:
        """Wait until the doctor finds exactly these levels, and `ok` elsewhere; `aside` may be anything."""
        wanted = {name: levels.get(name, OK) for name in NAMES if name not in aside}

        async def is_found() -> bool:
            await self.examine(environment, clock)
            return self._levels(aside) == wanted

        try:
            await eventually(is_found, 20.0)
        except AssertionError:
            assert self._levels(aside) == wanted, doctor.report(list(self.findings.values()))
            raise

    def _levels(self, aside: frozenset[str]) -> dict[str, doctor.Level]:
        return {name: finding.level for name, finding in self.findings.items() if name not in aside}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """API, relay, worker, consumer and sandbox gateway over a fresh database with a loan, and in a zone of their own: a
    day that ended by itself in the middle would be a fault that nobody made."""
    nursery = Nursery()
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("BUSINESS_TIME_ZONE", zone_at_noon())
            template = await stack.enter_async_context(chains.template())
            chain = await stack.enter_async_context(chains.chain(template, nursery, tmp_path_factory.mktemp("doctor")))
            await chain.start()
            api = await stack.enter_async_context(chain.api())
            # Days are closed by nobody: these tests put them out of order.
            settings = {**chain.relay.environment, "END_OF_DAY_AT": "never"}
            worker = Service(nursery, WORKER, chain.folder / "worker.log", settings)
            await worker.start()
            stack.push_async_callback(worker.kill)
            async with api.client(chain.token()) as client:
                await new_loan(client)
            gateway = await stack.enter_async_context(gateway_process(chain.folder))
            yield House(
                chain,
                worker,
                {
                    "ENVIRONMENT": "development",
                    "POSTGRES_DB": chain.settings.postgres_db,
                    "API_PORT": str(api.port),
                    "SANDBOX_GATEWAY_PORT": gateway.rpartition(":")[2],
                    "COUCHDB_CONSUMER_PASSWORD": os.environ.get("COUCHDB_CONSUMER_PASSWORD", "event_consumer"),
                },
            )
    finally:
        await nursery.close()


async def test_a_healthy_stack_is_well(house: House) -> None:
    await house.expect({})
    output = await run_command("-m", "backend_api.cli", "doctor", **house.environment)
    assert "All is well." in output
    assert output.count("\nok ") == len(NAMES) - 1


async def test_as_a_process_it_ends_with_code_1_and_can_speak_json(house: House) -> None:
    environment = {**house.environment, "REDIS_PASSWORD": WRONG_PASSWORD, "RABBITMQ_PORT": _unused()}
    code, output = await try_command("-m", "backend_api.cli", "doctor", "--json", **environment)
    assert code == 1
    wrong = [finding for finding in json.loads(output) if finding["level"] == "wrong"]
    assert [finding["check"] for finding in wrong] == ["redis", "rabbitmq"]
    assert "refuses our password" in wrong[0]["sentence"]
    assert "requirepass" in wrong[0]["remedy"]


# --- Settings that do not fit the servers ---


def _port_of(what: str) -> Callable[[], str]:
    return lambda: os.environ[what]


def _unused() -> str:
    return str(free_port())


MISFITS: dict[str, tuple[dict[str, str | Callable[[], str]], dict[str, tuple[str, str]]]] = {
    "no primary there": (
        {"POSTGRES_PORT": _unused},
        {"primary": ("No primary answers at", "POSTGRES_PORT")},
    ),
    "the primary's port is the replica's": (
        {"POSTGRES_PORT": _port_of("POSTGRES_REPLICA_PORT")},
        {"primary": ("is a replica: nothing can be written", "to the primary")},
    ),
    "no such database": (
        {"POSTGRES_DB": "nobody_made_it"},
        {
            "primary": ('turns us away: database "nobody_made_it" does not exist', "POSTGRES_DB"),
            "replica": ("turns us away", "POSTGRES_DB"),
        },
    ),
    "the owner's role for the application": (
        {"POSTGRES_APP_USER": _port_of("POSTGRES_USER"), "POSTGRES_APP_PASSWORD": _port_of("POSTGRES_PASSWORD")},
        {"application role": ("owns things or is an administrator", "POSTGRES_APP_USER")},
    ),
    "a wrong password for PostgreSQL": (
        {"POSTGRES_APP_PASSWORD": WRONG_PASSWORD},
        {
            "primary": ("password authentication failed", "POSTGRES_APP_PASSWORD"),
            "replica": ("password authentication failed", "POSTGRES_APP_PASSWORD"),
        },
    ),
    "no replica there": (
        {"POSTGRES_REPLICA_PORT": _unused},
        {"replica": ("No replica answers at", "docker compose up -d postgres-replica")},
    ),
    "the replica's port is the primary's": (
        {"POSTGRES_REPLICA_PORT": _port_of("POSTGRES_PORT")},
        {"replica": ("is no replica, it takes writes of its own", "POSTGRES_REPLICA_PORT")},
    ),
    "no Redis there": ({"REDIS_PORT": _unused}, {"redis": ("No Redis answers at", "docker compose up -d redis")}),
    "a wrong password for Redis": (
        {"REDIS_PASSWORD": WRONG_PASSWORD},
        {"redis": ("refuses our password", "REDIS_PASSWORD")},
    ),
    "no RabbitMQ there": ({"RABBITMQ_PORT": _unused}, {"rabbitmq": ("No RabbitMQ answers at", "RABBITMQ_PORT")}),
    "a wrong password for RabbitMQ": (
        {"RABBITMQ_DEFAULT_PASS": WRONG_PASSWORD},
        {
            "rabbitmq": ("refuses our user or password", "RABBITMQ_DEFAULT_PASS"),
            "management": ("answers 401 to our user", "administrator"),
        },
    ),
    "no management interface there": (
        {"RABBITMQ_MANAGEMENT_PORT": _unused},
        {"management": ("does not answer at", "rabbitmq-plugins enable rabbitmq_management")},
    ),
    "no CouchDB there": ({"COUCHDB_PORT": _unused}, {"couchdb": ("No CouchDB answers at", "COUCHDB_PORT")}),
    "something else than CouchDB": (
        {"COUCHDB_PORT": _port_of("RABBITMQ_MANAGEMENT_PORT")},
        {"couchdb": ("Something else than CouchDB answers", "COUCHDB_PORT")},
    ),
    "a wrong password for CouchDB": (
        {"COUCHDB_CONSUMER_PASSWORD": WRONG_PASSWORD},
        {"couchdb": ("refuses the consumer's user or password", "COUCHDB_CONSUMER_PASSWORD")},
    ),
    "a wrong password for the auditor": (
        {"COUCHDB_AUDITOR_PASSWORD": WRONG_PASSWORD},
        {"couchdb auditor": ("refuses the auditor's user or password", "COUCHDB_AUDITOR_PASSWORD")},
    ),
    "no API there": ({"API_PORT": _unused}, {"api": ("No API answers at", "docker compose up -d backend-api")}),
    "something else than the API": (
        {"API_PORT": _port_of("COUCHDB_PORT")},
        {"api": ("Something else than the API answers", "API_PORT")},
    ),
    "no sandbox gateway there": (
        {"SANDBOX_GATEWAY_PORT": _unused},
        {"gateway": ("No sandbox gateway answers at", "docker compose up -d sandbox-gateway")},
    ),
    "something else than the sandbox gateway": (
        {"SANDBOX_GATEWAY_PORT": _port_of("COUCHDB_PORT")},
        {"gateway": ("Something else than the sandbox gateway answers", "SANDBOX_GATEWAY_PORT")},
    ),
    "development's secrets in production": (
        {"ENVIRONMENT": "production"},
        {
            "settings": (
                "ENVIRONMENT=production refuses default, empty or short secrets: set API_KEY_PEPPER, API_SECRET_KEY",
                ".env",
            )
        },
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
async def test_settings_that_do_not_fit_are_named(house: House, misfit: str) -> None:
    environment, named = MISFITS[misfit]
    given = {name: value if isinstance(value, str) else value() for name, value in environment.items()}
    await house.expect(_with_dependents(named), environment=given)
    _assert_named(house, named)


async def test_a_setting_that_is_no_number_is_all_that_can_be_said(house: House) -> None:
    await house.examine({"POSTGRES_PORT": "a-port"})
    assert list(house.findings) == ["settings"]
    assert "POSTGRES_PORT" in house.findings["settings"].sentence
    assert house.findings["settings"].level is WRONG


async def test_without_the_password_for_couchdb_nothing_is_said_of_it(house: House) -> None:
    left_out = {name: NOT_CHECKED for name in NAMES if name.startswith("couchdb") or name == "immutability"}
    await house.expect(left_out, environment={"COUCHDB_CONSUMER_PASSWORD": ""})
    assert "COUCHDB_CONSUMER_PASSWORD is not set" in house.findings["couchdb"].sentence


async def test_an_empty_database_is_named_once(house: House) -> None:
    name = f"empty_{uuid4().hex[:12]}"
    server = await connect_as_owner(chains.stack_settings())
    await server.execute(f"CREATE DATABASE {name}")
    try:
        waiting = dict.fromkeys(("business date", "end of day", "worker", "relay", "outbox"), NOT_CHECKED)
        await house.expect({"migrations": WRONG, **waiting}, environment={"POSTGRES_DB": name})
        _assert_named(house, {"migrations": ("has no schema", "sofipo init")})
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def test_servers_that_hang_are_named_and_do_not_hang_the_doctor(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        ports = ("POSTGRES_PORT", "POSTGRES_REPLICA_PORT", "REDIS_PORT", "RABBITMQ_PORT", "RABBITMQ_MANAGEMENT_PORT",
                 "COUCHDB_PORT", "API_PORT", "SANDBOX_GATEWAY_PORT")  # fmt: skip
        await house.examine(dict.fromkeys(ports, port))
    levels = {name: finding.level for name, finding in house.findings.items()}
    reached = ("primary", "replica", "redis", "rabbitmq", "management", "couchdb", "api", "gateway")
    assert levels == _with_dependents(dict.fromkeys(reached)) | {"settings": OK}


# --- Faults in the servers ---

Fault = Callable[[House], AsyncIterator[None]]
FAULTS: dict[str, tuple[Fault, dict[str, tuple[str, str]], frozenset[str]]] = {}


def names(*aside: str, **named: tuple[str, str]) -> Callable[[Fault], Fault]:
    """A fault that is made before the `yield` and mended after it.

    Which checks name it, with which words in sentence and remedy, and which may follow suit.
    """

    def register(fault: Fault) -> Fault:
        checks = {check.replace("_", " "): words for check, words in named.items()}
        FAULTS[fault.__name__.replace("_", " ")] = fault, checks, frozenset(aside)
        return fault

    return register


@names(migrations=("is at 20991231_later, which this program does not know", "version of the program"))
async def the_schema_of_a_newer_program(house: House) -> AsyncIterator[None]:
    found = await house.chain.owner.fetchval("SELECT version_num FROM alembic_version")
    await house.chain.owner.execute("UPDATE alembic_version SET version_num = '20991231_later'")
    yield
    await house.chain.owner.execute("UPDATE alembic_version SET version_num = $1", found)


@names(application_role=("must stay as they are, in payments", "REVOKE UPDATE, DELETE, TRUNCATE ON payments FROM"))
async def a_role_that_may_change_payments(house: House) -> AsyncIterator[None]:
    await house.chain.owner.execute("GRANT UPDATE (amount) ON payments TO sofipo_app")
    yield
    await house.chain.owner.execute("REVOKE UPDATE (amount) ON payments FROM sofipo_app")


@names(application_role=("must stay as they are, in events", "ENABLE TRIGGER insert_only"))
async def a_guard_left_disabled(house: House) -> AsyncIterator[None]:
    await house.chain.owner.execute("ALTER TABLE events DISABLE TRIGGER insert_only")
    yield
    await house.chain.owner.execute("ALTER TABLE events ENABLE TRIGGER insert_only")


@names(business_date=("3 days behind", "sofipo init"))
async def books_that_nobody_closed(house: House) -> AsyncIterator[None]:
    await house.chain.owner.execute("UPDATE business_day SET business_date = business_date - 3")
    yield
    await house.chain.owner.execute("UPDATE business_day SET business_date = business_date + 3")


@names(business_date=("2 days ahead of the calendar", "BUSINESS_TIME_ZONE"))
async def books_that_are_ahead(house: House) -> AsyncIterator[None]:
    await house.chain.owner.execute("UPDATE business_day SET business_date = business_date + 2")
    yield
    await house.chain.owner.execute("UPDATE business_day SET business_date = business_date - 2")


@names(
    "end of day",
    business_date=("No business day is open", "sofipo init"),
    api=("cannot work", "the finding about primary"),
)
async def books_that_were_never_opened(house: House) -> AsyncIterator[None]:
    day = await house.chain.owner.fetchrow("DELETE FROM business_day RETURNING business_date, opened_at")
    assert day is not None
    yield
    await house.chain.owner.execute("INSERT INTO business_day VALUES (true, $1, $2)", *day)


@names(end_of_day=("3 days behind", "close them with `sofipo eod`"))
async def days_that_nobody_closed(house: House) -> AsyncIterator[None]:
    await _post_entries_earlier(house, 3)
    yield
    await _post_entries_earlier(house, -3)


@names(worker=("No worker runs: nobody closes days", "docker compose up -d worker"))
async def no_worker(house: House) -> AsyncIterator[None]:
    await house.worker.stop()
    yield
    await house.worker.start()


@names(worker=("The worker hangs", "Restart it"))
async def a_worker_that_hangs(house: House) -> AsyncIterator[None]:
    os.kill(house.worker.pid, signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_checks, "HEARTBEAT_SECONDS", 3.0)  # of five, so that they are not waited for
        yield
    os.kill(house.worker.pid, signal.SIGCONT)


@names("api", replication_lag=("more than 1 s", "disk or the network"))
async def a_replica_that_is_late(house: House) -> AsyncIterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_checks, "MAX_LAG_SECONDS", 1.0)  # of five, so that it is not waited for
        async with _replica(house) as replica:
            await replica.execute("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
            await replica.execute("SELECT pg_reload_conf()")
            yield
            await replica.execute("ALTER SYSTEM RESET recovery_min_apply_delay")
            await replica.execute("SELECT pg_reload_conf()")


@names("api", replication_lag=("is paused", "pg_wal_replay_resume"))
async def a_paused_replica(house: House) -> AsyncIterator[None]:
    async with _replica(house) as replica:
        await replica.execute("SELECT pg_wal_replay_pause()")
        yield
        await replica.execute("SELECT pg_wal_replay_resume()")


@names("api", replication=("Nothing streams from the primary's replication slot", "docker compose restart"))
async def a_replica_that_uses_no_slot(house: House) -> AsyncIterator[None]:
    async with _without_slot(house):
        yield


@names("api", replication=("has no replication slot sofipo_replica", "makes the slot again"))
async def a_lost_slot(house: House) -> AsyncIterator[None]:
    async with _without_slot(house):
        await house.chain.owner.execute("SELECT pg_drop_replication_slot('sofipo_replica')")
        yield
        await house.chain.owner.execute("SELECT pg_create_physical_replication_slot('sofipo_replica')")


@names(redis_eviction=("evicts by allkeys-lru", "maxmemory-policy noeviction"))
async def a_cache_that_forgets(house: House) -> AsyncIterator[None]:
    await house.chain.cache.config_set("maxmemory-policy", "allkeys-lru")
    yield
    await house.chain.cache.config_set("maxmemory-policy", "noeviction")


@names("api", redis=("demands no password", "requirepass"))
async def a_cache_open_to_everybody(house: House) -> AsyncIterator[None]:
    await house.chain.cache.config_set("requirepass", "")
    yield
    await house.chain.cache.config_set("requirepass", house.chain.settings.redis_password.get_secret_value())


@names(relay=("No relay runs", "docker compose up -d relay"))
async def no_relay(house: House) -> AsyncIterator[None]:
    await house.chain.relay.stop()
    yield
    await house.chain.relay.start()


@names("api", relay=("leading relay hangs", "Restart it"), outbox=("1 waiting, the oldest for 3", "relay's log"))
async def a_relay_that_hangs(house: House) -> AsyncIterator[None]:
    os.kill(house.chain.relay.pid, signal.SIGSTOP)
    await _put_into_outbox(house, "NULL", "NULL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_checks, "HEARTBEAT_SECONDS", 2.0)  # of five, so that they are not waited for
        yield
    await house.chain.owner.execute("DELETE FROM outbox")
    os.kill(house.chain.relay.pid, signal.SIGCONT)


@names("api", outbox=("Events are parked in the outbox", "sofipo outbox replay --all"))
async def a_parked_event(house: House) -> AsyncIterator[None]:
    await _put_into_outbox(house, "now()", "'cannot be encoded'")
    yield
    await house.chain.owner.execute("DELETE FROM outbox")


@names("binding", exchange=("There is no exchange sofipo_events_exchange", "they make it"))
async def no_exchange(house: House) -> AsyncIterator[None]:
    (await house.chain.management.delete(f"/exchanges/%2F/{broker.EXCHANGE}")).raise_for_status()
    yield
    await _declare(house)


@names("binding", exchange=("is not a durable topic exchange", "delete the exchange"))
async def an_exchange_of_another_kind(house: House) -> AsyncIterator[None]:
    path = f"/exchanges/%2F/{broker.EXCHANGE}"
    (await house.chain.management.delete(path)).raise_for_status()
    (await house.chain.management.put(path, json={"type": "fanout", "durable": True})).raise_for_status()
    yield
    (await house.chain.management.delete(path)).raise_for_status()
    await _declare(house)


@names(queue=("other arguments than x-queue-type=quorum", "delete the queue"), consumer=("No consumer", "its log"))
async def a_queue_with_another_argument(house: House) -> AsyncIterator[None]:
    path = f"/queues/%2F/{broker.QUEUE}"
    await house.chain.consumer.stop()
    (await house.chain.management.delete(path)).raise_for_status()
    arguments = {"x-queue-type": "quorum", "x-max-length": 1000}
    (await house.chain.management.put(path, json={"durable": True, "arguments": arguments})).raise_for_status()
    await house.chain.bind()
    yield
    (await house.chain.management.delete(path)).raise_for_status()
    await house.chain.consumer.start()


@names(
    "binding", "consumer", "parked messages", queue=("There is no queue couchdb_event_log_queue", "Start the consumer")
)
async def no_queue(house: House) -> AsyncIterator[None]:
    await house.chain.consumer.stop()
    for queue in (broker.QUEUE, broker.PARKED_QUEUE):
        (await house.chain.management.delete(f"/queues/%2F/{queue}")).raise_for_status()
    yield
    await house.chain.consumer.start()


@names(binding=("is not bound to sofipo_events_exchange with sofipo.#", "Restart the consumer"))
async def an_unbound_queue(house: House) -> AsyncIterator[None]:
    await house.chain.unbind()
    yield
    await house.chain.bind()


@names(policy=("because no policy applies: dead-letter-exchange", "sets its own within a minute"))
async def a_deleted_policy(house: House) -> AsyncIterator[None]:
    async with _frozen_consumer(house):
        (await house.chain.management.delete(f"/policies/%2F/{broker.QUEUE}")).raise_for_status()
        yield
    answer = await house.chain.management.put(f"/policies/%2F/{broker.QUEUE}", json=policy(Topology()))
    answer.raise_for_status()


@names(policy=("because of the policy stronger", "Delete other policies"))
async def a_stronger_policy(house: House) -> AsyncIterator[None]:
    stronger = {"pattern": broker.QUEUE, "priority": 9, "definition": {"max-length": 10}}
    (await house.chain.management.put("/policies/%2F/stronger", json=stronger)).raise_for_status()
    yield
    (await house.chain.management.delete("/policies/%2F/stronger")).raise_for_status()


@names(consumer=("No consumer takes events out", "docker compose up -d event-consumer"))
async def no_consumer(house: House) -> AsyncIterator[None]:
    await house.chain.consumer.stop()
    yield
    await house.chain.consumer.start()


@names(parked_messages=("missing in CouchDB: 1", "sofipo outbox replay --all"))
async def a_parked_message(house: House) -> AsyncIterator[None]:
    async with _channel(house) as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"poison"), broker.PARKED_QUEUE)
    yield
    await house.chain.parked()


@names(couchdb_members=("open to the public", "setup-users-db.sh"))
async def events_for_everybody(house: House) -> AsyncIterator[None]:
    async with _security(house, admins=[], members=[]):
        yield


@names(couchdb_members=("The consumer is an administrator", "setup-users-db.sh"))
async def a_consumer_with_too_much_power(house: House) -> AsyncIterator[None]:
    async with _security(house, admins=["event_consumer"], members=["event_consumer"]):
        yield


@names("immutability", couchdb_members=("The consumer is not a member", "setup-users-db.sh"))
async def a_consumer_without_access(house: House) -> AsyncIterator[None]:
    async with _security(house, admins=[], members=["somebody_else"]):
        yield


@names(immutability=("no rule in _design/immutable", "setup-users-db.sh"))
async def events_that_could_be_changed(house: House) -> AsyncIterator[None]:
    path = f"/{DATABASE}/_design/immutable"
    revision = (await house.chain.couchdb.get(path)).json()["_rev"]
    (await house.chain.couchdb.delete(path, params={"rev": revision})).raise_for_status()
    yield
    await _prepare_couchdb()


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_named_with_its_remedy_until_it_is_mended(house: House, name: str) -> None:
    fault, named, aside = FAULTS[name]
    life = fault(house)
    await anext(life)
    try:
        await house.expect(_with_dependents(named), aside)
        _assert_named(house, named)
    finally:
        await anext(life, None)
    await house.expect({})


async def test_a_day_that_was_not_closed_yet_is_a_warning(house: House) -> None:
    await house.chain.owner.execute("UPDATE business_day SET business_date = business_date - 1")
    try:
        await house.expect({"business date": WARNING})
        assert "1 day behind" in house.findings["business date"].sentence
    finally:
        await house.chain.owner.execute("UPDATE business_day SET business_date = business_date + 1")


async def test_a_day_that_was_over_a_moment_ago_is_a_warning(house: House) -> None:
    await _post_entries_earlier(house, 1)
    try:
        await house.expect({"end of day": WARNING})
        assert "1 day behind" in house.findings["end of day"].sentence
    finally:
        await _post_entries_earlier(house, -1)


async def test_a_loan_that_an_end_of_day_could_not_look_at_is_a_warning(house: House) -> None:
    owner = house.chain.owner
    failed = "INSERT INTO day_close_failures SELECT $1, id, 'KeyError', now() FROM loans RETURNING loan_id"
    loan = await owner.fetchval(failed, business_date(utc_now(), house.chain.settings.zone))
    try:
        await house.expect({"end of day": WARNING})
        assert f"could not look at 1 loans: {loan}" in house.findings["end of day"].sentence
        assert "day_close_failures" in house.findings["end of day"].remedy
    finally:
        await owner.execute("DELETE FROM day_close_failures")


async def test_a_clock_that_goes_wrong_is_named(house: House) -> None:
    ahead = timedelta(seconds=90)
    await house.expect({"primary clock": WRONG, "couchdb clock": WRONG}, clock=lambda: utc_now() + ahead)
    for name in ("primary clock", "couchdb clock"):
        assert "s ahead of" in house.findings[name].sentence
        assert "timedatectl" in house.findings[name].remedy


async def test_old_servers_are_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = ("PostgreSQL", "Redis", "RabbitMQ")
    for server in servers:
        monkeypatch.setitem(verdicts.OLDEST, server, (99, 1))
    checks = ("primary version", "redis version", "rabbitmq version")
    await house.expect(dict.fromkeys(checks, WRONG))
    for server, check in zip(servers, checks, strict=True):
        assert house.findings[check].remedy == f"Install {server} 99.1 or newer."


@pytest.mark.parametrize(
    ("version", "level"), [("2.3.1", WRONG), ("3.3.3", OK), ("3.0.0-RC.1", OK), ("15.4 (Debian)", OK)]
)
def test_versions_are_compared_as_numbers(version: str, level: doctor.Level) -> None:
    assert verdicts.judge_version("CouchDB", version).level is level


async def test_a_consumer_that_does_not_keep_up_is_a_warning(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_checks, "BACKLOG", -1)
    await house.expect({"consumer": WARNING})
    assert "does not keep up" in house.findings["consumer"].sentence


async def test_a_missing_database_of_events_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couchdb_checks, "DATABASE", "never_made")
    named = {"couchdb members": ("no database never_made", "setup-users-db.sh"), "immutability": ("no rule", "Run")}
    await house.expect(_with_dependents(named))
    _assert_named(house, named)


async def test_the_stand_in_for_couchdb_is_not_for_production(house: House) -> None:
    settings = house.chain.settings.model_copy(update={"environment": Environment.PRODUCTION})
    assert (await couchdb_checks.version(verdicts.Setup(settings, utc_now))).level is WRONG


async def test_a_check_that_fails_is_a_finding_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(verdicts.OLDEST, "Redis")
    await house.expect({"redis version": WRONG})
    assert "(KeyError)" in house.findings["redis version"].sentence


def test_both_services_mean_the_same_queue() -> None:
    topology = Topology()
    assert policy(topology)["definition"] == broker_checks.QUEUE_POLICY
    assert (topology.exchange, topology.queue, topology.binding, topology.parked_queue) == (
        broker.EXCHANGE, broker.QUEUE, broker_checks.BINDING, broker.PARKED_QUEUE,
    )  # fmt: skip


async def _post_entries_earlier(house: House, days: int) -> None:
    async with house.chain.owner.transaction():
        await house.chain.owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER insert_only")
        await house.chain.owner.execute("UPDATE ledger_entries SET posted_on = posted_on - $1::int", days)
        await house.chain.owner.execute("ALTER TABLE ledger_entries ENABLE TRIGGER insert_only")


async def _put_into_outbox(house: House, parked_at: str, reason: str) -> None:
    await house.chain.owner.execute(
        "INSERT INTO outbox (aggregate_id, sequence, lane, enqueued_at, parked_at, parked_reason) "
        f"VALUES ($1, 1, 0, now() - interval '1 hour', {parked_at}, {reason})",
        uuid4(),
    )


@asynccontextmanager
async def _replica(house: House) -> AsyncIterator[Connection]:
    settings = house.chain.settings
    host, port = settings.postgres_replica_host, settings.postgres_replica_port
    connection = await connect_as_owner(settings.model_copy(update={"postgres_host": host, "postgres_port": port}))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _without_slot(house: House) -> AsyncIterator[None]:
    """The replica streams without its slot."""

    async def use(slot: str) -> None:
        async with _replica(house) as replica:
            await replica.execute(f"ALTER SYSTEM SET primary_slot_name = '{slot}'")
            await replica.execute("SELECT pg_reload_conf()")

    async def is_free() -> bool:
        active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'sofipo_replica'"
        return not await house.chain.owner.fetchval(active)

    await use("")
    try:
        await eventually(is_free)
        yield
    finally:
        await use("sofipo_replica")


@asynccontextmanager
async def _frozen_consumer(house: House) -> AsyncIterator[None]:
    os.kill(house.chain.consumer.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(house.chain.consumer.pid, signal.SIGCONT)


@asynccontextmanager
async def _channel(house: House) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(broker.url(house.chain.settings)) as connection:
        yield await connection.channel()


async def _declare(house: House) -> None:
    """What the consumer does when it starts."""
    async with _channel(house) as channel:
        await declare(channel, Topology())


@asynccontextmanager
async def _security(house: House, admins: list[str], members: list[str]) -> AsyncIterator[None]:
    security: dict[str, Any] = {
        "admins": {"names": admins, "roles": ["_admin"]},
        "members": {"names": members, "roles": []},
    }
    (await house.chain.couchdb.put(f"/{DATABASE}/_security", json=security)).raise_for_status()
    try:
        yield
    finally:
        await _prepare_couchdb()


async def _prepare_couchdb() -> None:
    """The remedy that the doctor names."""
    program = await asyncio.create_subprocess_exec(
        ROOT / "couchdb-init" / "setup-users-db.sh", stdout=asyncio.subprocess.DEVNULL
    )
    assert await program.wait() == 0


def _with_dependents(named: Mapping[str, object]) -> dict[str, doctor.Level]:
    """Each named check is wrong, and what needs it waits."""
    levels = dict.fromkeys(named, WRONG)
    return levels | {check.name: NOT_CHECKED for check in CHECKS if not levels.keys().isdisjoint(check.needs)}


def _assert_named(house: House, named: Mapping[str, tuple[str, str]]) -> None:
    for check, (sentence, remedy) in named.items():
        assert sentence in house.findings[check].sentence
        assert remedy in house.findings[check].remedy
