"""Loans: the list, one of them with its schedule and its movements, and what becomes of it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from backend_api.backoffice import history, payments
from backend_api.backoffice.api import Api
from backend_api.backoffice.names import loan_of_folio, names_of
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
    as_percent,
)
from backend_api.backoffice.show import NOTHING, Column, Kind, Row
from backend_api.backoffice.words import CONCEPTS, MOVEMENTS
from backend_api.clients.statement.spanish import amount, count, short_date
from backend_api.domain.money import parse_money
from backend_api.pages.words import LOANS

ONE = "/creditos/{id}"
BACK = "/creditos/{loan_id}"
STATE = Column("Situación", "status", Kind.STATE, LOANS)
FOLIO = Column("Folio", "folio")
COLUMNS = (
    FOLIO,
    Column("Producto", "product", minor=True),
    Column("Monto", "amount", Kind.MONEY),
    Column("Saldo de capital", "current_balance", Kind.MONEY),
    Column("Próximo pago", "next_due_on", Kind.DATE, minor=True),
    STATE,
)
REASON = Field("reason", "Motivo", Entry.LONG)
TERMS = (
    Field("interest_rate", "Tasa de interés anual (%)", Entry.PERCENT, hint="Vacía: la del producto."),
    Field("term_months", "Plazo en meses", Entry.NUMBER, hint="Vacío: el del producto."),
    Field("first_due_on", "Primer vencimiento", Entry.DATE, hint="Vacío: un periodo después de la disposición."),
    Field("external_id", "Id externo"),
)
PARTS = ("principal", "interest", "vat", "total")
"""What a preview shows of an installment."""
OWING = {"ACTIVE", "DEFAULTED"}


async def find(api: Api, text: str) -> str | Mapping[str, str]:
    """A loan by folio or id; else those with this external id."""
    if text.isascii() and text.isdecimal() and len(text) < 16:
        found = await loan_of_folio(api.request, api.principal, int(text))
        if found:
            return f"/creditos/{found}"
    try:
        return f"/creditos/{UUID(text)}"
    except ValueError:
        return {"external_id": text[:60]}


async def named(api: Api, parts: Parts) -> About:
    """The loan in short."""
    loan = (await api.call("getLoan", parts)).data
    return About(await _facts(api, loan))


async def versioned(api: Api, parts: Parts) -> About:
    """The same, for what may be done with the loan only as it was seen."""
    loan = (await api.call("getLoan", parts)).data
    return About(await _facts(api, loan), {"notes": loan["notes"] or ""}, version=str(loan["version"]))


async def agreed(api: Api, parts: Parts) -> About:
    """The loan, and the terms that may be changed as long as nothing was handed over."""
    loan = (await api.call("getLoan", parts)).data
    values = {
        "amount": loan["amount"],
        "interest_rate": as_percent(loan["interest_rate"]),
        "installments": str(loan["terms"]["installments"]),
        "first_due_on": loan["terms"]["first_due_on"] or "",
    }
    return About(await _facts(api, loan), values, version=str(loan["version"]))


async def quoted(api: Api, parts: Parts) -> About:
    """The loan, and what is owed of it today: what can be demanded is proposed to be paid, else what comes next."""
    loan = (await api.call("getLoan", parts)).data
    if loan["status"] not in OWING:
        return About(await _facts(api, loan))
    quote = (await api.call("getPayoffQuote", parts)).data
    next_due = quote["next_due_on"]
    facts = [
        ("Exigible hoy", _pesos(quote["due"])),
        ("Días de atraso", str(quote["days_past_due"])),
        ("Próximo pago", f"{_pesos(quote['next_due_total'])} el {_day(next_due)}" if next_due else NOTHING),
        ("Para liquidar hoy", _pesos(quote["payoff_amount"])),
    ]
    wanted = quote["due"] if parse_money(quote["due"]) else quote["next_due_total"]
    return About([*(await _facts(api, loan)), *facts], {"amount": wanted, "method": "transfer"})


async def replaced(api: Api, parts: Parts) -> About:
    """The loan, what is owed of it, and terms for the one that takes its place."""
    about = await quoted(api, parts)
    loan = (await api.call("getLoan", parts)).data
    values = {
        "product": loan["product"],
        "interest_rate": as_percent(loan["interest_rate"]),
        "term_months": str(loan["term_months"] or ""),
    }
    return About(about.facts, values, {"product": await products(api)}, version=str(loan["version"]))


async def offered(api: Api, parts: Parts) -> About:
    """Who asks for a loan, and what is offered."""
    client = (await api.call("getClient", parts)).data
    balance = (await api.call("getBalance", parts)).data
    available = balance["available_credit"]
    facts = [
        ("Cliente", client["full_name"]),
        ("Adeudo total", _pesos(balance["total_debt"])),
        ("Crédito disponible", _pesos(available) if available else "Sin límite"),
    ]
    return About(facts, {"product": "STANDARD", "status": "ACTIVE"}, {"product": await products(api)})


async def products(api: Api) -> dict[str, str]:
    """Names of the products of which loans are granted, by their codes."""
    data = (await api.call("listProducts", {}, query={"status": "ACTIVE", "limit": 100})).data["data"]
    return {product["code"]: f"{product['name']} ({product['code']})" for product in data}


async def previewed(api: Api, _: Parts, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a new loan would be like: its installments and what it costs."""
    terms = {name: value for name, value in body.items() if name not in ("client_id", "status", "external_id")}
    seen = (await api.call("previewLoan", {}, body=terms)).data
    totals = seen["totals"]
    return {
        "facts": [
            ("Se entrega", _pesos(totals["handed_over"])),
            ("Pagos", count(len(seen["installments"]), "pago", "pagos")),
            ("Intereses", _pesos(totals["interest"])),
            ("IVA", _pesos(totals["vat"])),
            ("Total a pagar", _pesos(totals["total"])),
            ("CAT sin IVA", f"{seen['cat']['percent']}%"),
        ],
        "rows": [
            [str(row["number"]), _day(row["due_on"]), *(_pesos(row[name]) for name in PARTS)]
            for row in seen["installments"]
        ],
    }


