"""The pages of the customer space: who gets in, what forms are taken, what each page shows, and to whom."""

import asyncio
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from secrets import token_hex
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth.defence import SignInDelayed
from backend_api.auth.permissions import Role
from backend_api.auth.service import IDLE
from backend_api.clients.statement.spanish import amount
from backend_api.customer_space.pages import words as sentences
from backend_api.customer_space.pages.endpoints import routes
from backend_api.customer_space.pages.space import SPACE as OURS
from backend_api.customer_space.pages.words import WORDS
from backend_api.db.pools import Connection
from backend_api.domain.errors import DomainError
from backend_api.http.resources import Resources
from backend_api.loans.views import Course
from backend_api.pages import chart
from backend_api.settings import Environment, Settings
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pypdf import PdfReader

from tests.support.builders import LOANS, Json, get, new_client, new_loan, pay
from tests.support.customer_space import ME, notice_of, told
from tests.support.pages import OPENED, SPACE, Page, Visitor, location
from tests.support.problems import problem
from tests.support.replica import frozen
from tests.support.sabotage import damaged_loan
from tests.support.service import ADDRESS, client_of, create_user, running
from tests.support.waiting import eventually

PASSWORD = "tres tristes tigres"
HEAVIEST = 200_000
ACCESS, REFRESH, VISIT = OURS.access, OURS.refresh, OURS.visit
OF_EVERYBODY = {"pageSignIn", "pageSignInSend", "pageInvitation", "pageInvitationSend", "pageUnknown"}
PAGES = [
    (route.path.replace(":path", ""), method, route.operation_id not in OF_EVERYBODY)
    for route in routes()
    if isinstance(route, APIRoute)
    for method in route.methods or ()
]
CLOSED = [(path, method) for path, method, closed in PAGES if closed]
FORMS = [path for path, method, _ in PAGES if method == "POST"]
SHOWN = [path for path, method, _ in PAGES if method == "GET" and "pdf" not in path]


@dataclass(frozen=True)
class Space:
    """A borrower who is signed in, with a loan and a payment."""

    visitor: Visitor
    username: str
    client_id: str
    loan: Json
    payment_id: str

    def path(self, template: str) -> str:
        """An address with this borrower's objects in it."""
        return template.format(loan_id=self.loan["id"], payment_id=self.payment_id, checkout_id=uuid4(), anything="x")


@pytest.fixture
async def space(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Space]:
    """A new one for each test."""
    async with client_of(app) as client:
        yield await new_space(app, api, client)


@pytest.fixture
async def other(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Space]:
    """Somebody else."""
    async with client_of(app) as client:
        yield await new_space(app, api, client)


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    async with client_of(app) as client:
        yield Visitor(client)


async def new_space(app: FastAPI, api: httpx2.AsyncClient, client: httpx2.AsyncClient) -> Space:
    """A borrower in front of their debts."""
    owner = await new_client(api, full_name="María <b>López</b>")
    loan = await new_loan(api, owner["id"], amount="12000.00")
    paid = (await pay(api, loan["id"], "500.00")).json()["id"]
    username = f"maria-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, Role.CLIENT, UUID(owner["id"]))
    visitor = Visitor(client)
    assert location(await visitor.sign_in(username, PASSWORD)) == SPACE
    return Space(visitor, username, owner["id"], loan, paid)


async def add(space: Space, **fields: str) -> httpx2.Response:
    """Put something of the loan into the cart."""
    fields = fields or {"pagos": "1"}
    return await space.visitor.send(f"{SPACE}/carrito/agregar", SPACE, credito=space.loan["id"], **fields)


async def confirm(space: Space) -> httpx2.Response:
    """Press the button of the page that confirms."""
    page = await space.visitor.get(f"{SPACE}/pagar")
    fields = {field["name"]: field["value"] for field in page.all("input")}
    return await space.visitor.post(f"{SPACE}/pagar", fields)


async def paid(space: Space, anonymous: httpx2.AsyncClient) -> tuple[str, str]:
    """Fill the cart and pay it: the page of the order, and the payment's."""
    await add(space)
    order = ordered(location(await confirm(space)))
    outcome = await told(anonymous, notice_of(order, code=f"T-{token_hex(6)}"))
    return f"{SPACE}/pagar/{order['id']}", f"{SPACE}/pagos/{outcome['payment_id']}"


def ordered(pay_url: str) -> Json:
    """What the gateway reads in the address of its page."""
    payload = parse_qs(urlsplit(pay_url).query)["order"][0]
    order = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {"id": order["order_id"], "total": order["amount"]}


# Who gets in


@pytest.mark.parametrize(("path", "method"), CLOSED)
async def test_whoever_is_not_signed_in_gets_to_the_sign_in_page(path: str, method: str, visitor: Visitor) -> None:
    address = path.format(loan_id=uuid4(), payment_id=uuid4(), checkout_id=uuid4())
    answer = await visitor.client.request(method, address, headers=OPENED)
    back = address if method == "GET" else SPACE
    assert location(answer) == f"{SPACE}/entrar?ir={back.replace('/', '%2F')}"


