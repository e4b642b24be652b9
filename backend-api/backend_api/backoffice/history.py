"""What happened to a client or a loan: its events as CouchDB holds them, with a mark of how well they could be checked.

Rows are shown as they stand there, and somebody may have changed them: what cannot be read is left out, not trusted.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from backend_api.backoffice.pages import Declared, ListPage, Remark
from backend_api.backoffice.show import Column, Kind, Row
from backend_api.domain.errors import MoneyMalformed
from backend_api.domain.money import parse_money

EVENTS = {
    "approval_expired": "Venció una solicitud de autorización",
    "approval_granted": "Se autorizó una solicitud",
    "approval_refused": "Se rechazó una solicitud",
    "approval_requested": "Se pidió una autorización",
    "cart_checked_out": "El cliente pasó a pagar su carrito",
    "cart_paid": "Se pagó el carrito",
    "cart_refused": "No se pudo tomar el pago del carrito",
    "client_created": "Se registró el cliente",
    "client_deactivated": "Se desactivó el cliente",
    "client_deleted": "Se eliminó el cliente",
    "client_reactivated": "Se reactivó el cliente",
    "client_updated": "Cambiaron los datos del cliente",
    "fee_charged": "Se cargó una comisión",
    "fee_waived": "Se condonó un cargo",
    "installment_overdue": "Venció un pago sin cubrirse",
    "loan_activated": "Se activó el crédito",
    "loan_cancelled": "Se canceló el crédito",
    "loan_created": "Se registró el crédito",
    "loan_cured": "El crédito se puso al corriente",
    "loan_defaulted": "El crédito cayó en cartera vencida",
    "loan_disbursement_undone": "Se deshizo la disposición",
    "loan_paid_off": "Se liquidó el crédito",
    "loan_recovered": "Se recuperó algo de un crédito castigado",
    "loan_rejected": "Se rechazó el crédito",
    "loan_reopened": "El crédito volvió a abrirse",
    "loan_restructured": "Se reestructuró el crédito",
    "loan_updated": "Cambiaron las condiciones del crédito",
    "loan_written_off": "Se castigó el crédito",
    "payment_registered": "Se registró un pago",
    "payment_rejected": "No se tomó un pago",
    "payment_reversed": "Se anuló un pago",
    "person_data_exported": "Se entregaron los datos de la persona",
}
"""What each type of event of a client is called."""


def remark(data: Any) -> Remark:
    """How far the events could be followed, and what to do when they could not."""
    mark = data["history"]
    through, last = f"{mark['through']:,}", f"{mark['sequence']:,}"
    if not mark["complete"]:
        return Remark(
            "warn",
            f"Faltan eventos: el último de los libros es el {last}. Los más nuevos pueden venir en camino: mire de "
            "nuevo en un momento. Si siguen faltando, avise a quien opera el sistema.",
        )
    if not mark["verified"]:
        return Remark(
            "bad",
            f"Hasta el evento {through} de {last} la historia no coincide con los libros: alguien cambió un documento. "
            "Avise a quien opera el sistema.",
        )
    if data["has_more"]:
        return Remark("", f"Completa y comprobada hasta el evento {through} de {last} del cliente.")
    return Remark("good", f"Historia completa y comprobada: {last} eventos del cliente, como dicen los libros.")


def _number(event: Row) -> int | None:
    return event["sequence"] if isinstance(event["sequence"], int) else None


def _at(event: Row) -> str | None:
    try:
        return datetime.fromisoformat(event["timestamp"]).isoformat()
    except (TypeError, ValueError):
        return None


def _amount(event: Row) -> str | None:
    try:
        return str(parse_money(event["payload"]["amount"]))
    except (KeyError, TypeError, MoneyMalformed):
        return None


def _person(event: Row) -> str | None:
    """The id of a person; a program is none."""
    kind, _, name = str(event["actor"]).partition(":")
    try:
        return str(UUID(name)) if kind == "user" else None
    except ValueError:
        return None


COLUMNS = (
    Column("Núm.", _number, Kind.NUMBER),
    Column("Qué pasó", lambda event: str(event["event_type"]), words=EVENTS),
    Column("Cuándo", _at, Kind.MOMENT),
    Column("Quién", _person, Kind.USER, minor=True),
    Column("Importe", _amount, Kind.MONEY),
    Column("Documento", lambda event: "Íntegro" if event["intact"] else "Alterado", minor=True),
)
CLIENT = ListPage(
    path="/clientes/{client_id}/historia",
    title="Historia del cliente",
    operation="listClientEvents",
    columns=COLUMNS,
    leads_to=None,
    sort=None,
    remark=remark,
    empty="No hay eventos.",
)
LOAN = ListPage(
    path="/creditos/{loan_id}/historia",
    title="Historia del crédito",
    operation="listLoanEvents",
    columns=COLUMNS,
    leads_to=None,
    sort=None,
    remark=remark,
    empty="No hay eventos.",
)
PAGES: tuple[Declared, ...] = (CLIENT, LOAN)
