"""What was paid: the receipt as page and as PDF, and taking it back."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from backend_api.auth.principal import Principal
from backend_api.clients import queries as clients
from backend_api.clients.printed import PRINTER
from backend_api.clients.statement.content import Column, Content, Facts, Figure, Figures, Kind, Part, Table, Text
from backend_api.clients.statement.spanish import amount, long_date, plain
from backend_api.customer_space import carts, service, views
from backend_api.customer_space.pages import queries, words
from backend_api.customer_space.pages.frame import Borrower, shown
from backend_api.customer_space.pages.space import BASE
from backend_api.customer_space.schemas import OwnPaymentOut, Undo
from backend_api.domain.identifiers import mask_rfc
from backend_api.domain.states import PaymentStatus
from backend_api.http import write
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.pages import door
from backend_api.pages.render import see_other
from backend_api.pages.words import METHODS
from backend_api.settings import Settings

router = APIRouter()

COLUMNS = ("Capital", "Intereses", "Moratorios", "Comisiones", "IVA", "Total")
LONGEST_REASON = 200
REMARKS = {
    PaymentStatus.REVERSED: "Este pago fue anulado: ya no cuenta para sus créditos.",
    PaymentStatus.REJECTED: "Este pago no se aplicó a ningún crédito.",
}
NO_INVOICE = "Este recibo comprueba su pago. No es un comprobante fiscal (CFDI)."


@dataclass(frozen=True, slots=True)
class Applied:
    """What a payment did to one loan, in the order of `COLUMNS`."""

    name: str
    amounts: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A payment as page and paper show it. `total` is all that was paid, with the commission."""

    id: UUID
    total: Decimal
    paid_on: date
    code: str
    state: str
    tone: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Applied, ...]
    remarks: tuple[str, ...]
    undo: Undo | None
    columns: tuple[str, ...] = COLUMNS


@router.get("/pagos/{payment_id}", operation_id="pageReceipt")
async def show_receipt(request: Request, payment_id: UUID, principal: Borrower) -> Response:
    """What was paid and how it was applied."""
    return await shown(request, principal, "receipt.html", paid=await _receipt(request, principal, payment_id))


@router.get("/pagos/{payment_id}/recibo.pdf", operation_id="pageReceiptPdf")
async def download_receipt(request: Request, payment_id: UUID, principal: Borrower) -> Response:
    """The same as a file, set like the statement."""
    paid = await _receipt(request, principal, payment_id)
    resources, client_id = resources_of(request), carts.borrower_of(principal).client_id
    client = await resources.reads.on_primary(lambda connection: clients.record(connection, client_id=client_id))
    if client is None:
        raise NotFound
    file = await PRINTER.pdf(paper(paid, client.full_name, client.rfc, resources.settings))
    name = f"recibo-{paid.paid_on}-{str(paid.id)[-8:]}.pdf"
    headers = {"Cache-Control": "private, no-store", "Content-Disposition": f'inline; filename="{name}"'}
    return Response(file, 200, headers, "application/pdf")


@router.get("/pagos/{payment_id}/anular", operation_id="pageUndo")
async def ask_undo(request: Request, payment_id: UUID, principal: Borrower) -> Response:
    """What taking it back means, before it is done."""
    paid = await _receipt(request, principal, payment_id)
    if paid.undo not in (Undo.NOW, Undo.REQUEST):
        return see_other(f"{BASE}/pagos/{payment_id}")
    return await shown(request, principal, "undo.html", paid=paid, at_once=paid.undo is Undo.NOW)


@router.post("/pagos/{payment_id}/anular", operation_id="pageUndoSend")
async def undo(request: Request, payment_id: UUID, principal: Borrower) -> Response:
    """Take the payment back, or ask staff for it when the window is over."""
    reason = _reason((await door.fields_of(request)).get("motivo", ""))
    use_case = service.reverse_own(resources_of(request).settings, carts.borrower_of(principal), payment_id, reason)
    answer = await write.run(request, principal.actor, use_case, turn=principal.client_id)
    notice = "anulado" if answer.status_code == 200 else "solicitado"
    return see_other(f"{BASE}/pagos/{payment_id}", aviso=notice)


