"""The calls over the services of the customer space. What those refuse becomes a code, see `codes`."""

import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request

from backend_api.auth.principal import Principal
from backend_api.clients import queries as client_queries
from backend_api.customer_space import carts, views
from backend_api.customer_space import service as customer_space
from backend_api.customer_space.carts import Borrower, Cart
from backend_api.customer_space.views import LoanDebt
from backend_api.domain.cart import InstallmentNotOwed, OwedInstallment
from backend_api.domain.errors import DomainError
from backend_api.domain.identifiers import normalise_rfc
from backend_api.http import write
from backend_api.http.resources import Resources, resources_of
from backend_api.http.write import UseCase
from backend_api.legacy.espacio_clientes import queries
from backend_api.legacy.espacio_clientes.codes import Code, code_in, code_of
from backend_api.legacy.espacio_clientes.schemas import (
    MXN,
    EspacioCart,
    EspacioDebt,
    EspacioDebts,
    EspacioPaid,
    EspacioUndone,
)

CartChange = Callable[[Resources, Borrower, UUID, int, int], Awaitable[Cart]]
_MOVEMENT = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,2})")


async def ask_debts(request: Request, principal: Principal, document: str, currency: int) -> EspacioDebts:
    """All unpaid installments of the caller, and a session for the cart: the open one renewed, or a new one."""
    if currency != MXN:
        return _no_debts(Code.CURRENCY_UNKNOWN)
    resources, borrower = resources_of(request), carts.borrower_of(principal)
    client = await resources.reads.on_primary(
        lambda connection: client_queries.record(connection, client_id=borrower.client_id)
    )
    if client is None or client.rfc != normalise_rfc(document):
        return _no_debts(Code.CLIENT_UNKNOWN)
    found = await views.debts(resources, borrower.client_id)
    owed = [(loan, one) for loan in found.loans for one in loan.owed.installments]
    owed.sort(key=lambda pair: (pair[1].due_on, pair[0].folio, pair[1].number))
    cart = await carts.open_cart(resources, borrower)
    assert cart.number is not None  # noqa: S101 - it was just opened
    return EspacioDebts(
        deudas=[_debt(loan, one, place) for place, (loan, one) in enumerate(owed, start=1)],
        desc_clie=client.full_name,
        cant_deta=len(owed),
        codresp=Code.DONE,
        descresp=Code.DONE.text,
        idsession=cart.number,
    )


async def add(request: Request, principal: Principal, session: str, movement: str) -> EspacioCart:
    """Put an installment into the cart; no harm when it is in it."""
    return await _change(request, principal, session, movement, carts.add_installment, "Cuota agregada")


async def remove(request: Request, principal: Principal, session: str, movement: str) -> EspacioCart:
    """Take an installment out of the cart."""
    return await _change(request, principal, session, movement, carts.remove_installment, "Cuota quitada")


async def pay(request: Request, principal: Principal, session: int, transaction: str) -> EspacioPaid:
    """Pay what the cart holds, once for each code of a transaction; the cart is then gone."""
    borrower = carts.borrower_of(principal)
    use_case = customer_space.pay_at_once(resources_of(request).settings, borrower, session, transaction)
    try:
        status, said = await _carry_out(request, principal, use_case)
    except DomainError as refusal:
        return _not_paid(code_of(refusal))
    if status >= 400:
        return _not_paid(code_in(said))
    text = f"Pago de {_pesos(Decimal(said['total']))} registrado con la operación {transaction}."
    return EspacioPaid(cod_resp=Code.DONE, desc_resp=text)


async def undo(request: Request, principal: Principal, transaction: str) -> EspacioUndone:
    """Take a payment back, all of it; after its window staff is asked."""
    resources, borrower = resources_of(request), carts.borrower_of(principal)
    async with resources.databases.writer.ask() as connection:
        payment_id = await customer_space.payment_of_code(connection, borrower, transaction)
    if payment_id is None:
        return _undone(Code.TRANSACTION_UNKNOWN)
    use_case = customer_space.reverse_own(resources.settings, borrower, payment_id, None)
    try:
        status, said = await _carry_out(request, principal, use_case)
    except DomainError as refusal:
        return _undone(code_of(refusal))
    if status >= 400:
        return _undone(code_in(said))
    return _undone(Code.REQUEST_OPENED if status == 202 else Code.DONE)


async def _change(
    request: Request, principal: Principal, session: str, movement: str, change: CartChange, done: str
) -> EspacioCart:
    resources, borrower = resources_of(request), carts.borrower_of(principal)
    try:
        number = await _session(resources, borrower, session)
        loan_id, installment = await _movement(resources, borrower, movement)
        cart = await change(resources, borrower, loan_id, installment, number)
    except DomainError as refusal:
        code = code_of(refusal)
        return EspacioCart(codresp=code, descreps=code.text)
    text = f"{done}. Total a pagar: {_pesos(cart.total)}."
    return EspacioCart(comision=cart.commission, codresp=Code.DONE, descreps=text)


async def _session(resources: Resources, borrower: Borrower, session: str) -> int:
    """The number of the caller's open cart that is meant. Raises `CartGone` for any other."""
    if not (session.isascii() and session.isdigit()):
        raise carts.CartGone
    await carts.cart_of(resources, borrower, int(session))
    return int(session)


async def _movement(resources: Resources, borrower: Borrower, movement: str) -> tuple[UUID, int]:
    """Loan and number of the installment that is meant. Raises `InstallmentNotOwed` when there can be none."""
    parts = _MOVEMENT.fullmatch(movement)
    if parts is None:
        raise InstallmentNotOwed
    async with resources.databases.writer.ask() as connection:
        loan_id = await queries.loan_of_folio(connection, borrower.client_id, int(parts[1]))
    if loan_id is None:
        raise InstallmentNotOwed
    return loan_id, int(parts[2])


async def _carry_out(request: Request, principal: Principal, use_case: UseCase) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer. The code of a transaction makes it safe to repeat, so no key is looked at."""
    response = await write.run(
        request,
        principal.actor,
        use_case,
        turn=principal.client_id,
        keyless=True,
    )
    said: dict[str, Any] = orjson.loads(response.body)
    return response.status_code, said


def _debt(loan: LoanDebt, installment: OwedInstallment, place: int) -> EspacioDebt:
    remark = f"Crédito {loan.folio}, cuota {installment.number}"
    if installment.late:
        remark += ", vencida"
    if installment.added:
        remark += f", incluye {_pesos(installment.added)} de recargos"
    return EspacioDebt(
        IMPO_MAXI=loan.owed.payoff,
        IMPO_TOTA=installment.total,
        FECH_VENC=installment.due_on,
        OBSERVACION=remark,
        CODMOVIMIENTO=f"{loan.folio}-{installment.number}",
        SEQ_DI=place,
    )


def _no_debts(code: Code) -> EspacioDebts:
    return EspacioDebts(deudas=[], desc_clie="", cant_deta=0, codresp=code, descresp=code.text, idsession=0)


def _not_paid(code: Code) -> EspacioPaid:
    return EspacioPaid(cod_resp=code, desc_resp=code.text)


def _undone(code: Code) -> EspacioUndone:
    return EspacioUndone(cod_resp=code, desc_resp=code.text)


def _pesos(amount: Decimal) -> str:
    return f"${amount:,.2f}"
