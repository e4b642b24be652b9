"""Espacio Clientes: the calls of its page as they stand there, and whose cart, whose payment, whose word counts."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.legacy.espacio_clientes.codes import Code
from backend_api.settings import Settings
from fastapi import FastAPI
from sandbox_gateway.notices import signature

from tests.support.builders import LOANS, Json, get, new_client, new_loan
from tests.support.documents import block, table
from tests.support.postgres import fresh_database
from tests.support.problems import problem
from tests.support.processes import api_process
from tests.support.service import client_of, running, signed_in_as

PAGE = "docs/older-contracts.md"
DEVELOPMENT_ADDRESS = "http://127.0.0.1:8000"
MARK = "tests/api/test_espacio_clientes.py"
DEBT = {
    "DESCRIPCION": str, "IMPO_MAXI": float, "IMPO_TOTA": float, "MONE_CODI": int, "FECH_VENC": str, "OBSERVACION": str,
    "CODMOVIMIENTO": str, "SEQ_DI": int,
}  # fmt: skip
DEBTS = {"deudas": list, "desc_clie": str, "cant_deta": int, "codresp": str, "descresp": str, "idsession": int}
CART = {"comision": float, "codresp": str, "descreps": str}
PAID = {"cod_resp": str, "mod_fact": str, "desc_resp": str}
UNDONE = {"cod_resp": str, "desc_resp": str}


def shape(answer: Json) -> dict[str, type]:
    """Names and JSON types of the fields, in their order."""
    return {name: type(value) for name, value in answer.items()}


@dataclass
class Web:
    """The older web, with a borrower signed in."""

    http: httpx2.AsyncClient
    client: Json

    async def debts(self, **given: Any) -> Json:
        """`GET /consulta/deuda-cliente/`."""
        asked = {"documento": self.client["rfc"], "moneda": 1, **given}
        return await get(self.http, "/consulta/deuda-cliente/", params=asked)

    async def cart(self, session: int | str, movement: str, indicator: str = "S") -> Json:
        """`POST /carrito/agregar`."""
        asked: Json = {"idsession": session, "indicador": indicator, "codmovimiento": movement, "usuario": "web"}
        return answered(await self.http.post("/carrito/agregar", params=asked), 200)

    async def pay(self, session: int, code: str) -> Json:
        """`POST /pago`."""
        asked: Json = {"session": session, "user": "web", "cod_transaccion": code}
        return answered(await self.http.post("/pago", params=asked), 201)

    async def undo(self, code: str) -> Json:
        """`POST /anulacion`."""
        return answered(await self.http.post("/anulacion", params={"cod_transaccion": code}), 200)

    async def filled(self, *movements: str) -> int:
        """A session with these in its cart, by default with the oldest installment."""
        debts = await self.debts()
        for movement in movements or (debts["deudas"][0]["CODMOVIMIENTO"],):
            assert (await self.cart(debts["idsession"], movement))["codresp"] == Code.DONE
        session: int = debts["idsession"]
        return session


def answered(answer: httpx2.Response, status: int) -> Json:
    """The body of an answer that has this status."""
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    return body


def code() -> str:
    """A code of a transaction that nobody has used."""
    return uuid4().hex[:20]


async def borrower_with_loans(api: httpx2.AsyncClient, *terms: Json) -> tuple[Json, list[Json]]:
    """A client with these loans, one of 300 in three months without interest by default."""
    client = await new_client(api)
    wanted = terms or ({},)
    return client, [await new_loan(api, client["id"], **(THREE_OF_100 | each)) for each in wanted]


THREE_OF_100: Json = {"amount": "300.00", "interest_rate": "0", "term_months": 3}


@pytest.fixture
async def loans(api: httpx2.AsyncClient) -> tuple[Json, list[Json]]:
    """The borrower and what they owe: two loans of three installments."""
    return await borrower_with_loans(api, {}, {"amount": "600.00"})


@pytest.fixture
async def web(app: FastAPI, loans: tuple[Json, list[Json]]) -> AsyncIterator[Web]:
    """The borrower's calls."""
    async with signed_in_as(app, Role.CLIENT, loans[0]["id"]) as http:
        yield Web(http, loans[0])


