"""Money: Mexican pesos with two decimals as `Decimal`, never float. What is stored fits NUMERIC(15,2)."""

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from backend_api.domain.errors import MoneyMalformed, MoneyNotPositive

ZERO = Decimal("0.00")
CENT = Decimal("0.01")
MAX_MONEY = Decimal("9999999999999.99")

_SPELLING = re.compile(r"(0|[1-9][0-9]{0,12})(\.[0-9]{1,2})?")
# A context of our own: nobody's change of the thread's context (precision, traps) may change a cent.
_EXACT = Context(prec=40, rounding=ROUND_HALF_UP, traps=[InvalidOperation])


def parse_money(value: str | int | Decimal) -> Decimal:
    """The amount that a string or a JSON number means, with exactly two decimals.

    Strings must be spelled plainly: `0`, `12`, `12.5`, `12.50`. Numbers come as int or Decimal (the JSON parser must
    not make floats) and may be spelled any way that means exactly such an amount: `5e1` is 50.00.
    Range 0 to MAX_MONEY. Raises MoneyMalformed for everything else, float and bool included.
    """
    if isinstance(value, str):
        if _SPELLING.fullmatch(value) is None:
            raise MoneyMalformed
        return _EXACT.quantize(Decimal(value), CENT)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise MoneyMalformed
    return _exact_cents(Decimal(value))


def parse_positive_money(value: str | int | Decimal) -> Decimal:
    """Like `parse_money` for an amount that must move something. Raises MoneyNotPositive for zero."""
    amount = parse_money(value)
    if amount == ZERO:
        raise MoneyNotPositive
    return amount


def format_money(amount: Decimal) -> str:
    """The spelling on every wire: plain digits, a point and two decimals.

    Raises ValueError when the amount has fractions of a cent: rounding is a decision, formatting is not.
    """
    cents = round_half_up(amount)
    if cents != amount:
        raise ValueError("an amount with fractions of a cent must be rounded first")
    return f"{cents:f}"


def round_half_up(amount: Decimal) -> Decimal:
    """To whole cents, halves away from zero, the rule unless a loan's terms say otherwise."""
    return _EXACT.quantize(amount, CENT)


def _exact_cents(number: Decimal) -> Decimal:
    if not number.is_finite() or number.is_signed():
        raise MoneyMalformed
    if number.is_zero():
        return ZERO
    # Magnitude first: comparing or quantizing 1e999999999 would build that many digits.
    if not CENT.adjusted() <= number.adjusted() <= MAX_MONEY.adjusted():
        raise MoneyMalformed
    cents = _EXACT.quantize(number, CENT)
    if cents != number or cents > MAX_MONEY:
        raise MoneyMalformed
    return cents
