"""The documentation pages: at every spelling, from nobody else's server, and without a script in the page."""

import re
from html.parser import HTMLParser

import httpx2
import pytest

PAGES = [spelling for page in ("/docs", "/swagger", "/redoc") for spelling in (page, f"{page}/")]
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
LOGOS = ("/redoc/logo-mini.svg", "/redoc//logo-mini.svg")


class Page(HTMLParser):
    """What a page refers to, and what it holds where a script or a style would stand."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.inline: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Gather addresses and handlers."""
        self._within = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            if name in ("src", "href", "spec-url"):
                self.references.append(value or "")
            if name.startswith("on") or name == "style":
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        """Gather what stands inside of a script or a style."""
        if self._within and data.strip():
            self.inline.append(data)


def policy(answer: httpx2.Response) -> dict[str, set[str]]:
    """The directives of the page's Content-Security-Policy."""
    directives = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: set(sources) for name, *sources in directives}


async def page_of(anonymous: httpx2.AsyncClient, path: str) -> tuple[httpx2.Response, Page]:
    """A page as it is answered, and read."""
    answer = await anonymous.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer, Page(answer.text)


@pytest.mark.parametrize("path", PAGES)
async def test_every_spelling_is_answered_without_a_redirect(anonymous: httpx2.AsyncClient, path: str) -> None:
    _, page = await page_of(anonymous, path)
    program = "redoc.standalone.js" if "redoc" in path else "swagger-ui-bundle.js"
    assert any(reference.endswith(f"/{program}") for reference in page.references)


@pytest.mark.parametrize("path", PAGES)
async def test_whatever_a_page_refers_to_is_served_here(anonymous: httpx2.AsyncClient, path: str) -> None:
    answer, page = await page_of(anonymous, path)
    assert "://" not in answer.text
    assert page.references
    for reference in page.references:
        assert re.match(r"/[^/]", reference), reference
        asset = await anonymous.get(reference)
        assert asset.status_code == 200, reference
        kind = asset.headers["Content-Type"].partition(";")[0]
        if reference == "/openapi.json":
            assert kind == "application/json"
            continue
        assert kind == MEDIA_TYPES[reference.rpartition(".")[2]], reference
        assert "immutable" in asset.headers["Cache-Control"]
        assert asset.content


@pytest.mark.parametrize("path", PAGES)
async def test_no_script_stands_in_a_page_and_its_policy_allows_none(anonymous: httpx2.AsyncClient, path: str) -> None:
    answer, page = await page_of(anonymous, path)
    assert not page.inline
    directives = policy(answer)
    assert directives["default-src"] == {"'none'"}
    assert directives["script-src"] == {"'self'"}
    assert directives["connect-src"] == {"'self'"}
    assert directives["frame-ancestors"] == {"'none'"}
    # ReDoc cannot work without its own <style> elements and a search worker made from a blob; Swagger UI can.
    inline_style, worker = {"'unsafe-inline'"}, {"blob:"}
    assert directives["style-src"] - {"'self'"} == (inline_style if "redoc" in path else set())
    assert directives.get("worker-src", set()) == (worker if "redoc" in path else set())


@pytest.mark.parametrize("name", ["swagger-ui.css", "redoc.standalone.js", "swagger.js"])
async def test_no_asset_fetches_a_program_a_style_or_a_font_elsewhere(anonymous: httpx2.AsyncClient, name: str) -> None:
    text = (await anonymous.get(await address_of(anonymous, name))).text
    assert not re.search(r"@import|url\(\s*[\"']?https?:|fonts\.googleapis|cdn\.", text)


async def address_of(anonymous: httpx2.AsyncClient, name: str) -> str:
    """The address of an asset, as the pages give it."""
    pages = [(await page_of(anonymous, path))[1] for path in ("/docs", "/redoc")]
    [address] = {reference for page in pages for reference in page.references if reference.endswith(f"/{name}")}
    return address


@pytest.mark.parametrize("path", LOGOS)
async def test_the_logo_that_redoc_asks_for_below_its_page_is_there(anonymous: httpx2.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    program = (await anonymous.get(await address_of(anonymous, "redoc.standalone.js"))).text
    assert 'window.location.pathname+"/logo-mini.svg"' in program


@pytest.mark.parametrize("name", ["absent.js", "..%2f__init__.py", "%2e%2e/documentation.py"])
async def test_nothing_else_is_served_there(anonymous: httpx2.AsyncClient, name: str) -> None:
    folder = (await address_of(anonymous, "swagger.js")).rpartition("/")[0]
    answer = await anonymous.get(f"{folder}/{name}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
