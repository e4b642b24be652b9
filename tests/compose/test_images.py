"""All images in one archive, carried to a machine that can neither build nor pull."""

from pathlib import Path

import pytest

from tests.compose.conftest import Report
from tests.compose.deployment import Deployment, Record, check, working
from tests.compose.project import COMPOSE, CommandError, docker

OWN = ("backend-api", "event-consumer")
pytestmark = pytest.mark.timeout(900)


async def test_the_stack_starts_from_the_archive_alone(
    deployment: Deployment, record: Record, report: Report, tmp_path: Path
) -> None:
    project = deployment.project
    archive = tmp_path / "images.tar"
    make = ("make", f"COMPOSE={' '.join(COMPOSE)}", f"IMAGES={archive}")
    await project.run(*make, "images-save")
    report.say(f"make images-save: {archive.stat().st_size / 1e6:.0f} MB for all images of the compose file")

    await project.down()
    own = [f"sofipo/{name}:{project.environment['IMAGE_TAG']}" for name in OWN]
    await docker("image", "rm", *own)
    with pytest.raises(CommandError):
        await project.compose("up", "-d", "--no-build", "check-settings")

    await project.run(*make, "images-load")
    await project.compose("up", "-d", "--no-build")
    await deployment.until_whole()
    async with working(record, deployment.addresses):
        await record.progress()
    await check(deployment, record)
