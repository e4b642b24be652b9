"""What the calls answer, field for field as those callers know them: amounts are numbers, texts are Spanish."""

from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from backend_api.legacy.amounts import Amount
from backend_api.legacy.espacio_clientes.codes import Code

MXN = 1
"""The only currency."""
CODE_MEANING = '"0" is done; docs/older-contracts.md lists the others.'

DEBT_EXAMPLE: dict[str, Any] = {
    "DESCRIPCION": "Cuota de Préstamo",
    "IMPO_MAXI": 300.0,
    "IMPO_TOTA": 100.0,
    "MONE_CODI": MXN,
    "FECH_VENC": "2026-02-28",
    "OBSERVACION": "Crédito 1001, cuota 1",
    "CODMOVIMIENTO": "1001-1",
    "SEQ_DI": 1,
}
DEBTS_EXAMPLE: dict[str, Any] = {
    "deudas": [DEBT_EXAMPLE],
    "desc_clie": "Carlos Perez",
    "cant_deta": 1,
    "codresp": Code.DONE.value,
    "descresp": Code.DONE.text,
    "idsession": 42,
}
FOREIGN_EXAMPLE: dict[str, Any] = {
    "deudas": [],
    "desc_clie": "",
    "cant_deta": 0,
    "codresp": Code.CLIENT_UNKNOWN.value,
    "descresp": Code.CLIENT_UNKNOWN.text,
    "idsession": 0,
}
CART_EXAMPLE: dict[str, Any] = {
    "comision": 2.5,
    "codresp": Code.DONE.value,
    "descreps": "Cuota agregada. Total a pagar: $102.90.",
}
GONE_EXAMPLE: dict[str, Any] = {
    "comision": 0.0,
    "codresp": Code.SESSION_GONE.value,
    "descreps": Code.SESSION_GONE.text,
}
PAID_EXAMPLE: dict[str, Any] = {
    "cod_resp": Code.DONE.value,
    "mod_fact": "N",
    "desc_resp": "Pago de $102.90 registrado con la operación A1B2C3.",
}
USED_EXAMPLE: dict[str, Any] = {
    "cod_resp": Code.CODE_USED.value,
    "mod_fact": "N",
    "desc_resp": Code.CODE_USED.text,
}
UNDONE_EXAMPLE: dict[str, Any] = {"cod_resp": Code.DONE.value, "desc_resp": Code.DONE.text}
REQUESTED_EXAMPLE: dict[str, Any] = {
    "cod_resp": Code.REQUEST_OPENED.value,
    "desc_resp": Code.REQUEST_OPENED.text,
}


class EspacioToken(BaseModel):
    """An access token, without the means to renew it: those callers sign in again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"access_token": "eyJhbGciOi…", "token_type": "bearer"}]})

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name


class EspacioDebt(BaseModel):
    """One unpaid installment."""

    model_config = ConfigDict(json_schema_extra={"examples": [DEBT_EXAMPLE]})

    DESCRIPCION: str = "Cuota de Préstamo"
    IMPO_MAXI: Amount = Field(description="The most that may be paid: what pays the loan off today.")
    IMPO_TOTA: Amount = Field(description="What settles the installment, with what lateness added.")
    MONE_CODI: int = MXN
    FECH_VENC: date
    OBSERVACION: str
    CODMOVIMIENTO: str = Field(description="Folio of the loan and number of the installment.")
    SEQ_DI: int = Field(description="Place in this list, from 1.")


class EspacioDebts(BaseModel):
    """All unpaid installments, oldest first, and the session in which they can be put into the cart."""

    model_config = ConfigDict(json_schema_extra={"examples": [DEBTS_EXAMPLE]})

    deudas: list[EspacioDebt]
    desc_clie: str
    cant_deta: int
    codresp: str = Field(description=CODE_MEANING)
    descresp: str
    idsession: int = Field(description="0 when there is none.")


class EspacioCart(BaseModel):
    """What became of a change of the cart. `descreps` is spelled as those callers read it."""

    model_config = ConfigDict(json_schema_extra={"examples": [CART_EXAMPLE]})

    comision: Amount = Field(default=Decimal("0.00"), description="What the cart costs beside its content, before VAT.")
    codresp: str = Field(description=CODE_MEANING)
    descreps: str


class EspacioPaid(BaseModel):
    """What became of a payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [PAID_EXAMPLE]})

    cod_resp: str = Field(description=CODE_MEANING)
    mod_fact: str = "N"
    desc_resp: str


class EspacioUndone(BaseModel):
    """What became of taking a payment back."""

    model_config = ConfigDict(json_schema_extra={"examples": [UNDONE_EXAMPLE]})

    cod_resp: str = Field(description=CODE_MEANING)
    desc_resp: str
