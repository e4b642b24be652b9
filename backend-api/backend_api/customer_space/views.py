"""What a borrower sees of their debts, orders and payments.

All of it is read from the primary: what the gateway's notice changed is nobody's own write, so no mark would keep the
borrower, who comes back from the gateway a moment later, from a replica that does not know of it yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from backend_api.customer_space import queries
from backend_api.customer_space.carts import Borrower, Cart, CartItem, lines_of, read_lines
from backend_api.customer_space.gateway import Order, gateway_of
from backend_api.customer_space.schemas import (
    CartOut,
    CheckoutOut,
    DebtsOut,
    InstallmentOut,
    ItemOut,
    LineOut,
    LoanDebtOut,
    OwnPaymentOut,
    Undo,
)
from backend_api.domain.cart import CheckoutStatus, Item, Owed, owed_of
from backend_api.domain.money import ZERO, format_money
from backend_api.domain.states import LoanStatus, PaymentStatus
from backend_api.http.resources import Resources
from backend_api.ledger.state import account_of
from backend_api.payments import queries as payment_queries
from backend_api.payments.schemas import PaymentOut
from backend_api.payments.views import with_allocations
from backend_api.settings import Settings

RETURN_PATH = "/espacio/pagar/"
"""Below it is the page of each order, to which the gateway sends the borrower back."""
MOST_DESCRIBED = 5
"""Loans that an order's description names."""


@dataclass(frozen=True, slots=True)
class LoanDebt:
    """What is owed of one loan today."""

    loan_id: UUID
    folio: int
    product: str
    product_name: str
    status: LoanStatus
    amount: Decimal
    current_balance: Decimal
    disbursed_on: date
    days_past_due: int
    next_due_on: date | None
    owed: Owed


@dataclass(frozen=True, slots=True)
class Debts:
    """What a borrower owes today, loan by loan in the order of their folios."""

    on: date
    loans: tuple[LoanDebt, ...]

    @property
    def overdue(self) -> Decimal:
        """What settles all installments that are late."""
        return sum((loan.owed.overdue for loan in self.loans), ZERO)

    @property
    def due(self) -> Decimal:
        """What can be demanded today."""
        return sum((loan.owed.due for loan in self.loans), ZERO)

    @property
    def payoff(self) -> Decimal:
        """What ends all loans today."""
        return sum((loan.owed.payoff for loan in self.loans), ZERO)

    @property
    def next_due_on(self) -> date | None:
        """When the next installment falls due that is not late yet."""
        return min((one.due_on for loan in self.loans for one in loan.owed.installments if not one.late), default=None)

    @property
    def next_due(self) -> Decimal:
        """What falls due on that day, of all loans."""
        coming = (one for loan in self.loans for one in loan.owed.installments if one.due_on == self.next_due_on)
        return sum((one.total for one in coming if not one.late), ZERO)


@dataclass(frozen=True, slots=True)
class Checkout:
    """An order of a borrower as it stands now."""

    id: UUID
    cart_number: int
    status: CheckoutStatus
    items: tuple[CartItem, ...]
    amount: Decimal
    commission: Decimal
    commission_vat: Decimal
    total: Decimal
    transaction_code: str | None
    payment_id: UUID | None
    reason: str | None
    created_at: datetime
    expires_at: datetime
    pay_url: str | None

    def out(self) -> CheckoutOut:
        """As it is answered."""
        fields = {name: getattr(self, name) for name in CheckoutOut.model_fields if name != "items"}
        return CheckoutOut(**fields, items=items_out(self.items))


async def debts(resources: Resources, client_id: UUID) -> Debts:
    """What a client owes today."""

    async def read(connection: AsyncConnection) -> tuple[Sequence[Any], date]:
        rows = await queries.owed_loans(connection, client_id)
        return rows, rows[0].today if rows else await queries.business_date(connection)

    rows, today = await resources.reads.on_primary(read)
    return Debts(today, tuple(_loan_debt(row, today) for row in rows))


async def checkout_of(resources: Resources, borrower: Borrower, checkout_id: UUID) -> Checkout | None:
    """The borrower's own order; None if there is none."""

    async def read(connection: AsyncConnection) -> Any:
        return await queries.user_checkout(connection, borrower.user_id, borrower.client_id, checkout_id)

    row = await resources.reads.on_primary(read)
    return None if row is None else read_checkout(resources.settings, row._mapping, resources.clock())  # noqa: SLF001 - SQLAlchemy's own name for it


async def own_payment(resources: Resources, borrower: Borrower, payment_id: UUID) -> OwnPaymentOut | None:
    """A payment of the borrower's client; None if there is none."""

    async def read(connection: AsyncConnection) -> OwnPaymentOut | None:
        row = await payment_queries.payment(connection, payment_id)
        if row is None or row.client_id != borrower.client_id:
            return None
        return (await own_payments(resources, borrower, connection, [row]))[0]

    return await resources.reads.on_primary(read)


