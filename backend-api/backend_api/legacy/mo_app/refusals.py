"""How refusals leave here: `{"detail": "..."}` in Spanish, as the callers of the older system read them.

What they can mend is 400: a body that cannot be taken, and whatever a rule of the business forbids. 401, 403 and 404
are as everywhere. Only the shape is older; the rules are those of the services.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from backend_api.domain.errors import DomainError
from backend_api.http import problems
from backend_api.http.problems import BodyRefused
from backend_api.http.strict import StrictRoute

OF_STATUS = {
    400: "La solicitud no es válida.",
    401: "Las credenciales de autenticación no se proveyeron o no son válidas.",
    403: "No tiene permiso para realizar esta acción.",
    404: "No encontrado.",
    413: "La solicitud es demasiado grande.",
    415: "Envíe la solicitud como application/json.",
    429: "Demasiadas solicitudes: espere lo que dice Retry-After.",
    503: "El servicio no puede atender esto por el momento: intente de nuevo.",
}
OF_CODE = {
    "client_not_found": "El cliente no existe.",
    "client_inactive": "El cliente está inactivo y no puede recibir préstamos.",
    "client_defaulted": "El cliente tiene un préstamo en incumplimiento y no puede recibir otro.",
    "credit_limit_exceeded": "El monto rebasa el crédito disponible del cliente.",
    "terms_refused": "El producto de esta llave no admite un préstamo así.",
    "product_not_found": "El producto de esta llave no existe.",
    "product_retired": "El producto de esta llave está retirado.",
    "detail_repeated": "payment_details: un préstamo aparece dos veces.",
    "detail_loan_not_owing": "payment_details: un préstamo no es de este cliente o no está activo.",
    "details_exceed_amount": "payment_details: los detalles suman más que el pago.",
    "payment_exceeds_debt": "El pago es mayor que la deuda.",
    "movement_refused": "El pago no se puede aplicar.",
    "request_in_progress": "La misma solicitud se está procesando: intente de nuevo.",
    "idempotency_key_reused": "Esta Idempotency-Key se usó para otra solicitud.",
}
OF_FIELD = {
    "missing": "este campo es obligatorio.",
    "string_type": "debe ser texto.",
    "too_short": "no puede estar vacío.",
    "too_long": "es demasiado largo.",
    "text_character": "contiene un carácter que no se admite.",
    "int_type": "debe ser un número entero.",
    "list_type": "debe ser una lista.",
    "money_malformed": "debe ser un importe de cero o más, con hasta 13 dígitos y 2 decimales.",
    "money_not_positive": "debe ser mayor que cero.",
    "literal_error": "este valor no se puede pedir aquí.",
    "outstanding_not_amount": "outstanding debe ser igual a amount.",
    "model_attributes_type": "debe ser un objeto.",
}
KEPT_HEADERS = ("retry-after", "www-authenticate")


class Refused(DomainError):
    """What the partner can mend: 400 with the reason."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__()

    @classmethod
    def of(cls, refusal: DomainError) -> "Refused":
        """The refusal of a service in these words."""
        return refusal if isinstance(refusal, cls) else cls(refusal.code, OF_CODE.get(refusal.code, refusal.message))


def customer_not_found() -> Refused:
    """A body names a customer that there is not."""
    return Refused("customer_not_found", "customer: el cliente no existe.")


def loan_not_found() -> Refused:
    """A detail of a payment names a loan that there is not."""
    return Refused("loan_not_found", "payment_details: el préstamo no existe.")


def external_id_taken(external_id: str) -> Refused:
    """The partner's id was used before."""
    return Refused("duplicate_external_id", f"external_id: «{external_id}» ya existe.")


def detail(text: str) -> bytes:
    """The body of a refusal."""
    return orjson.dumps({"detail": text})


class DetailRoute(StrictRoute):
    """A route whose refusals have this shape."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # as in StrictRoute
        """Wrap the handler, as FastAPI documents it for custom requests."""
        handle = super().get_route_handler()

        async def handle_in_spanish(request: Request) -> Response:
            try:
                return await handle(request)
            except DomainError as refusal:
                return _of_refusal(refusal)
            except BodyRefused:
                return _response(400, "El cuerpo de la solicitud no es JSON válido.")
            except HTTPException as refusal:
                return _response(refusal.status_code, _of_status(refusal.status_code), refusal.headers)
            except RequestValidationError as refusal:
                return _of_validation(refusal.errors()[0])

        return handle_in_spanish


def _of_refusal(refusal: DomainError) -> Response:
    status = 400 if refusal.status == 422 else refusal.status
    text = refusal.message if isinstance(refusal, Refused) else OF_CODE.get(refusal.code) or _of_status(status)
    return _response(status, text, problems.refusal_response(refusal).headers)


def _of_validation(error: Mapping[str, Any]) -> Response:
    """The first thing that is wrong, with the name of its field. An id in a path that cannot be one names nothing."""
    place, *rest = error["loc"]
    if place == "path":
        return _response(404, _of_status(404))
    name = ".".join(str(part) for part in rest)
    sentence = OF_FIELD.get(str(error["type"]), "no es válido.")
    return _response(400, f"{name}: {sentence}" if name else sentence)


def _of_status(status: int) -> str:
    return OF_STATUS.get(status, OF_STATUS[400])


def _response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    kept = {name: value for name, value in (headers or {}).items() if name.lower() in KEPT_HEADERS}
    return Response(detail(text), status, {"Cache-Control": "no-store", **kept}, "application/json")
