"""The sandbox gateway as a process of its own: what it shows, whom it believes, and how it tells of payments."""

import asyncio
import hmac
import json
import re
import time
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.settings import Settings as ApiSettings
from fastapi import FastAPI
from sandbox_gateway.app import LATE_SECONDS, create_app
from sandbox_gateway.settings import Settings

from tests.support.builders import get, new_loan
from tests.support.processes import api_process, free_port, gateway_process, try_command
from tests.support.service import signed_in_as
from tests.support.waiting import eventually

SECRET = b"the secret of the gateway and of the API"
RETURN = "http://testserver/espacio/pagar/1"


@dataclass
class Receiver:
    """A merchant's server: keeps what it is told, and answers what the test wants, 200 after that. Notices of orders
    that are `unwanted` it never takes."""

    port: int
    unwanted: set[str] = field(default_factory=set)
    answers: deque[tuple[int, dict[str, Any]]] = field(default_factory=deque)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def signed_at(self, number: int) -> int:
        """When the gateway signed a notice: its Unix time."""
        [at] = re.findall(r"(?i)sofipo-signature: t=(\d+)", self.heads[number])
        return int(at)

    @property
    def notices(self) -> list[dict[str, Any]]:
        """What came, in the order of its coming."""
        return [json.loads(body) for body in self.bodies]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one call."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        [length] = re.findall(r"(?i)^content-length: (\d+)\r$", head, re.MULTILINE)
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(int(length)))
        if self.notices[-1]["order_id"] in self.unwanted:
            status, answer = 503, {}
        else:
            status, answer = self.answers.popleft() if self.answers else (200, {"outcome": "paid"})
        content = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(content)))
        writer.write(content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@dataclass(frozen=True)
class House:
    """The gateway's pages, and the merchant's server that it tells."""

    pages: httpx2.AsyncClient
    merchant: Receiver

    async def choose(self, order: dict[str, str], action: str) -> httpx2.Response:
        """What the page answers to a borrower who chose."""
        return await self.pages.post("/pay", data={**order, "action": action})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A merchant's server, on a port of its own."""
    receiver = Receiver(free_port())
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    async with server:
        yield receiver


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Receiver]]:
    """The process, and the server that it tells."""
    async with receiving() as merchant:
        folder, port = tmp_path_factory.mktemp("gateway"), str(merchant.port)
        async with gateway_process(
            folder, API_HOST="127.0.0.1", API_PORT=port, GATEWAY_SECRET=SECRET.decode()
        ) as address:
            yield address, merchant


@pytest.fixture
async def house(gateway: tuple[str, Receiver]) -> AsyncIterator[House]:
    """The process, with a merchant who has heard nothing yet."""
    address, merchant = gateway
    for kept in (merchant.unwanted, merchant.answers, merchant.heads, merchant.bodies):
        kept.clear()
    async with httpx2.AsyncClient(base_url=address, timeout=15.0) as pages:
        yield House(pages, merchant)


def order(secret: bytes = SECRET, **changed: Any) -> dict[str, str]:
    """What the API puts into the address of the pay page."""
    content = {
        "order_id": str(uuid4()),
        "amount": "1234.50",
        "currency": "MXN",
        "description": "Pago de 2 créditos",
        "return_url": RETURN,
        "expires_at": int(time.time()) + 600,
        **changed,
    }
    return signed(json.dumps(content).encode(), secret)


def signed(content: bytes, secret: bytes = SECRET) -> dict[str, str]:
    """Any content as an order."""
    payload = urlsafe_b64encode(content).rstrip(b"=").decode()
    return {"order": payload, "signature": hmac.new(secret, f"order.{payload}".encode(), "sha256").hexdigest()}


async def told(house: House, count: int) -> list[dict[str, Any]]:
    """The first notices, once so many have come."""
    await eventually(lambda: len(house.merchant.bodies) >= count, 15.0)
    return house.merchant.notices


async def test_the_page_shows_the_order_and_lets_nothing_else_in(house: House) -> None:
    answer = await house.pages.get("/pay", params=order(description="<b>Pago</b>"))
    assert answer.status_code == 200
    assert "&lt;b&gt;Pago&lt;/b&gt;" in answer.text
    assert "$1,234.50" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://testserver" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert re.findall(r"<script|<style| style=| on\w+=", answer.text) == []
    assert (await house.pages.get("/style.css")).headers["content-type"].startswith("text/css")


