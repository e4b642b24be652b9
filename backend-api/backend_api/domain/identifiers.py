"""Mexican identifiers: RFC (tax), CURP (population registry), CLABE (bank account).

Sources: SAT's answer to request 0610100135506 (2006) for the RFC's check digit and inconvenient words; Instructivo
Normativo de la CURP (DOF 18-10-2021); CLABE by the rule of Banco de México. Nothing here asks a register: a value that
passes can exist, one that is refused cannot.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import mul

from backend_api.domain.errors import ClabeInvalid, CurpInvalid, RfcInvalid


class RfcKind(StrEnum):
    """Whose RFC it is, told by its length."""

    INDIVIDUAL = "individual"
    COMPANY = "company"


@dataclass(frozen=True, slots=True)
class RfcVerdict:
    """An RFC that was accepted: as it is stored, whose it is, and what a person should look at as (code, sentence)."""

    normalized: str
    kind: RfcKind
    warnings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CurpVerdict:
    """A CURP that was accepted, as it is stored, with the birth date it states."""

    normalized: str
    birth_date: date


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Only these letters have a capital here. `str.upper` would turn look-alikes (dotless i, long s, sharp s) into letters.
_CAPITALS = str.maketrans("abcdefghijklmnopqrstuvwxyzñ", "ABCDEFGHIJKLMNOPQRSTUVWXYZÑ", " -_")

_RFC_SHAPE = re.compile(r"([A-ZÑ&]{3,4})([0-9]{6})([A-Z0-9]{3})")
_RFC_LENGTHS = {13: RfcKind.INDIVIDUAL, 12: RfcKind.COMPANY}
_RFC_DIGIT_VALUES = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ")}
_RFC_HOMOCLAVE = re.compile(r"[1-9A-V][1-9A-NP-Z]")  # a quotient of at most 29 and a remainder by 34; no 0, no O
_RFC_GENERIC = frozenset({"XAXX010101000", "XEXX010101000"})
_RFC_WORDS = _words(
    """BUEI BUEY CACA CACO CAGA CAGO CAKA CAKO COGE COJA COJE COJI COJO CULO FETO GUEY JOTO KACA KACO KAGA KAGO KAKA
    KOGE KOJO KULO MAME MAMO MEAR MEAS MEON MION MOCO MULA PEDA PEDO PENE PUTA PUTO QULO RATA RUIN"""
)

_STATES = _words(
    """AS BC BS CC CH CL CM CS DF DG GR GT HG JC MC MN MS NE NL NT OC PL QR QT SL SP SR TC TL TS VZ YN ZS"""
)
_CURP_SHAPE = re.compile(r"([A-Z]{4})([0-9]{6})([HM])([A-Z]{2})([B-DF-HJ-NP-TV-Z]{3})([A-Z0-9])([0-9])")
_CURP_DIGIT_VALUES = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ")}
_CURP_WORDS = _words(
    """BACA BAKA BUEI BUEY CACA CACO CAGA CAGO CAKA CAKO COGE COGI COJA COJE COJI COJO COLA CULO FALO FETO GETA GUEI
    GUEY JETA JOTO KACA KACO KAGA KAGO KAKA KAKO KOGE KOGI KOJA KOJE KOJI KOJO KOLA KULO LILO LOCA LOCO LOKA LOKO MAME
    MAMO MEAR MEAS MEON MIAR MION MOCO MOKO MULA MULO NACA NACO PEDA PEDO PENE PIPI PITO POPO PUTA PUTO QULO RATA ROBA
    ROBE ROBO RUIN SENO TETA VACA VAGA VAGO VAKA VUEI VUEY WUEI WUEY"""
)

_WARNING_SENTENCES = {
    "rfc_check_digit": "The check digit of the RFC does not fit; about one real RFC in seventy is like this.",
    "rfc_homoclave": "The homoclave of the RFC contains a character that the tax authority does not issue there.",
    "rfc_looks_like_curp": "This RFC looks like the beginning of a CURP; please check it against the tax certificate.",
}


def normalise_rfc(text: str) -> str:
    """An RFC as it is stored and looked up: Unicode NFC, capitals, no spaces, hyphens or underscores.

    Says nothing about validity; characters an RFC cannot have stay in place and are refused by `check_rfc`.
    """
    if text.isascii() and text.isalnum():
        return text.upper()  # nearly every one, in a third of the time
    return unicodedata.normalize("NFC", text).translate(_CAPITALS)


def check_rfc(text: str, *, strict: bool) -> RfcVerdict:
    """Whether this can be the RFC of a borrower.

    Length, letters, calendar date, inconvenient words and the two generic values are refusals. A homoclave that cannot
    be right, a last character that is no check digit and the beginning of a CURP are warnings, and refusals if
    `strict`. A check digit that merely does not fit is always a warning: about 1.4 % of the RFCs in use have one.
    Raises RfcInvalid.
    """
    rfc = normalise_rfc(text)
    kind = _RFC_LENGTHS.get(len(rfc))
    if kind is None:
        raise RfcInvalid("rfc_length")
    shape = _RFC_SHAPE.fullmatch(rfc)
    if shape is None:
        raise RfcInvalid("rfc_letters")
    letters, digits, tail = shape.groups()
    # The century is unknown and does not matter: of 1900 and 2000 only the latter has a 29 February, so it may pass.
    if _date_from(2000, digits) is None:
        raise RfcInvalid("rfc_date")
    if rfc in _RFC_GENERIC:
        raise RfcInvalid("rfc_generic")
    if letters in _RFC_WORDS:
        raise RfcInvalid("rfc_inconvenient_word")
    doubts = _rfc_doubts(rfc, kind, tail)
    if strict:
        for doubt, impossible in doubts:
            if impossible:
                raise RfcInvalid(doubt)
    return RfcVerdict(rfc, kind, tuple((doubt, _WARNING_SENTENCES[doubt]) for doubt, _ in doubts))


def check_curp(text: str) -> CurpVerdict:
    """Whether this can be a CURP. Raises CurpInvalid; the check digit is part of the rule, unlike in an RFC."""
    curp = normalise_rfc(text)
    if len(curp) != 18:
        raise CurpInvalid("curp_length")
    shape = _CURP_SHAPE.fullmatch(curp)
    if shape is None:
        raise CurpInvalid("curp_letters")
    letters, digits, _, state, _, century, _ = shape.groups()
    # Position 17 tells the century: a digit for people born up to 1999, a letter from 2000 on.
    birth_date = _date_from(1900 if century.isdigit() else 2000, digits)
    if birth_date is None:
        raise CurpInvalid("curp_date")
    if state not in _STATES:
        raise CurpInvalid("curp_state")
    if letters in _CURP_WORDS:
        raise CurpInvalid("curp_inconvenient_word")
    weighted = sum(
        _CURP_DIGIT_VALUES[character] * weight for character, weight in zip(curp[:-1], range(18, 1, -1), strict=True)
    )
    if int(curp[-1]) != -weighted % 10:
        raise CurpInvalid("curp_check_digit")
    return CurpVerdict(curp, birth_date)


def check_clabe(text: str) -> str:
    """The CLABE itself, if its control digit fits: exactly 18 digits, no separators. Raises ClabeInvalid.

    Whether the bank exists is another question with an answer that changes: it is not asked here.
    """
    if re.fullmatch(r"[0-9]{18}", text) is None:
        raise ClabeInvalid("clabe_length")
    weighted = sum(int(digit) * weight % 10 for digit, weight in zip(text, (3, 7, 1) * 6, strict=True))
    if weighted % 10 != 0:
        raise ClabeInvalid("clabe_control_digit")
    return text


def mask_rfc(rfc: str) -> str:
    """An RFC for people who may not read it: the first two characters and the last one, the rest `*`."""
    return f"{rfc[:2]}{'*' * (len(rfc) - 3)}{rfc[-1:]}"


def initials(full_name: str) -> str:
    """A name for people who may not read it: `Carlos Perez` gives `C. P.`."""
    return " ".join(f"{word[0].upper()}." for word in full_name.split())


def _rfc_doubts(rfc: str, kind: RfcKind, tail: str) -> list[tuple[str, bool]]:
    """What cannot be right as (code, impossible); a doubt that is not impossible stays a warning in strict mode."""
    if kind is RfcKind.INDIVIDUAL and tail[0] in "HM" and tail[1:] in _STATES:
        return [("rfc_looks_like_curp", True)]
    doubts = []
    if _RFC_HOMOCLAVE.fullmatch(tail[:2]) is None:
        doubts.append(("rfc_homoclave", True))
    if tail[2] not in "0123456789A":
        doubts.append(("rfc_check_digit", True))
    elif tail[2] != _rfc_check_digit(rfc):
        doubts.append(("rfc_check_digit", False))
    return doubts


def _rfc_check_digit(rfc: str) -> str:
    values = map(_RFC_DIGIT_VALUES.__getitem__, rfc[:-1].rjust(12))
    return "0A987654321"[sum(map(mul, values, range(13, 1, -1))) % 11]


def _date_from(century: int, digits: str) -> date | None:
    try:
        return date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        return None
