"""Somebody at a browser: looks at every page that comes, and notices what is wrong with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Page,
    Response,
    ViewportSize,
    expect,
)

from tests.browser.site import PASSWORD, Borrower, Site
from tests.support.processes import ROOT

SCREENS = ROOT / "build" / "screens"
MAX_PAGE_BYTES = 200_000
SIZES: dict[str, ViewportSize] = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 800}}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TRIALS = ("pay_twice", "pay_late", "disorder")
"""What only the sandbox offers."""


@dataclass
class Visitor:
    """One tab of a browser of one size, with or without JavaScript."""

    page: Page
    size: str
    scripted: bool
    axe: str
    faults: list[str] = field(default_factory=list)
    """What the browser complained about since the visit began."""
    bytes_loaded: int = 0
    """Of the last page with all it consists of, as they came over the wire; nothing is taken from the cache."""
    seen: int = 0

    async def sign_in(self, borrower: Borrower) -> None:
        """From the sign-in page."""
        await self.page.get_by_label("Usuario").fill(borrower.username)
        await self.page.get_by_label("Contraseña").fill(PASSWORD)
        await self.page.get_by_role("button", name="Entrar").click()
        await self.arrives("Mis deudas")

    async def arrives(self, heading: str) -> None:
        """Wait for the page with this heading."""
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)

    async def at_the_gateway(self, total: str) -> None:
        """Wait for the gateway's page about this amount."""
        await expect(self.page.locator("main")).to_contain_text(total)
        await expect(self.page.locator("button[value=pay]")).to_be_visible()

    async def choose(self, action: str) -> None:
        """What the borrower does at the gateway; it sends them back."""
        if action in TRIALS:
            await self.page.locator("summary").click()
        await self.page.locator(f"button[value={action}]").click()

    def was_refused(self, status: int) -> None:
        """The page came with this status, which is as it should be."""
        assert any(fault.startswith(f"{status} ") for fault in self.faults), self.faults
        self.faults = [fault for fault in self.faults if str(status) not in fault]

    async def look(self, name: str) -> None:
        """Take a picture of the page, and fail when it is not as a page should be."""
        self.seen += 1
        await self.page.wait_for_load_state("load")
        assert self.faults == [], name
        assert self.bytes_loaded < MAX_PAGE_BYTES, name
        assert await self.overflow() == 0, name
        if self.scripted:
            await self.page.screenshot(path=SCREENS / self.size / f"{self.seen:02}-{name}.png", full_page=True)
            assert await self.barriers() == [], name

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        wide: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return max(0, wide - SIZES[self.size]["width"])

    async def barriers(self) -> list[str]:
        """What keeps people out of the page: serious and critical findings of axe-core."""
        # Not by a script element: the page's own rules forbid foreign ones, and stay in force.
        await self.page.evaluate(self.axe)
        found: dict[str, Any] = await self.page.evaluate("tags => axe.run(document, {runOnly: tags})", STANDARDS)
        return [
            f"{one['id']}: {node['html']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    async def _weigh(self, session: CDPSession) -> None:
        def requested(event: dict[str, Any]) -> None:
            if event["type"] == "Document":
                self.bytes_loaded = 0

        def loaded(event: dict[str, Any]) -> None:
            self.bytes_loaded += int(event["encodedDataLength"])

        session.on("Network.requestWillBeSent", requested)
        session.on("Network.loadingFinished", loaded)
        await session.send("Network.enable")
        await session.send("Network.setCacheDisabled", {"cacheDisabled": True})


@asynccontextmanager
async def visit(browser: Browser, site: Site, size: str, axe: str, *, scripted: bool = True) -> AsyncIterator[Visitor]:
    """A visitor whom nobody knows yet."""
    context = await browser.new_context(
        base_url=site.address,
        viewport=SIZES[size],
        is_mobile=size == "phone",
        has_touch=size == "phone",
        java_script_enabled=scripted,
        locale="es-MX",
        timezone_id="America/Mexico_City",
    )
    try:
        yield await tab(context, size, axe, scripted=scripted)
    finally:
        await context.close()


async def tab(context: BrowserContext, size: str, axe: str, *, scripted: bool = True) -> Visitor:
    """Another tab of the same browser."""
    visitor = Visitor(await context.new_page(), size, scripted, axe)
    visitor.page.on("console", visitor._heard)
    visitor.page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    visitor.page.on("response", visitor._answered)
    await visitor._weigh(await context.new_cdp_session(visitor.page))
    return visitor
