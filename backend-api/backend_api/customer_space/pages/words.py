"""What pages say: refusals, notices, names of states, in Spanish, short, and with what to do next."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backend_api.clients.statement.spanish import amount
from backend_api.pages.words import Words

NOTICES = {
    "adios": "Salió de su espacio. Ya puede cerrar esta ventana.",
    "agregado": "Agregado al carrito.",
    "contrasena": "Su contraseña quedó guardada. Ya puede entrar con ella.",
    "cambiada": "Su contraseña quedó cambiada. En los demás equipos hay que entrar de nuevo.",
    "quitado": "Quitado del carrito.",
    "vaciado": "El carrito quedó vacío.",
    "anulado": "El pago quedó anulado.",
    "solicitado": "Enviamos su solicitud de anulación. Mientras se decide, el pago sigue contando.",
}
"""What was done, by the word that stands in the address: nobody can put other words into a page with a link."""

PAYMENTS = {
    "REGISTERED": ("", ""),
    "REJECTED": ("Rechazado", "late"),
    "REVERSED": ("Anulado", "plain"),
}
"""What a payment's state is called, and the look of that; one that stands needs no word."""
OUTCOMES = {
    "WAITING": ("Esperando la confirmación", "El banco todavía no nos confirma el pago. Suele tardar unos segundos."),
    "PAID": ("Pago registrado", "Su pago quedó aplicado. Gracias."),
    "REFUSED": ("Pago rechazado", "El pago no se hizo. No se cobró nada."),
    "EXPIRED": ("El pago venció", "Pasó el tiempo para pagar y no recibimos nada. Puede llenar el carrito de nuevo."),
}
"""Heading and sentence of the page after the gateway, by the state of the order."""
GIVEN_BACK = {
    "debt_changed": "Lo que debía cambió mientras pagaba, así que el banco le devuelve el dinero.",
    "amount_differs": "El importe cobrado no es el de su compra, así que el banco le devuelve el dinero.",
    "duplicate_reference": "El banco usó dos veces el mismo número de operación, así que le devuelve el dinero.",
    "detail_loan_not_owing": "Uno de los créditos ya no se debe, así que el banco le devuelve el dinero.",
    "payment_exceeds_debt": "Ya debe menos de lo que pagó, así que el banco le devuelve el dinero.",
    "movement_refused": "El pago ya no se puede aplicar, así que el banco le devuelve el dinero.",
}
"""Why an order was not paid although somebody tried."""

_BY_CODE = {
    "approval_pending": "Ya hay una solicitud de anulación de este pago y está en revisión.",
    "cart_empty": "El carrito está vacío.",
    "cart_full": "Un carrito admite 50 créditos como máximo.",
    "cart_gone": "Ese carrito venció o ya se pagó. No se cobró nada de nuevo.",
    "installment_not_owed": "Ese pago ya no se debe. Vea abajo lo que debe ahora.",
    "loan_frozen": "El crédito se reestructuró o se castigó después de este pago, así que ya no se puede anular.",
    "movement_refused": "Los movimientos posteriores del crédito ya no permiten anular este pago.",
    "not_for_staff": "Este espacio es para clientes. El personal entra por otra página.",
    "not_found": "La página no existe o no corresponde a su cuenta.",
    "not_in_cart": "Ya no estaba en el carrito.",
    "not_own_payment": "Aquí solo puede anular los pagos que usted hizo en línea. Para los demás, llámenos.",
    "payment_exceeds_debt": "El importe es mayor que lo que debe en este crédito.",
    "outcome_unknown": "La conexión se perdió y no sabemos si la operación quedó hecha. "
    "Revise sus movimientos antes de repetirla.",
}
_BY_STATUS = {
    403: "Esta página es para clientes. Su usuario no tiene acceso a ella.",
    404: _BY_CODE["not_found"],
    405: "Esta página no se puede abrir de esa manera.",
    413: "La petición es demasiado grande.",
}
_WELCOME = "Consulte lo que debe, pague en línea y descargue sus recibos."
WORDS = Words(_BY_CODE, _BY_STATUS, NOTICES, home="Ir a Mis deudas", welcome=_WELCOME)


def of_change(change: Mapping[str, Any]) -> str:
    """What became of a loan in the cart, see `CartChanged`."""
    before = amount(Decimal(change["quoted"]["amount"]))
    if change["now"] is None:
        return f"Crédito {change['folio']}: costaba {before} y ya no se debe; salió del carrito."
    return f"Crédito {change['folio']}: costaba {before} y ahora cuesta {amount(Decimal(change['now']['amount']))}."