async def test_signing_in_leads_to_where_one_wanted_to_go(app: FastAPI, space: Space) -> None:
    async with client_of(app) as client:
        visitor = Visitor(client)
        wanted = f"{SPACE}/movimientos?desde=2026-01-01"
        sign_in = location(await client.get(wanted))
        page = await visitor.get(sign_in)
        fields = {field["name"]: field.get("value", "") for field in page.all("input")}
        answer = await visitor.post(f"{SPACE}/entrar", fields | {"usuario": space.username, "contrasena": PASSWORD})
        assert location(answer) == wanted
        assert location(await client.get(sign_in)) == wanted  # nobody signs in twice


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "/espacio//evil.example", "/espacio/../docs",
        "/docs", "espacio", "/espacio.evil.example", "/espacio@evil.example", "/espacio/\r\nX: y",
        "javascript:alert(1)",
    ],
)  # fmt: skip
async def test_nobody_is_led_elsewhere(target: str, space: Space) -> None:
    async with client_of_visitor(space) as visitor:
        page = await visitor.get(f"{SPACE}/entrar?{urlencode({'ir': target})}")
        assert [field["value"] for field in page.all("input") if field["name"] == "ir"] == [SPACE]
        assert location(await visitor.sign_in(space.username, PASSWORD, ir=target)) == SPACE


@asynccontextmanager
async def client_of_visitor(space: Space) -> AsyncIterator[Visitor]:
    """Another browser at the same application."""
    transport = space.visitor.client._transport
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield Visitor(client)


async def test_a_session_is_two_cookies_that_no_script_reads(space: Space) -> None:
    async with client_of_visitor(space) as visitor:
        cookies = cookies_of(await visitor.sign_in(space.username, PASSWORD))
    assert set(cookies) == {ACCESS, REFRESH}
    for attributes in cookies.values():
        assert {"httponly", "samesite=lax", "path=/"} <= attributes
        assert "secure" not in attributes
        assert not any(part.startswith("domain") for part in attributes)


async def test_in_production_they_are_bound_to_the_host_and_to_tls(space: Space, settings: Settings) -> None:
    production = settings.model_copy(update={"environment": Environment.PRODUCTION})
    async with (
        running(production) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://testserver") as client,
    ):
        visitor = Visitor(client)
        opened = await client.get(f"{SPACE}/entrar", headers=OPENED)
        signed = await visitor.sign_in(space.username, PASSWORD)
        cookies = cookies_of(opened) | cookies_of(signed)
        assert set(cookies) == {f"__Host-{name}" for name in (ACCESS, REFRESH, VISIT)}
        assert all({"secure", "httponly", "path=/"} <= attributes for attributes in cookies.values())
        assert (await visitor.get(SPACE)).heading == "Mis deudas"


