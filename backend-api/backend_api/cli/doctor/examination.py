"""All checks, asked at once; one that cannot be answered yet says which finding stands before it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import ValidationError

from backend_api.cli.doctor import api, broker, cache, couchdb, gateway, postgres
from backend_api.cli.doctor.verdicts import Level, Setup, Verdict, not_checked, ok, wrong
from backend_api.settings import Environment, Settings

CHECK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """A question, and the checks that have to be well before it can be asked."""

    name: str
    ask: Callable[[Setup], Awaitable[Verdict]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str
    level: Level
    sentence: str
    remedy: str


CHECKS = (
    Check("primary", postgres.primary),
    Check("primary version", postgres.version, ("primary",)),
    Check("primary clock", postgres.clock, ("primary",)),
    Check("migrations", postgres.migrations, ("primary",)),
    Check("application role", postgres.role, ("primary",)),
    Check("business date", postgres.business_day, ("primary",)),
    Check("end of day", postgres.end_of_day, ("primary",)),
    Check("worker", postgres.worker, ("primary", "migrations")),
    Check("replica", postgres.replica),
    Check("replication", postgres.streaming, ("primary", "replica")),
    Check("replication lag", postgres.lag, ("primary", "replica")),
    Check("redis", cache.server),
    Check("redis version", cache.version, ("redis",)),
    Check("redis eviction", cache.eviction, ("redis",)),
    Check("relay", postgres.relay, ("primary",)),
    Check("outbox", postgres.outbox, ("primary",)),
    Check("rabbitmq", broker.server),
    Check("management", broker.management),
    Check("rabbitmq version", broker.version, ("management",)),
    Check("exchange", broker.exchange, ("management",)),
    Check("queue", broker.queue, ("management",)),
    Check("binding", broker.binding, ("management",)),
    Check("policy", broker.policy, ("management",)),
    Check("consumer", broker.consumer, ("rabbitmq",)),
    Check("parked messages", broker.parked, ("rabbitmq",)),
    Check("couchdb", couchdb.server),
    Check("couchdb version", couchdb.version, ("couchdb",)),
    Check("couchdb clock", couchdb.clock, ("couchdb",)),
    Check("couchdb members", couchdb.members, ("couchdb",)),
    Check("couchdb auditor", couchdb.auditor, ("couchdb", "couchdb members")),
    Check("immutability", couchdb.immutability, ("couchdb",)),
    Check("api", api.readiness),
    Check("gateway", gateway.sandbox),
)
"""In the order of the report, each after those it needs."""


async def examine(clock: Callable[[], datetime]) -> list[Finding]:
    """Examine the set-up that the environment describes. Raises nothing: whatever goes wrong is a finding."""
    settings, verdict = _read_settings()
    asked = {} if settings is None else await _ask_all(Setup(settings, clock))
    return [_finding("settings", verdict), *(_finding(name, answer) for name, answer in asked.items())]


def report(findings: list[Finding]) -> str:
    """One line for each finding, and a last one that sums them up."""
    lines = [f"{one.level:<11}  {one.check:<16}  {one.sentence} {one.remedy}".rstrip() for one in findings]
    counts = {level: sum(one.level is level for one in findings) for level in Level}
    bad = [f"{counts[level]} {level}" for level in Level if level is not Level.OK and counts[level]]
    return "\n".join([*lines, "", ", ".join(bad) + "." if bad else "All is well."])


def _read_settings() -> tuple[Settings | None, Verdict]:
    """The settings, also those a service would refuse for their secrets: what else is wrong can be told with them."""
    remedy = "Mend the environment or `.env`; `.env.example` tells what each setting is for."
    try:
        settings = Settings()
    except ValidationError as error:
        sentence = "The services refuse these settings: " + "; ".join(
            " ".join([*(str(part).upper() for part in item["loc"]), item["msg"].removeprefix("Value error, ")])
            for item in error.errors()
        )
        try:
            return Settings(environment=Environment.DEVELOPMENT), wrong(f"{sentence}.", remedy)
        except ValidationError:
            return None, wrong(f"{sentence}. Nothing else can be checked.", remedy)
    return settings, ok(f"The settings are those of {settings.environment}.")


async def _ask_all(setup: Setup) -> dict[str, Verdict]:
    tasks: dict[str, asyncio.Task[Verdict]] = {}
    async with asyncio.TaskGroup() as group:
        for check in CHECKS:
            needs = {name: tasks[name] for name in check.needs}
            tasks[check.name] = group.create_task(_ask(check, setup, needs))
    return {name: task.result() for name, task in tasks.items()}


async def _ask(check: Check, setup: Setup, needs: Mapping[str, "asyncio.Task[Verdict]"]) -> Verdict:
    for name, task in needs.items():
        if (await task).level in (Level.WRONG, Level.NOT_CHECKED):
            return not_checked(f"See the finding about {name}.")
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check.ask(setup)
    except asyncpg.UndefinedTableError:
        return not_checked("See the finding about migrations.")
    except TimeoutError:
        return wrong("No answer came in time.", "See whether the server hangs or is overloaded.")
    except Exception as error:  # noqa: BLE001 - no check may keep the others from being heard
        return wrong(f"The answer makes no sense to us ({type(error).__name__}).", "See the server's log.")


def _finding(name: str, verdict: Verdict) -> Finding:
    return Finding(name, verdict.level, verdict.sentence, verdict.remedy)
