"""API keys: made and shown once, renewed, revoked."""

from backend_api.auth.api_keys.schemas import SCOPES
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
from backend_api.backoffice.words import KEYS

ONE = "/llaves/{id}"
BACK = "/llaves/{api_key_id}"
STATE = Column("Situación", "status", Kind.STATE, KEYS)
OFFERED = {scope: "Todo lo que su dueño puede (*)" if scope == "*" else scope for scope in SCOPES}


async def key(api: Api, parts: Parts) -> About:
    """Which key it is about."""
    found = (await api.call("getApiKey", parts)).data
    return About([("Llave", found["name"]), ("Permisos", ", ".join(found["scopes"]))])


def _is_active(found: Row) -> bool:
    return bool(found["status"] == "ACTIVE")


NEW = FormPage(
    path="/llaves/nueva",
    title="Nueva llave de API",
    operation="createApiKey",
    button="Crear llave",
    leads_to=ONE,
    notice="guardado",
    note="La llave se muestra una sola vez. Usted responde por lo que haga.",
    fields=(
        Field("name", "Nombre", required=True, hint="El programa que la va a usar."),
        Field("scopes", "Permisos", Entry.MANY, OFFERED, required=True),
        Field("expires_at", "Último día", Entry.LAST_DAY, hint="Vacío: no vence."),
    ),
    secret=True,
)
ROTATE = FormPage(
    path="/llaves/{api_key_id}/renovar",
    title="Renovar llave",
    operation="rotateApiKey",
    button="Renovar llave",
    leads_to=BACK,
    notice="guardado",
    note="La llave nueva se muestra una sola vez. La anterior sigue sirviendo estas horas.",
    fields=(Field("overlap_hours", "Horas con las dos llaves", Entry.NUMBER, required=True, value="24"),),
    about=key,
    secret=True,
    offered=_is_active,
)
REVOKE = FormPage(
    path="/llaves/{api_key_id}/revocar",
    title="Revocar llave",
    operation="revokeApiKey",
    button="Revocar llave",
    leads_to=BACK,
    notice="revocada",
    note="Deja de servir en este momento, para siempre.",
    about=key,
    bodiless=True,
    offered=_is_active,
    danger=True,
)
LIST = ListPage(
    path="/llaves",
    title="Llaves de API",
    operation="listApiKeys",
    columns=(
        Column("Nombre", "name"),
        Column("Responde", "owner_id", Kind.USER),
        Column("Último uso", "last_used_at", Kind.MOMENT, minor=True),
        Column("Vence", "expires_at", Kind.MOMENT, minor=True),
        STATE,
    ),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, KEYS),),
    new=(NEW,),
    empty="No hay llaves.",
)
DETAIL = DetailPage(
    path=BACK,
    title=lambda found: str(found["name"]),
    operation="getApiKey",
    state=STATE,
    facts=(
        Column("Parte pública", "public_id"),
        Column("Responde", "owner_id", Kind.USER),
        Column("Permisos", lambda found: ", ".join(found["scopes"])),
        Column("Vence", "expires_at", Kind.MOMENT),
        Column("La anterior sirve hasta", "former_until", Kind.MOMENT),
        Column("Último uso", "last_used_at", Kind.MOMENT),
        Column("Alta", "created_at", Kind.MOMENT),
    ),
    actions=(ROTATE, REVOKE),
)
PAGES: tuple[Declared, ...] = (LIST, NEW, DETAIL, ROTATE, REVOKE)
