"""`sofipo api`, `sofipo relay`, `sofipo worker`: the processes that run until they are stopped."""

import asyncio
import gc
import os
import signal

from backend_api import logs
from backend_api.cli.session import run
from backend_api.opening import open_resources
from backend_api.relay import app as relay_app
from backend_api.settings import Settings
from backend_api.worker import app as worker_app

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a container these are the ones of its network
SERVER = (
    "uvicorn", "backend_api.app:create_app", "--factory", "--host", EVERY_ADDRESS, "--port", "8000", "--workers", "2",
    "--loop", "uvloop", "--http", "backend_api.http.protocol:PatientProtocol", "--no-proxy-headers",
    "--no-access-log", "--no-server-header", "--log-config", str(logs.SERVER_LOGGING),
    "--timeout-graceful-shutdown", "10",
)  # fmt: skip


def serve_api() -> None:
    """Become the server of the API."""
    Settings()  # what is refused is told once, and not by every worker again and again
    os.execvp(SERVER[0], SERVER)  # noqa: S606 - the arguments are constants


def run_relay() -> None:
    """Relay until told to stop."""
    settings = Settings()
    logs.configure(settings.log_level)
    run(_relay(settings))


def run_worker() -> None:
    """Work until told to stop."""
    settings = Settings()
    logs.configure(settings.log_level)
    run(_worker(settings))


async def _relay(settings: Settings) -> None:
    stop = _told_to_stop()
    async with open_resources(settings) as resources:
        await relay_app.run(settings, stop, resources.cache.announce)


async def _worker(settings: Settings) -> None:
    stop = _told_to_stop()
    async with open_resources(settings) as resources:
        gc.collect()
        gc.freeze()  # as the API does: an import makes so much that is thrown away that every collection counts
        await worker_app.run(resources, stop)


def _told_to_stop() -> asyncio.Event:
    """Set by the signals that ask a process to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
