"""A portfolio at the end of a day: what its loans sum up to, by lateness and stage, and what the books should hold.

A loan's balance is its principal and, until it is non-performing, the interest it has earned: that of a stage 3 loan
is no asset any more, but remembered in memorandum accounts. Interest that was paid before it arose is taken off the
balance and is no income yet, in any stage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from backend_api.domain.account import Position
from backend_api.domain.delinquency import AgeBucket, Stage, age_bucket
from backend_api.domain.ledger import Adjustment
from backend_api.domain.money import ZERO, format_money
from backend_api.domain.provisions import ProvisionTable, provision


@dataclass(slots=True)
class Share:
    """How many loans, and their balance."""

    loans: int = 0
    balance: Decimal = ZERO

    def add(self, loans: int, balance: Decimal) -> None:
        """So many more."""
        self.loans += loans
        self.balance += balance


@dataclass(slots=True)
class Figures:
    """The sums of some loans. `interest` and `moratory` are those that are income; `suspended` is both of stage 3."""

    loans: int = 0
    principal: Decimal = ZERO
    interest: Decimal = ZERO
    moratory: Decimal = ZERO
    fees: Decimal = ZERO
    suspended: Decimal = ZERO
    provisions: Decimal = ZERO
    buckets: dict[AgeBucket, Share] = field(default_factory=lambda: {bucket: Share() for bucket in AgeBucket})
    stages: dict[Stage, Share] = field(default_factory=lambda: {stage: Share() for stage in Stage})

    @property
    def balance(self) -> Decimal:
        """Principal and the interest that is an asset."""
        return self.principal + self.interest + self.moratory

    def count(self, position: Position, stage: Stage, table: ProvisionTable) -> None:
        """One more loan, with the table by which it is reserved for."""
        interest, moratory = position.interest, position.moratory
        if stage is Stage.NON_PERFORMING:
            self.suspended += max(interest, ZERO) + moratory
            interest, moratory = min(interest, ZERO), ZERO
        balance = position.principal + interest + moratory
        self.interest += interest
        self.moratory += moratory
        self.loans += 1
        self.principal += position.principal
        self.fees += position.fees
        self.provisions += provision(table, balance, position.days_past_due)
        self.buckets[age_bucket(position.days_past_due)].add(1, balance)
        self.stages[stage].add(1, balance)

    def add(self, other: "Figures") -> None:
        """The loans of others too."""
        self.loans += other.loans
        self.principal += other.principal
        self.interest += other.interest
        self.moratory += other.moratory
        self.fees += other.fees
        self.suspended += other.suspended
        self.provisions += other.provisions
        for bucket, share in other.buckets.items():
            self.buckets[bucket].add(share.loans, share.balance)
        for stage_, share in other.stages.items():
            self.stages[stage_].add(share.loans, share.balance)

    def target(self, adjustment: Adjustment) -> Decimal:
        """What the account that the adjustment keeps right should hold for these loans, debit positive."""
        match adjustment:
            case Adjustment.INTEREST:
                return self.interest
            case Adjustment.MORATORY:
                return self.moratory
            case Adjustment.FEES:
                return self.fees
            case Adjustment.SUSPENDED:
                return self.suspended
            case Adjustment.PROVISIONS:
                return -self.provisions

    def sheet(self) -> dict[str, Any]:
        """The figures as they are stored and announced: money as text."""
        return {
            "loans": self.loans,
            "balance": format_money(self.balance),
            "principal": format_money(self.principal),
            "interest": format_money(self.interest),
            "moratory": format_money(self.moratory),
            "fees": format_money(self.fees),
            "suspended": format_money(self.suspended),
            "provisions": format_money(self.provisions),
            "buckets": {bucket.value: _sheet(share) for bucket, share in self.buckets.items()},
            "stages": {str(stage.value): _sheet(share) for stage, share in self.stages.items()},
        }


def _sheet(share: Share) -> dict[str, Any]:
    return {"loans": share.loans, "balance": format_money(share.balance)}


def total(figures: Iterable[Figures]) -> Figures:
    """The sums of all of them."""
    whole = Figures()
    for each in figures:
        whole.add(each)
    return whole


def by_product_sheet(figures: Mapping[str, Figures]) -> dict[str, Any]:
    """The figures of every product, and of all, as they are stored and announced."""
    products = [{"product": product, **figures[product].sheet()} for product in sorted(figures)]
    return {"total": total(figures.values()).sheet(), "products": products}
