"""Double entry: the chart of accounts as data, and the balanced entry of every kind of movement.

Accrual basis, after the journal tables of Apache Fineract; codes follow the order of the Mexican catalogue of accounts.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from backend_api.domain.account import MovementKind, Split
from backend_api.domain.money import ZERO
from backend_api.domain.terms import Terms


class AccountKind(StrEnum):
    """What an account measures; assets and expenses grow by debit, income, liabilities and equity by credit.

    Memorandum accounts come in pairs that mirror each other, and stand outside of the balance sheet.
    """

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"
    MEMORANDUM = "memorandum"


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
ALLOWANCE = Account(
    "1390", "Estimación preventiva para riesgos crediticios", "Allowance for loan losses", AccountKind.ASSET
)
TRANSFERS = Account("1399", "Créditos en reestructura", "Loans being restructured", AccountKind.ASSET)
VAT_PAYABLE = Account("2201", "IVA por pagar", "VAT payable", AccountKind.LIABILITY)
INTEREST_INCOME = Account("5101", "Ingresos por intereses", "Interest income", AccountKind.INCOME)
MORATORY_INCOME = Account("5102", "Ingresos por intereses moratorios", "Moratory interest income", AccountKind.INCOME)
FEE_INCOME = Account("5201", "Comisiones cobradas", "Fee income", AccountKind.INCOME)
RECOVERY_INCOME = Account("5301", "Recuperación de créditos castigados", "Recovery income", AccountKind.INCOME)
WRITE_OFF_EXPENSE = Account("6101", "Créditos castigados", "Loans written off", AccountKind.EXPENSE)
PROVISION_EXPENSE = Account(
    "6201", "Estimaciones preventivas del ejercicio", "Loan-loss provisions", AccountKind.EXPENSE
)
SUSPENDED_INTEREST = Account(
    "7101",
    "Intereses devengados no cobrados de cartera en etapa 3",
    "Interest accrued on stage 3 loans",
    AccountKind.MEMORANDUM,
)
SUSPENDED_CONTRA = Account(
    "7201",
    "Contracuenta de intereses devengados de cartera en etapa 3",
    "Contra account of interest accrued on stage 3 loans",
    AccountKind.MEMORANDUM,
)

CHART: tuple[Account, ...] = (
    BANK,
    LOANS_RECEIVABLE,
    INTEREST_RECEIVABLE,
    FEES_RECEIVABLE,
    MORATORY_RECEIVABLE,
    ALLOWANCE,
    TRANSFERS,
    VAT_PAYABLE,
    INTEREST_INCOME,
    MORATORY_INCOME,
    FEE_INCOME,
    RECOVERY_INCOME,
    WRITE_OFF_EXPENSE,
    PROVISION_EXPENSE,
    SUSPENDED_INTEREST,
    SUSPENDED_CONTRA,
)


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: the account's code and a signed amount, debit positive, credit negative, never zero."""

    account: str
    amount: Decimal


def disbursement(terms: Terms) -> tuple[Posting, ...]:
    """The entry of handing the money over: the opening fee is income and its VAT is due at once."""
    return _entry(
        (LOANS_RECEIVABLE, terms.principal),
        (BANK, -terms.handed_over),
        (FEE_INCOME, -terms.opening_fee_amount),
        (VAT_PAYABLE, -terms.opening_fee_vat),
    )


def entry_for(kind: MovementKind, split: Split, *, suspended: bool = False) -> tuple[Posting, ...]:
    """The entry of a movement other than a disbursement. Empty when nothing but VAT was forgiven, which is booked only
    when it is collected (Ley del IVA 18-A, flow).

    `suspended` says that the loan is in stage 3: its interest is not receivable, but income when it is paid; what of
    it is forgiven or written off was never an asset and leaves the books no trace. The loan that takes a restructured
    one's place is in stage 3 too: interest that it carries is no asset of it, and stops being income if it was any.
    Interest and VAT that are less than nothing are given back: they were collected before the interest arose.
    """
    match kind:
        case MovementKind.PAYMENT:
            return _entry((BANK, split.total), *_receivables(split, suspended), (VAT_PAYABLE, -split.vat))
        case MovementKind.FEE:
            return _entry((FEES_RECEIVABLE, split.fees), (FEE_INCOME, -split.fees))
        case MovementKind.WAIVER if suspended:
            return _entry((FEES_RECEIVABLE, -split.fees), (FEE_INCOME, split.fees))
        case MovementKind.WAIVER:
            return _entry(
                *_receivables(split, suspended),
                (WRITE_OFF_EXPENSE, split.principal),
                (INTEREST_INCOME, split.interest),
                (FEE_INCOME, split.fees),
                (MORATORY_INCOME, split.moratory),
            )
        case MovementKind.WRITE_OFF | MovementKind.RESTRUCTURE:
            return _closing(kind, split, suspended)
        case MovementKind.TRANSFER:
            moved = split.principal + split.fees
            return _entry((TRANSFERS, -moved), (LOANS_RECEIVABLE, split.principal), (FEES_RECEIVABLE, split.fees))
        case MovementKind.RECOVERY:
            return _entry((BANK, split.total), (RECOVERY_INCOME, -split.total))
    raise ValueError(f"{kind} has an entry of its own")