def cookies_of(answer: httpx2.Response) -> dict[str, set[str]]:
    """The attributes of the cookies that an answer sets."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        first, *rest = line.split(";")
        found[first.partition("=")[0]] = {part.strip().lower() for part in rest}
    return found


async def test_a_wrong_password_is_told_in_words(space: Space) -> None:
    async with client_of_visitor(space) as visitor:
        for username in (space.username, '"><script>alert(1)</script>', "x" * 101, "a\x00b"):
            answer = await visitor.sign_in(username, "incorrecta")
            page = Page(answer)
            assert (page.status, page.heading) == (422, "Entrar")
            assert WORDS.of_code("sign_in_refused") in page.text
            assert "<script>alert" not in answer.text
            assert not cookies_of(answer).keys() & {ACCESS, REFRESH}


async def test_the_office_has_no_way_in_and_no_session_left(app: FastAPI, visitor: Visitor, owner: Connection) -> None:
    username = f"officer-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, Role.OFFICER)
    answer = await visitor.sign_in(username, PASSWORD)
    assert (answer.status_code, WORDS.of_code("not_for_staff") in Page(answer).text) == (403, True)
    assert not cookies_of(answer).keys() & {ACCESS, REFRESH}
    ended = await owner.fetch(
        "SELECT ended_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = $1", username
    )
    assert [session["ended_at"] is not None for session in ended] == [True]


async def test_a_token_of_the_office_in_the_cookie_opens_nothing(admin: dict[str, str], visitor: Visitor) -> None:
    visitor.client.cookies.set(ACCESS, admin["Authorization"].removeprefix("Bearer "))
    assert WORDS.of_status(403) in (await visitor.get(SPACE, 403)).text


async def test_an_invitation_becomes_a_password(app: FastAPI, api: httpx2.AsyncClient, visitor: Visitor) -> None:
    client, username = await new_client(api), f"nueva-{token_hex(4)}"
    body = {"username": username, "role": "client", "client_id": client["id"]}
    code = (await api.post("/api/v1/users", json=body)).json()["one_time_secret"]
    page = await visitor.get(f"{SPACE}/invitacion?usuario={username}")
    assert username in [field.get("value") for field in page.all("input")]

    async def choose(code: str, password: str, again: str) -> httpx2.Response:
        fields = {"usuario": username, "codigo": code, "contrasena": password, "repetida": again}
        return await visitor.send(f"{SPACE}/invitacion", f"{SPACE}/invitacion", **fields)

    for refused, code_of_refusal in (
        (await choose(code, PASSWORD, "otra cosa distinta"), "passwords_differ"),
        (await choose(code, "corta", "corta"), "password_length"),
        (await choose("otro-codigo", PASSWORD, PASSWORD), "reset_refused"),
        (await choose("con espacio", PASSWORD, PASSWORD), "reset_refused"),
    ):
        assert (refused.status_code, WORDS.of_code(code_of_refusal) in Page(refused).text) == (422, True)
    assert location(await choose(code, PASSWORD, PASSWORD)) == f"{SPACE}/entrar?aviso=contrasena"
    assert location(await visitor.sign_in(username, PASSWORD)) == SPACE
    used = await client_of_code(app, username, code)
    assert WORDS.of_code("reset_refused") in Page(used).text


async def client_of_code(app: FastAPI, username: str, code: str) -> httpx2.Response:
    """What somebody gets who uses the code once more."""
    async with client_of(app) as client:
        fields = {"usuario": username, "codigo": code, "contrasena": "otra frase muy larga"}
        repeated = fields | {"repetida": fields["contrasena"]}
        return await Visitor(client).send(f"{SPACE}/invitacion", f"{SPACE}/invitacion", **repeated)


async def test_an_access_token_that_ran_out_is_renewed_without_a_word(space: Space) -> None:
    cookies = space.visitor.client.cookies
    before = cookies[REFRESH]
    del cookies[ACCESS]
    assert (await space.visitor.get(SPACE)).heading == "Mis deudas"
    assert ACCESS in cookies
    assert cookies[REFRESH] != before
    del cookies[ACCESS]
    # The form of a page of before still counts: the session is the same.
    assert location(await add(space)).startswith(SPACE)


async def test_a_form_is_taken_although_the_token_ran_out_while_it_was_filled_in(space: Space) -> None:
    token = (await space.visitor.get(SPACE)).token
    del space.visitor.client.cookies[ACCESS]
    answer = await space.visitor.post(
        f"{SPACE}/carrito/agregar", {"csrf": token, "credito": space.loan["id"], "pagos": "1"}
    )
    assert "aviso=agregado" in location(answer)
    assert set(cookies_of(answer)) == {ACCESS, REFRESH}


async def test_several_pages_at_once_are_renewed_alike(space: Space) -> None:
    del space.visitor.client.cookies[ACCESS]
    answers = await asyncio.gather(*(space.visitor.client.get(SPACE, headers=OPENED) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_session_that_was_idle_too_long_ends_at_the_sign_in_page(space: Space, owner: Connection) -> None:
    del space.visitor.client.cookies[ACCESS]
    await owner.execute(
        "UPDATE sessions SET last_used_at = last_used_at - $1::interval FROM users u"
        " WHERE u.id = sessions.user_id AND u.username = $2",
        IDLE,
        space.username,
    )
    answer = await space.visitor.client.get(SPACE, headers=OPENED)
    assert location(answer).startswith(f"{SPACE}/entrar")
    assert not {ACCESS, REFRESH} & set(space.visitor.client.cookies)


async def test_signing_out_ends_the_session_everywhere(space: Space, anonymous: httpx2.AsyncClient) -> None:
    kept = dict(space.visitor.client.cookies)
    assert location(await space.visitor.send(f"{SPACE}/salir", SPACE)) == f"{SPACE}/entrar?aviso=adios"
    assert not {ACCESS, REFRESH} & set(space.visitor.client.cookies)
    refreshed = await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": kept[REFRESH]})
    assert refreshed.status_code == 401
    bearer = {"Authorization": f"Bearer {kept[ACCESS]}"}

    async def is_over() -> bool:
        return (await anonymous.get("/api/v1/auth/me", headers=bearer)).status_code == 401

    await eventually(is_over)


async def test_a_password_is_changed_and_all_other_sessions_end(space: Space, visitor: Visitor) -> None:
    path, chosen = f"{SPACE}/contrasena", "cuatro gatos pardos"
    await visitor.sign_in(space.username, PASSWORD)
    fields = {"actual": PASSWORD, "contrasena": chosen, "repetida": chosen}
    assert location(await space.visitor.send(path, path, **fields)) == f"{SPACE}?aviso=cambiada"

    assert sentences.NOTICES["cambiada"] in (await space.visitor.get(f"{SPACE}?aviso=cambiada")).text
    assert (await space.visitor.send(f"{SPACE}/carrito/vaciar", SPACE)).status_code == 303  # with its own new session

    async def is_over() -> bool:
        return (await visitor.client.get(SPACE, headers=OPENED)).status_code == 303

    await eventually(is_over)
    assert (await visitor.sign_in(space.username, PASSWORD)).status_code == 422
    assert location(await visitor.sign_in(space.username, chosen)) == SPACE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"actual": "otra cosa"}, "password_wrong"),
        ({"actual": ""}, "password_wrong"),
        ({"actual": "x" * 200}, "password_wrong"),
        ({"contrasena": "corta", "repetida": "corta"}, "password_length"),
        ({"contrasena": "x" * 200, "repetida": "x" * 200}, "password_length"),
        ({"contrasena": "123456789012", "repetida": "123456789012"}, "password_common"),
        ({"repetida": "cuatro gatos negros"}, "passwords_differ"),
    ],
)
async def test_a_password_that_is_not_changed_is_told_in_the_form(
    fields: dict[str, str], code: str, space: Space, visitor: Visitor
) -> None:
    path = f"{SPACE}/contrasena"
    whole = {"actual": PASSWORD, "contrasena": "cuatro gatos pardos", "repetida": "cuatro gatos pardos", **fields}
    page = Page(await space.visitor.send(path, path, **whole))
    assert (page.status, page.heading, WORDS.of_code(code) in page.text) == (422, "Cambiar contraseña", True)
    assert not any(value and value in page.source for value in whole.values())
    assert location(await visitor.sign_in(space.username, PASSWORD)) == SPACE


# Forms


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_its_token_is_refused(path: str, space: Space) -> None:
    address = space.path(path)
    await space.visitor.get(f"{SPACE}/invitacion")
    for fields in ({"x": ""}, {"csrf": ""}, {"csrf": "x"}, {"csrf": "é"}):
        answer = await space.visitor.post(address, fields)
        assert (answer.status_code, WORDS.of_code("form_refused") in Page(answer).text) == (403, True)
    assert (await get_cart(space))["items"] == []


@pytest.mark.parametrize("path", FORMS)
async def test_the_token_of_another_session_is_refused(path: str, space: Space, other: Space) -> None:
    foreign = (await other.visitor.get(SPACE)).token
    assert (await space.visitor.post(space.path(path), {"csrf": foreign})).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
async def test_what_another_site_sends_is_refused_whatever_it_knows(headers: dict[str, str], space: Space) -> None:
    fields = {"credito": space.loan["id"], "pagos": "1"}
    refused = await space.visitor.send(f"{SPACE}/carrito/agregar", SPACE, headers, **fields)
    assert refused.status_code == 403
    assert (await get_cart(space))["items"] == []
    own = {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}
    assert (await space.visitor.send(f"{SPACE}/carrito/agregar", SPACE, own, **fields)).status_code == 303


async def test_only_forms_are_read(space: Space) -> None:
    token = (await space.visitor.get(SPACE)).token
    client = space.visitor.client
    path = f"{SPACE}/carrito/vaciar"
    assert (await client.post(path, json={"csrf": token}, headers=OPENED)).status_code == 415
    assert (await client.post(path, files={"csrf": (None, token)}, headers=OPENED)).status_code == 415
    large = {"csrf": token, "x": "y" * 2_000_000}
    assert (await client.post(path, data=large, headers=OPENED)).status_code == 413


async def test_a_method_that_a_page_does_not_know_is_refused_as_a_page(space: Space) -> None:
    for path in (f"{SPACE}/movimientos", f"{SPACE}/nada"):
        answer = await space.visitor.post(path, {})
        assert (answer.status_code, WORDS.of_status(405) in Page(answer).text) == (405, True)
        assert answer.headers["allow"] == "GET"


# What nobody foresaw


async def test_an_unexpected_error_is_a_page_and_the_session_goes_on(space: Space, owner: Connection) -> None:
    path, client = f"{SPACE}/creditos/{space.loan['id']}", space.visitor.client
    async with damaged_loan(owner, space.loan["id"]):

        async def fails() -> bool:
            return (await client.get(path, headers=OPENED)).status_code == 500

        await eventually(fails)  # as soon as the replica has it
        del client.cookies[ACCESS]
        answer = await client.get(path, headers=OPENED | {"X-Request-ID": "call-9"})
        page = Page(answer)
        assert (page.status, page.heading) == (500, "Algo falló de nuestro lado")
        assert "Referencia para aclaraciones: call-9" in page.text
        assert "a sheet of terms" not in page.source
        assert page.headers["cache-control"] == "no-store"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"
        assert ACCESS in client.cookies  # what was renewed for the page stays renewed
        pdf = await client.get(f"{SPACE}/movimientos/estado-de-cuenta.pdf", headers=OPENED)
        assert (pdf.status_code, Page(pdf).heading) == (500, page.heading)
        headers = {"Authorization": f"Bearer {client.cookies[ACCESS]}"}
        problem(await client.get(f"{LOANS}/{space.loan['id']}/schedule", headers=headers), 500, "internal_error")


async def test_so_is_one_after_a_form(space: Space, owner: Connection) -> None:
    async with damaged_loan(owner, space.loan["id"]):
        token = (await space.visitor.get(f"{SPACE}/carrito")).token
        fields = {"csrf": token, "credito": space.loan["id"], "pagos": "1"}
        answer = await space.visitor.post(f"{SPACE}/carrito/agregar", fields)
    assert (answer.status_code, Page(answer).heading) == (500, "Algo falló de nuestro lado")


async def get_cart(space: Space) -> Json:
    """The borrower's cart as JSON tells it."""
    access = space.visitor.client.cookies[ACCESS]
    return await get(space.visitor.client, f"{ME}/cart", headers={"Authorization": f"Bearer {access}"})


