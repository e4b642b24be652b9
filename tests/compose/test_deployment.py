"""What `docker compose up --build -d` makes of a plain clone: the five calls work, nobody can do more than needed."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.compose.conftest import Report
from tests.compose.deployment import Deployment, Record
from tests.compose.project import ONCE, SERVICES, CommandError, Container, docker, run
from tests.e2e.test_readme import DEVELOPMENT_ADDRESS, readme_calls
from tests.support.waiting import eventually

OURS = (
    "backend-api", "relay", "worker", "sandbox-gateway", "event-consumer", "migrate", "check-settings", "couchdb-init",
)  # fmt: skip
WRITABLE = {"rabbitmq", "couchdb"}
"""Their images write their configuration into their own file system when they start."""
RUN_AS_ROOT = {"couchdb"}
"""Whom this one becomes is its image's own business."""
TOOLS = ("gcc", "cc", "make", "pip", "pip3", "uv", "hatchling", "git")
LARGEST_ON_TOP_OF_BASE = {"backend-api": 160_000_000, "event-consumer": 50_000_000}
pytestmark = pytest.mark.timeout(900)


async def test_the_five_calls_of_the_readme_answer_and_become_documents(
    deployment: Deployment, record: Record, tmp_path: Path
) -> None:
    script = readme_calls().replace(DEVELOPMENT_ADDRESS, deployment.addresses[0])
    said = await run("bash", "-euo", "pipefail", "-c", script, folder=tmp_path)
    record.others[Decimal("2500.00")] = 1
    assert "x-cache: hit" in said
    assert said.rstrip().endswith("47500.00")
    client = json.loads((tmp_path / "client.json").read_text())
    ids = [f"{client['id']}:{number:012d}" for number in range(1, 5)]

    async def are_documents() -> bool:
        return set(await deployment.documents(ids)) == set(ids)

    await eventually(are_documents)
    found = await deployment.documents(ids)
    assert [found[one]["event_type"] for one in ids] == [
        "client_created", "loan_created", "loan_activated", "payment_registered",
    ]  # fmt: skip


async def test_the_processes_have_no_rights_that_they_do_not_need(deployment: Deployment) -> None:
    for service in (*SERVICES, *ONCE):
        container = await deployment.project.container(service)
        host = container.inspected["HostConfig"]
        assert host["ReadonlyRootfs"] == (service not in WRITABLE), service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Init"], service
        if service in OURS:
            assert host["CapDrop"] == ["ALL"], service
            assert container.inspected["Config"]["User"].split(":")[0].isdigit(), service
        if service in SERVICES:
            wanted = "on-failure" if service == "sandbox-gateway" else "unless-stopped"
            assert host["RestartPolicy"]["Name"] == wanted, service
        if service in SERVICES and service not in RUN_AS_ROOT:
            users = await users_of(container)
            assert users, service
            assert 0 not in users, service


async def users_of(container: Container) -> set[int]:
    """Whom the processes run as that the container's first one has started; health checks are not among them."""
    table = (await docker("top", container.id, "-eo", "pid,ppid,uid")).splitlines()[1:]
    users, family = set(), {int(container.inspected["State"]["Pid"])}
    for pid, parent, user in sorted(tuple(map(int, line.split())) for line in table):
        if parent in family:
            family.add(pid)
            users.add(user)
    return users


async def test_nothing_can_be_written_beside_the_volumes(deployment: Deployment) -> None:
    for service in set(SERVICES) - WRITABLE:
        container = await deployment.project.container(service)
        with pytest.raises(CommandError, match="Read-only file system"):
            await container.execute("sh", "-c", "echo > /written")


async def test_our_images_hold_no_tools_and_no_tests(deployment: Deployment, report: Report) -> None:
    for image in LARGEST_ON_TOP_OF_BASE:
        container = await deployment.project.container(image)
        looked_for = " ".join(TOOLS)
        found = await container.execute("sh", "-c", f"for tool in {looked_for}; do command -v $tool; done; true")
        paths = " -o ".join(f"-path '*-packages/{name}'" for name in ("pip", "setuptools", "*/tests"))
        found += await container.execute("sh", "-c", f"find / -xdev {paths} 2>/dev/null; true")
        assert found == "", f"{image}: {found}"
        total, base = [await size(name) for name in (container.inspected["Image"], base_of(deployment, image))]
        report.say(f"image {image}: {(total - base) / 1e6:.0f} MB on top of a base of {base / 1e6:.0f} MB")
        assert total - base < LARGEST_ON_TOP_OF_BASE[image]


def base_of(deployment: Deployment, image: str) -> str:
    """The image that the last stage begins with."""
    text = (deployment.project.folder / image / "Dockerfile").read_text("utf-8")
    return str(re.findall(r"^FROM (\S+)$", text, re.MULTILINE)[-1])


async def size(image: str) -> int:
    """Bytes of an image, all its layers together."""
    return int(await docker("image", "inspect", "--format", "{{.Size}}", image))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_health_check_fails_when_its_process_stands_still(deployment: Deployment, service: str) -> None:
    container = await deployment.project.container(service)
    await container.check_health()
    async with standing_still(container):
        await eventually(lambda: fails(container), 40.0)
    await deployment.until_whole()


@asynccontextmanager
async def standing_still(container: Container) -> AsyncIterator[None]:
    """All processes of a container are stopped inside the block."""
    await container.execute("sh", "-c", "kill -STOP -1; true")  # all but the first, which nobody inside can stop
    await container.kill("STOP")
    try:
        yield
    finally:
        await container.kill("CONT")
        await container.execute("sh", "-c", "kill -CONT -1; true")


async def fails(container: Container) -> bool:
    """Whether the health check says that something is wrong."""
    try:
        await container.check_health()
    except CommandError:
        return True
    return False
