"""What the MO App writes: the use cases of clients, loans and payments, asked and answered in its words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4, uuid5

import orjson
from asyncpg import Record
from pydantic import BaseModel

from backend_api.clients import service as clients
from backend_api.db.pools import Connection
from backend_api.domain.account import MovementRefused
from backend_api.domain.errors import DetailLoanNotOwing, DomainError, PaymentExceedsDebt
from backend_api.domain.states import ClientStatus, LoanStatus
from backend_api.http.idempotency import Answer
from backend_api.http.write import Change, Moved, UseCase
from backend_api.legacy.mo_app import queries, refusals
from backend_api.legacy.mo_app.refusals import Refused
from backend_api.legacy.mo_app.schemas import (
    ACTIVE,
    INACTIVE,
    LOAN_STATES,
    PENDING_LOAN,
    REGISTERED,
    MoCustomer,
    MoCustomerIn,
    MoLoan,
    MoLoanIn,
    MoPayment,
    MoPaymentDetail,
    MoPaymentDetailIn,
    MoPaymentIn,
)
from backend_api.loans import service as loans
from backend_api.loans.schemas import LoanIn, LoanOut
from backend_api.outbox.record import Origin
from backend_api.payments import service as payments
from backend_api.payments.schemas import ClientPaymentIn, Method, PaymentDetail, PaymentOut

MO_ZERO = "MO_ZERO"
"""The product of loans made here, without interest and VAT, unless the API key is bound to another."""
STORED = (PaymentExceedsDebt, MovementRefused, DetailLoanNotOwing)
"""A payment that is refused for one of these is kept as REJECTED."""
DUPLICATES = (clients.DuplicateExternalId, loans.DuplicateLoanExternalId, payments.DuplicateReference)
_TURNS = UUID(int=0)

Conflicts = Mapping[str, Callable[[], DomainError]]


def turn_of(customer: str) -> UUID:
    """What the writes for one customer queue for within a process."""
    return uuid5(_TURNS, customer)


def conflicts(external_id: str | None) -> Conflicts:
    """Whoever gives an id at the same moment as somebody else."""

    def taken() -> DomainError:
        return refusals.external_id_taken(external_id or "")

    return {"clients_external_id_key": taken, "loans_external_id_key": taken}


def status_of_customer(status: ClientStatus | str) -> int:
    """The number of a client's state."""
    return ACTIVE if status == ClientStatus.ACTIVE else INACTIVE


def outstanding(status: LoanStatus, amount: Decimal, balance: Decimal) -> Decimal:
    """What of the principal is not paid; of a pending loan, all of it."""
    return amount if status is LoanStatus.PENDING else balance


def create_customer(body: MoCustomerIn) -> UseCase:
    """A client of whom nobody knows more yet than the partner's id and the credit line. Raises `Refused`."""
    status = ClientStatus.ACTIVE if body.status == ACTIVE else ClientStatus.INACTIVE
    create = clients.create_partner_client(body.external_id, body.score, status)

    async def use_case(connection: Connection, origin: Origin) -> Change:
        change = await _change(create, connection, origin, body.external_id)
        made = body.model_dump(include={"external_id", "score", "status"})
        return _told(change, MoCustomer(**made, created_at=origin.at, updated_at=origin.at))

    return use_case