# What stands on them


@pytest.mark.parametrize("path", SHOWN)
async def test_every_page_is_light_holds_no_script_and_is_kept_by_nobody(
    path: str, space: Space, anonymous: httpx2.AsyncClient, settings: Settings
) -> None:
    order, payment = await paid(space, anonymous)
    address = path.format(
        loan_id=space.loan["id"],
        payment_id=payment.rpartition("/")[2],
        checkout_id=order.rpartition("/")[2],
        anything="nada",
    )
    answer = await space.visitor.client.get(address, headers=OPENED)
    if answer.status_code == 303:
        assert address == f"{SPACE}/entrar"
        return
    assert answer.status_code == (404 if address.endswith("nada") else 200), answer.text
    page = Page(answer)
    assert "no-store" in page.headers["cache-control"]
    if "estado-de-cuenta" in address:
        return
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    gateway = settings.gateway_url.removesuffix("/pay")
    assert policy["form-action"] == (f"'self' {gateway}" if address == f"{SPACE}/pagar" else "'self'")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert [each for each in page.all("script") if "src" not in each] == page.all("style") == []
    assert not any(name == "style" or name.startswith("on") for _, attributes in page.elements for name in attributes)
    own = [each["src"] for each in page.all("script") + page.all("img")] + [each["href"] for each in page.all("link")]
    assets = [await anonymous.get(asset) for asset in set(own)]
    assert {asset.status_code for asset in assets} == {200}
    assert all("immutable" in asset.headers["cache-control"] for asset in assets)
    assert page.size + sum(len(asset.content) for asset in assets) < HEAVIEST
    assert "<b>" not in answer.text


