"""Clients: the list with its search, the record, and what is done with it."""

from collections.abc import Mapping
from uuid import UUID

from backend_api.backoffice import history, loans, payments
from backend_api.backoffice.api import Api, Refused
from backend_api.backoffice.pages import (
    About,
    Declared,
    DetailPage,
    Entry,
    Field,
    FilePage,
    FormPage,
    ListPage,
    Parts,
    Section,
)
from backend_api.backoffice.show import Column, Kind, Row
from backend_api.backoffice.words import CLIENTS, KINDS
from backend_api.clients.statement.spanish import amount
from backend_api.domain.identifiers import normalise_rfc
from backend_api.domain.money import parse_money

STATE = Column("Situación", "status", Kind.STATE, CLIENTS)
ONE = "/clientes/{id}"


async def find(api: Api, text: str) -> str | Mapping[str, str]:
    """A client by id or RFC; else those with this external id or e-mail, or whose names begin with it."""
    key = _name(text)
    if key is not None:
        try:
            found = await api.call("getClient", {"key": key})
        except Refused as refusal:
            if refusal.status != 404:
                raise
        else:
            return ONE.format_map(found.data)
    if "@" in text:
        return {"email": text}
    for filters in ({"external_id": text[:60]}, *({"name": name} for name in (text, text.title(), text.upper()))):
        if (await api.call("listClients", {}, query={**filters, "limit": 1})).data["data"]:
            return filters
    return {"name": text}


def _name(text: str) -> str | None:
    """An id or an RFC, if it may be one."""
    try:
        return str(UUID(text))
    except ValueError:
        rfc = normalise_rfc(text)
        return rfc if 12 <= len(rfc) <= 13 and any(sign.isdigit() for sign in rfc) and rfc.isalnum() else None


async def record(api: Api, parts: Parts) -> About:
    """The record, to be changed."""
    client = (await api.call("getClient", parts)).data
    values = {one.name: client.get(one.name) or "" for one in FIELDS}
    return About(_facts(client), values, version=str(client["version"]))


async def named(api: Api, parts: Parts) -> About:
    """Who it is about."""
    client = (await api.call("getClient", parts)).data
    return About(_facts(client), version=str(client["version"]))


async def owing(api: Api, parts: Parts) -> About:
    """Who pays, what they owe today, and the loans on which they may pay it."""
    client = (await api.call("getClient", parts)).data
    balance = (await api.call("getBalance", parts)).data
    owed = [loan for loan in balance["loans"] if parse_money(loan["payoff_amount"])]
    facts = [
        *_facts(client),
        *((f"Crédito {loan['folio']}", f"{amount(parse_money(loan['payoff_amount']))} para liquidar") for loan in owed),
        ("Adeudo total", amount(parse_money(balance["total_debt"]))),
    ]
    return About(facts, options={"payment_details": {loan["loan_id"]: f"Crédito {loan['folio']}" for loan in owed}})


def _facts(client: Row) -> list[tuple[str, str]]:
    return [("Cliente", client["full_name"]), ("RFC", client["rfc"] or "–")]


def _user(actor: str) -> str | None:
    """The id of a person; a key is none."""
    kind, _, found = actor.partition(":")
    return found if kind == "user" else None


def _is_active(client: Row) -> bool:
    return bool(client["status"] == "ACTIVE")


