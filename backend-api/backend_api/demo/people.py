"""Invented people and companies of Mexico, with identifiers that can exist: names, RFC, CURP, CLABE, address.

Every choice is made by the `Random` that is handed in. E-mail addresses are of a domain that nobody has (RFC 2606).
"""

import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

from backend_api.domain.errors import DomainError
from backend_api.domain.identifiers import check_clabe, check_curp, check_rfc

WOMEN = (
    "Ana María", "Alejandra", "Beatriz", "Carmen", "Claudia", "Daniela", "Elena", "Fernanda", "Gabriela", "Guadalupe",
    "Isabel", "Josefina", "Juana", "Karla", "Laura", "Leticia", "Lucía", "Margarita", "María Fernanda", "María José",
    "Mariana", "Norma", "Patricia", "Rosa", "Sandra", "Silvia", "Teresa", "Verónica", "Ximena", "Yolanda",
)  # fmt: skip
MEN = (
    "Alejandro", "Andrés", "Antonio", "Arturo", "Carlos", "Daniel", "Eduardo", "Enrique", "Fernando", "Francisco",
    "Gerardo", "Héctor", "Hugo", "Ignacio", "Jaime", "Javier", "Jesús", "Jorge", "José Luis", "Juan Carlos", "Julio",
    "Luis Ángel", "Manuel", "Miguel", "Óscar", "Pedro", "Raúl", "Ricardo", "Roberto", "Sergio",
)  # fmt: skip
SURNAMES = (
    "Aguilar", "Álvarez", "Castillo", "Castro", "Chávez", "Cruz", "Díaz", "Domínguez", "Espinoza", "Estrada", "Flores",
    "García", "Gómez", "González", "Guerrero", "Gutiérrez", "Hernández", "Herrera", "Jiménez", "Juárez", "López",
    "Luna", "Martínez", "Medina", "Mendoza", "Morales", "Moreno", "Muñoz", "Núñez", "Ortega", "Ortiz", "Peña", "Pérez",
    "Ramírez", "Ramos", "Reyes", "Rivera", "Rodríguez", "Rojas", "Romero", "Ruiz", "Salazar", "Sánchez", "Soto",
    "Torres", "Vargas", "Vázquez", "Velázquez", "Villarreal", "Zamora",
)  # fmt: skip
TRADES = (
    "Abarrotes", "Carpintería", "Comercializadora", "Distribuidora", "Ferretería", "Imprenta", "Panificadora",
    "Refaccionaria", "Taller Mecánico", "Textiles", "Transportes", "Vidrios y Aluminios",
)  # fmt: skip
PLACES = (
    ("Ciudad de México", "06700", "55"), ("Ecatepec, Estado de México", "55000", "55"),
    ("Guadalajara, Jalisco", "44100", "33"), ("León, Guanajuato", "37000", "477"), ("Mérida, Yucatán", "97000", "999"),
    ("Monterrey, Nuevo León", "64000", "81"), ("Morelia, Michoacán", "58000", "443"),
    ("Oaxaca de Juárez, Oaxaca", "68000", "951"), ("Puebla, Puebla", "72000", "222"),
    ("Querétaro, Querétaro", "76000", "442"), ("Toluca, Estado de México", "50000", "722"),
    ("Xalapa, Veracruz", "91000", "228"),
)  # fmt: skip
"""Where they live, with postal code and the beginning of a telephone number."""
STREETS = (
    "Av. Juárez", "Calle 5 de Mayo", "Calle Aldama", "Calle Allende", "Calle Benito Juárez", "Calle Constitución",
    "Calle Emiliano Zapata", "Calle Hidalgo", "Calle Independencia", "Calle Madero", "Calle Morelos", "Calle Reforma",
)  # fmt: skip
STATES = ("DF", "GT", "JC", "MC", "MN", "NL", "OC", "PL", "QT", "VZ", "YN")
"""Where somebody was born, as a CURP names it."""
BANKS = ("002", "012", "014", "021", "036", "058", "072", "127")

COMMON_FIRST_NAMES = frozenset({"JOSE", "MARIA"})
"""Of two names the second one counts when the first is one of these."""
OLDEST, YOUNGEST = date(1958, 1, 1), date(2003, 12, 31)
HOMOCLAVE = "123456789ABCDEFGHIJKLMN"


