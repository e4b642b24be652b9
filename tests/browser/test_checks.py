"""What the browser tests look for is seen where it is: faults of a page that has them."""

import pytest
from playwright.async_api import Browser

from tests.browser.site import Site
from tests.browser.visitor import MAX_PAGE_BYTES, visit

pytestmark = pytest.mark.timeout(600)  # the first test installs the browser where there is none

FAULTY = """<html><title>x</title><body><img src="/no-such-picture"><input>
<font color="#aaaaaa">pale</font><table width="3000"><td style="color:red">wide</table></body></html>"""


async def test_faults_of_a_page_are_seen(chromium: Browser, site: Site, axe: str) -> None:
    async with visit(chromium, site, "phone", axe) as visitor:
        await visitor.page.goto("/docs")
        assert visitor.bytes_loaded > MAX_PAGE_BYTES
        await visitor.page.set_content(FAULTY)
        await visitor.page.wait_for_load_state("load")
        assert any(fault.startswith("404 ") for fault in visitor.faults)
        assert any("Content Security Policy" in fault for fault in visitor.faults)
        assert await visitor.overflow() > 0
        found = {barrier.partition(":")[0] for barrier in await visitor.barriers()}
        assert {"image-alt", "label", "color-contrast", "html-has-lang"} <= found
