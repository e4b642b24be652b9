"""What waits for a second person, and the decision."""

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
from backend_api.backoffice.words import APPROVAL_KINDS, APPROVALS
from backend_api.clients.statement.spanish import amount
from backend_api.domain.money import parse_money

BACK = "/autorizaciones/{approval_id}"
STATE = Column("Situación", "status", Kind.STATE, APPROVALS)
REASON = Field("reason", "Comentario", Entry.LONG)
OWN = "Usted hizo esta solicitud, así que la tiene que decidir otra persona."


async def asked(api: Api, parts: Parts) -> About:
    """What is decided."""
    approval = (await api.call("getApproval", parts)).data
    return About([
        ("Qué se pide", APPROVAL_KINDS[approval["kind"]]),
        ("Importe", amount(parse_money(approval["amount"]))),
        ("Motivo", approval["request"].get("reason") or "–"),
    ])  # fmt: skip


def whose(api: Api, approval: Row) -> str | None:
    """That nobody decides what they asked for themselves."""
    own = approval["maker"] == str(api.principal.user_id) and approval["status"] == "PENDING"
    return OWN if own and api.may("grantApproval") else None


def _is_pending(approval: Row) -> bool:
    return bool(approval["status"] == "PENDING")


def _loan(approval: Row) -> str | None:
    return None if approval["kind"] == "REVERSAL" else approval["target_id"]


APPROVE = FormPage(
    path="/autorizaciones/{approval_id}/autorizar",
    title="Autorizar",
    operation="grantApproval",
    button="Autorizar y hacer",
    leads_to=BACK,
    notice="autorizado",
    note="Se hace en este momento, con todas las revisiones de nuevo.",
    fields=(REASON,),
    about=asked,
    offered=_is_pending,
)
REJECT = FormPage(
    path="/autorizaciones/{approval_id}/rechazar",
    title="Rechazar solicitud",
    operation="refuseApproval",
    button="Rechazar solicitud",
    leads_to=BACK,
    notice="negado",
    fields=(REASON,),
    about=asked,
    offered=_is_pending,
    danger=True,
)
LIST = ListPage(
    path="/autorizaciones",
    title="Autorizaciones",
    operation="listApprovals",
    columns=(
        Column("Qué se pide", "kind", words=APPROVAL_KINDS),
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Importe", "amount", Kind.MONEY),
        Column("Pidió", "maker", Kind.USER),
        Column("Cuándo", "requested_at", Kind.MOMENT, minor=True),
        STATE,
    ),
    leads_to="/autorizaciones/{id}",
    filters=(
        Field("status", "Situación", Entry.CHOICE, APPROVALS, value="PENDING"),
        Field("kind", "Qué se pide", Entry.CHOICE, APPROVAL_KINDS),
    ),
    sort="-requested_at",
    empty="Nada espera una decisión.",
)
DETAIL = DetailPage(
    path=BACK,
    title=lambda approval: APPROVAL_KINDS[approval["kind"]],
    operation="getApproval",
    state=STATE,
    facts=(
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Crédito", _loan, Kind.LOAN),
        Column("Importe", "amount", Kind.MONEY),
        Column("Motivo", lambda approval: approval["request"].get("reason")),
        Column("Pidió", "maker", Kind.USER),
        Column("Cuándo", "requested_at", Kind.MOMENT),
        Column("Vence", "expires_at", Kind.MOMENT),
        Column("Decidió", "checker", Kind.USER),
        Column("Decidida", "decided_at", Kind.MOMENT),
        Column("Comentario", "reason"),
    ),
    actions=(APPROVE, REJECT),
    remark=whose,
)
PAGES: tuple[Declared, ...] = (LIST, DETAIL, APPROVE, REJECT)