@pytest.fixture
async def stranger(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Web]:
    """Another borrower's."""
    client, _ = await borrower_with_loans(api)
    async with signed_in_as(app, Role.CLIENT, client["id"]) as http:
        yield Web(http, client)


async def events_of(owner: Connection, client_id: str) -> list[str]:
    """The types of a client's events, in order."""
    rows = await owner.fetch("SELECT event_type FROM events WHERE aggregate_id = $1 ORDER BY sequence", client_id)
    return [row["event_type"] for row in rows]


async def payments_of(web: Web) -> list[Json]:
    """A borrower's payments, oldest first, as the primary has them."""
    found: list[Json] = (await get(web.http, "/api/v1/me/payments"))["data"]
    return found


async def notice_of_payment(http: httpx2.AsyncClient, settings: Settings, checkout: Json) -> None:
    """What the payment gateway tells of an order that was paid."""
    paid = {"order_id": checkout["id"], "status": "paid", "transaction_code": code(), "amount": checkout["total"]}
    body = json.dumps({**paid, "sequence": 1}).encode()
    secret = settings.gateway_secret.get_secret_value().encode()
    headers = {"Content-Type": "application/json", "Sofipo-Signature": signature(secret, int(time.time()), body)}
    answered(await http.post("/api/v1/gateway/notices", content=body, headers=headers), 200)


# --- The page ---


async def test_the_calls_answer_what_the_page_says(settings: Settings, tmp_path: Path) -> None:
    script = block(PAGE, f"{MARK} runs: a borrower") + block(PAGE, f"{MARK} runs: espacio clientes")
    assert DEVELOPMENT_ADDRESS in script
    async with fresh_database(settings) as database, api_process(tmp_path, POSTGRES_DB=database) as (_, address):
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script.replace(DEVELOPMENT_ADDRESS, address),
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    said = output.decode().replace("\n", "")
    shown = block(PAGE, f"{MARK} compares: espacio clientes").splitlines()
    pattern = re.escape("".join(re.sub(r"^(\d\. |\s+)", "", line) for line in shown)).replace("…", ".*?")
    assert re.fullmatch(pattern, said), said


def test_the_page_lists_every_code_with_its_text() -> None:
    rows = table(PAGE, "### Codes")
    assert [(row[0].strip("`"), row[1]) for row in rows] == [(each.value, each.text) for each in Code]


# --- Signing in ---


async def test_a_token_is_one_of_ours_and_nothing_else_comes_with_it(
    app: FastAPI, anonymous: httpx2.AsyncClient
) -> None:
    for path in ("/token", "/token/"):
        answer = await anonymous.post(path, data={"username": "admin", "password": "string"})
        assert shape(answered(answer, 200)) == {"access_token": str, "token_type": str}
    assert answer.json()["token_type"] == "bearer"
    assert answer.headers["cache-control"] == "no-store"
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    settings = app.state.settings
    assert (claims["iss"], claims["aud"]) == (settings.token_issuer, settings.token_audience)
    async with client_of(app, {"Authorization": f"Bearer {answer.json()['access_token']}"}) as staff:
        assert (await staff.get("/api/v1/auth/me")).json()["username"] == "admin"


