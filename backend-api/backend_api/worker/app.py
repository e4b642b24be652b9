"""The worker as a process: it does what is due, turn after turn, and stops when it is told to.

Any number of workers may run. Each kind of work holds a lock while it is done, so that one worker does it and the
others go on; and being stopped anywhere is safe, because whatever was left undone is due again at the next turn.
"""

import asyncio

import structlog

from backend_api.db.pools import LOST_CONNECTION, LOST_SERVER, DatabaseUnavailableError, connect
from backend_api.domain.errors import DomainError
from backend_api.http.resources import Resources
from backend_api.imports import job as import_job
from backend_api.pacing import Complaint, backoff_seconds
from backend_api.settings import Settings
from backend_api.worker.days import Days
from backend_api.worker.housekeeping import keep_house

log = structlog.get_logger(__name__)

TURN_SECONDS = 60.0
"""Nothing of this has to happen within seconds, and asking costs three short statements."""
IMPORTS_TURN_SECONDS = 1.0
"""Somebody waits for an import; asking whether there is one reads an index that is empty."""
BEAT_SECONDS = 1.0
AWAY = (*LOST_CONNECTION, DatabaseUnavailableError)
"""What is waited for; everything else that goes wrong is logged and tried again at the next turn."""


async def run(resources: Resources, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Lost servers are waited for, and one kind of work that fails keeps no other from being
    done."""
    working = asyncio.create_task(_work(resources))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        ended, _ = await asyncio.gather(working, stopping, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    log.info("worker_stopped")


async def _work(resources: Resources) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_give_signs_of_life(resources.settings))
        tasks.create_task(_turns(resources))
        tasks.create_task(_imports(resources))


async def _turns(resources: Resources) -> None:
    days, unreachable, failures = Days(), Complaint("worker_lost_database"), 0
    log.info("worker_works", end_of_day_at=resources.settings.end_of_day_at)
    while True:
        lost = [error for error in await turn(resources, days) if isinstance(error, AWAY)]
        if lost:
            failures += 1
            unreachable.say(error=type(lost[0]).__name__)
            await asyncio.sleep(backoff_seconds(failures))
        else:
            failures = 0
            unreachable.over()
            await asyncio.sleep(TURN_SECONDS)


async def _imports(resources: Resources) -> None:
    """Beside the turns: an import of minutes must not keep a day from being closed."""
    unreachable, failures = Complaint("worker_lost_database"), 0
    while True:
        try:
            had_work = await import_job.run_next(resources)
        except import_job.AWAY as lost:
            failures += 1
            unreachable.say(error=type(lost).__name__)
            await asyncio.sleep(backoff_seconds(failures))
            continue
        except DomainError as refusal:
            # Somebody cancelled it, or another process went on with it.
            log.info("import_left", code=refusal.code)
            had_work = False
        failures = 0
        unreachable.over()
        if not had_work:
            await asyncio.sleep(IMPORTS_TURN_SECONDS)


async def turn(resources: Resources, days: Days) -> list[Exception]:
    """Do all that is due now. What went wrong; everything but a lost server is logged."""
    errors: list[Exception] = []
    for name, work in (("end of day", days.close), ("housekeeping", keep_house)):
        try:
            await work(resources)
        except AWAY as lost:
            errors.append(lost)
        except DomainError as refusal:
            log.warning("worker_job_refused", job=name, code=refusal.code)
            errors.append(refusal)
        except Exception as error:
            log.exception("worker_job_failed", job=name)
            errors.append(error)
    return errors


async def _give_signs_of_life(settings: Settings) -> None:
    """Ask the database something every second; `sofipo worker-alive` and `sofipo doctor` look for it."""
    while True:
        try:
            connection = await connect(settings, name="sofipo-worker")
            try:
                while True:
                    await connection.execute("SELECT 1")
                    await asyncio.sleep(BEAT_SECONDS)
            finally:
                connection.terminate()
        except LOST_SERVER:
            await asyncio.sleep(backoff_seconds(4))