async def test_an_unknown_asset_is_not_there(anonymous: httpx2.AsyncClient, visitor: Visitor) -> None:
    style = (await visitor.get(f"{SPACE}/entrar")).all("link")[-1]["href"]
    assert (await anonymous.get(style)).headers["content-type"].startswith("text/css")
    assert (await anonymous.get(style.replace("sofipo.css", "README.md"))).status_code == 404


async def test_debts_are_told_loan_by_loan(space: Space) -> None:
    page = await space.visitor.get(SPACE)
    debts = await get_debts(space)
    assert page.heading == "Mis deudas"
    for shown in (debts["payoff"], debts["next_due"]):
        assert amount(Decimal(shown)) in page.text
    assert f"Crédito {space.loan['folio']}" in page.text


async def get_debts(space: Space) -> Json:
    """What JSON says of the same."""
    access = space.visitor.client.cookies[ACCESS]
    return await get(space.visitor.client, f"{ME}/debts", headers={"Authorization": f"Bearer {access}"})


async def test_who_owes_nothing_is_told_so(app: FastAPI, visitor: Visitor) -> None:
    username = f"maria-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, Role.CLIENT)
    await visitor.sign_in(username, PASSWORD)
    assert "No debe nada" in (await visitor.get(SPACE)).text
    assert "Su carrito está vacío" in (await visitor.get(f"{SPACE}/pagar")).text


async def test_a_loan_shows_its_schedule_and_the_picture_of_its_balance(space: Space, api: httpx2.AsyncClient) -> None:
    page = await space.visitor.get(f"{SPACE}/creditos/{space.loan['id']}")
    schedule = await get(api, f"{LOANS}/{space.loan['id']}/schedule")
    for row in schedule["installments"]:
        assert amount(Decimal(row["total"])) in page.text
    assert [each["role"] for each in page.all("svg")] == ["img"]
    assert "Hoy debe $11,500.00 de capital" in page.text


async def test_a_loan_that_waits_has_a_plan_and_no_picture(space: Space, api: httpx2.AsyncClient) -> None:
    waiting = await new_loan(api, space.client_id, status="PENDING")
    page = await space.visitor.get(f"{SPACE}/creditos/{waiting['id']}")
    assert page.all("svg") == []
    assert "Por disponer" in page.text


async def test_movements_hold_payments_and_lead_to_the_statement(space: Space) -> None:
    page = await space.visitor.get(f"{SPACE}/movimientos")
    assert f"{SPACE}/pagos/{space.payment_id}" in [link["href"] for link in page.all("a")]
    assert "Disposición del crédito" in page.text
    [pdf] = [link["href"] for link in page.all("a") if link.get("id") == "estado-pdf"]
    file = await space.visitor.client.get(pdf)
    assert file.headers["content-type"] == "application/pdf"
    assert "Estado de cuenta" in PdfReader(BytesIO(file.content)).pages[0].extract_text()


async def test_movements_hold_commissions_and_what_was_given_back(
    space: Space, settings: Settings, anonymous: httpx2.AsyncClient
) -> None:
    assert "Comisiones del periodo" not in (await space.visitor.get(f"{SPACE}/movimientos")).text
    dear = settings.model_copy(update={"cart_commission": Decimal("2.50")})
    async with running(dear) as app, client_of(app) as client:
        visitor = Visitor(client)
        await visitor.sign_in(space.username, PASSWORD)
        _, payment = await paid(replace(space, visitor=visitor), anonymous)
        text = (await visitor.get(f"{SPACE}/movimientos")).text
        assert "Comisiones del periodo" in text
        assert ("$2.50" in text, "$0.40" in text, "$2.90" in text) == (True, True, True)
        assert "Cancelación: comisión" not in text
        await visitor.send(f"{payment}/anular", f"{payment}/anular")
        after = (await visitor.get(f"{SPACE}/movimientos")).text
        assert "Cancelación: comisión por pago en línea" in after
        assert amount(Decimal("-2.90")) in after


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("desde=2026-02-30", "date_malformed"),
        ("desde=ayer", "date_malformed"),
        ("desde=2026-03-01&hasta=2026-02-01", "period_reversed"),
        ("desde=2020-01-01&hasta=2026-01-01", "period_too_long"),
        ("desde=0001-01-01&hasta=0001-01-02", "date_out_of_range"),
    ],
)
async def test_a_period_that_is_none_is_told_in_words(query: str, code: str, space: Space) -> None:
    assert WORDS.of_code(code) in (await space.visitor.get(f"{SPACE}/movimientos?{query}", 422)).text
    assert WORDS.of_code(code) in (await space.visitor.get(f"{SPACE}/movimientos/estado-de-cuenta?{query}", 422)).text


