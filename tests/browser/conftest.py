"""The customer space as borrowers meet it: the API and the sandbox gateway as processes, and Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import installation
import machine
import pytest
from backend_api.settings import Settings
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.site import COMMISSION, SECOND_PERSON_ABOVE, Site
from tests.support.postgres import connect_as_owner
from tests.support.processes import api_process, free_port, gateway_process
from tests.support.service import sign_in


@pytest.fixture(scope="session")
async def site(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """API and gateway over the run's own database."""
    folder = tmp_path_factory.mktemp("site")
    port, gateway_port = free_port(), free_port()
    address, gateway = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}"
    given: dict[str, Any] = {
        "POSTGRES_DB": settings.postgres_db,
        "API_PORT": str(port),
        "PUBLIC_URL": address,
        "GATEWAY_URL": f"{gateway}/pay",
        "APPROVE_ACTIVATION_ABOVE": SECOND_PERSON_ABOVE,
        "CART_COMMISSION": COMMISSION,
    }
    async with (
        api_process(folder, port=port, **given),
        gateway_process(folder, port=gateway_port, **given),
        httpx2.AsyncClient(base_url=address, timeout=15.0) as api,
    ):
        api.headers["Authorization"] = f"Bearer {await sign_in(api, 'admin', 'string')}"
        owner = await connect_as_owner(settings)
        made = Site(address, settings.postgres_db, api, owner)
        await made.prepare()
        yield made
        await owner.close()


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser."""
    program = machine.browser(print)
    expect.set_options(timeout=20_000)  # as long as a slow machine needs; milliseconds
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker, as a script."""
    return _text(installation.axe(print))


def _text(path: Path) -> str:
    return path.read_text("utf-8")