async def _facts(api: Api, loan: Row) -> Sequence[tuple[str, str]]:
    names = await names_of(api.request, api.principal, [loan["client_id"]], (), ())
    return [
        ("Crédito", str(loan["folio"])),
        ("Cliente", names.clients.get(loan["client_id"], NOTHING)),
        ("Monto", _pesos(loan["amount"])),
        ("Saldo de capital", _pesos(loan["current_balance"])),
        ("Situación", LOANS[loan["status"]]),
    ]


def _pesos(text: str) -> str:
    return amount(parse_money(text))


def _day(text: str) -> str:
    return short_date(date.fromisoformat(text))


def _is(*states: str) -> Any:
    """Whether a loan is in one of these states."""
    return lambda loan: loan["status"] in states


NEW = FormPage(
    path="/clientes/{client_id}/credito-nuevo",
    title="Nuevo crédito",
    operation="createLoan",
    button="Otorgar crédito",
    leads_to=ONE,
    notice="otorgado",
    fields=(
        Field("product", "Producto", Entry.CHOICE, required=True),
        Field("amount", "Monto", Entry.MONEY, required=True),
        *TERMS,
        Field(
            "status", "Disposición", Entry.CHOICE, {"ACTIVE": "Entregar hoy", "PENDING": "Dejar por disponer"},
            required=True,
        ),
    ),
    carried=("client_id",),
    about=offered,
    preview=previewed,
    offered=lambda client: client["status"] == "ACTIVE",
)  # fmt: skip
ACTIVATE = FormPage(
    path="/creditos/{loan_id}/activar",
    title="Activar crédito",
    operation="activateLoan",
    button="Activar y entregar hoy",
    leads_to=BACK,
    notice="activado",
    note="El dinero se entrega hoy. Si el monto rebasa el límite configurado, otra persona tiene que autorizarlo.",
    about=versioned,
    offered=_is("PENDING"),
    bodiless=True,
)
CHANGE = FormPage(
    path="/creditos/{loan_id}/condiciones",
    title="Cambiar condiciones",
    operation="updateLoan",
    button="Guardar condiciones",
    leads_to=BACK,
    notice="guardado",
    note="Se pueden cambiar mientras el crédito está por disponer. Lo demás queda como está.",
    fields=(
        Field("amount", "Monto", Entry.MONEY, required=True),
        Field("interest_rate", "Tasa de interés anual (%)", Entry.PERCENT, required=True),
        Field("installments", "Número de pagos", Entry.NUMBER, required=True),
        Field("first_due_on", "Primer vencimiento", Entry.DATE, hint="Vacío: como está."),
    ),
    about=agreed,
    offered=_is("PENDING"),
)
REJECT = FormPage(
    path="/creditos/{loan_id}/rechazar",
    title="Rechazar crédito",
    operation="rejectLoan",
    button="Rechazar crédito",
    leads_to=BACK,
    notice="rechazado",
    about=versioned,
    offered=_is("PENDING"),
    bodiless=True,
    danger=True,
)
UNDO = FormPage(
    path="/creditos/{loan_id}/deshacer",
    title="Deshacer crédito",
    operation="deleteLoan",
    button="Deshacer crédito",
    leads_to=BACK,
    notice="cancelado",
    note="Un crédito por disponer se cancela. Uno de hoy, sin movimientos, se deshace con su disposición.",
    about=versioned,
    offered=_is("PENDING", "ACTIVE"),
    bodiless=True,
    danger=True,
)
PAY = FormPage(
    path="/creditos/{loan_id}/pago",
    title="Registrar pago",
    operation="payLoan",
    button="Registrar pago",
    leads_to="/pagos/{id}",
    notice="pagado",
    fields=payments.FIELDS,
    about=quoted,
    offered=_is("ACTIVE", "DEFAULTED", "WRITTEN_OFF"),
)
FEE = FormPage(
    path="/creditos/{loan_id}/cargo",
    title="Cobrar un cargo",
    operation="chargeFee",
    button="Cobrar cargo",
    leads_to=BACK,
    notice="cargo",
    fields=(Field("amount", "Importe sin IVA", Entry.MONEY, required=True, hint="El IVA se suma."), REASON),
    about=versioned,
    offered=_is(*OWING),
)
WAIVE = FormPage(
    path="/creditos/{loan_id}/condonar",
    title="Condonar",
    operation="waive",
    button="Condonar",
    leads_to=BACK,
    notice="condonado",
    fields=(
        Field("concept", "Qué se condona", Entry.CHOICE, CONCEPTS, required=True),
        Field("amount", "Importe con IVA", Entry.MONEY, required=True),
        REASON,
    ),
    about=quoted,
    offered=_is(*OWING),
)
RESTRUCTURE = FormPage(
    path="/creditos/{loan_id}/reestructurar",
    title="Reestructurar crédito",
    operation="restructureLoan",
    button="Reestructurar",
    leads_to=ONE,
    notice="reestructurado",
    note="El crédito se cierra con un traspaso, y uno nuevo con estas condiciones toma su lugar.",
    fields=(Field("product", "Producto", Entry.CHOICE, required=True), *TERMS, REASON),
    about=replaced,
    offered=_is(*OWING),
    danger=True,
)
WRITE_OFF = FormPage(
    path="/creditos/{loan_id}/castigar",
    title="Castigar crédito",
    operation="writeOffLoan",
    button="Castigar crédito",
    leads_to=BACK,
    notice="castigado",
    note="Todo lo que se debe se vuelve pérdida; lo que se pague después es una recuperación.",
    fields=(REASON,),
    about=versioned,
    offered=_is(*OWING),
    danger=True,
)
UNDO_WRITE_OFF = FormPage(
    path="/creditos/{loan_id}/anular-castigo",
    title="Anular castigo",
    operation="reverseWriteOff",
    button="Anular castigo",
    leads_to=BACK,
    notice="repuesto",
    fields=(REASON,),
    about=versioned,
    offered=_is("WRITTEN_OFF"),
)
NOTES = FormPage(
    path="/creditos/{loan_id}/notas",
    title="Notas del crédito",
    operation="updateLoan",
    button="Guardar notas",
    leads_to=BACK,
    notice="guardado",
    fields=(Field("notes", "Notas", Entry.LONG),),
    about=versioned,
    empties=True,
)
EXPORTS = tuple(
    FilePage(f"/creditos/exportar.{form}", form.upper(), "exportLoans", {"format": form}) for form in ("csv", "xlsx")
)
LIST = ListPage(
    path="/creditos",
    title="Créditos",
    operation="listLoans",
    columns=(FOLIO, Column("Cliente", "client_id", Kind.CLIENT), *COLUMNS[1:]),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, LOANS), Field("client_id", "Id del cliente")),
    looked_for="Folio, id o id externo",
    search=find,
    files=EXPORTS,
    empty="No hay créditos así.",
)
DETAIL = DetailPage(
    path="/creditos/{loan_id}",
    title=lambda loan: f"Crédito {loan['folio']}",
    operation="getLoan",
    state=STATE,
    facts=(
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Saldo de capital", "current_balance", Kind.MONEY),
        Column("Monto", "amount", Kind.MONEY),
        Column("Tasa anual", "interest_rate", Kind.PERCENT),
        Column("Pagos", lambda loan: loan["terms"]["installments"], Kind.NUMBER),
        Column("Producto", lambda loan: f"{loan['product']}, versión {loan['product_version']}"),
        Column("Disposición", "disbursed_on", Kind.DATE),
        Column("Próximo pago", "next_due_on", Kind.DATE),
        Column("Id externo", "external_id"),
        Column("Sustituye a", "restructured_from", Kind.LOAN),
        Column("Notas", "notes"),
    ),
    sections=(
        Section(
            "Calendario",
            (
                Column("Pago", "number"),
                Column("Vence", "due_on", Kind.DATE),
                Column("Capital", "principal", Kind.MONEY, minor=True),
                Column("Intereses", "interest", Kind.MONEY, minor=True),
                Column("Cargos y moratorios", lambda row: _sum(row, "fees", "moratory"), Kind.MONEY, minor=True),
                Column("IVA", "vat", Kind.MONEY, minor=True),
                Column("Total", "total", Kind.MONEY),
                Column("Por pagar", "open", Kind.MONEY),
            ),
            "getSchedule",
            rows=lambda schedule: schedule["installments"],
            compact=True,
        ),
        Section(
            "Movimientos",
            (
                Column("Registro", "posted_on", Kind.DATE),
                Column("Fecha valor", "value_date", Kind.DATE, minor=True),
                Column("Movimiento", lambda row: _movement(row)),
                Column("Capital", "principal", Kind.MONEY, minor=True),
                Column("Intereses", "interest", Kind.MONEY, minor=True),
                Column("Importe", "amount", Kind.MONEY),
            ),
            "listMovements",
            {"sort": "-created_at", "limit": "100"},
            empty="Todavía no hay movimientos.",
            compact=True,
        ),
        Section(
            "Pagos", payments.COLUMNS, "listLoanPayments", {"sort": "-created_at", "limit": "25"},
            leads_to=payments.ONE, more="/pagos?client_id={client_id}", empty="No se ha pagado nada.",
        ),
    ),
    actions=(PAY, ACTIVATE, CHANGE, REJECT, FEE, WAIVE, RESTRUCTURE, WRITE_OFF, UNDO_WRITE_OFF, UNDO, NOTES),
    lists=(history.LOAN,),
)  # fmt: skip


def _movement(row: Row) -> str:
    called = MOVEMENTS[row["kind"]]
    return f"{called} (anulación)" if row["undoes_id"] else called


def _sum(row: Row, *names: str) -> str:
    return str(sum(parse_money(row[name]) for name in names))


PAGES: tuple[Declared, ...] = (
    LIST, *EXPORTS, DETAIL, NEW, ACTIVATE, CHANGE, REJECT, UNDO, PAY, FEE, WAIVE, RESTRUCTURE, WRITE_OFF,
    UNDO_WRITE_OFF, NOTES,
)  # fmt: skip
