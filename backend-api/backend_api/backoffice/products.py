"""Loan products: their terms, a new version of them, and their retirement."""

from collections.abc import Mapping
from typing import Any

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
    as_percent,
)
from backend_api.backoffice.show import Column, Kind, Row
from backend_api.backoffice.words import PRODUCTS
from backend_api.domain.products import STANDARD

ONE = "/productos/{code}"
STATE = Column("Situación", "status", Kind.STATE, PRODUCTS)
UNITS = {"month": "meses", "semimonth": "quincenas", "week": "semanas", "day": "días"}
AMORTIZATIONS = {
    "equal_installments": "Pagos iguales",
    "equal_principal": "Capital igual",
    "interest_only": "Solo intereses, capital al final",
}
TERMS = (
    Field("name", "Nombre", required=True),
    Field("terms.interest_rate", "Tasa de interés anual (%)", Entry.PERCENT, hint="Vacía: la dice cada crédito."),
    Field("terms.installments", "Número de pagos", Entry.NUMBER, hint="Vacío: lo dice cada crédito."),
    Field("terms.frequency.unit", "Se paga por", Entry.CHOICE, UNITS, required=True, value="month"),
    Field("terms.amortization", "Amortización", Entry.CHOICE, AMORTIZATIONS, required=True, value="equal_installments"),
    Field("terms.moratory_rate", "Tasa moratoria anual (%)", Entry.PERCENT, hint="Vacía: el doble de la tasa."),
    Field("terms.opening_fee.rate", "Comisión por apertura (%)", Entry.PERCENT),
    Field("limits.min_amount", "Monto mínimo", Entry.MONEY),
    Field("limits.max_amount", "Monto máximo", Entry.MONEY),
    Field("limits.max_installments", "Pagos como máximo", Entry.NUMBER),
)


async def whole(api: Api, parts: Parts) -> Mapping[str, Any]:
    """The product as it is: a new version is all of it anew."""
    product = (await api.call("getProduct", parts)).data
    return {name: product[name] for name in ("name", "terms", "limits")}


async def terms(api: Api, parts: Parts) -> About:
    """The product as it is, to be changed."""
    product = (await api.call("getProduct", parts)).data
    return About(
        [("Clave", product["code"]), ("Versión", str(product["version"]))],
        {one.name: _written(one, _inside(product, one.name)) for one in TERMS},
        version=str(product["version"]),
    )


def _inside(row: Row, name: str) -> Any:
    """What stands at the end of a path of names."""
    value: Any = row
    for part in name.split("."):
        value = value[part]
    return value


def _written(one: Field, value: Any) -> str:
    if value is None:
        return ""
    return as_percent(value) if one.entry is Entry.PERCENT else str(value)


def _is_active(product: Row) -> bool:
    return bool(product["status"] == "ACTIVE")


NEW = FormPage(
    path="/productos/nuevo",
    title="Nuevo producto",
    operation="createProduct",
    button="Crear producto",
    leads_to=ONE,
    notice="producto",
    fields=(Field("code", "Clave", required=True, hint="Letras mayúsculas, dígitos y guion bajo: NOMINA."), *TERMS),
)
CHANGE = FormPage(
    path="/productos/{code}/version",
    title="Nueva versión",
    operation="replaceProduct",
    button="Guardar versión",
    leads_to=ONE,
    notice="producto",
    note="Los créditos que ya existen conservan sus condiciones. Lo que no se ve aquí queda como estaba.",
    fields=TERMS,
    about=terms,
    start=whole,
    empties=True,
    offered=_is_active,
)
RETIRE = FormPage(
    path="/productos/{code}/retirar",
    title="Retirar producto",
    operation="retireProduct",
    button="Retirar producto",
    leads_to=ONE,
    notice="retirado",
    note="Ya no se otorgan créditos de este producto. Los que existen siguen igual.",
    about=terms,
    bodiless=True,
    offered=lambda product: _is_active(product) and product["code"] != STANDARD,
    danger=True,
)
LIST = ListPage(
    path="/productos",
    title="Productos",
    operation="listProducts",
    columns=(
        Column("Clave", "code"),
        Column("Nombre", "name"),
        Column("Tasa anual", lambda product: product["terms"]["interest_rate"], Kind.PERCENT),
        Column("Pagos", lambda product: product["terms"]["installments"], Kind.NUMBER, minor=True),
        Column("Versión", "version", Kind.NUMBER, minor=True),
        STATE,
    ),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, PRODUCTS),),
    sort="code",
    new=(NEW,),
)
DETAIL = DetailPage(
    path="/productos/{code}",
    title=lambda product: str(product["name"]),
    operation="getProduct",
    state=STATE,
    facts=(
        Column("Clave", "code"),
        Column("Versión", "version", Kind.NUMBER),
        Column("Tasa anual", lambda product: product["terms"]["interest_rate"], Kind.PERCENT),
        Column("Número de pagos", lambda product: product["terms"]["installments"], Kind.NUMBER),
        Column("Se paga por", lambda product: product["terms"]["frequency"]["unit"], words=UNITS),
        Column("Amortización", lambda product: product["terms"]["amortization"], words=AMORTIZATIONS),
        Column("Tasa moratoria", lambda product: product["terms"]["moratory_rate"], Kind.PERCENT),
        Column("Comisión por apertura", lambda product: product["terms"]["opening_fee"]["rate"], Kind.PERCENT),
        Column("IVA", lambda product: product["terms"]["vat_rate"], Kind.PERCENT),
        Column("Monto mínimo", lambda product: product["limits"]["min_amount"], Kind.MONEY),
        Column("Monto máximo", lambda product: product["limits"]["max_amount"], Kind.MONEY),
        Column("Pagos como máximo", lambda product: product["limits"]["max_installments"], Kind.NUMBER),
    ),
    actions=(CHANGE, RETIRE),
)
PAGES: tuple[Declared, ...] = (LIST, NEW, DETAIL, CHANGE, RETIRE)
