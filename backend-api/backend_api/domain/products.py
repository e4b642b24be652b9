"""Loan products: terms that loans copy when they are made, and the limits within which loans are granted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

from backend_api.domain.dates import MIN_DATE
from backend_api.domain.money import CENT, MAX_MONEY, ZERO
from backend_api.domain.terms import (
    MAX_INSTALLMENTS,
    MAX_RATE,
    NO_FEE,
    FeeCollection,
    Refusal,
    Terms,
    TermsRefused,
    check_terms,
)

STANDARD = "STANDARD"
"""The product of a loan that names none; it is there from the start and cannot be retired."""


class ProductStatus(StrEnum):
    """No new loan is made of a retired product; those that copied its terms keep them."""

    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Within which a product grants loans; both ends belong to it, None is no limit. Rates are yearly fractions."""

    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    min_rate: Decimal | None = None
    max_rate: Decimal | None = None
    min_installments: int | None = None
    max_installments: int | None = None

    def check(self, terms: Terms) -> None:
        """Raises TermsRefused with every limit that a loan of these terms passes."""
        _refuse(self._passed(terms))

    def check_themselves(self) -> None:
        """Raises TermsRefused for limits that no loan can keep: out of range, or the least above the most."""
        _refuse(self._impossible())

    def sheet(self) -> dict[str, Any]:
        """The limits as plain values, as they are stored: decimals as text in plain digits."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in values.items()}

    @classmethod
    def of(cls, sheet: Mapping[str, Any]) -> "Limits":
        """The limits that `sheet` wrote."""
        values: dict[str, Any] = {
            name: Decimal(value) if isinstance(value, str) else value for name, value in sheet.items()
        }
        return cls(**values)

    def _passed(self, terms: Terms) -> Iterator[Refusal]:
        for name, (least_name, most_name, _, _) in _LIMITED.items():
            value, least, most = getattr(terms, name), getattr(self, least_name), getattr(self, most_name)
            if (least is not None and value < least) or (most is not None and value > most):
                yield Refusal(name, f"{name}_outside_product", f"This product takes {_range(least, most)}.")

    def _impossible(self) -> Iterator[Refusal]:
        for least_name, most_name, smallest, largest in _LIMITED.values():
            least, most = getattr(self, least_name), getattr(self, most_name)
            for name, value in ((least_name, least), (most_name, most)):
                if value is not None and not smallest <= value <= largest:
                    yield Refusal(name, f"{name}_out_of_range", f"This limit is {_range(smallest, largest)}.")
            if least is not None and most is not None and least > most:
                yield Refusal(least_name, "limits_reversed", "The least is not more than the most.")


@dataclass(frozen=True, slots=True)
class Product:
    """A product as loans copy it; `values` are what its terms say, by field of `Terms`."""

    code: str
    version: int
    values: Mapping[str, Any]
    limits: Limits


def check_product(values: Mapping[str, Any], limits: Limits) -> None:
    """Raises TermsRefused for terms, by field of `Terms`, that the limits forbid or that no loan within them can have.

    Tried on one example: the amount at which an opening fee is likeliest to be possible, and the product's own number
    of installments, else the largest it allows.
    """
    example = _example(values, limits)
    limits.check(example)
    check_terms(example)


def _example(values: Mapping[str, Any], limits: Limits) -> Terms:
    # A deducted fee has to be less than the amount; amount and financed fee have to stay below the largest one.
    if values.get("opening_fee", NO_FEE).collection is FeeCollection.DEDUCTED:
        amount = limits.max_amount or MAX_MONEY
    else:
        amount = limits.min_amount or CENT
    left: dict[str, Any] = {
        "interest_rate": limits.min_rate or ZERO,
        "installments": limits.max_installments or MAX_INSTALLMENTS,
    }
    return Terms(amount=amount, disbursed_on=MIN_DATE, **(left | dict(values)))


def _refuse(refusals: Iterator[Refusal]) -> None:
    found = tuple(refusals)
    if found:
        raise TermsRefused(*found)


def _range(least: Decimal | int | None, most: Decimal | int | None) -> str:
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"


_LIMITED: dict[str, tuple[str, str, Decimal | int, Decimal | int]] = {
    "amount": ("min_amount", "max_amount", CENT, MAX_MONEY),
    "interest_rate": ("min_rate", "max_rate", 0, MAX_RATE),
    "installments": ("min_installments", "max_installments", 1, MAX_INSTALLMENTS),
}
"""The terms that a product limits: names of both limits, and between what they lie themselves."""