async def test_a_payment_is_told_before_the_borrower_comes_back(house: House) -> None:
    answer = await house.choose(order(), "pay")
    assert (answer.status_code, answer.headers["location"]) == (303, RETURN)
    [notice] = house.merchant.notices
    assert (notice["status"], notice["amount"], notice["sequence"]) == ("paid", "1234.50", 1)
    assert re.fullmatch(r"SB[0-9A-Z]{14}", notice["transaction_code"])
    [head], [body] = house.merchant.heads, house.merchant.bodies
    assert head.startswith("POST /api/v1/gateway/notices HTTP/1.1\r\n")
    [(at, code)] = re.findall(r"(?i)^sofipo-signature: t=(\d+),v1=([0-9a-f]{64})\r$", head, re.MULTILINE)
    assert hmac.new(SECRET, f"{at}.".encode() + body, "sha256").hexdigest() == code
    assert abs(int(at) - time.time()) < 60


async def test_an_order_is_paid_once_however_often_the_button_is_pressed(house: House) -> None:
    mine = order()
    answers = await asyncio.gather(*(house.choose(mine, "pay") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({notice["transaction_code"] for notice in await told(house, 1)}) == 1
    shown = (await house.pages.get("/pay", params=mine)).text
    assert "ya está pagada" in shown
    assert "<form" not in shown
    assert len(house.merchant.bodies) == 1


async def test_a_notice_is_repeated_until_it_is_taken_each_time_signed_anew(house: House) -> None:
    house.merchant.answers.extend([(503, {}), (401, {}), (302, {})])
    await house.choose(order(), "pay")
    notices = await told(house, 4)
    assert [notice == notices[0] for notice in notices] == [True] * 4
    times = [house.merchant.signed_at(number) for number in range(4)]
    assert times == sorted(times)
    assert times[-1] > times[0]


async def test_a_notice_that_is_not_taken_holds_up_no_other(house: House) -> None:
    first, second = str(uuid4()), str(uuid4())
    house.merchant.unwanted.add(first)
    for order_id in (first, second):
        await house.choose(order(order_id=order_id), "pay")
    seen = [notice["order_id"] for notice in house.merchant.notices]
    assert (seen[0], seen.count(second)) == (first, 1), "taken while the first is told again and again"
    house.merchant.unwanted.clear()
    await told(house, len(seen) + 1)
    codes = {notice["order_id"]: notice["transaction_code"] for notice in house.merchant.notices}
    assert house.merchant.notices[-1]["order_id"] == first
    assert codes[first] != codes[second]


async def test_a_refusal_is_told_and_the_order_can_still_be_paid(house: House) -> None:
    mine = order()
    assert (await house.choose(mine, "refuse")).status_code == 303
    assert "El último intento fue rechazado" in (await house.pages.get("/pay", params=mine)).text
    await house.choose(mine, "pay")
    found = [(notice["status"], notice["sequence"]) for notice in await told(house, 2)]
    assert found == [("refused", 1), ("paid", 2)]
    assert len({notice["transaction_code"] for notice in house.merchant.notices}) == 2


async def test_it_can_be_told_twice_late_and_out_of_order(house: House) -> None:
    await house.choose(order(), "pay_twice")
    twice = await told(house, 2)
    assert twice[0] == twice[1]

    await house.choose(order(), "disorder")
    found = [(notice["status"], notice["sequence"]) for notice in (await told(house, 4))[2:]]
    assert found == [("paid", 2), ("refused", 1)]

    answer = await house.choose(order(), "pay_late")
    assert (await told(house, 5))[4]["status"] == "paid"
    # By the gateway's clock: we may have stood still between the two.
    answered_at = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert house.merchant.signed_at(4) - answered_at > LATE_SECONDS - 1.5


async def test_money_that_the_merchant_does_not_want_is_given_back(house: House) -> None:
    house.merchant.answers.append((200, {"outcome": "refund"}))
    mine = order(description="Para devolver")
    await house.choose(mine, "pay")
    assert "el dinero se devolvió" in (await house.pages.get("/pay", params=mine)).text
    overview = (await house.pages.get("/")).text
    assert re.search(r"Para devolver</h2>.*?Devuelta", overview, re.DOTALL)


async def test_what_became_of_an_order_is_listed(house: House) -> None:
    mine = order(description="Para la lista")
    await house.pages.get("/pay", params=mine)
    assert re.search(r"Para la lista</h2>.*?Abierta", (await house.pages.get("/")).text, re.DOTALL)
    await house.choose(mine, "pay")
    overview = (await house.pages.get("/")).text
    assert re.search(rf"Pagada.*?{house.merchant.notices[0]['transaction_code']}", overview, re.DOTALL)


REFUSED = {
    "nothing": {},
    "no signature": {"order": order()["order"]},
    "another secret": signed(b"{}", b"another"),
    "the signature of another order": {**order(), "signature": order()["signature"]},
    "no base64": {"order": "*", "signature": hmac.new(SECRET, b"order.*", "sha256").hexdigest()},
    "no JSON": signed(b"{"),
    "no object": signed(b"[]"),
    "no order": signed(b"{}"),
    "another place than the web to come back to": order(return_url="javascript:alert(1)"),
    "an amount that is none": order(amount="NaN"),
    "too long": order(description="x" * 5000),
    "no ASCII": {"order": "ñ", "signature": "ñ"},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_the_api_did_not_sign_is_neither_shown_nor_paid(house: House, what: str) -> None:
    for answer in (await house.pages.get("/pay", params=REFUSED[what]), await house.choose(REFUSED[what], "pay")):
        assert answer.status_code == 400
        assert "No se cobró nada" in answer.text
        assert "<form" not in answer.text
    assert house.merchant.bodies == []


async def test_an_order_whose_time_is_over_is_not_paid_but_one_that_was_paid_is_still_shown() -> None:
    now = 1_000.0
    settings = Settings(api_port=free_port())  # nobody is there: what it is told is told in vain
    secret = settings.gateway_secret.get_secret_value().encode()
    mine, late = order(secret, expires_at=1_060), order(secret, expires_at=1_000)
    app = create_app(settings, lambda: now)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway") as pages,
    ):
        assert "El tiempo para pagar" in (await pages.get("/pay", params=late)).text
        refused = await pages.post("/pay", data={**late, "action": "pay"})
        assert refused.status_code == 400
        assert RETURN in refused.text
        await pages.post("/pay", data={**mine, "action": "pay"})
        now = 2_000.0
        assert "ya está pagada" in (await pages.get("/pay", params=mine)).text


@pytest.fixture(scope="module")
async def deployed(settings: ApiSettings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    """The API and a gateway as processes that know each other: the address of one, the page of the other."""
    folder, port = tmp_path_factory.mktemp("deployed"), free_port()
    page = f"http://127.0.0.1:{port}/pay"
    async with (
        api_process(folder, POSTGRES_DB=settings.postgres_db, GATEWAY_URL=page) as (_, address),
        gateway_process(folder, port=port, API_HOST="127.0.0.1", API_PORT=address.rpartition(":")[2]),
    ):
        yield address, page


@pytest.mark.parametrize("action", ["pay", "pay_twice", "disorder"])
async def test_what_the_api_signs_can_be_paid_and_the_api_believes_what_it_is_told(
    action: str, app: FastAPI, api: httpx2.AsyncClient, deployed: tuple[str, str]
) -> None:
    loan, (address, page) = await new_loan(api), deployed
    async with (
        signed_in_as(app, Role.CLIENT, loan["client_id"]) as borrower,
        httpx2.AsyncClient(base_url=address, headers=borrower.headers, timeout=15.0) as http,
        httpx2.AsyncClient(timeout=15.0) as browser,
    ):
        await http.post("/api/v1/me/cart/items", json={"loan_id": loan["id"], "installments": 2})
        checkout = (await http.post("/api/v1/me/cart/checkout", json={})).json()
        shown = await browser.get(checkout["pay_url"])
        assert shown.status_code == 200, shown.text
        fields = dict(re.findall(r'name="(order|signature)" value="([^"]+)"', shown.text))
        answer = await browser.post(page, data={**fields, "action": action})
        assert answer.status_code == 303
        assert answer.headers["location"].endswith(f"/espacio/pagar/{checkout['id']}")
        found = await get(http, f"/api/v1/me/checkouts/{checkout['id']}")
        assert (found["status"], found["total"]) == ("PAID", checkout["total"])
        [payment] = (await get(http, "/api/v1/me/payments"))["data"]
        assert payment["reference"] == found["transaction_code"]


async def test_an_unknown_choice_does_nothing(house: House) -> None:
    answer = await house.choose(order(), "steal")
    assert answer.status_code == 400
    assert house.merchant.bodies == []


async def test_a_form_that_is_too_large_is_not_read(house: House) -> None:
    answer = await house.pages.post("/pay", content=b"order=" + b"x" * 20_000)
    assert answer.status_code == 400


async def test_production_has_none() -> None:
    code, output = await try_command("-m", "sandbox_gateway", ENVIRONMENT="production")
    assert code == 0
    assert "ENVIRONMENT=production has no sandbox" in output


async def test_a_setting_that_cannot_be_read_is_named() -> None:
    code, output = await try_command("-m", "sandbox_gateway", SANDBOX_GATEWAY_PORT="a-port")
    assert (code, output) == (1, "sandbox-gateway: these settings cannot be read: SANDBOX_GATEWAY_PORT\n")
