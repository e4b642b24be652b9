"""Value added tax (IVA) on interest."""

from decimal import Decimal

from backend_api.domain.money import ZERO
from backend_api.domain.rounding import EXACT, Rounding


def vat_on(taxable: Decimal, rate: Decimal, rounding: Rounding) -> Decimal:
    """The tax on an amount in whole cents; `rate` is a fraction (Ley del IVA 1)."""
    return rounding.cents(EXACT.multiply(taxable, rate))


def real_interest(interest: Decimal, principal: Decimal, inflation: Decimal, rounding: Rounding) -> Decimal:
    """What of the interest of a period exceeds inflation, never less than zero (Ley del IVA 18-A).

    `inflation` of the period as a fraction: UDI of its last day / UDI of the day before it - 1. Known only afterwards,
    so that a schedule shows the tax on nominal interest, which is the most it can be while prices rise.
    """
    return max(interest - rounding.cents(EXACT.multiply(principal, inflation)), ZERO)
