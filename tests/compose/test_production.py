"""A production start: refused by name with what everybody knows, by every process; well with values of its own."""

from pathlib import Path
from secrets import token_urlsafe

import httpx2
import pytest

from tests.compose.conftest import Report, project
from tests.compose.project import CommandError, Project
from tests.support.waiting import eventually

POSTGRES = {"POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD"}
BACKEND = {
    *POSTGRES, "REDIS_PASSWORD", "RABBITMQ_DEFAULT_PASS", "COUCHDB_AUDITOR_PASSWORD", "API_SECRET_KEY",
    "API_KEY_PEPPER", "GATEWAY_SECRET",
}  # fmt: skip
SECRETS = {*BACKEND, "POSTGRES_REPLICA_PASSWORD", "COUCHDB_PASSWORD", "COUCHDB_CONSUMER_PASSWORD"}
REFUSED_BY = {
    "check-settings": SECRETS,
    "migrate": BACKEND,
    "backend-api": BACKEND,
    "relay": BACKEND,
    "worker": BACKEND,
    "event-consumer": {"RABBITMQ_DEFAULT_PASS", "COUCHDB_CONSUMER_PASSWORD"},
}
pytestmark = pytest.mark.timeout(600)


async def test_with_default_secrets_no_process_starts_and_every_one_says_why(repository: Path) -> None:
    async with project(repository, "refused", ENVIRONMENT="production") as made:
        with pytest.raises(CommandError):
            await made.compose("up", "--build", "-d")
        checked = await made.container("check-settings")
        assert checked.exit_code == 1
        assert named_in(await checked.logs()) == SECRETS
        assert not [one.service for one in await made.containers() if one.is_running]
        for service, secrets in REFUSED_BY.items():
            with pytest.raises(CommandError) as refused:
                await made.compose("run", "--rm", "--no-deps", "-T", service)
            [sentence] = [line for line in str(refused.value).splitlines() if "ENVIRONMENT=production refuses" in line]
            assert named_in(sentence) == secrets, service
            assert "Traceback" not in str(refused.value)


async def test_one_default_secret_is_enough_to_refuse(repository: Path) -> None:
    given = {**own_secrets(), "COUCHDB_PASSWORD": "password"}
    async with project(repository, "refused", ENVIRONMENT="production", **given) as made:
        await made.compose("build")
        with pytest.raises(CommandError) as refused:
            await made.compose("run", "--rm", "--no-deps", "-T", "check-settings")
        assert named_in(str(refused.value)) == {"COUCHDB_PASSWORD"}


async def test_with_secrets_of_its_own_it_starts(repository: Path, report: Report) -> None:
    async with project(repository, "production", ENVIRONMENT="production", **own_secrets()) as made:
        await made.compose("up", "--build", "-d")
        await eventually(lambda: is_well(made), 120.0, interval=0.5)
        api = (await made.container("backend-api")).published(8000)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api}") as http:
            answer = await http.post("/api/v1/auth/token", data={"username": "admin", "password": "string"})
        assert answer.status_code == 401
        sandbox = await made.container("sandbox-gateway")
        await eventually(lambda: ended(made, "sandbox-gateway"), 30.0, interval=0.5)
        assert "ENVIRONMENT=production has no sandbox" in await sandbox.logs()
        report.say("production with secrets of its own: well, and admin/string is refused")


def own_secrets() -> dict[str, str]:
    """A value for every secret, as an operator would make them, and for what else production asks for."""
    doors = {
        "ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXIES": "10.255.255.0/24",
        "PUBLIC_URL": "https://127.0.0.1",
        "GATEWAY_URL": "https://gateway.example/pay",
    }
    return {**{name: token_urlsafe(36) for name in SECRETS}, **doors}


def named_in(text: str) -> set[str]:
    """The secrets that a refusal tells to set."""
    _, _, rest = text.partition("short secrets: set ")
    return {name.strip() for name in rest.partition("(")[0].split(",")}


async def ended(made: Project, service: str) -> bool:
    """Whether a service has ended of its own will, and was not started again."""
    container = await made.container(service)
    return not container.is_running and container.exit_code == 0 and container.restarts == 0


async def is_well(made: Project) -> bool:
    """Whether every container is healthy."""
    return not await made.ailing()
