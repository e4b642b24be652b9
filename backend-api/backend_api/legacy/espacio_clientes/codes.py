"""What the calls answer in `codresp`: "0" is done, every other code says why not (docs/older-contracts.md)."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from backend_api.domain.errors import DomainError


class Code(StrEnum):
    """The codes, with the sentence for the person in front of the screen."""

    text: str

    def __new__(cls, code: str, text: str) -> "Code":
        """A code is a string; its sentence stands beside it."""
        made = str.__new__(cls, code)
        made._value_ = code
        made.text = text
        return made

    DONE = "0", "Operación realizada."
    CLIENT_UNKNOWN = "1", "No hay un cliente con ese documento."
    CURRENCY_UNKNOWN = "2", "La moneda no está disponible: 1 son pesos mexicanos."
    SESSION_GONE = "3", "La sesión no existe o venció: consulte sus deudas de nuevo."
    MOVEMENT_UNKNOWN = "4", "No hay una cuota pendiente con ese código."
    NOT_IN_CART = "5", "Esa cuota no está en el carrito."
    OLDER_FIRST = "6", "Hay una cuota anterior pendiente: agréguela primero."
    NEWER_FIRST = "7", "Hay una cuota posterior en el carrito: quítela primero."
    AMOUNT_IN_CART = "8", "El crédito ya está en el carrito con un importe: quítelo primero en la página."
    CART_EMPTY = "9", "El carrito está vacío."
    DEBT_CHANGED = "10", "La deuda cambió. No se cobró nada: revise el carrito y pague de nuevo."
    CODE_USED = "11", "Ese código de transacción ya se usó para otro pago."
    TRANSACTION_UNKNOWN = "12", "No hay un pago suyo con ese código de transacción."
    ALREADY_UNDONE = "13", "Ese pago ya fue anulado."
    REQUEST_OPENED = "14", "El plazo para anular terminó: se abrió una solicitud para el personal."
    NOT_POSSIBLE = "15", "La operación no es posible en el estado actual del crédito."


OF_REFUSAL = {
    "cart_gone": Code.SESSION_GONE,
    "not_found": Code.MOVEMENT_UNKNOWN,
    "installment_not_owed": Code.MOVEMENT_UNKNOWN,
    "not_in_cart": Code.NOT_IN_CART,
    "older_installment_first": Code.OLDER_FIRST,
    "newer_installment_first": Code.NEWER_FIRST,
    "loan_twice_in_cart": Code.AMOUNT_IN_CART,
    "cart_empty": Code.CART_EMPTY,
    "cart_changed": Code.DEBT_CHANGED,
    "duplicate_reference": Code.CODE_USED,
    "not_own_payment": Code.TRANSACTION_UNKNOWN,
    "payment_already_reversed": Code.ALREADY_UNDONE,
    "approval_pending": Code.REQUEST_OPENED,
}
"""What these callers get instead of the refusals of the services. Any other conflict is `NOT_POSSIBLE`."""


def code_of(refusal: DomainError) -> Code:
    """The code of a refusal. Raises the refusal itself when it is none of the business: overload, a limit, a defect."""
    if refusal.code not in OF_REFUSAL and refusal.status != HTTPStatus.CONFLICT:
        raise refusal
    return OF_REFUSAL.get(refusal.code, Code.NOT_POSSIBLE)


def code_in(problem: Mapping[str, Any]) -> Code:
    """The same for a refusal that was recorded and comes as an answer."""
    return OF_REFUSAL.get(problem["code"], Code.NOT_POSSIBLE)
