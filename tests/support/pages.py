"""A visitor of our pages: keeps cookies, reads pages, and sends their forms as a browser would."""

import re
from html import unescape
from html.parser import HTMLParser

import httpx2

SPACE = "/espacio"
OPENED = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


class Page(HTMLParser):
    """A page as a browser sees it: its elements and its text."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__()
        self.source = answer.text
        self.status = answer.status_code
        self.headers = answer.headers
        self.size = len(answer.content)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All that is written on it."""
        return " ".join(" ".join(self.words).split())

    @property
    def heading(self) -> str:
        """What its h1 says."""
        found = re.search(r"<h1[^>]*>(.*?)</h1>", self.source, re.DOTALL)
        assert found, self.text
        return unescape(re.sub(r"<[^>]+>", "", found[1]))

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def token(self) -> str:
        """What its forms carry."""
        return next(field["value"] for field in self.all("input") if field.get("name") == "csrf")

    @property
    def filled(self) -> dict[str, str]:
        """What the form with a one-time field sends as it stands: hidden fields and what was filled in."""
        form = self.source[self.source.index('name="una_vez"') :]
        token = {"csrf": self.token}
        given = re.findall(
            r'<input(?=[^>]*name="([^"]+)")(?=[^>]*value="([^"]*)")(?![^>]*type="checkbox")', "<input " + form
        )
        chosen = re.findall(
            r'<select[^>]*name="([^"]+)"[^>]*>(?:(?!</select>).)*?<option value="([^"]*)" selected', form, re.DOTALL
        )
        return token | {name: unescape(value) for name, value in [*given, *chosen]}


class Visitor:
    """Somebody with a browser."""

    def __init__(self, client: httpx2.AsyncClient, space: str = SPACE) -> None:
        self.client = client
        self.space = space

    async def get(self, path: str, status: int = 200) -> Page:
        """Open a page."""
        answer = await self.client.get(path, headers=OPENED)
        assert answer.status_code == status, answer.text
        return Page(answer)

    async def send(
        self, path: str, token_from: str, headers: dict[str, str] | None = None, /, **fields: str
    ) -> httpx2.Response:
        """Send a form to `path` with the token that the page at `token_from` gives."""
        token = (await self.get(token_from)).token
        return await self.post(path, {"csrf": token, **fields}, headers)

    async def post(self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx2.Response:
        """Send a form as it is."""
        return await self.client.post(path, data=fields, headers=OPENED | (headers or {}))

    async def sign_in(self, username: str, password: str, **fields: str) -> httpx2.Response:
        """Fill in the sign-in page."""
        entrance = f"{self.space}/entrar"
        return await self.send(entrance, entrance, usuario=username, contrasena=password, **fields)

    async def fill_in(self, path: str, **fields: str) -> httpx2.Response:
        """Open the page of a form, fill in these fields, leave the others as they are, and send it."""
        return await self.post(path, {**(await self.get(path)).filled, **fields})


def location(answer: httpx2.Response) -> str:
    """Where an answer leads with Post/Redirect/Get."""
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])