def person(random: Random, number: int) -> dict[str, Any]:
    """The record of somebody, as `POST /clients` takes it; `number` makes the e-mail address their own."""
    woman = random.random() < 0.54
    given = random.choice(WOMEN if woman else MEN)
    paternal, maternal = random.choice(SURNAMES), random.choice(SURNAMES)
    born = _day_between(random, OLDEST, YOUNGEST)
    letters = _letters(given, paternal, maternal)
    place, postal_code, area = random.choice(PLACES)
    address = f"{given.split()[0]}.{paternal}.{number}@example.com"
    return {
        "full_name": f"{given} {paternal} {maternal}",
        "email": _plain(address).lower(),
        "rfc": rfc(random, letters, born),
        "kind": "individual",
        "curp": _curp(random, letters, born, woman, (given, paternal, maternal)),
        "clabe": _clabe(random),
        "phone": _phone(random, area),
        "birth_date": born.isoformat(),
        "address": f"{random.choice(STREETS)} {random.randint(1, 890)}, {postal_code} {place}",
    }


def company(random: Random, number: int) -> dict[str, Any]:
    """The same of a company."""
    trade, name = random.choice(TRADES), random.choice(SURNAMES)
    place, postal_code, area = random.choice(PLACES)
    founded = _day_between(random, date(1985, 1, 1), date(2019, 12, 31))
    letters = _plain(trade)[:2] + _plain(name)[:1]
    return {
        "full_name": f"{trade} {name}, S.A. de C.V.",
        "email": _plain(f"contacto.{name}.{number}@example.com").lower(),
        "rfc": rfc(random, letters.upper(), founded),
        "kind": "company",
        "clabe": _clabe(random),
        "phone": _phone(random, area),
        "address": f"{random.choice(STREETS)} {random.randint(1, 890)}, {postal_code} {place}",
    }


def rfc(random: Random, letters: str, day: date) -> str:
    """An RFC without any doubt: with these letters, unless they are an inconvenient word, of a birth or foundation."""
    while True:
        body = f"{letters}{day:%y%m%d}{random.choice(HOMOCLAVE)}{random.choice(HOMOCLAVE)}"
        found = _completed(body, "0123456789A", lambda text: not check_rfc(text, strict=True).warnings)
        if found:
            return found
        letters = f"{letters[:-1]}X"


def _curp(random: Random, letters: str, born: date, woman: bool, names: tuple[str, str, str]) -> str:
    given, paternal, maternal = names
    inner = "".join(_inner(name, "BCDFGHJKLMNPQRSTVWXYZ") for name in (paternal, maternal, _counting(given)))
    century = "0" if born.year < 2000 else "A"
    rest = f"{born:%y%m%d}{'M' if woman else 'H'}{random.choice(STATES)}{inner}{century}"
    for start in (letters, f"{letters[0]}X{letters[2:]}"):
        found = _completed(f"{start}{rest}", "0123456789", lambda text: bool(check_curp(text)))
        if found:
            return found
    raise AssertionError("no inconvenient word has an X in the second place")


def _clabe(random: Random) -> str:
    body = f"{random.choice(BANKS)}180{random.randrange(10**11):011d}"
    found = _completed(body, "0123456789", lambda text: bool(check_clabe(text)))
    assert found  # noqa: S101 - one of ten control digits fits
    return found


def _completed(body: str, last: str, fits: Callable[[str], bool]) -> str | None:
    """The body with the check digit that fits; None if none does."""
    for digit in last:
        try:
            if fits(body + digit):
                return body + digit
        except DomainError:
            continue
    return None


def _letters(given: str, paternal: str, maternal: str) -> str:
    """The first four of RFC and CURP: two of the father's surname, one of the mother's, one of the name."""
    surname = _plain(paternal).upper()
    return f"{surname[0]}{_inner(paternal, 'AEIOU')}{_plain(maternal).upper()[0]}{_plain(_counting(given)).upper()[0]}"


def _counting(given: str) -> str:
    first, _, second = given.partition(" ")
    return second if second and _plain(first).upper() in COMMON_FIRST_NAMES else first


def _inner(name: str, letters: str) -> str:
    """The first of these letters after the first letter of a name."""
    return next((letter for letter in _plain(name).upper()[1:] if letter in letters), "X")


def _plain(text: str) -> str:
    """Without accents and spaces; Ñ becomes X, as the registries do it."""
    unmarked = unicodedata.normalize("NFD", text.replace("ñ", "x").replace("Ñ", "X"))
    return "".join(letter for letter in unmarked if not unicodedata.combining(letter)).replace(" ", "")


def _phone(random: Random, area: str) -> str:
    return f"{area} {random.randrange(10 ** (10 - len(area))):0{10 - len(area)}d}"


def _day_between(random: Random, first: date, last: date) -> date:
    return first + timedelta(days=random.randrange((last - first).days + 1))
