"""What pages say: refusals and headings in Spanish, short, and with what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend_api.domain.errors import DomainError

TITLES = {
    403: "No se puede hacer",
    404: "No encontramos esa página",
    409: "Algo cambió",
    429: "Espere un momento",
    500: "Algo falló de nuestro lado",
    503: "Vuelva a intentar en un momento",
}
"""The heading of a page that refuses, by status."""
ANY_TITLE = "No se pudo completar"
ANYTHING_ELSE = "No se pudo completar la operación. No se hizo ningún cambio."
UNEXPECTED = (
    "Ocurrió un error que no esperábamos y quedó registrado. Si estaba guardando o pagando algo, revise si quedó hecho "
    "antes de repetirlo. Si vuelve a pasar, díganos la referencia de abajo."
)
"""What is said of an error that nobody foresaw, whose reason is nobody's business."""

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
"""What the state of a loan is called."""
METHODS = {
    "cash": "Efectivo",
    "transfer": "Transferencia",
    "card": "Tarjeta",
    "direct_debit": "Domiciliación",
    "other": "Otro medio",
}
"""What the way of a payment is called."""

COMMON = {
    "amount_too_large": "El importe es demasiado grande.",
    "date_malformed": "Escriba una fecha que exista.",
    "date_out_of_range": "La fecha está fuera del rango permitido.",
    "form_refused": "Esta página ya no es válida, porque su sesión cambió o la petición vino de otro sitio. "
    "Regrese, vuelva a cargar la página y repita la acción. No se hizo ningún cambio.",
    "loan_not_active": "Este crédito ya no recibe pagos.",
    "money_malformed": "Escriba el importe en pesos, con dos decimales como máximo: por ejemplo 1500.00.",
    "money_not_positive": "El importe debe ser mayor que cero.",
    "outcome_unknown": "La conexión se perdió y no sabemos si la operación quedó hecha. "
    "Revise los movimientos antes de repetirla.",
    "password_common": "Esa contraseña es de las primeras que alguien probaría. Elija otra.",
    "password_is_username": "La contraseña es casi igual a su usuario. Elija otra.",
    "password_length": "La contraseña debe tener entre 12 y 128 caracteres.",
    "password_wrong": "La contraseña actual no es correcta.",
    "passwords_differ": "Las dos contraseñas nuevas no son iguales.",
    "payment_already_reversed": "Este pago ya está anulado.",
    "payment_exceeds_debt": "El importe es mayor que lo que se debe en este crédito.",
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
"""Refusals that mean the same everywhere, by code."""


@dataclass(frozen=True)
class Words:
    """What one space says: its sentences by code and by status, and its notices by the word in the address."""

    own: Mapping[str, str]
    of_statuses: Mapping[int, str]
    notices: Mapping[str, str]
    home: str
    """What the way back to its first page is called."""
    welcome: str
    """What stands above the sign-in form."""

    def of_refusal(self, refusal: DomainError) -> str:
        """The sentence for a refusal: of what it says about a field first."""
        codes = [*(error.code for error in getattr(refusal, "errors", [])), refusal.code]
        sentence = next((found for found in map(self._find, codes) if found), ANYTHING_ELSE)
        return sentence.replace("{wait}", _wait(getattr(refusal, "retry_after", 1)))

    def of_code(self, code: str) -> str:
        """The sentence for the code of a refusal."""
        return self._find(code) or ANYTHING_ELSE

    def of_status(self, status: int) -> str:
        """The sentence for a status that came without a reason."""
        return self.of_statuses.get(status, ANYTHING_ELSE)

    def _find(self, code: str) -> str | None:
        return self.own.get(code) or COMMON.get(code)


def _wait(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} segundos" if seconds != 1 else "un segundo"
    minutes = -(-seconds // 60)
    return f"{minutes} minutos" if minutes != 1 else "un minuto"
