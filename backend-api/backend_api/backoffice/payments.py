"""Payments: the list, one of them with what it did, and how it is taken back."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from backend_api.backoffice.api import Api
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
from backend_api.backoffice.words import PAYMENTS, REASONS
from backend_api.clients.statement.spanish import amount, short_date
from backend_api.domain.money import parse_money
from backend_api.pages.words import METHODS

ONE = "/pagos/{id}"
STATE = Column("Situación", "status", Kind.STATE, PAYMENTS)
COLUMNS = (
    Column("Fecha", "paid_on", Kind.DATE),
    Column("Importe", "amount", Kind.MONEY),
    Column("Forma", "method", words=METHODS, minor=True),
    Column("Referencia", "reference", minor=True),
    STATE,
)
FIELDS = (
    Field("amount", "Importe", Entry.MONEY, required=True),
    Field("paid_on", "Fecha del pago", Entry.DATE, hint="Vacía: hoy."),
    Field("method", "Forma de pago", Entry.CHOICE, METHODS, required=True, value="transfer"),
    Field("reference", "Referencia", hint="Clave de rastreo o número de recibo; cuenta una sola vez por cliente."),
    Field("external_id", "Id externo"),
)


async def find(_: Api, text: str) -> str | Mapping[str, str]:
    """A payment by id; else those with this reference."""
    try:
        return f"/pagos/{UUID(text)}"
    except ValueError:
        return {"reference": text[:60]}


async def paid(api: Api, parts: Parts) -> About:
    """The payment that is taken back."""
    payment = (await api.call("getPayment", parts)).data
    day = date.fromisoformat(payment["paid_on"])
    return About([("Importe", amount(parse_money(payment["amount"]))), ("Fecha", short_date(day))])


def _is_registered(payment: Row) -> bool:
    return bool(payment["status"] == "REGISTERED")


REVERSE = FormPage(
    path="/pagos/{payment_id}/anular",
    title="Anular pago",
    operation="reversePayment",
    button="Anular pago",
    leads_to="/pagos/{payment_id}",
    notice="anulado",
    fields=(Field("reason", "Motivo", Entry.LONG),),
    note="Los créditos vuelven a quedar como sin este pago. El pago sigue a la vista, con su anulación.",
    about=paid,
    offered=_is_registered,
    danger=True,
)
EXPORTS = tuple(
    FilePage(f"/pagos/exportar.{form}", form.upper(), "exportPayments", {"format": form}) for form in ("csv", "xlsx")
)
LIST = ListPage(
    path="/pagos",
    title="Pagos",
    operation="listPayments",
    columns=(COLUMNS[0], Column("Cliente", "client_id", Kind.CLIENT), *COLUMNS[1:]),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, PAYMENTS), Field("client_id", "Id del cliente")),
    looked_for="Referencia o id",
    search=find,
    files=EXPORTS,
    empty="No hay pagos así.",
)
DETAIL = DetailPage(
    path="/pagos/{payment_id}",
    title=lambda payment: f"Pago de {amount(parse_money(payment['amount']))}",
    operation="getPayment",
    state=STATE,
    facts=(
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Fecha del pago", "paid_on", Kind.DATE),
        Column("Fecha de registro", "posted_on", Kind.DATE),
        Column("Forma de pago", "method", words=METHODS),
        Column("Referencia", "reference"),
        Column("Id externo", "external_id"),
        Column("Motivo del rechazo", "reason", words=REASONS),
    ),
    sections=(
        Section(
            "Cómo se aplicó",
            (
                Column("Crédito", "loan_id", Kind.LOAN),
                Column("Capital", "principal", Kind.MONEY),
                Column("Intereses", "interest", Kind.MONEY),
                Column("Moratorios", "moratory", Kind.MONEY),
                Column("Cargos", "fees", Kind.MONEY),
                Column("IVA", "vat", Kind.MONEY),
                Column("Total", "amount", Kind.MONEY),
            ),
            rows=lambda payment: payment["allocations"],
            empty="No se aplicó a ningún crédito.",
        ),
    ),
    actions=(REVERSE,),
)
PAGES: tuple[Declared, ...] = (LIST, *EXPORTS, DETAIL, REVERSE)
