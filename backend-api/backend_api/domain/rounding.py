"""Rounding as a loan's terms say. All arithmetic of a schedule runs in `EXACT`, whatever the thread's context is."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from enum import StrEnum

from backend_api.domain.money import CENT

EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""40 digits: amount x rate x days is exact in it, so that a half cent is a half cent and not one digit less."""


class Rounding(StrEnum):
    """What happens to half a cent: away from zero (the Mexican usage), or to the even neighbour."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"

    def cents(self, amount: Decimal) -> Decimal:
        """The amount in whole cents."""
        return amount.quantize(CENT, _MODES[self], EXACT)

    def multiple(self, amount: Decimal, step: Decimal) -> Decimal:
        """The multiple of `step` nearest to the amount, in whole cents. `step` is more than zero."""
        steps = EXACT.divide(amount, step).quantize(Decimal(1), _MODES[self], EXACT)
        return self.cents(EXACT.multiply(steps, step))


_MODES = {Rounding.HALF_UP: ROUND_HALF_UP, Rounding.HALF_EVEN: ROUND_HALF_EVEN}
