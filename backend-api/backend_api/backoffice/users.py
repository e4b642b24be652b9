"""Users: who may sign in, as what, and a new password for who forgot theirs."""

from backend_api.backoffice.api import Api
from backend_api.backoffice.pages import (
    About,
    Declared,
    DetailPage,
    Entry,
    Field,
    FormPage,
    ListPage,
    Parts,
)
from backend_api.backoffice.show import Column, Kind, Row
from backend_api.backoffice.words import ROLES, USERS

ONE = "/usuarios/{id}"
BACK = "/usuarios/{user_id}"
STATE = Column("Situación", "status", Kind.STATE, USERS)
ROLE = Field("role", "Papel", Entry.CHOICE, ROLES, required=True)


async def user(api: Api, parts: Parts) -> About:
    """Who it is about."""
    found = (await api.call("getUser", parts)).data
    facts = [("Usuario", found["username"]), ("Papel", ROLES[found["role"]])]
    return About(facts, {"role": found["role"]}, version=str(found["version"]))


def _is_active(found: Row) -> bool:
    return bool(found["status"] == "ACTIVE")


NEW = FormPage(
    path="/usuarios/nuevo",
    title="Nuevo usuario",
    operation="createUser",
    button="Crear usuario",
    leads_to=ONE,
    notice="usuario",
    note="Recibe un código con el que esa persona elige su contraseña. El código se muestra una sola vez.",
    fields=(
        Field("username", "Usuario", required=True),
        ROLE,
        Field("client_id", "Id del cliente", hint="Solo para el papel de cliente: de quién ve los créditos."),
    ),
    secret=True,
)
RESET = FormPage(
    path="/usuarios/{user_id}/restablecer",
    title="Restablecer contraseña",
    operation="resetPassword",
    button="Restablecer contraseña",
    leads_to=BACK,
    notice="usuario",
    note="La contraseña de ahora deja de servir y todas sus sesiones terminan.",
    about=user,
    bodiless=True,
    secret=True,
    offered=_is_active,
)
CHANGE_ROLE = FormPage(
    path="/usuarios/{user_id}/papel",
    title="Cambiar papel",
    operation="updateUser",
    button="Guardar",
    leads_to=BACK,
    notice="usuario",
    note="Sus sesiones terminan: tiene que entrar de nuevo.",
    fields=(ROLE,),
    about=user,
    offered=lambda found: _is_active(found) and found["role"] != "client",
)
DISABLE = FormPage(
    path="/usuarios/{user_id}/desactivar",
    title="Desactivar usuario",
    operation="updateUser",
    button="Desactivar usuario",
    leads_to=BACK,
    notice="usuario",
    note="Deja de entrar en este momento, y sus llaves de API dejan de servir. Lo que hizo sigue a la vista.",
    fixed={"status": "DISABLED"},
    about=user,
    offered=_is_active,
    danger=True,
)
ENABLE = FormPage(
    path="/usuarios/{user_id}/activar",
    title="Activar usuario",
    operation="updateUser",
    button="Activar usuario",
    leads_to=BACK,
    notice="usuario",
    fixed={"status": "ACTIVE"},
    about=user,
    offered=lambda found: not _is_active(found),
)
LIST = ListPage(
    path="/usuarios",
    title="Usuarios",
    operation="listUsers",
    columns=(
        Column("Usuario", "username"),
        Column("Papel", "role", words=ROLES),
        Column("Cliente", "client_id", Kind.CLIENT, minor=True),
        Column("Alta", "created_at", Kind.MOMENT, minor=True),
        STATE,
    ),
    leads_to=ONE,
    filters=(
        Field("role", "Papel", Entry.CHOICE, ROLES),
        Field("status", "Situación", Entry.CHOICE, USERS),
    ),
    new=(NEW,),
)
DETAIL = DetailPage(
    path=BACK,
    title=lambda found: str(found["username"]),
    operation="getUser",
    state=STATE,
    facts=(
        Column("Papel", "role", words=ROLES),
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Contraseña elegida", "password_changed_at", Kind.MOMENT),
        Column("Alta", "created_at", Kind.MOMENT),
        Column("Último cambio", "updated_at", Kind.MOMENT),
    ),
    actions=(RESET, CHANGE_ROLE, ENABLE, DISABLE),
)
PAGES: tuple[Declared, ...] = (LIST, NEW, DETAIL, RESET, CHANGE_ROLE, DISABLE, ENABLE)