async def own_payments(
    resources: Resources, borrower: Borrower, connection: AsyncConnection, rows: list[Any]
) -> list[OwnPaymentOut]:
    """Payments of the borrower's client from their rows, with the orders they paid and what may be done about them."""
    payments = await with_allocations(connection, rows)
    ids = [payment.id for payment in payments]
    now = resources.clock()
    orders = {row.payment_id: row for row in await queries.checkouts_of(connection, ids)} if ids else {}
    asked = await queries.asked_back(connection, ids, now) if orders else set()
    today = await queries.business_date(connection)
    found = []
    for payment in payments:
        order = orders.get(payment.id)
        receipt = None if order is None else read_checkout(resources.settings, order._mapping, now).out()  # noqa: SLF001 - SQLAlchemy's own name for it
        undo = None
        if order is not None and order.user_id == borrower.user_id and payment.status is PaymentStatus.REGISTERED:
            undo = Undo.REQUESTED if payment.id in asked else _undo(resources.settings, payment, today)
        found.append(OwnPaymentOut(**payment.model_dump(), receipt=receipt, undo=undo))
    return found


def may_undo(settings: Settings, posted_on: date, today: date) -> bool:
    """Whether a borrower may still take back by themselves what was posted on a day."""
    return (today - posted_on).days <= settings.customer_reversal_days


def read_checkout(settings: Settings, row: Mapping[str, Any], at: datetime) -> Checkout:
    """An order from its row and its cart's number, as it stands at `at`."""
    status, items = CheckoutStatus(row["status"]), read_items(row["items"])
    in_time = row["expires_at"] > at
    pay_url = None
    if status is not CheckoutStatus.PAID and in_time:
        order = Order(
            row["id"], row["total"], _description(items), f"{settings.public_url}{RETURN_PATH}{row['id']}",
            row["expires_at"],
        )  # fmt: skip
        pay_url = gateway_of(settings).pay_url(order)
    return Checkout(
        id=row["id"],
        cart_number=row["number"],
        status=CheckoutStatus.EXPIRED if status is CheckoutStatus.WAITING and not in_time else status,
        items=items,
        amount=row["amount"],
        commission=row["commission"],
        commission_vat=row["commission_vat"],
        total=row["total"],
        transaction_code=row["transaction_code"],
        payment_id=row["payment_id"],
        reason=row["reason"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        pay_url=pay_url,
    )


def checkout_json(items: Sequence[CartItem]) -> str:
    """The items of an order as they are stored."""
    return orjson.dumps(
        [
            {
                "loan_id": str(held.item.loan_id),
                "folio": held.folio,
                "product": held.product,
                "lines": lines_of(held.item),
                "amount": format_money(held.item.amount),
                "pays_off": held.item.pays_off,
            }
            for held in items
        ]
    ).decode()


def read_items(kept: Any) -> tuple[CartItem, ...]:
    """The items of an order that `checkout_json` wrote, however the column was read."""
    found = orjson.loads(kept) if isinstance(kept, str) else kept
    return tuple(
        CartItem(
            Item(UUID(one["loan_id"]), Decimal(one["amount"]), read_lines(one["lines"]), one["pays_off"]),
            one["folio"],
            one["product"],
        )
        for one in found
    )


def debts_out(found: Debts) -> DebtsOut:
    """Debts as they are answered."""
    return DebtsOut(
        on=found.on,
        overdue=found.overdue,
        due=found.due,
        payoff=found.payoff,
        next_due_on=found.next_due_on,
        next_due=found.next_due,
        loans=[_loan_out(loan) for loan in found.loans],
    )


def cart_out(cart: Cart) -> CartOut:
    """A cart as it is answered."""
    fields = {name: getattr(cart, name) for name in CartOut.model_fields if name != "items"}
    return CartOut(**fields, items=items_out(cart.items))


def items_out(items: Sequence[CartItem]) -> list[ItemOut]:
    """Items of a cart or an order as they are answered."""
    return [
        ItemOut(
            loan_id=held.item.loan_id,
            folio=held.folio,
            product=held.product,
            lines=[LineOut.model_validate(line) for line in held.item.lines],
            amount=held.item.amount,
            pays_off=held.item.pays_off,
        )
        for held in items
    ]


def _loan_debt(row: Any, today: date) -> LoanDebt:
    account = account_of(row.terms, row.disbursed_on, row.account)
    position = account.position(today)
    return LoanDebt(
        loan_id=row.id,
        folio=row.folio,
        product=row.product,
        product_name=row.product_name,
        status=LoanStatus(row.status),
        amount=row.amount,
        current_balance=row.current_balance,
        disbursed_on=row.disbursed_on,
        days_past_due=position.days_past_due,
        next_due_on=position.next_due_on,
        owed=owed_of(account, today),
    )


def _loan_out(loan: LoanDebt) -> LoanDebtOut:
    own = {"due", "payoff", "installments"}
    fields = {name: getattr(loan, name) for name in LoanDebtOut.model_fields if name not in own}
    return LoanDebtOut(
        **fields,
        due=loan.owed.due,
        payoff=loan.owed.payoff,
        installments=[InstallmentOut.model_validate(one) for one in loan.owed.installments],
    )


def _undo(settings: Settings, payment: PaymentOut, today: date) -> Undo:
    return Undo.NOW if may_undo(settings, payment.posted_on, today) else Undo.REQUEST


def _description(items: Sequence[CartItem]) -> str:
    """What the gateway's page says is paid."""
    folios = [str(held.folio) for held in items[:MOST_DESCRIBED]] + (["…"] if len(items) > MOST_DESCRIBED else [])
    return f"Pago de crédito {', '.join(folios)}"
