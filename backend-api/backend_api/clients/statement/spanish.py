"""Amounts, rates and dates as es_MX writes them.

By hand, not with Babel: three patterns of one locale are four lines, Babel is 33 MB and takes 0.1 ms for an amount, of
which a long statement has thousands. The tests hold both against each other.
"""

import unicodedata
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

MONTHS = (
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
)


def amount(value: Decimal) -> str:
    """An amount of pesos in whole cents: `$1,234.56`, `-$0.50`."""
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def percent(fraction: Decimal) -> str:
    """A fraction as a percentage, with two decimals and up to four where it has them: 0.36 is `36.00%`."""
    text = f"{(fraction * 100).quantize(Decimal('0.0001'), ROUND_HALF_UP):,f}"
    whole, decimals = text.split(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}%"


def long_date(day: date) -> str:
    """`15 de enero de 2026`."""
    return f"{day.day} de {MONTHS[day.month - 1]} de {day.year}"


def short_date(day: date) -> str:
    """`15 ene 2026`, for tables."""
    return f"{day.day} {MONTHS[day.month - 1][:3]} {day.year}"


def count(number: int, one: str, many: str) -> str:
    """`1 día`, `12 días`."""
    return f"{number:,} {one if number == 1 else many}"


def plain(text: str) -> str:
    """Text that somebody typed, on one line and without what is invisible.

    Control and format characters go: marks that change the direction of writing could make an amount read backwards.
    """
    visible = (
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs", "Cn")
    )
    return " ".join("".join(visible).split())
