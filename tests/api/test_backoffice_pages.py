"""The pages of the back office: who may see and do what, that nothing is done twice, and how refusals are told."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from secrets import token_hex
from uuid import UUID, uuid4

import aio_pika
import httpx2
import pytest
from backend_api.auth.permissions import PERMISSIONS, Permission, Role
from backend_api.backoffice import history
from backend_api.backoffice.api import ASKED_BY_HAND
from backend_api.backoffice.endpoints import DECLARED, routes
from backend_api.backoffice.pages import ROWS, FormPage
from backend_api.backoffice.words import NOTICES, WORDS
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.outbox import broker
from backend_api.outbox.envelope import event_id
from backend_api.settings import Settings
from event_consumer.topology import Topology, declare
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.api.test_authorization_matrix import MAY, NEEDED
from tests.support.builders import LOANS, get, new_client, new_loan, pay
from tests.support.event_database import EventDatabase
from tests.support.imports import csv_file, row, work
from tests.support.pages import OPENED, SPACE, Page, Visitor, location
from tests.support.postgres import set_business_date
from tests.support.problems import problem
from tests.support.replica import caught_up
from tests.support.sabotage import damaged_loan, failing_payments
from tests.support.service import client_of, create_user, running

OFFICE = "/oficina"
GOLDEN = Path(__file__).parents[1] / "contract" / "events"
PASSWORD = "tres tristes tigres"
STAFF = (Role.ADMIN, Role.OFFICER, Role.AUDITOR)
OF_EVERYBODY = {"pageSignIn", "pageSignInSend", "pageInvitation", "pageInvitationSend", "pageUnknown"}
BY_HAND = {
    "pageSignOut": None,
    "pagePassword": None,
    "pagePasswordSend": None,
    "officeStart": "portfolio:read",
    "officeStartEvents": "audit:read",
    "officeImportNew": "imports:write",
    "officeImportSend": "imports:write",
    "officeEvents": "audit:read",
    "officeReplay": "events:replay",
}
"""What pages need that are no lists, details or forms of an operation."""
NEEDS = {
    (page.path, method): NEEDED[page.operation]
    for page in DECLARED
    for method in (("GET", "POST") if isinstance(page, FormPage) else ("GET",))
}
ROUTES = [
    (route.path, method, route.operation_id or "")
    for route in routes(OFFICE)
    if isinstance(route, APIRoute) and route.operation_id not in OF_EVERYBODY
    for method in sorted(route.methods or ())
]
FORMS = [path for path, method, _ in ROUTES if method == "POST" and not path.endswith("/importaciones/nueva")]


CHANGED = ("amount", "interest_rate", "installments")
"""The terms that the test of their form changes."""


@dataclass(frozen=True)
class Office:
    """Somebody of each role at work, and things to work on."""

    visitors: dict[Role, Visitor]
    parts: dict[str, str]

    def path(self, template: str) -> str:
        """An address with things that are there."""
        return template.format_map(self.parts)


@pytest.fixture(scope="module")
async def office(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Office]:
    """One for all tests, which leave its things as they are."""
    client = await new_client(api, full_name="Lucía <b>Ríos</b>")
    loan = await new_loan(api, client["id"], amount="12000.00")
    payment = (await pay(api, loan["id"], "500.00")).json()
    users = await get(api, "/api/v1/users", params={"limit": "1"})
    key = (await api.post("/api/v1/api-keys", json={"name": "MO App", "scopes": ["clients:read"]})).json()
    parts = {
        "client_id": client["id"], "loan_id": loan["id"], "payment_id": payment["id"], "code": "STANDARD",
        "user_id": users["data"][0]["id"], "api_key_id": key["id"], "approval_id": str(uuid4()),
        "import_id": str(uuid4()), "decoy_id": str(uuid4()),
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        visitors = {role: await signed_in(app, stack, role) for role in STAFF}
        yield Office(visitors, parts)


@pytest.fixture
async def officer_page(office: Office) -> Visitor:
    """A loan officer."""
    return office.visitors[Role.OFFICER]


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    async with client_of(app) as client:
        yield Visitor(client, OFFICE)


async def signed_in(app: FastAPI, stack: AsyncExitStack, role: Role) -> Visitor:
    """A new user of this role at the start page."""
    username = f"{role.value}-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, role)
    found = Visitor(await stack.enter_async_context(client_of(app)), OFFICE)
    assert location(await found.sign_in(username, PASSWORD)) == OFFICE
    return found


# Who gets in


async def test_whoever_is_not_signed_in_gets_to_the_sign_in_page(office: Office, visitor: Visitor) -> None:
    for path, method, _ in ROUTES:
        answer = await visitor.client.request(method, office.path(path), headers=OPENED)
        assert location(answer).startswith(f"{OFFICE}/entrar?ir="), path


async def test_a_client_has_no_way_in_and_no_session_left(app: FastAPI, visitor: Visitor, owner: Connection) -> None:
    username = f"client-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, Role.CLIENT)
    answer = await visitor.sign_in(username, PASSWORD)
    assert (answer.status_code, WORDS.of_code("not_for_clients") in Page(answer).text) == (403, True)
    assert not any(name.endswith("access") for name in visitor.client.cookies)
    sessions = "SELECT ended_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = $1"
    assert [session["ended_at"] is not None for session in await owner.fetch(sessions, username)] == [True]


async def test_the_cookie_of_the_customer_space_opens_nothing_here(app: FastAPI, visitor: Visitor) -> None:
    username = f"client-{token_hex(4)}"
    await create_user(app.state.resources, username, PASSWORD, Role.CLIENT)
    visitor.space = SPACE
    await visitor.sign_in(username, PASSWORD)
    visitor.client.cookies.set("sofipo_oficina_access", visitor.client.cookies["sofipo_espacio_access"])
    assert WORDS.of_status(403) in (await visitor.get(f"{OFFICE}/clientes", 403)).text


# Who may what


@pytest.mark.parametrize("role", STAFF)
async def test_a_role_sees_and_does_what_the_table_allows(role: Role, office: Office) -> None:
    visitor = office.visitors[role]
    token = (await visitor.get(OFFICE)).token
    found = {}
    for path, method, name in ROUTES:
        needed = BY_HAND[name] if name in BY_HAND else NEEDS[path.removeprefix(OFFICE), method]
        allowed = needed in {*MAY[role.value], None} or (needed == "events:replay" and role is Role.ADMIN)
        if not (allowed and method == "POST"):  # what is allowed is done in the tests below
            files = {"file": b"x"} if name == "officeImportSend" else None
            data = {"csrf": token} if method == "POST" else None
            answer = await visitor.client.request(method, office.path(path), data=data, files=files, headers=OPENED)
            found[method, path] = fault(answer, allowed=allowed)
    assert {page: wrong for page, wrong in found.items() if wrong} == {}


def fault(answer: httpx2.Response, *, allowed: bool) -> str | None:
    """What is wrong with how a page let somebody in or kept them out."""
    if not allowed:
        told = answer.status_code == 403 and WORDS.of_status(403) in Page(answer).text
        return None if told else f"{answer.status_code} instead of 403"
    return None if answer.status_code in (200, 404) else f"{answer.status_code} instead of 200"


def test_a_page_that_lets_everybody_in_is_found() -> None:
    """The control."""
    shown = httpx2.Response(200, text="<h1>Usuarios</h1>")
    assert fault(shown, allowed=False) == "200 instead of 403"
    assert fault(httpx2.Response(403), allowed=True) == "403 instead of 200"


def test_every_page_names_an_operation_and_only_buttons_that_are_allowed_are_shown() -> None:
    assert set(ASKED_BY_HAND) <= NEEDED.keys()
    assert Permission.EVENTS_REPLAY in PERMISSIONS[Role.ADMIN] - PERMISSIONS[Role.OFFICER] - PERMISSIONS[Role.AUDITOR]


async def test_an_auditor_is_offered_nothing_that_changes(office: Office) -> None:
    path = office.path(f"{OFFICE}/creditos/{{loan_id}}")
    seen = {role: (await office.visitors[role].get(path)).source for role in STAFF}
    assert f'href="{path}/pago"' in seen[Role.OFFICER]
    assert re.findall(f'href="{path}/([^"]+)"', seen[Role.AUDITOR]) == ["historia"]
    assert f'href="{OFFICE}/usuarios"' in seen[Role.ADMIN]
    assert f'href="{OFFICE}/usuarios"' not in seen[Role.OFFICER]


# What forms are taken


async def test_a_form_without_its_token_is_refused(office: Office) -> None:
    for path in FORMS:
        answer = await office.visitors[Role.ADMIN].post(office.path(path), {"una_vez": "x"})
        assert (answer.status_code, WORDS.of_code("form_refused") in Page(answer).text) == (403, True), path


async def test_so_is_a_file(office: Office) -> None:
    path, visitor = f"{OFFICE}/importaciones/nueva", office.visitors[Role.ADMIN]
    answer = await visitor.client.post(path, files={"file": ("a.csv", b"x")}, data={"csrf": "no"}, headers=OPENED)
    assert answer.status_code == 403
    token = (await visitor.get(path)).token
    foreign = OPENED | {"Sec-Fetch-Site": "cross-site"}
    answer = await visitor.client.post(path, files={"file": ("a.csv", b"x")}, data={"csrf": token}, headers=foreign)
    assert answer.status_code == 403
    assert (await visitor.post(path, {"csrf": token})).status_code == 415


async def test_a_page_is_light_holds_no_script_of_its_own_and_is_kept_by_nobody(office: Office) -> None:
    for path in ("", "/clientes", "/creditos/{loan_id}", "/creditos/{loan_id}/pago", "/eventos"):
        page = await office.visitors[Role.ADMIN].get(office.path(OFFICE + path))
        assert page.size < 60_000
        assert page.headers["cache-control"] == "no-store"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert all("src" in script for script in page.all("script"))
        assert "<b>Ríos</b>" not in page.source


# Daily work


async def test_a_client_a_loan_and_a_payment(officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    made = await officer_page.fill_in(f"{OFFICE}/clientes/nuevo", **_person())
    client = location(made).partition("?")[0]
    assert NOTICES["cliente"] in (await officer_page.get(location(made))).text

    form = f"{client}/credito-nuevo"
    terms = {"amount": "20,000.00", "interest_rate": "36", "term_months": "12", "paso": "ver"}
    shown = Page(await officer_page.fill_in(form, **terms))
    assert {"CAT sin IVA", "Otorgar crédito"} <= set(
        shown.text.replace("  ", " ").split("\n")
    ) or "CAT sin IVA" in shown.text
    changed = Page(await officer_page.post(form, {**shown.filled, "amount": "21000.00"}))
    assert changed.status == 200  # what was not shown is shown first
    granted = location(await officer_page.post(form, changed.filled))
    loan_id = re.fullmatch(rf"{OFFICE}/creditos/([0-9a-f-]+)\?aviso=otorgado", granted)
    assert loan_id
    loan = await get(api, f"{LOANS}/{loan_id[1]}")
    assert (loan["amount"], loan["interest_rate"]) == ("21000.00", "0.36")

    quote = await officer_page.get(f"{OFFICE}/creditos/{loan_id[1]}/pago")
    assert "Para liquidar hoy $21,000.00" in quote.text
    paid = location(await officer_page.fill_in(f"{OFFICE}/creditos/{loan_id[1]}/pago", amount="1500"))
    assert "Pago de $1,500.00" in (await officer_page.get(paid)).heading


def _person() -> dict[str, str]:
    body = row(full_name="Beatriz Soto")
    return {name: str(body[name]) for name in ("full_name", "email", "rfc")}


async def test_a_form_acts_once_however_often_it_is_sent(officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    path = f"{OFFICE}/creditos/{loan['id']}/pago"
    fields = {**(await officer_page.get(path)).filled, "amount": "100.00"}
    first, second = await officer_page.post(path, fields), await officer_page.post(path, fields)
    assert location(first) == location(second)
    other = await officer_page.post(path, {**fields, "amount": "200.00"})
    assert (other.status_code, WORDS.of_code("idempotency_key_reused") in Page(other).text) == (422, True)
    assert len((await get(api, f"{LOANS}/{loan['id']}/payments"))["data"]) == 1


async def test_what_is_shown_once_is_made_once(office: Office, api: httpx2.AsyncClient, resources: Resources) -> None:
    visitor, path, name = office.visitors[Role.ADMIN], f"{OFFICE}/llaves/nueva", f"Llave {token_hex(4)}"
    fields = {**(await visitor.get(path)).filled, "name": name, "scopes.clients:read": "on"}
    first, second = await visitor.post(path, fields), await visitor.post(path, fields)
    key = re.search(r'id="secreto">([^<]+)<', first.text)
    assert key
    assert key[1].startswith("sofipo_live_")
    assert (second.status_code, WORDS.of_code("form_sent_twice") in Page(second).text) == (409, True)
    await caught_up(resources)
    keys = await get(api, "/api/v1/api-keys", params={"limit": "100"})
    assert [one["scopes"] for one in keys["data"] if one["name"] == name] == [["clients:read"]]


async def test_a_user_is_invited_and_chooses_a_password_at_the_office(
    app: FastAPI, office: Office, visitor: Visitor
) -> None:
    name = f"nueva-{token_hex(4)}"
    made = await office.visitors[Role.ADMIN].fill_in(f"{OFFICE}/usuarios/nuevo", username=name, role="officer")
    code = re.search(r'id="secreto">([^<]+)<', made.text)
    assert code
    invitation = f"{OFFICE}/invitacion"
    chosen = {"usuario": name, "codigo": code[1], "contrasena": PASSWORD, "repetida": PASSWORD}
    assert location(await visitor.send(invitation, invitation, None, **chosen)) == f"{OFFICE}/entrar?aviso=contrasena"
    assert location(await visitor.sign_in(name, PASSWORD)) == OFFICE


async def test_somebody_of_the_house_changes_their_password(app: FastAPI) -> None:
    async with AsyncExitStack() as stack:
        visitor = await signed_in(app, stack, Role.AUDITOR)
        path, chosen = f"{OFFICE}/contrasena", "cuatro gatos pardos"
        assert path in [link.get("href") for link in (await visitor.get(OFFICE)).all("a")]
        refused = Page(await visitor.send(path, path, actual="no es", contrasena=chosen, repetida=chosen))
        assert (refused.status, WORDS.of_code("password_wrong") in refused.text) == (422, True)
        answer = await visitor.send(path, path, actual=PASSWORD, contrasena=chosen, repetida=chosen)
        assert NOTICES["cambiada"] in (await visitor.get(location(answer))).text


async def test_a_payment_is_reversed_and_not_twice(officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    payment = (await pay(api, loan["id"], "100.00")).json()["id"]
    path = f"{OFFICE}/pagos/{payment}"
    assert location(await officer_page.fill_in(f"{path}/anular", reason="De otra persona.")) == f"{path}?aviso=anulado"
    again = await officer_page.fill_in(f"{path}/anular")
    assert (again.status_code, WORDS.of_code("payment_already_reversed") in Page(again).text) == (409, True)
    assert f'href="{path}/anular"' not in (await officer_page.get(path)).source


async def test_a_loan_is_written_off_restructured_and_charged(
    officer_page: Visitor, api: httpx2.AsyncClient, resources: Resources
) -> None:
    bad, good = await new_loan(api), await new_loan(api)
    path = f"{OFFICE}/creditos/{bad['id']}"
    assert location(await officer_page.fill_in(f"{path}/cargo", amount="100", reason="Copia.")) == f"{path}?aviso=cargo"
    assert location(await officer_page.fill_in(f"{path}/castigar", reason="Se fue.")) == f"{path}?aviso=castigado"
    other = await officer_page.fill_in(f"{OFFICE}/creditos/{good['id']}/reestructurar", term_months="24")
    new = location(other).partition("?")[0]
    assert f"Crédito {good['folio']}" in (await officer_page.get(new)).text
    await caught_up(resources)
    states = [(await get(api, f"{LOANS}/{one['id']}"))["status"] for one in (bad, good)]
    assert states == ["WRITTEN_OFF", "RESTRUCTURED"]


async def test_the_terms_of_a_loan_that_waits_are_changed(
    officer_page: Visitor, api: httpx2.AsyncClient, resources: Resources
) -> None:
    loan = await new_loan(api, status="PENDING", amount="9000.00", interest_rate="0.36", term_months=6)
    path = f"{OFFICE}/creditos/{loan['id']}"
    form = f"{path}/condiciones"
    assert f'href="{form}"' in (await officer_page.get(path)).source
    shown = (await officer_page.get(form)).filled
    assert shown.items() >= {"amount": "9000.00", "interest_rate": "36", "installments": "6"}.items()
    answer = await officer_page.post(form, {**shown, "amount": "$12,000", "interest_rate": "24", "installments": "12"})
    assert location(answer) == f"{path}?aviso=guardado"
    await caught_up(resources)
    now = await get(api, f"{LOANS}/{loan['id']}")
    assert (now["amount"], now["interest_rate"], now["term_months"]) == ("12000.00", "0.24", 12)
    assert now["terms"] == {**loan["terms"], **{name: now["terms"][name] for name in CHANGED}}

    wrong = Page(await officer_page.fill_in(form, installments="601"))
    assert (wrong.status, 'id="campo-installments-error"' in wrong.source) == (422, True)
    stale = await officer_page.post(form, {**shown, "una_vez": token_hex(9), "amount": "1000"})
    assert (stale.status_code, WORDS.of_code("precondition_failed") in Page(stale).text) == (412, True)
    assert location(await officer_page.fill_in(f"{path}/activar")) == f"{path}?aviso=activado"
    assert f'href="{form}"' not in (await officer_page.get(path)).source
    frozen = Page(await officer_page.fill_in(form, amount="1000"))
    assert (frozen.status, WORDS.of_code("terms_frozen") in frozen.text) == (409, True)


async def test_a_payment_of_an_earlier_day_is_spread_by_hand(
    app: FastAPI, officer_page: Visitor, api: httpx2.AsyncClient, owner: Connection
) -> None:
    today = await owner.fetchval("SELECT business_date FROM business_day")
    client = await new_client(api)
    await set_business_date(owner, app.state.resources, today - timedelta(days=3))
    try:
        first, second = [await new_loan(api, client["id"], amount="3000.00") for _ in range(2)]
    finally:
        await set_business_date(owner, app.state.resources, today)
    form = f"{OFFICE}/clientes/{client['id']}/pago-repartido"
    assert f'href="{form}"' in (await officer_page.get(f"{OFFICE}/clientes/{client['id']}")).source
    names = {field.get("name") for field in (await officer_page.get(form)).all("input")}
    share = f"payment_details.{second['id']}"
    assert {f"payment_details.{first['id']}", share} <= names

    paid_on = (today - timedelta(days=2)).isoformat()
    too_much = Page(await officer_page.fill_in(form, amount="500", paid_on=paid_on, **{share: "500.01"}))
    assert (too_much.status, WORDS.of_code("details_exceed_amount") in too_much.text) == (422, True)
    assert too_much.filled[share] == "500.01"
    unreadable = Page(await officer_page.fill_in(form, amount="500", paid_on=paid_on, **{share: "mucho"}))
    assert (unreadable.status, 'id="campo-payment_details-error"' in unreadable.source) == (422, True)

    paid = location(await officer_page.fill_in(form, amount="500", paid_on=paid_on, **{share: "$400.00"}))
    payment = await get(api, f"/api/v1/payments/{paid.rpartition('/')[2].partition('?')[0]}")
    assert (payment["paid_on"], payment["posted_on"]) == (paid_on, today.isoformat())
    parts = {one["loan_id"]: one["amount"] for one in payment["allocations"]}
    assert parts == {first["id"]: "100.00", second["id"]: "400.00"}


async def test_a_second_person_decides(settings: Settings) -> None:
    limited = settings.model_copy(update={"approve_activation_above": Decimal(500)})
    async with running(limited) as app, AsyncExitStack() as stack:
        maker, checker = [await signed_in(app, stack, Role.OFFICER) for _ in range(2)]
        made = location(await maker.fill_in(f"{OFFICE}/clientes/nuevo", **_person())).partition("?")[0]
        form = f"{made}/credito-nuevo"
        shown = Page(await maker.fill_in(form, amount="1000", interest_rate="30", term_months="6", paso="ver"))
        loan = location(await maker.post(form, shown.filled)).partition("?")[0]
        asked = location(await maker.fill_in(f"{loan}/activar"))
        assert NOTICES["solicitado"] in (await maker.get(asked)).text
        approval = asked.partition("?")[0]
        assert WORDS.of_code("maker_is_checker") in (await maker.get(approval)).text
        own = await maker.fill_in(f"{approval}/autorizar")
        assert (own.status_code, WORDS.of_code("maker_is_checker") in Page(own).text) == (403, True)
        await caught_up(app.state.resources)
        assert approval in (await checker.get(f"{OFFICE}/autorizaciones")).source
        assert (
            location(await checker.fill_in(f"{approval}/autorizar", reason="Visto.")) == f"{approval}?aviso=autorizado"
        )
        late = await checker.fill_in(f"{approval}/rechazar")
        assert (late.status_code, WORDS.of_code("approval_decided") in Page(late).text) == (409, True)
        await caught_up(app.state.resources)
        assert "Vigente" in (await maker.get(loan)).text


async def test_a_file_is_checked_mended_and_taken(
    officer_page: Visitor, resources: Resources, api: httpx2.AsyncClient
) -> None:
    good, bad = row(), row(rfc="XX")
    checked = await _import(officer_page, resources, csv_file([good, bad]), dry_run="true")
    assert "Fue solo una revisión" in checked.text
    assert WORDS.of_code("rfc_length") in checked.text
    taken = await _import(officer_page, resources, csv_file([good, bad]), dry_run="false")
    assert "corrija ahí las líneas rechazadas" in taken.text
    links = [link["href"] for link in taken.all("a") if link["href"].endswith("resultado.csv")]
    result = await officer_page.client.get(links[0], headers=OPENED)
    assert (result.status_code, result.headers["content-type"].partition(";")[0]) == (200, "text/csv")
    await caught_up(resources)
    assert len((await get(api, "/api/v1/clients", params={"email": good["email"]}))["data"]) == 1


async def _import(visitor: Visitor, resources: Resources, content: bytes, **fields: str) -> Page:
    path = f"{OFFICE}/importaciones/nueva"
    filled = {**(await visitor.get(path)).filled, **fields}
    filled.pop("file", None)
    answer = await visitor.client.post(path, files={"file": ("clientes.csv", content)}, data=filled, headers=OPENED)
    await work(resources)
    return await visitor.get(location(answer))


async def test_a_file_of_an_unknown_kind_is_told_in_the_form(officer_page: Visitor) -> None:
    path = f"{OFFICE}/importaciones/nueva"
    filled = (await officer_page.get(path)).filled
    answer = await officer_page.client.post(path, files={"file": ("a.pdf", b"x")}, data=filled, headers=OPENED)
    assert (answer.status_code, WORDS.of_code("format_unknown") in Page(answer).text) == (422, True)


async def test_parked_events_go_back(office: Office, owner: Connection, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    park = "UPDATE outbox SET parked_at = now(), parked_reason = 'too large' WHERE aggregate_id = $1"
    await owner.execute(park, client["id"])
    path = f"{OFFICE}/eventos"
    for role in (Role.ADMIN, Role.AUDITOR):
        page = await office.visitors[role].get(path)
        assert ("too large" in page.text, "Reintentar" in page.text) == (True, role is Role.ADMIN)
    event = event_id(UUID(client["id"]), 1)
    answer = await office.visitors[Role.ADMIN].send(f"{path}/reintentar", path, None, evento=event)
    assert location(answer) == f"{path}?aviso=reintento"
    assert "too large" not in (await office.visitors[Role.ADMIN].get(path)).text
    again = await office.visitors[Role.ADMIN].send(f"{path}/reintentar", path, None, evento=event)
    assert location(again) == path, "somebody else has done it: nothing is promised"


async def test_what_was_parked_is_listed_page_by_page(
    office: Office, owner: Connection, api: httpx2.AsyncClient, settings: Settings
) -> None:
    client = await new_client(api)
    for number in range(ROWS):
        await api.patch(f"/api/v1/clients/{client['id']}", json={"phone": f"55000000{number:02}"})
    parked = "UPDATE outbox SET parked_at = $2, parked_reason = $3 WHERE aggregate_id = $1"
    await owner.execute(parked, client["id"], datetime.now(UTC), "too large")
    events = [event_id(UUID(client["id"]), number) for number in range(1, ROWS + 2)]
    messages = [f"poison-{number:02}" for number in range(2 * ROWS + 1)]
    visitor, path = office.visitors[Role.ADMIN], f"{OFFICE}/eventos"
    async with await aio_pika.connect(broker.url(settings)) as connection:
        channel = await connection.channel()
        await declare(channel, Topology())
        parking = await channel.get_queue(broker.PARKED_QUEUE)
        await parking.purge()
        for message in messages:
            await channel.default_exchange.publish(aio_pika.Message(b"", message_id=message), broker.PARKED_QUEUE)
        try:
            first = await visitor.get(path)
            assert listed(first) == [*events[:ROWS], *messages[:ROWS]]
            second = await visitor.get(goes_on(first, "mensajes"))
            third = await visitor.get(goes_on(second, "mensajes"))
            assert listed(second) + listed(third) == [*events[:ROWS], *messages[ROWS:-1], *events[:ROWS], messages[-1]]
            last = await visitor.get(goes_on(third, "eventos"))
            assert listed(last) == [events[-1], messages[-1]]
            assert "-siguientes" not in last.source
            assert WORDS.of_code("cursor_invalid") in (await visitor.get(f"{path}?mensajes=25", 422)).text
            # One of the last page goes back like any other.
            await visitor.send(f"{path}/reintentar", path, None, mensaje=messages[-1])
            returned = await (await channel.get_queue(broker.QUEUE)).get()
            assert returned.message_id == messages[-1]
            await returned.ack()
        finally:
            await parking.purge()
            await owner.execute(parked, client["id"], None, None)


def listed(page: Page) -> list[str]:
    """The ids of the events and messages that a page shows."""
    return re.findall(r'<th scope="row" class="code">([^<]+)</th>', page.source)


def goes_on(page: Page, name: str) -> str:
    """Where one of its lists goes on."""
    [following] = re.findall(f'id="{name}-siguientes" href="([^"#]+)', page.source)
    return unescape(following)


# What happened


async def test_a_history_says_that_it_is_whole_and_when_it_is_not(
    office: Office, couch: EventDatabase, owner: Connection
) -> None:
    client, loan = office.parts["client_id"], office.parts["loan_id"]
    auditor = office.visitors[Role.AUDITOR]
    path = f"{OFFICE}/clientes/{client}/historia"
    assert "Faltan eventos" in (await auditor.get(path)).text
    await couch.store(owner, client)
    page = await auditor.get(path)
    assert "Historia completa y comprobada: 4 eventos" in page.text
    assert [said in page.text for said in ("Se registró el cliente", "Se registró un pago", "500.00")] == [True] * 3
    of_loan = await auditor.get(f"{OFFICE}/creditos/{loan}/historia")
    assert ("Se registró un pago" in of_loan.text, "Se registró el cliente" in of_loan.text) == (True, False)
    for place in (f"clientes/{client}", f"creditos/{loan}"):
        for role, leads in ((Role.AUDITOR, True), (Role.OFFICER, False)):
            assert ("/historia" in (await office.visitors[role].get(f"{OFFICE}/{place}")).source) is leads

    changed = {"timestamp": "yesterday", "actor": "user:nobody", "sequence": "first", "payload": {"amount": "much"}}
    await couch.change(event_id(UUID(client), 1), **changed)
    page = await auditor.get(path)
    assert ("no coincide con los libros" in page.text, "Alterado" in page.text) == (True, True)
    assert "yesterday" not in page.text


async def test_a_long_history_goes_on(
    office: Office, couch: EventDatabase, owner: Connection, api: httpx2.AsyncClient, resources: Resources
) -> None:
    client = (await new_client(api))["id"]
    for number in range(30):
        assert (await api.patch(f"/api/v1/clients/{client}", json={"phone": f"55000000{number:02}"})).status_code == 200
    await couch.store(owner, client)
    await caught_up(resources)
    auditor = office.visitors[Role.AUDITOR]
    first = await auditor.get(f"{OFFICE}/clientes/{client}/historia")
    assert "comprobada hasta el evento 25 de 31" in first.text
    [following] = re.findall(r'id="siguiente" href="([^"]+)"', first.source)
    assert "Historia completa y comprobada: 31 eventos" in (await auditor.get(following.replace("&amp;", "&"))).text


def test_every_event_of_a_client_has_a_name() -> None:
    events = [json.loads(path.read_text("utf-8")) for path in GOLDEN.glob("*.json")]
    assert {one["event_type"] for one in events if one["aggregate_type"] == "client"} == set(history.EVENTS)


# How things are found, and what is not there


@pytest.mark.parametrize("key", ["id", "rfc"])
async def test_an_id_and_an_rfc_lead_to_the_client(key: str, officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    answer = await officer_page.client.get(f"{OFFICE}/clientes", params={"buscar": client[key]}, headers=OPENED)
    assert location(answer) == f"{OFFICE}/clientes/{client['id']}"


async def test_names_and_external_ids_list_clients(
    officer_page: Visitor, api: httpx2.AsyncClient, resources: Resources
) -> None:
    name, other = f"Zoraida {token_hex(3).title()}", f"X-{token_hex(4)}"
    client = await new_client(api, full_name=name, external_id=other)
    await caught_up(resources)
    for text in (name, name.lower(), other, client["email"]):
        answer = await officer_page.client.get(f"{OFFICE}/clientes", params={"buscar": text}, headers=OPENED)
        assert name in Page(answer).text, text
    nobody = await officer_page.client.get(f"{OFFICE}/clientes", params={"buscar": token_hex(8)}, headers=OPENED)
    assert "No hay clientes así." in Page(nobody).text


async def test_a_folio_leads_to_the_loan(office: Office, officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    loan = await get(api, f"{LOANS}/{office.parts['loan_id']}")
    answer = await officer_page.client.get(f"{OFFICE}/creditos", params={"buscar": loan["folio"]}, headers=OPENED)
    assert location(answer) == f"{OFFICE}/creditos/{loan['id']}"


async def test_a_long_list_goes_on(officer_page: Visitor, api: httpx2.AsyncClient, resources: Resources) -> None:
    client = await new_client(api)
    loan = await new_loan(api, client["id"])
    for _ in range(26):
        await pay(api, loan["id"], "1.00")
    await caught_up(resources)
    first = await officer_page.get(f"{OFFICE}/pagos?client_id={client['id']}")
    following = next(link["href"] for link in first.all("a") if link.get("id") == "siguiente")
    second = await officer_page.get(following)
    assert [page.source.count("$1.00") for page in (first, second)] == [25, 1]
    taken = await officer_page.client.get(f"{OFFICE}/pagos/exportar.csv?client_id={client['id']}", headers=OPENED)
    assert taken.text.count(loan["client_id"]) == 26


@pytest.mark.parametrize(
    "path",
    [
        "/clientes/{id}", "/creditos/{id}", "/creditos/{id}/activar", "/pagos/{id}", "/autorizaciones/{id}",
        "/importaciones/{id}", "/nada", "/clientes/nadie", "/productos/NADA",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_told_as_a_page(path: str, officer_page: Visitor) -> None:
    page = await officer_page.get(OFFICE + path.format(id=uuid4()), 404)
    assert WORDS.of_code("not_found") in page.text


async def test_a_file_that_is_refused_is_a_page(office: Office, officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    unknown = await officer_page.get(f"{OFFICE}/clientes/{uuid4()}/estado-de-cuenta.pdf", 404)
    assert WORDS.of_code("not_found") in unknown.text
    no_name = await officer_page.get(f"{OFFICE}/clientes/nadie/estado-de-cuenta.pdf", 422)
    assert WORDS.of_code("uuid_parsing") in no_name.text
    for form in ("csv", "xlsx"):
        filtered = await officer_page.get(f"{OFFICE}/creditos/exportar.{form}?status=NADA", 422)
        assert filtered.heading == "No se pudo completar"
        assert filtered.headers["content-type"].startswith("text/html")
    given = await officer_page.client.get(office.path(f"{OFFICE}/clientes/exportar.csv"), headers=OPENED)
    assert (given.status_code, given.headers["content-type"].partition(";")[0]) == (200, "text/csv")
    problem(await api.get("/api/v1/exports/loans?status=NADA", headers=OPENED), 422)


async def test_an_unexpected_error_is_a_page(officer_page: Visitor, api: httpx2.AsyncClient, owner: Connection) -> None:
    loan = await new_loan(api)
    path = f"{OFFICE}/creditos/{loan['id']}/pago"
    async with failing_payments(owner, "23514") as reference:
        answer = await officer_page.fill_in(path, amount="100.00", reference=reference)
    page = Page(answer)
    assert (page.status, page.heading) == (500, "Algo falló de nuestro lado")
    assert f"Referencia para aclaraciones: {page.headers['x-request-id']}" in page.text
    assert "sabotage" not in answer.text.replace(reference, "")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


async def test_so_is_one_instead_of_a_file(
    officer_page: Visitor, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    loan = await new_loan(api)
    path = f"{OFFICE}/clientes/{loan['client_id']}/estado-de-cuenta.pdf"
    async with damaged_loan(owner, loan["id"]):
        await caught_up(resources)
        assert (await officer_page.get(path, 500)).heading == "Algo falló de nuestro lado"


async def test_what_changed_meanwhile_is_told(officer_page: Visitor, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{OFFICE}/clientes/{client['id']}/editar"
    fields = (await officer_page.get(path)).filled
    await api.patch(f"/api/v1/clients/{client['id']}", json={"phone": "55 1234 5678"})
    answer = await officer_page.post(path, {**fields, "full_name": "Otro Nombre"})
    assert (answer.status_code, WORDS.of_code("precondition_failed") in Page(answer).text) == (412, True)


async def test_a_wrong_field_is_told_beside_it_and_what_was_typed_stays(officer_page: Visitor) -> None:
    person = {**_person(), "rfc": "XAXX010101000"}
    answer = Page(await officer_page.fill_in(f"{OFFICE}/clientes/nuevo", **person))
    assert (answer.status, answer.filled["full_name"]) == (422, person["full_name"])
    assert f'id="campo-rfc-error">{WORDS.of_code("rfc_generic")}' in answer.source


async def test_the_office_stands_where_the_setting_says(settings: Settings) -> None:
    async with (
        running(settings.model_copy(update={"backoffice_path": "/interno/mesa"})) as app,
        AsyncExitStack() as stack,
    ):
        client = await stack.enter_async_context(client_of(app))
        assert (
            location(await client.get("/interno/mesa/clientes"))
            == "/interno/mesa/entrar?ir=%2Finterno%2Fmesa%2Fclientes"
        )
        assert (await client.get(f"{OFFICE}/clientes")).status_code == 404
        assert (await client.get("/grappelli")).headers["location"] == "/interno/mesa"
