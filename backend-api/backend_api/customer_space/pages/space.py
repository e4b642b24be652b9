"""The customer space among our pages."""

from pathlib import Path

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.customer_space.pages.words import WORDS
from backend_api.domain.errors import DomainError
from backend_api.pages.space import Place, Space

BASE = "/espacio"


class NotForStaff(DomainError):
    """Somebody signed in who is no client."""

    code = "not_for_staff"
    status = 403
    message = "This space is for clients."


def _is_borrower(principal: Principal) -> bool:
    return Permission.OWN_ACCOUNT in principal.permissions


SPACE = Space(
    base=BASE,
    cookies="sofipo_espacio",
    templates=Path(__file__).parent / "templates",
    words=WORDS,
    menu=(
        Place("", "Mis deudas", Permission.OWN_ACCOUNT),
        Place("/carrito", "Carrito", Permission.OWN_ACCOUNT),
        Place("/movimientos", "Movimientos", Permission.OWN_ACCOUNT),
        Place("/contrasena", "Contraseña", None),
    ),
    admits=_is_borrower,
    stranger=NotForStaff,
)
