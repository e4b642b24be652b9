"""What pages say: refusals, notices, names of states, in Spanish, short, and with what to do next."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backend_api.clients.statement.spanish import amount
from backend_api.domain.errors import DomainError

TITLES = {
    403: "No se puede hacer",
    404: "No encontramos esa página",
    409: "Algo cambió",
    429: "Espere un momento",
    503: "Vuelva a intentar en un momento",
}
"""The heading of a page that refuses, by status."""
ANY_TITLE = "No se pudo completar"

NOTICES = {
    "adios": "Salió de su espacio. Ya puede cerrar esta ventana.",
    "agregado": "Agregado al carrito.",
    "contrasena": "Su contraseña quedó guardada. Ya puede entrar con ella.",
    "quitado": "Quitado del carrito.",
    "vaciado": "El carrito quedó vacío.",
    "anulado": "El pago quedó anulado.",
    "solicitado": "Enviamos su solicitud de anulación. Mientras se decide, el pago sigue contando.",
}
"""What was done, by the word that stands in the address: nobody can put other words into a page with a link."""

LOANS = {
    "PENDING": "Por disponer",
    "ACTIVE": "Vigente",
    "PAID_OFF": "Pagado",
    "DEFAULTED": "Vencido",
    "RESTRUCTURED": "Reestructurado",
    "WRITTEN_OFF": "Castigado",
    "REJECTED": "Rechazado",
    "CANCELLED": "Cancelado",
}
PAYMENTS = {
    "REGISTERED": ("", ""),
    "REJECTED": ("Rechazado", "late"),
    "REVERSED": ("Anulado", "plain"),
}
"""What a payment's state is called, and the look of that; one that stands needs no word."""
METHODS = {
    "cash": "Efectivo",
    "transfer": "Transferencia",
    "card": "Tarjeta",
    "direct_debit": "Domiciliación",
    "other": "Otro medio",
}
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
    "amount_too_large": "El importe es demasiado grande.",
    "approval_pending": "Ya hay una solicitud de anulación de este pago y está en revisión.",
    "cart_empty": "El carrito está vacío.",
    "cart_full": "Un carrito admite 50 créditos como máximo.",
    "cart_gone": "Ese carrito venció o ya se pagó. No se cobró nada de nuevo.",
    "date_malformed": "Escriba una fecha que exista.",
    "date_out_of_range": "La fecha está fuera del rango permitido.",
    "form_refused": "Esta página ya no es válida, porque su sesión cambió o la petición vino de otro sitio. "
    "Regrese, vuelva a cargar la página y repita la acción. No se hizo ningún cambio.",
    "installment_not_owed": "Ese pago ya no se debe. Vea abajo lo que debe ahora.",
    "loan_frozen": "El crédito se reestructuró o se castigó después de este pago, así que ya no se puede anular.",
    "loan_not_active": "Este crédito ya no recibe pagos.",
    "money_malformed": "Escriba el importe en pesos, con dos decimales como máximo: por ejemplo 1500.00.",
    "money_not_positive": "El importe debe ser mayor que cero.",
    "movement_refused": "Los movimientos posteriores del crédito ya no permiten anular este pago.",
    "not_for_staff": "Este espacio es para clientes. El personal entra por otra página.",
    "not_found": "La página no existe o no corresponde a su cuenta.",
    "not_in_cart": "Ya no estaba en el carrito.",
    "not_own_payment": "Aquí solo puede anular los pagos que usted hizo en línea. Para los demás, llámenos.",
    "outcome_unknown": "La conexión se perdió y no sabemos si la operación quedó hecha. "
    "Revise sus movimientos antes de repetirla.",
    "password_common": "Esa contraseña es de las primeras que alguien probaría. Elija otra.",
    "password_is_username": "La contraseña es casi igual a su usuario. Elija otra.",
    "password_length": "La contraseña debe tener entre 12 y 128 caracteres.",
    "passwords_differ": "Las dos contraseñas no son iguales.",
    "payment_already_reversed": "Este pago ya está anulado.",
    "payment_exceeds_debt": "El importe es mayor que lo que debe en este crédito.",
    "payment_not_registered": "Este pago no se aplicó, así que no hay nada que anular.",
    "period_reversed": "El periodo termina antes de empezar.",
    "period_too_long": "El periodo es demasiado largo: pida un año como máximo.",
    "printing_failed": "El PDF no se pudo preparar a tiempo. Vuelva a intentar, o pida un periodo más corto.",
    "rate_limited": "Hizo muchas peticiones en poco tiempo. Espere un minuto y vuelva a intentar.",
    "reset_refused": "El usuario o el código no son correctos, o el código ya se usó o venció.",
    "sign_in_delayed": "Hubo demasiados intentos fallidos. Espere {wait} antes de volver a intentar.",
    "sign_in_refused": "El usuario o la contraseña no son correctos.",
    "statement_too_long": "El periodo tiene demasiados movimientos para un solo documento. Pida un periodo más corto.",
    "temporarily_unavailable": "El servicio no puede atenderle en este momento. No se hizo ningún cambio; "
    "espere unos segundos y vuelva a intentar.",
}
_BY_STATUS = {
    403: "Esta página es para clientes. Su usuario no tiene acceso a ella.",
    404: _BY_CODE["not_found"],
    405: "Esta página no se puede abrir de esa manera.",
    413: "La petición es demasiado grande.",
}
_ANYTHING_ELSE = "No se pudo completar la operación. No se hizo ningún cambio."


def of_refusal(refusal: DomainError) -> str:
    """The sentence for a refusal: of what it says about a field first."""
    codes = [*(error.code for error in getattr(refusal, "errors", [])), refusal.code]
    sentence = next((_BY_CODE[code] for code in codes if code in _BY_CODE), _ANYTHING_ELSE)
    return sentence.replace("{wait}", _wait(getattr(refusal, "retry_after", 1)))


def of_code(code: str) -> str:
    """The sentence for the code of a refusal."""
    return _BY_CODE.get(code, _ANYTHING_ELSE)


def of_status(status: int) -> str:
    """The sentence for a status that came without a reason."""
    return _BY_STATUS.get(status, _ANYTHING_ELSE)


def of_change(change: Mapping[str, Any]) -> str:
    """What became of a loan in the cart, see `CartChanged`."""
    before = amount(Decimal(change["quoted"]["amount"]))
    if change["now"] is None:
        return f"Crédito {change['folio']}: costaba {before} y ya no se debe; salió del carrito."
    return f"Crédito {change['folio']}: costaba {before} y ahora cuesta {amount(Decimal(change['now']['amount']))}."


def _wait(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} segundos" if seconds != 1 else "un segundo"
    minutes = -(-seconds // 60)
    return f"{minutes} minutos" if minutes != 1 else "un minuto"
