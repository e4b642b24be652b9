"""Double entry: the chart of accounts as data, and the balanced entry of every kind of movement.

Accrual basis, after the journal tables of Apache Fineract; codes follow the order of the Mexican catalogue of accounts.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from backend_api.domain.account import MovementKind, Split, effect
from backend_api.domain.money import ZERO


class AccountKind(StrEnum):
    """What an account measures; assets and expenses grow by debit, the others by credit."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the chart, with its name for people in Spanish and English."""

    code: str
    name_es: str
    name_en: str
    kind: AccountKind


BANK = Account("1101", "Bancos", "Bank", AccountKind.ASSET)
LOANS_RECEIVABLE = Account("1301", "Cartera de crédito vigente", "Loans receivable", AccountKind.ASSET)
INTEREST_RECEIVABLE = Account("1302", "Intereses devengados por cobrar", "Interest receivable", AccountKind.ASSET)
FEES_RECEIVABLE = Account("1303", "Comisiones por cobrar", "Fees receivable", AccountKind.ASSET)
MORATORY_RECEIVABLE = Account(
    "1304", "Intereses moratorios por cobrar", "Moratory interest receivable", AccountKind.ASSET
)
VAT_PAYABLE = Account("2201", "IVA por pagar", "VAT payable", AccountKind.LIABILITY)

CHART: tuple[Account, ...] = (
    BANK,
    LOANS_RECEIVABLE,
    INTEREST_RECEIVABLE,
    FEES_RECEIVABLE,
    MORATORY_RECEIVABLE,
    VAT_PAYABLE,
)


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: the account's code and a signed amount, debit positive, credit negative, never zero."""

    account: str
    amount: Decimal


def entry_for(kind: MovementKind, split: Split) -> tuple[Posting, ...]:
    """The entry of a movement: what the client owes against the bank. Sums to zero; lines of zero are left out.

    What raises the debt debits the receivables and credits the bank, what lowers it the other way round, so that a
    reversal is the same lines with the signs swapped. Raises ValueError for an empty split: nothing moved.
    """
    sign = effect(kind)
    lines = (
        Posting(BANK.code, -sign * split.total),
        Posting(FEES_RECEIVABLE.code, sign * split.fees),
        Posting(MORATORY_RECEIVABLE.code, sign * split.moratory),
        Posting(INTEREST_RECEIVABLE.code, sign * split.interest),
        Posting(VAT_PAYABLE.code, sign * split.vat),
        Posting(LOANS_RECEIVABLE.code, sign * split.principal),
    )
    entry = tuple(line for line in lines if line.amount != ZERO)
    if not entry:
        raise ValueError("a movement of nothing has no entry")
    return entry
