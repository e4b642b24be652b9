"""The back office among our pages."""

from pathlib import Path

from backend_api.auth.permissions import Permission, Role
from backend_api.auth.principal import Principal
from backend_api.backoffice.words import WORDS
from backend_api.domain.errors import DomainError
from backend_api.pages.space import Place, Space

MENU = (
    Place("", "Inicio", Permission.CLIENTS_READ),
    Place("/clientes", "Clientes", Permission.CLIENTS_READ),
    Place("/creditos", "Créditos", Permission.LOANS_READ),
    Place("/cartera", "Cartera", Permission.PORTFOLIO_READ),
    Place("/pagos", "Pagos", Permission.PAYMENTS_READ),
    Place("/autorizaciones", "Autorizaciones", Permission.APPROVALS_READ),
    Place("/importaciones", "Importaciones", Permission.IMPORTS_READ),
    Place("/productos", "Productos", Permission.PRODUCTS_READ),
    Place("/usuarios", "Usuarios", Permission.USERS_READ),
    Place("/llaves", "Llaves de API", Permission.API_KEYS_READ),
    Place("/senuelos", "Señuelos", Permission.AUDIT_READ),
    Place("/eventos", "Eventos", Permission.AUDIT_READ),
    Place("/contrasena", "Mi contraseña", None),
)


class NotForClients(DomainError):
    """A client signed in where the staff works."""

    code = "not_for_clients"
    status = 403
    message = "The back office is for staff."


def _is_staff(principal: Principal) -> bool:
    return principal.role is not Role.CLIENT


def office(base: str) -> Space:
    """The back office below this path."""
    return Space(
        base=base,
        cookies="sofipo_oficina",
        templates=Path(__file__).parent / "templates",
        words=WORDS,
        menu=MENU,
        admits=_is_staff,
        stranger=NotForClients,
    )