async def test_what_is_theirs_is_unknown(space: Space, other: Space, anonymous: httpx2.AsyncClient) -> None:
    order, payment = await paid(other, anonymous)
    theirs = [
        f"{SPACE}/creditos/{other.loan['id']}", order, payment, f"{payment}/recibo.pdf", f"{payment}/anular",
        f"{SPACE}/pagos/{other.payment_id}",
    ]  # fmt: skip
    nobodys = [f"{SPACE}/creditos/{uuid4()}", f"{SPACE}/pagar/{uuid4()}", f"{SPACE}/pagos/x", f"{SPACE}/creditos/1"]
    seen = {without_reference(await space.visitor.get(path, 404)) for path in theirs + nobodys}
    assert len(seen) == 1
    answer = await space.visitor.send(f"{payment}/anular", SPACE)
    assert answer.status_code == 404
    assert (await other.visitor.get(payment)).heading == "Recibo de pago"


def without_reference(page: Page) -> str:
    """What a page says, but for the number of the request."""
    return re.sub(r"aclaraciones: \w+", "", page.text)


async def test_the_loan_of_somebody_else_does_not_get_into_the_cart(space: Space, other: Space) -> None:
    for fields in ({"pagos": "1"}, {"importe": "10.00"}):
        answer = await space.visitor.send(f"{SPACE}/carrito/agregar", SPACE, credito=other.loan["id"], **fields)
        assert (answer.status_code, WORDS.of_code("installment_not_owed") in Page(answer).text) == (409, True)
    assert (await get_cart(space))["items"] == []


# From the cart to the receipt


async def test_the_cart_holds_what_was_chosen(space: Space) -> None:
    assert "aviso=agregado" in location(await add(space, pagos="2"))
    cart, page = await get_cart(space), await space.visitor.get(f"{SPACE}/carrito")
    assert [line["number"] for line in cart["items"][0]["lines"]] == [1, 2]
    assert amount(Decimal(cart["total"])) in page.text
    await add(space, importe="$1,500.50")
    assert (await get_cart(space))["total"] == "1500.50"
    answer = await space.visitor.send(f"{SPACE}/carrito/quitar", SPACE, credito=space.loan["id"])
    assert location(answer) == f"{SPACE}/carrito?aviso=quitado"
    gone = await space.visitor.send(f"{SPACE}/carrito/quitar", SPACE, credito=space.loan["id"])
    assert WORDS.of_code("not_in_cart") in Page(gone).text
    await add(space)
    assert location(await space.visitor.send(f"{SPACE}/carrito/vaciar", SPACE)) == f"{SPACE}/carrito?aviso=vaciado"
    assert "Su carrito está vacío" in (await space.visitor.get(f"{SPACE}/carrito")).text


async def test_the_last_choice_pays_the_loan_off(space: Space) -> None:
    options = (await space.visitor.get(SPACE)).all("option")
    await add(space, pagos=options[-1]["value"])
    [item] = (await get_cart(space))["items"]
    assert item["pays_off"]
    assert item["amount"] == (await get_debts(space))["payoff"]
    assert "Liquida el crédito" in (await space.visitor.get(f"{SPACE}/carrito")).text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"importe": "99999999"}, "payment_exceeds_debt"),
        ({"importe": "0"}, "money_not_positive"),
        ({"importe": "10.005"}, "money_malformed"),
        ({"importe": "-5"}, "money_malformed"),
        ({"importe": "mil"}, "money_malformed"),
        ({"pagos": "0"}, "installment_not_owed"),
        ({"pagos": "999"}, "installment_not_owed"),
        ({"pagos": "-1"}, "installment_not_owed"),
        ({"pagos": "²"}, "installment_not_owed"),
        ({"x": "y"}, "installment_not_owed"),
    ],
)
async def test_what_cannot_be_paid_is_told_on_the_page_it_came_from(
    fields: dict[str, str], code: str, space: Space
) -> None:
    page = Page(await add(space, **fields))
    assert page.heading == "Mis deudas"
    assert WORDS.of_code(code) in page.text
    typed = [field.get("value") for field in page.all("input") if field.get("name") == "importe"]
    assert typed == [fields.get("importe")]


async def test_paying_leads_to_the_gateway_and_back_to_a_receipt(
    space: Space, anonymous: httpx2.AsyncClient, settings: Settings
) -> None:
    await add(space)
    total = (await get_cart(space))["total"]
    pay_url = location(await confirm(space))
    assert pay_url.startswith(f"{settings.gateway_url}?")
    order = ordered(pay_url)
    page = await space.visitor.get(f"{SPACE}/pagar/{order['id']}")
    assert page.heading == "Esperando la confirmación"
    assert [each["hx-get"] for each in page.all("div") if "hx-get" in each] == [f"{SPACE}/pagar/{order['id']}"]
    await told(anonymous, notice_of(order, code="T-<i>1"))
    page = await space.visitor.get(f"{SPACE}/pagar/{order['id']}")
    assert page.heading == "Pago registrado"
    assert "T-<i>1" in page.text
    assert not any("hx-get" in each for each in page.all("div"))
    [receipt] = [link["href"] for link in page.all("a") if link.get("id") == "recibo"]
    page = await space.visitor.get(receipt)
    assert amount(Decimal(total)) in page.text
    assert "T-<i>1" in page.text
    file = await space.visitor.client.get(f"{receipt}/recibo.pdf")
    text = PdfReader(BytesIO(file.content)).pages[0].extract_text()
    for told_there in ("Recibo de pago", amount(Decimal(total)), "T-<i>1", "María <b>López</b>", "CFDI"):
        assert told_there in text