def create_loan(body: MoLoanIn, api_key_id: UUID | None, limit: Decimal | None) -> UseCase:
    """A loan for a customer who exists and is active, within the credit line. Raises `Refused`.

    `limit` as for `loans.service.create_loan`: above it the loan is pending, whatever was asked for.
    """
    external_id = body.external_id or str(uuid4())

    async def use_case(connection: Connection, origin: Origin) -> Change:
        customer = await _customer(connection, body.customer)
        wanted = LoanIn.model_validate(
            {
                "client_id": customer["id"],
                "product": await queries.product_of_key(connection, api_key_id) or MO_ZERO,
                "amount": body.amount,
                "status": LoanStatus.PENDING if body.status == PENDING_LOAN else LoanStatus.ACTIVE,
                "external_id": external_id,
            }
        )
        change = await _change(loans.create_loan(wanted, limit), connection, origin, external_id)
        _read_again_if_moved(customer, change)
        loan = LoanOut.model_validate_json(change.answer.body)
        return _told(
            change,
            MoLoan(
                external_id=external_id,
                customer_external_id=body.customer,
                amount=loan.amount,
                outstanding=outstanding(loan.status, loan.amount, loan.current_balance),
                status=LOAN_STATES[loan.status],
            ),
        )

    return use_case


def register_payment(body: MoPaymentIn) -> UseCase:
    """A payment on a customer's loans: all of it, or nothing. Raises `Refused` for what is not even kept as rejected:
    an unknown customer or loan, details above the amount, an id that was used."""
    external_id = body.external_id or str(uuid4())

    async def use_case(connection: Connection, origin: Origin) -> Change:
        customer = await _customer(connection, body.customer)
        wanted = ClientPaymentIn(
            amount=body.amount,
            method=Method.OTHER,
            external_id=external_id,
            payment_details=await _details(connection, body.payment_details or []),
        )
        pay = payments.pay_client(customer["id"], wanted, 0, STORED)
        change = await _change(pay, connection, origin, external_id)
        _read_again_if_moved(customer, change)
        if change.answer.status != 201:
            return replace(change, answer=_rejection(change.answer))
        payment = PaymentOut.model_validate_json(change.answer.body)
        names = await queries.names_of_loans(connection, [part.loan_id for part in payment.allocations])
        return _told(
            change,
            MoPayment(
                external_id=external_id,
                customer_external_id=body.customer,
                amount=payment.amount,
                status=REGISTERED,
                payment_details=[
                    MoPaymentDetail(loan_external_id=names[part.loan_id], payment_amount=part.amount)
                    for part in payment.allocations
                ],
            ),
        )

    return use_case


async def _customer(connection: Connection, external_id: str) -> Record:
    found = await queries.customer_to_serve(connection, external_id)
    if found is None:
        raise refusals.customer_not_found()
    return found


def _read_again_if_moved(customer: Record, change: Change) -> None:
    """Raises `Moved` if the customer changed since they were found by their name: it may be another one's now."""
    if change.aggregate.sequence != customer["event_sequence"]:
        raise Moved(change.aggregate)


async def _details(connection: Connection, details: Sequence[MoPaymentDetailIn]) -> list[PaymentDetail]:
    named = await queries.loans_named(connection, [detail.loan_id for detail in details]) if details else {}
    if any(detail.loan_id not in named for detail in details):
        raise refusals.loan_not_found()
    return [PaymentDetail(loan_id=named[detail.loan_id], amount=detail.payment_amount) for detail in details]


async def _change(use_case: UseCase, connection: Connection, origin: Origin, external_id: str) -> Change:
    """What the service decided. Raises `Refused`."""
    try:
        change = await use_case(connection, origin)
    except DUPLICATES as refusal:
        raise refusals.external_id_taken(external_id) from refusal
    except DomainError as refusal:
        raise Refused.of(refusal) from refusal
    assert isinstance(change, Change)  # noqa: S101 - making something is a change
    return change


def _told(change: Change, answer: BaseModel) -> Change:
    return replace(change, answer=Answer(201, answer.model_dump_json().encode(), {}))


def _rejection(answer: Answer) -> Answer:
    """The answer to a payment that was kept as rejected."""
    problem = orjson.loads(answer.body)
    text = refusals.OF_CODE.get(problem["code"], problem["detail"])
    if "payoff_amount" in problem:
        text = f"{text} A lo más se puede pagar {problem['payoff_amount']}."
    return Answer(400, refusals.detail(f"{text} Quedó registrado como rechazado."), {})
