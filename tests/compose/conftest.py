"""One deployment for all drills, started from a copy of the repository as a newcomer would, and removed at the end."""

import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from time import monotonic

import pytest

from tests.compose.deployment import Deployment, Record, connect
from tests.compose.project import Project, clone, docker
from tests.support.processes import ROOT

PORTS = (
    "API_PORT",
    "PORT_OF_A_SECOND_API",
    "RABBITMQ_MANAGEMENT_PORT",
    "COUCHDB_PORT",
    "SANDBOX_GATEWAY_PORT",
    "PRIMARY_PORT",
    "REPLICA_PORT",
    "AMQP_PORT",
)
LOANS_OF_THE_CLIENTS = 10


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a project of their own come first: two deployments at once are too much for a small machine."""
    items.sort(key=lambda item: "deployment" in getattr(item, "fixturenames", ()))


@dataclass
class Report:
    """The figures of this run, printed at its end."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Note a figure, and show it at once."""
        self.lines.append(line)
        print(f"\n{line}")


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Where tests say what they measured."""
    made = Report()
    yield made
    print("\n" + "\n".join(["", "The run in figures", *made.lines]))


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Nothing of this shell's environment reaches the containers: the defaults are what is tried."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    with pytest.MonkeyPatch.context() as patch:
        for name in (line.lstrip("#").partition("=")[0] for line in lines if "=" in line):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
async def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone without `.env`."""
    target = tmp_path_factory.mktemp("clone")
    await clone(ROOT, target)
    assert not (target / ".env").exists()
    return target


@asynccontextmanager
async def project(repository: Path, purpose: str, **environment: str) -> AsyncIterator[Project]:
    """A project with ports, volumes and image tags of its own; whatever happens, nothing of it stays."""
    name = f"sofipo-{purpose}-{token_hex(3)}"
    first = _free_block(len(PORTS))
    ports = {port: str(first + number) for number, port in enumerate(PORTS)}
    made = Project(name, repository, {"IMAGE_TAG": name, **ports, **environment})
    try:
        yield made
    finally:
        await made.down("--volumes")
        for image in ("backend-api", "event-consumer"):
            await docker("image", "rm", "--force", f"sofipo/{image}:{name}")


@pytest.fixture(scope="session")
async def deployment(repository: Path, report: Report) -> AsyncIterator[Deployment]:
    """`compose up --build -d`, and nothing else, until everything is ready."""
    async with project(repository, "test") as made:
        await made.compose("build")
        began = monotonic()
        await made.compose("up", "--build", "-d")
        started = monotonic() - began
        found = await connect(made)
        await found.until_whole()
        report.say(f"up --build -d with built images: back after {started:.0f} s, healthy {monotonic() - began:.0f} s")
        yield found
        await found.couchdb.aclose()
        found.owner.terminate()


@pytest.fixture(scope="session")
async def record(deployment: Deployment) -> Record:
    """What the clients of the drills know; they have loans to pay back."""
    made = Record()
    await made.begin(deployment.addresses[0], LOANS_OF_THE_CLIENTS)
    return made


def _free_block(count: int) -> int:
    """The first of so many ports in a row that nobody listens on, below those that outgoing connections get."""
    while True:
        first = random.randrange(20_000, 26_000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