async def test_a_refused_payment_may_be_tried_again(space: Space, anonymous: httpx2.AsyncClient) -> None:
    await add(space)
    pay_url = location(await confirm(space))
    order = ordered(pay_url)
    await told(anonymous, notice_of(order, code="T-1", status="refused"))
    page = await space.visitor.get(f"{SPACE}/pagar/{order['id']}")
    assert page.heading == "Pago rechazado"
    [again] = [link["href"] for link in page.all("a") if link.get("id") == "reintentar"]
    assert ordered(again) == order


async def test_an_order_that_ran_out_says_so(space: Space, owner: Connection) -> None:
    await add(space)
    order = ordered(location(await confirm(space)))
    await owner.execute("UPDATE checkouts SET expires_at = now() - interval '1 s' WHERE id = $1", UUID(order["id"]))
    page = await space.visitor.get(f"{SPACE}/pagar/{order['id']}")
    assert page.heading == "El pago venció"
    assert not any(link.get("id") == "reintentar" for link in page.all("a"))


async def test_money_that_is_given_back_is_explained(space: Space, anonymous: httpx2.AsyncClient) -> None:
    await add(space)
    order = ordered(location(await confirm(space)))
    assert (await told(anonymous, notice_of(order, code="T-1", amount="1.00")))["outcome"] == "refund"
    page = await space.visitor.get(f"{SPACE}/pagar/{order['id']}")
    assert sentences.GIVEN_BACK["amount_differs"] in page.text


@pytest.mark.usefixtures("patience")
async def test_what_the_gateway_told_is_on_every_page_also_while_the_replica_does_not_know_it(
    space: Space, anonymous: httpx2.AsyncClient, owner: Connection, resources: Resources, settings: Settings
) -> None:
    """The payment is no write of the borrower's, so no mark of theirs tells of it."""
    await add(space)
    order = ordered(location(await confirm(space)))
    loan = f"/creditos/{space.loan['id']}"
    async with frozen(resources, settings):
        before = (await space.visitor.get(f"{SPACE}{loan}")).text
        outcome = await told(anonymous, notice_of(order, code=f"T-{token_hex(6)}"))
        assert f"/pagos/{outcome['payment_id']}" in (await space.visitor.get(f"{SPACE}/movimientos")).source
        debt = amount(await owner.fetchval("SELECT current_balance FROM loans WHERE id = $1", UUID(space.loan["id"])))
        for page in (loan, "/movimientos/estado-de-cuenta"):
            assert debt in (await space.visitor.get(f"{SPACE}{page}")).text, page
        assert debt not in before


async def test_a_double_click_and_the_back_button_pay_once(space: Space, anonymous: httpx2.AsyncClient) -> None:
    await add(space)
    page = await space.visitor.get(f"{SPACE}/pagar")
    fields = {field["name"]: field["value"] for field in page.all("input")}
    first, second = [await space.visitor.post(f"{SPACE}/pagar", fields) for _ in range(2)]
    assert ordered(location(first)) == ordered(location(second))
    order = ordered(location(first))
    outcome = await told(anonymous, notice_of(order, code=f"T-{token_hex(6)}"))
    late = await space.visitor.post(f"{SPACE}/pagar", fields)
    assert location(late) == f"{SPACE}/pagar/{order['id']}"
    assert outcome["payment_id"] in (await space.visitor.client.get(location(late), headers=OPENED)).text
    assert "Su carrito está vacío" in (await space.visitor.get(f"{SPACE}/pagar")).text


async def test_a_debt_that_changed_is_shown_before_anything_is_charged(space: Space, api: httpx2.AsyncClient) -> None:
    await add(space, pagos="1")
    page = await space.visitor.get(f"{SPACE}/pagar")
    fields = {field["name"]: field["value"] for field in page.all("input")}
    before = (await get_cart(space))["total"]
    await api.post(f"{LOANS}/{space.loan['id']}/fees", json={"amount": "100.00"})
    answer = await space.visitor.post(f"{SPACE}/pagar", fields)
    now = (await get_cart(space))["total"]
    assert Decimal(now) > Decimal(before)
    shown = Page(answer)
    assert (shown.status, shown.heading) == (409, "Confirmar pago")
    for told_there in ("No se cobró nada", amount(Decimal(before)), amount(Decimal(now))):
        assert told_there in shown.text
    fields = {field["name"]: field["value"] for field in shown.all("input")}
    assert ordered(location(await space.visitor.post(f"{SPACE}/pagar", fields)))["total"] == now


async def test_what_another_tab_put_in_is_told_too(space: Space, api: httpx2.AsyncClient) -> None:
    await add(space)
    page = await space.visitor.get(f"{SPACE}/pagar")
    fields = {field["name"]: field["value"] for field in page.all("input")}
    second = await new_loan(api, space.client_id)
    await space.visitor.send(f"{SPACE}/carrito/agregar", SPACE, credito=second["id"], pagos="1")
    shown = Page(await space.visitor.post(f"{SPACE}/pagar", fields))
    assert (shown.status, "No se cobró nada" in shown.text) == (409, True)
    assert f"Crédito {second['folio']}" in shown.text