def paper(paid: Receipt, name: str, rfc: str | None, settings: Settings) -> Content:
    """The receipt as it is printed."""
    facts = [*paid.facts, ("Total pagado", amount(paid.total))]
    rows = tuple((part.name, *map(amount, part.amounts)) for part in paid.parts)
    columns = (Column("Crédito", Kind.TEXT), *map(Column, COLUMNS))
    return Content(
        title="Recibo de pago",
        subject=f"Recibo de pago {paid.code}".strip(),
        sender=(plain(settings.lender_name), plain(settings.lender_address)),
        recipient=(plain(name),),
        about=(
            ("Fecha", long_date(paid.paid_on)),
            ("RFC", mask_rfc(rfc) if rfc else "No registrado"),
            ("Moneda", "Pesos mexicanos (MXN)"),
        ),
        parts=(
            Part(
                "pago",
                "Pago",
                (
                    *(Text("", (remark,), alert=True) for remark in paid.remarks),
                    Figures((Figure("Total pagado", amount(paid.total), long_date(paid.paid_on)),)),
                    Facts("Datos del pago", tuple(facts)),
                    *([Table("Cómo se aplicó", columns, rows)] if rows else []),
                    Text("", (NO_INVOICE,)),
                ),
            ),
        ),
        footer=f"{plain(settings.lender_name)} · UNE {plain(settings.une_phone)}",
    )


async def _receipt(request: Request, principal: Principal, payment_id: UUID) -> Receipt:
    """Raises `NotFound`."""
    borrower, resources = carts.borrower_of(principal), resources_of(request)
    payment = await views.own_payment(resources, borrower, payment_id)
    if payment is None:
        raise NotFound

    async def read(connection: AsyncConnection) -> dict[UUID, int]:
        return await queries.folios(connection, borrower.client_id)

    return receipt_of(payment, await resources.reads.on_primary(read), resources.settings)


def receipt_of(payment: OwnPaymentOut, folios: dict[UUID, int], settings: Settings) -> Receipt:
    """What a receipt says of a payment."""
    order = payment.receipt
    state, tone = words.PAYMENTS[payment.status]
    remarks = [REMARKS[payment.status]] if payment.status in REMARKS else []
    if payment.undo is Undo.REQUESTED:
        remarks.append("Pidió anular este pago. Mientras se decide, sigue contando.")
    facts = [
        ("Operación", plain(payment.reference or "Sin número")),
        ("Fecha de pago", long_date(payment.paid_on)),
        ("Registrado", _moment(payment, settings)),
        ("Forma de pago", METHODS[payment.method]),
    ]
    if order is not None and order.commission:
        facts += [
            ("Pagado a sus créditos", amount(payment.amount)),
            ("Comisión por pago en línea", amount(order.commission)),
            ("IVA de la comisión", amount(order.commission_vat)),
        ]
    return Receipt(
        id=payment.id,
        total=order.total if order is not None else payment.amount,
        paid_on=payment.paid_on,
        code=plain(payment.reference or ""),
        state=state or "Aplicado",
        tone=tone,
        facts=tuple(facts),
        parts=tuple(
            Applied(
                f"Crédito {folios[part.loan_id]}",
                (part.principal, part.interest, part.moratory, part.fees, part.vat, part.amount),
            )
            for part in sorted(payment.allocations, key=lambda part: folios[part.loan_id])
        ),
        remarks=tuple(remarks),
        undo=payment.undo,
    )


def _moment(payment: OwnPaymentOut, settings: Settings) -> str:
    at = payment.created_at.astimezone(settings.zone)
    return f"{long_date(at.date())}, {at:%H:%M}"


def _reason(typed: str) -> str | None:
    """What somebody typed, on one line and without what is invisible; None if that is nothing."""
    return plain(typed)[:LONGEST_REASON] or None