FIELDS = (
    Field("full_name", "Nombre completo", required=True),
    Field("rfc", "RFC", required=True, hint="13 caracteres si es persona, 12 si es empresa."),
    Field("email", "Correo", required=True),
    Field("phone", "Teléfono"),
    Field("external_id", "Id externo", hint="El número del cliente en otro sistema."),
    Field("credit_limit", "Línea de crédito", Entry.MONEY, hint="Vacío: sin límite."),
    Field("kind", "Tipo", Entry.CHOICE, KINDS),
    Field("curp", "CURP"),
    Field("clabe", "CLABE"),
    Field("birth_date", "Fecha de nacimiento", Entry.DATE),
    Field("address", "Domicilio", Entry.LONG),
)
NEW = FormPage(
    path="/clientes/nuevo",
    title="Nuevo cliente",
    operation="createClient",
    button="Registrar cliente",
    leads_to=ONE,
    notice="cliente",
    fields=FIELDS,
)
CHANGE = FormPage(
    path="/clientes/{client_id}/editar",
    title="Cambiar datos",
    operation="updateClient",
    button="Guardar",
    leads_to="/clientes/{client_id}",
    notice="guardado",
    fields=FIELDS,
    about=record,
    empties=True,
)
DEACTIVATE = FormPage(
    path="/clientes/{client_id}/desactivar",
    title="Desactivar cliente",
    operation="updateClient",
    button="Desactivar",
    leads_to="/clientes/{client_id}",
    notice="guardado",
    note="Podrá seguir pagando, y no recibirá créditos nuevos.",
    fixed={"status": "INACTIVE"},
    about=named,
    offered=_is_active,
)
ACTIVATE = FormPage(
    path="/clientes/{client_id}/activar",
    title="Activar cliente",
    operation="updateClient",
    button="Activar",
    leads_to="/clientes/{client_id}",
    notice="guardado",
    fixed={"status": "ACTIVE"},
    about=named,
    offered=lambda client: not _is_active(client),
)
DELETE = FormPage(
    path="/clientes/{client_id}/eliminar",
    title="Eliminar cliente",
    operation="deleteClient",
    button="Eliminar cliente",
    leads_to="/clientes",
    notice="eliminado",
    note="Sus datos personales quedan bloqueados, y su RFC y su correo, libres. No se puede deshacer.",
    about=named,
    bodiless=True,
    danger=True,
)
PAY = FormPage(
    path="/clientes/{client_id}/pago",
    title="Registrar pago",
    operation="payClient",
    button="Registrar pago",
    leads_to="/pagos/{id}",
    notice="pagado",
    note="Se reparte entre sus créditos, primero el que se debe desde hace más tiempo.",
    fields=payments.FIELDS,
    about=owing,
)
PAY_SHARES = FormPage(
    path="/clientes/{client_id}/pago-repartido",
    title="Registrar pago repartido",
    operation="payClient",
    button="Registrar pago",
    leads_to="/pagos/{id}",
    notice="pagado",
    fields=(
        *payments.FIELDS,
        Field(
            "payment_details", "Para cada crédito", Entry.SHARES,
            hint="Lo que no se reparta aquí va a sus créditos, primero al que se debe desde hace más tiempo.",
        ),
    ),
    about=owing,
)  # fmt: skip
EXPORTS = tuple(
    FilePage(f"/clientes/exportar.{form}", form.upper(), "exportClients", {"format": form}) for form in ("csv", "xlsx")
)
STATEMENT = FilePage(
    "/clientes/{client_id}/estado-de-cuenta.pdf", "Estado de cuenta (PDF)", "getAccountStatement", {"format": "pdf"}
)
LIST = ListPage(
    path="/clientes",
    title="Clientes",
    operation="listClients",
    columns=(
        Column("Nombre", "full_name"),
        Column("RFC", "rfc"),
        Column("Id externo", "external_id", minor=True),
        Column("Correo", "email", minor=True),
        STATE,
    ),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, CLIENTS),),
    looked_for="Nombre, RFC, correo, id o id externo",
    search=find,
    files=EXPORTS,
    new=(NEW,),
    empty="No hay clientes así.",
)
DETAIL = DetailPage(
    path="/clientes/{client_id}",
    title=lambda client: str(client["full_name"]),
    operation="getClient",
    state=STATE,
    facts=(
        Column("RFC", "rfc"),
        Column("Correo", "email"),
        Column("Teléfono", "phone"),
        Column("Id externo", "external_id"),
        Column("Línea de crédito", "credit_limit", Kind.MONEY),
        Column("Tipo", "kind", words=KINDS),
        Column("CURP", "curp"),
        Column("CLABE", "clabe"),
        Column("Fecha de nacimiento", "birth_date", Kind.DATE),
        Column("Domicilio", "address"),
        Column("Alta", "created_at", Kind.MOMENT),
    ),
    sections=(
        Section(
            "Créditos", loans.COLUMNS, "listClientLoans", {"sort": "-created_at", "limit": "25"},
            leads_to=loans.ONE, more="/creditos?client_id={id}", empty="No tiene créditos.",
        ),
        Section(
            "Pagos", payments.COLUMNS, "listClientPayments", {"sort": "-created_at", "limit": "10"},
            leads_to=payments.ONE, more="/pagos?client_id={id}", empty="No ha pagado nada.",
        ),
        Section(
            "Quién vio el expediente",
            (
                Column("Quién", lambda read: _user(read["actor"]), Kind.USER),
                Column("Última vez", "last_at", Kind.MOMENT),
                Column("Lecturas en esa hora", "reads", Kind.NUMBER),
            ),
            "listRecordReaders",
            rows=lambda data: data["data"][:20],
            empty="Nadie todavía.",
        ),
    ),
    actions=(loans.NEW, PAY, PAY_SHARES, CHANGE, DEACTIVATE, ACTIVATE, DELETE),
    files=(STATEMENT,),
    lists=(history.CLIENT,),
)  # fmt: skip
PAGES: tuple[Declared, ...] = (
    LIST, *EXPORTS, NEW, DETAIL, STATEMENT, CHANGE, DEACTIVATE, ACTIVATE, DELETE, PAY, PAY_SHARES,
)  # fmt: skip