async def test_a_wrong_password_is_401(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.post("/token", data={"username": "admin", "password": "wrong"})
    problem(answer, 401, "sign_in_refused")


CALLS: dict[str, tuple[str, str, Json]] = {
    "debts": ("GET", "/consulta/deuda-cliente", {"documento": "PEPJ800101HNE", "moneda": 1}),
    "cart": ("POST", "/carrito/agregar",
             {"idsession": "1", "indicador": "S", "codmovimiento": "1-1", "usuario": "web"}),
    "pay": ("POST", "/pago", {"session": 1, "user": "web", "cod_transaccion": "A1"}),
    "undo": ("POST", "/anulacion", {"cod_transaccion": "A1"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
async def test_only_a_borrower_who_signed_in_is_answered(
    name: str, anonymous: httpx2.AsyncClient, api: httpx2.AsyncClient, web: Web
) -> None:
    method, path, given = CALLS[name]
    for spelling in (path, f"{path}/"):
        problem(await anonymous.request(method, spelling, params=given), 401, "unauthenticated")
        problem(await api.request(method, spelling, params=given), 403, "forbidden")
        assert (await web.http.request(method, spelling, params=given)).status_code in (200, 201)


MALFORMED: dict[str, list[Json]] = {
    "debts": [
        {"documento": None}, {"documento": "PEPJ8"}, {"documento": "P" * 16}, {"moneda": None}, {"moneda": 0},
        {"moneda": "MXN"}, {"usuario": "ab"},
    ],
    "cart": [
        {"idsession": None}, {"idsession": ""}, {"idsession": "1" * 10}, {"indicador": None}, {"indicador": "s"},
        {"indicador": "X"}, {"codmovimiento": None}, {"codmovimiento": "1" * 21}, {"usuario": None},
        {"usuario": "x" * 36},
    ],
    "pay": [
        {"session": None}, {"session": "x"}, {"session": "1.5"}, {"user": None}, {"user": "x" * 36},
        {"cod_transaccion": None}, {"cod_transaccion": "x" * 21}, {"cod_transaccion": ""},
    ],
    "undo": [{"cod_transaccion": None}, {"cod_transaccion": "x"}, {"cod_transaccion": "x" * 21}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(name, wrong, id=f"{name} {wrong}") for name, each in MALFORMED.items() for wrong in each],
)
async def test_what_is_missing_or_malformed_is_422(name: str, wrong: Json, web: Web) -> None:
    method, path, given = CALLS[name]
    sent = {key: value for key, value in {**given, **wrong}.items() if value is not None}
    answer = await web.http.request(method, path, params=sent)
    found = problem(answer, 422, "validation_failed")
    assert [error["pointer"] for error in found["errors"]] == [f"query:{next(iter(wrong))}"]


# --- Debts ---


async def test_debts_are_all_unpaid_installments_oldest_first(web: Web, loans: tuple[Json, list[Json]]) -> None:
    client, (first, second) = loans
    debts = await web.debts(usuario="carlos")
    assert shape(debts) == DEBTS
    assert {tuple(shape(debt).items()) for debt in debts["deudas"]} == {tuple(DEBT.items())}
    assert (debts["desc_clie"], debts["cant_deta"], debts["codresp"]) == (client["full_name"], 6, Code.DONE)
    assert debts["idsession"] > 0
    movements = [debt["CODMOVIMIENTO"] for debt in debts["deudas"]]
    folios = sorted((first["folio"], second["folio"]))
    assert movements == [f"{folio}-{number}" for number in (1, 2, 3) for folio in folios]
    assert [debt["SEQ_DI"] for debt in debts["deudas"]] == [1, 2, 3, 4, 5, 6]
    by_movement = {debt["CODMOVIMIENTO"]: debt for debt in debts["deudas"]}
    oldest = by_movement[f"{first['folio']}-1"]
    assert (oldest["IMPO_TOTA"], oldest["IMPO_MAXI"], oldest["MONE_CODI"]) == (100.0, 300.0, 1)
    schedule = await get(web.http, f"{LOANS}/{first['id']}/schedule")
    assert oldest["FECH_VENC"] == schedule["installments"][0]["due_on"]
    assert by_movement[f"{second['folio']}-1"]["IMPO_MAXI"] == 600.0


async def test_a_session_stays_the_same_and_keeps_its_cart(web: Web) -> None:
    session = await web.filled()
    assert (await web.debts())["idsession"] == session
    assert (await web.pay(session, code()))["cod_resp"] == Code.DONE


@pytest.mark.parametrize("spelling", ["{rfc}", "{lower}", " {rfc} "])
async def test_the_document_is_the_rfc_however_it_is_typed(spelling: str, web: Web) -> None:
    typed = spelling.format(rfc=web.client["rfc"], lower=web.client["rfc"].lower())
    assert (await web.debts(documento=typed))["codresp"] == Code.DONE


async def test_the_document_of_somebody_else_is_answered_like_one_of_nobody(web: Web, stranger: Web) -> None:
    theirs = await web.debts(documento=stranger.client["rfc"])
    assert theirs == await web.debts(documento="XEXX010101ABC")
    assert (theirs["codresp"], theirs["deudas"], theirs["desc_clie"]) == (Code.CLIENT_UNKNOWN, [], "")
    assert shape(theirs) == DEBTS


async def test_another_currency_is_refused(web: Web) -> None:
    assert (await web.debts(moneda=2))["codresp"] == Code.CURRENCY_UNKNOWN


# --- The cart ---


async def test_installments_go_in_from_the_oldest_on_and_out_in_reverse(
    web: Web, loans: tuple[Json, list[Json]]
) -> None:
    folio = loans[1][0]["folio"]
    session = (await web.debts())["idsession"]
    one, two = f"{folio}-1", f"{folio}-2"
    assert (await web.cart(session, two))["codresp"] == Code.OLDER_FIRST
    added = await web.cart(session, one)
    assert shape(added) == CART
    assert added["codresp"] == Code.DONE
    assert "$100.00" in added["descreps"]
    assert (await web.cart(session, one))["codresp"] == Code.DONE
    assert "$200.00" in (await web.cart(session, two))["descreps"]
    assert (await web.cart(session, one, "N"))["codresp"] == Code.NEWER_FIRST
    assert (await web.cart(session, two, "N"))["codresp"] == Code.DONE
    assert (await web.cart(session, two, "N"))["codresp"] == Code.NOT_IN_CART


@pytest.mark.parametrize("movement", ["x", "1", "1-", "-1", "0-1", "1-0", "1-1-1", "999999999-1", "9999999999-1"])
async def test_an_unknown_movement_has_its_code(movement: str, web: Web) -> None:
    session = (await web.debts())["idsession"]
    assert (await web.cart(session, movement))["codresp"] == Code.MOVEMENT_UNKNOWN
    assert (await web.cart(session, movement, "N"))["codresp"] == Code.MOVEMENT_UNKNOWN


async def test_the_loan_of_somebody_else_is_an_unknown_movement(web: Web, stranger: Web) -> None:
    theirs = (await stranger.debts())["deudas"][0]["CODMOVIMIENTO"]
    session = (await web.debts())["idsession"]
    assert (await web.cart(session, theirs))["codresp"] == Code.MOVEMENT_UNKNOWN


@pytest.mark.parametrize("session", ["abc", "0", "999999999", "-1", "²"])
async def test_a_session_that_is_none_has_its_code(session: str, web: Web) -> None:
    movement = (await web.debts())["deudas"][0]["CODMOVIMIENTO"]
    refused = await web.cart(session, movement)
    assert shape(refused) == CART
    assert refused["codresp"] == Code.SESSION_GONE


async def test_the_session_of_somebody_else_is_none(web: Web, stranger: Web) -> None:
    session = await stranger.filled()
    movement = (await web.debts())["deudas"][0]["CODMOVIMIENTO"]
    assert (await web.cart(session, movement))["codresp"] == Code.SESSION_GONE
    assert (await web.pay(session, code()))["cod_resp"] == Code.SESSION_GONE
    assert await payments_of(stranger) == []
    assert (await stranger.pay(session, code()))["cod_resp"] == Code.DONE


async def test_another_user_of_the_same_client_has_a_session_of_their_own(app: FastAPI, web: Web) -> None:
    session = await web.filled()
    async with signed_in_as(app, Role.CLIENT, web.client["id"]) as http:
        other = Web(http, web.client)
        assert (await other.debts())["idsession"] != session
        assert (await other.pay(session, code()))["cod_resp"] == Code.SESSION_GONE


async def test_a_session_is_over_after_half_an_hour(web: Web, owner: Connection) -> None:
    session = await web.filled()
    await owner.execute("UPDATE carts SET expires_at = now() - interval '1 second' WHERE number = $1", session)
    movement = "1-1"
    assert (await web.cart(session, movement))["codresp"] == Code.SESSION_GONE
    assert (await web.pay(session, code()))["cod_resp"] == Code.SESSION_GONE
    assert (await web.debts())["idsession"] != session


async def test_an_amount_of_the_customer_space_is_not_mixed_with_installments(
    web: Web, loans: tuple[Json, list[Json]]
) -> None:
    loan = loans[1][0]
    session = (await web.debts())["idsession"]
    put = await web.http.post("/api/v1/me/cart/items", json={"loan_id": loan["id"], "amount": "50.00"})
    assert put.status_code in (200, 201), put.text
    assert (await web.cart(session, f"{loan['folio']}-1"))["codresp"] == Code.AMOUNT_IN_CART


# --- Paying ---


async def test_all_of_the_cart_is_one_payment_that_settles_exactly_its_installments(
    web: Web, loans: tuple[Json, list[Json]]
) -> None:
    _, (first, second) = loans
    session = await web.filled(f"{first['folio']}-1", f"{first['folio']}-2", f"{second['folio']}-1")
    transaction = code()
    paid = await web.pay(session, transaction)
    assert shape(paid) == PAID
    assert (paid["cod_resp"], paid["mod_fact"]) == (Code.DONE, "N")
    assert "$400.00" in paid["desc_resp"]
    [payment] = await payments_of(web)
    assert (payment["amount"], payment["reference"], payment["method"]) == ("400.00", transaction, "card")
    left = [debt["CODMOVIMIENTO"] for debt in (await web.debts())["deudas"]]
    assert sorted(left) == sorted([f"{first['folio']}-3", f"{second['folio']}-2", f"{second['folio']}-3"])


async def test_a_code_pays_once_however_often_and_at_once(web: Web) -> None:
    session, transaction = await web.filled(), code()
    answers = await asyncio.gather(*(web.pay(session, transaction) for _ in range(4)))
    assert {answer["cod_resp"] for answer in answers} == {Code.DONE}
    assert len({answer["desc_resp"] for answer in answers}) == 1
    assert len(await payments_of(web)) == 1


async def test_a_code_of_another_cart_and_a_cart_of_another_code_are_refused(web: Web) -> None:
    first, transaction = await web.filled(), code()
    assert (await web.pay(first, transaction))["cod_resp"] == Code.DONE
    assert (await web.pay(first, code()))["cod_resp"] == Code.SESSION_GONE
    second = await web.filled()
    assert second != first
    assert (await web.pay(second, transaction))["cod_resp"] == Code.CODE_USED
    assert len(await payments_of(web)) == 1


async def test_a_code_that_the_office_has_registered_is_used(
    web: Web, loans: tuple[Json, list[Json]], api: httpx2.AsyncClient
) -> None:
    transaction = code()
    paid = await api.post(f"{LOANS}/{loans[1][1]['id']}/payments", json={"amount": "1.00", "reference": transaction})
    assert paid.status_code == 201
    session = await web.filled(f"{loans[1][0]['folio']}-1")
    assert (await web.pay(session, transaction))["cod_resp"] == Code.CODE_USED


@pytest.mark.parametrize("session", [0, -1, 999_999_999, 10**9, 10**30])
async def test_nothing_is_paid_in_a_session_that_is_none(session: int, web: Web) -> None:
    assert (await web.pay(session, code()))["cod_resp"] == Code.SESSION_GONE


async def test_an_empty_cart_is_not_paid(web: Web) -> None:
    assert (await web.pay((await web.debts())["idsession"], code()))["cod_resp"] == Code.CART_EMPTY


async def test_a_debt_that_changed_is_not_charged_and_the_next_try_goes_through(
    web: Web, loans: tuple[Json, list[Json]], api: httpx2.AsyncClient
) -> None:
    loan = loans[1][0]
    session, transaction = await web.filled(f"{loan['folio']}-1", f"{loan['folio']}-2"), code()
    fee = await api.post(f"{LOANS}/{loan['id']}/fees", json={"amount": "50.00", "reason": "Second copy."})
    assert fee.status_code in (200, 201), fee.text
    assert (await web.pay(session, transaction))["cod_resp"] == Code.DEBT_CHANGED
    assert await payments_of(web) == []
    assert (await web.pay(session, transaction))["cod_resp"] == Code.DONE


async def test_a_loan_that_is_paid_off_is_gone_from_the_debts(web: Web, loans: tuple[Json, list[Json]]) -> None:
    loan = loans[1][0]
    session = await web.filled(*(f"{loan['folio']}-{number}" for number in (1, 2, 3)))
    assert (await web.pay(session, code()))["cod_resp"] == Code.DONE
    assert (await get(web.http, f"{LOANS}/{loan['id']}"))["status"] == "PAID_OFF"
    assert all(debt["CODMOVIMIENTO"].startswith(f"{loans[1][1]['folio']}-") for debt in (await web.debts())["deudas"])


async def test_it_leaves_the_events_that_the_native_calls_leave(
    web: Web, loans: tuple[Json, list[Json]], stranger: Web, owner: Connection, settings: Settings
) -> None:
    before = [await events_of(owner, each.client["id"]) for each in (web, stranger)]
    folio = loans[1][0]["folio"]
    session, transaction = await web.filled(f"{folio}-1"), code()
    await web.pay(session, transaction)
    await web.undo(transaction)

    debts = answered(await stranger.http.get("/api/v1/me/debts"), 200)
    item = {"loan_id": debts["loans"][0]["loan_id"], "installments": 1}
    answered(await stranger.http.post("/api/v1/me/cart/items", json=item), 200)
    checkout = answered(await stranger.http.post("/api/v1/me/cart/checkout", json={}), 201)
    await notice_of_payment(stranger.http, settings, checkout)
    [payment] = await payments_of(stranger)
    answered(await stranger.http.post(f"/api/v1/me/payments/{payment['id']}/reverse", json={}), 200)

    mine, native = [
        sorted((await events_of(owner, each.client["id"]))[len(known) :])
        for each, known in zip((web, stranger), before, strict=True)
    ]
    assert mine == native
    assert {"payment_registered", "payment_reversed"} <= set(mine)


# --- Taking back ---


async def test_a_payment_is_taken_back_whole_and_once(web: Web, loans: tuple[Json, list[Json]]) -> None:
    _, (first, second) = loans
    known = (await web.debts())["deudas"]
    session, transaction = await web.filled(f"{first['folio']}-1", f"{second['folio']}-1"), code()
    await web.pay(session, transaction)
    undone = await web.undo(transaction)
    assert shape(undone) == UNDONE
    assert undone["cod_resp"] == Code.DONE
    [payment] = await payments_of(web)
    assert payment["status"] == "REVERSED"
    assert (await web.debts())["deudas"] == known
    assert (await web.undo(transaction))["cod_resp"] == Code.ALREADY_UNDONE


async def test_only_what_one_paid_oneself_from_a_cart_can_be_taken_back(
    web: Web, loans: tuple[Json, list[Json]], stranger: Web, api: httpx2.AsyncClient
) -> None:
    theirs, office = code(), code()
    assert (await stranger.pay(await stranger.filled(), theirs))["cod_resp"] == Code.DONE
    await api.post(f"{LOANS}/{loans[1][0]['id']}/payments", json={"amount": "1.00", "reference": office})
    for transaction in (theirs, office, code()):
        assert (await web.undo(transaction))["cod_resp"] == Code.TRANSACTION_UNKNOWN


async def test_on_a_later_day_staff_is_asked(web: Web, owner: Connection) -> None:
    session, transaction = await web.filled(), code()
    await web.pay(session, transaction)
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")  # money rows are never changed else
        await owner.execute("UPDATE payments SET posted_on = posted_on - 1 WHERE reference = $1", transaction)
    assert (await web.undo(transaction))["cod_resp"] == Code.REQUEST_OPENED
    assert (await web.undo(transaction))["cod_resp"] == Code.REQUEST_OPENED
    [payment] = await payments_of(web)
    assert payment["status"] == "REGISTERED"
    rows = await owner.fetch("SELECT id FROM approvals WHERE target_id = $1", payment["id"])
    assert len(rows) == 1


# --- The setting ---


async def test_the_commission_is_told_and_charged(settings: Settings, loans: tuple[Json, list[Json]]) -> None:
    client, transaction = loans[0], code()
    async with (
        running(settings.model_copy(update={"cart_commission": Decimal("2.50")})) as app,
        signed_in_as(app, Role.CLIENT, client["id"]) as http,
    ):
        web = Web(http, client)
        debts = await web.debts()
        added = await web.cart(debts["idsession"], debts["deudas"][0]["CODMOVIMIENTO"])
        assert added["comision"] == 2.5
        assert "$102.90" in added["descreps"]
        assert "$102.90" in (await web.pay(debts["idsession"], transaction))["desc_resp"]
        [payment] = await payments_of(web)
        assert (payment["amount"], payment["receipt"]["total"]) == ("100.00", "102.90")
        assert (await web.undo(transaction))["cod_resp"] == Code.DONE