COMMISSION = "COMMISSION"
"""The kind of the entry of what a payment costs besides what it pays: of no loan, so no movement."""


def commission(net: Decimal, vat: Decimal) -> tuple[Posting, ...]:
    """The entry of a commission that came in with a payment; empty for none."""
    return _entry((BANK, net + vat), (FEE_INCOME, -net), (VAT_PAYABLE, -vat))


def _closing(kind: MovementKind, split: Split, suspended: bool) -> tuple[Posting, ...]:
    """All that is owed leaves the loan: to the losses, or but for the interest to the loan that takes its place."""
    given_back = Split(interest=min(split.interest, ZERO), vat=min(split.vat, ZERO))
    asset = replace(split, interest=given_back.interest, moratory=ZERO) if suspended else split
    moved = split.principal + split.fees + given_back.total
    left = (*_receivables(asset, suspended), (VAT_PAYABLE, -given_back.vat))
    if kind is MovementKind.WRITE_OFF:
        lost = moved if suspended else split.total - split.vat + given_back.vat
        return _entry((WRITE_OFF_EXPENSE, lost), *left)
    if suspended:
        return _entry((TRANSFERS, moved), *left)
    no_income = ((INTEREST_INCOME, max(split.interest, ZERO)), (MORATORY_INCOME, split.moratory))
    return _entry((TRANSFERS, moved), *left, *no_income)


def _receivables(split: Split, suspended: bool) -> tuple[tuple[Account, Decimal], ...]:
    """What was owed is owed no more; interest of stage 3 was no asset, and is income instead."""
    return (
        (LOANS_RECEIVABLE, -split.principal),
        (INTEREST_INCOME if suspended else INTEREST_RECEIVABLE, -split.interest),
        (FEES_RECEIVABLE, -split.fees),
        (MORATORY_INCOME if suspended else MORATORY_RECEIVABLE, -split.moratory),
    )


class Adjustment(StrEnum):
    """What the end of a day books for all loans of a product together: one account is brought to what it should hold.

    The difference, target less what is posted, is exactly what arose since: movements book their part themselves, so
    that doing it twice books nothing, and a day that was missed is made good by the next one.
    """

    INTEREST = "ACCRUAL_INTEREST"
    MORATORY = "ACCRUAL_MORATORY"
    FEES = "ACCRUAL_FEES"
    SUSPENDED = "SUSPENDED_INTEREST"
    PROVISIONS = "PROVISION"

    @property
    def account(self) -> Account:
        """The account that is brought to its target."""
        return _ADJUSTED[self][0]


_ADJUSTED: dict[Adjustment, tuple[Account, Account]] = {
    Adjustment.INTEREST: (INTEREST_RECEIVABLE, INTEREST_INCOME),
    Adjustment.MORATORY: (MORATORY_RECEIVABLE, MORATORY_INCOME),
    Adjustment.FEES: (FEES_RECEIVABLE, FEE_INCOME),
    Adjustment.SUSPENDED: (SUSPENDED_INTEREST, SUSPENDED_CONTRA),
    Adjustment.PROVISIONS: (ALLOWANCE, PROVISION_EXPENSE),
}


def adjustment(kind: Adjustment, target: Decimal, posted: Decimal) -> tuple[Posting, ...]:
    """The entry that brings the account from what is posted to its target, debit positive; empty when it is there."""
    account, against = _ADJUSTED[kind]
    return _entry((account, target - posted), (against, posted - target))


def undone(entry: tuple[Posting, ...]) -> tuple[Posting, ...]:
    """The same lines with the signs swapped."""
    return tuple(Posting(posting.account, -posting.amount) for posting in entry)


def _entry(*lines: tuple[Account, Decimal]) -> tuple[Posting, ...]:
    return tuple(Posting(account.code, amount) for account, amount in lines if amount != ZERO)