async def test_a_cart_that_expired_says_so(space: Space, owner: Connection) -> None:
    await add(space)
    page = await space.visitor.get(f"{SPACE}/pagar")
    fields = {field["name"]: field["value"] for field in page.all("input")}
    await owner.execute(
        "UPDATE carts SET expires_at = now() - interval '1 s' WHERE number = $1", int(fields["carrito"])
    )
    shown = Page(await space.visitor.post(f"{SPACE}/pagar", fields))
    assert (shown.status, WORDS.of_code("cart_gone") in shown.text) == (409, True)


async def test_a_payment_is_taken_back_after_a_question(space: Space, anonymous: httpx2.AsyncClient) -> None:
    _, payment = await paid(space, anonymous)
    debt = (await get_debts(space))["payoff"]
    question = await space.visitor.get(f"{payment}/anular")
    assert "Sí, anular el pago" in question.text
    answer = await space.visitor.send(f"{payment}/anular", f"{payment}/anular", motivo="Me \u202e equivoqué")
    assert location(answer) == f"{payment}?aviso=anulado"
    page = await space.visitor.get(location(answer))
    assert "El pago quedó anulado" in page.text
    assert not any(link.get("id") == "anular" for link in page.all("a"))
    assert Decimal((await get_debts(space))["payoff"]) > Decimal(debt)
    assert location(await space.visitor.client.get(f"{payment}/anular", headers=OPENED)) == payment
    again = await space.visitor.send(f"{payment}/anular", SPACE)
    assert (again.status_code, WORDS.of_code("payment_already_reversed") in Page(again).text) == (409, True)


async def test_after_the_window_staff_is_asked(space: Space, anonymous: httpx2.AsyncClient, owner: Connection) -> None:
    _, payment = await paid(space, anonymous)
    await owner.execute("ALTER TABLE payments DISABLE TRIGGER USER")
    await owner.execute("UPDATE payments SET posted_on = posted_on - 1 WHERE id = $1", UUID(payment.rpartition("/")[2]))
    await owner.execute("ALTER TABLE payments ENABLE TRIGGER USER")
    assert "Pedir la anulación" in (await space.visitor.get(f"{payment}/anular")).text
    answer = await space.visitor.send(f"{payment}/anular", f"{payment}/anular")
    assert location(answer) == f"{payment}?aviso=solicitado"
    page = await space.visitor.get(payment)
    assert "Pidió anular este pago" in page.text
    assert "Aplicado" in page.text
    assert not any(link.get("id") == "anular" for link in page.all("a"))
    again = await space.visitor.send(f"{payment}/anular", SPACE)
    assert WORDS.of_code("approval_pending") in Page(again).text


async def test_what_was_paid_elsewhere_has_a_receipt_and_no_way_back(space: Space) -> None:
    page = await space.visitor.get(f"{SPACE}/pagos/{space.payment_id}")
    assert "$500.00" in page.text
    assert not any(link.get("id") == "anular" for link in page.all("a"))
    answer = await space.visitor.send(f"{SPACE}/pagos/{space.payment_id}/anular", SPACE)
    assert WORDS.of_code("not_own_payment") in Page(answer).text


# Words and pictures


def test_the_picture_falls_to_nothing_and_keeps_inside_its_box() -> None:
    today = date(2026, 6, 15)
    past = (
        (date(2026, 1, 15), Decimal("48000.00")),
        (date(2026, 3, 15), Decimal("40000.00")),
        (today, Decimal("40000.00")),
    )
    coming = ((today, Decimal("40000.00")), (date(2026, 12, 15), Decimal("0.00")))
    picture = chart.picture(Course(past, coming, frozenset()))
    heights = [float(number) for number in re.findall(r"V([0-9.]+)", picture.past + picture.coming)]
    assert heights[-1] == chart.BOTTOM
    assert all(chart.TOP <= height <= chart.BOTTOM for height in heights)
    assert [text.text for text in picture.texts] == [
        "$0",
        "$20 mil",
        "$40 mil",
        "$60 mil",
        "ene 2026",
        "Hoy",
        "dic 2026",
    ]
    assert (
        picture.description
        == "Hoy debe $40,000.00 de capital; si paga cada pago en su fecha, el 15 de diciembre de 2026 no deberá nada."
    )


@pytest.mark.parametrize("balance", ["0.00", "0.01", "1.00", "999999.99", "9999999999999.99"])
def test_a_picture_of_one_day_is_a_picture_too(balance: str) -> None:
    day = date(2026, 6, 15)
    picture = chart.picture(Course(((day, Decimal(balance)),) * 2, ((day, Decimal(balance)),), frozenset()))
    assert chart.LEFT <= picture.now[0] <= chart.RIGHT
    assert chart.TOP <= picture.now[1] <= chart.BOTTOM


def test_a_refusal_that_nobody_foresaw_has_words_too() -> None:
    class Unforeseen(DomainError):
        code = "unforeseen"

    assert WORDS.of_refusal(Unforeseen()) == WORDS.of_status(418)
    assert "15 minutos" in WORDS.of_refusal(SignInDelayed(900))
    assert "un segundo" in WORDS.of_refusal(SignInDelayed(1))
