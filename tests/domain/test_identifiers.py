"""RFC, CURP and CLABE against published examples, and what people without permission see of them."""

import json
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from backend_api.domain.errors import ClabeInvalid, CurpInvalid, RfcInvalid
from backend_api.domain.identifiers import (
    RfcKind,
    check_clabe,
    check_curp,
    check_rfc,
    initials,
    mask_rfc,
    normalise_rfc,
)
from hypothesis import given
from hypothesis import strategies as st

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "vectors" / "mexico.json").read_text(encoding="utf-8")
)


def codes(text: str, *, strict: bool) -> list[str]:
    return [code for code, _ in check_rfc(text, strict=strict).warnings]


@pytest.mark.parametrize("case", VECTORS["rfc"], ids=lambda case: case["id"])
def test_the_strict_verdicts_of_the_published_rfcs_hold(case: dict[str, Any]) -> None:
    match case["recommended_verdict"]:
        case "accept":
            assert codes(case["input"], strict=True) == []
        case "accept_with_warning":
            assert codes(case["input"], strict=True) == ["rfc_check_digit"]
        case _:
            with pytest.raises(RfcInvalid):
                check_rfc(case["input"], strict=True)


@pytest.mark.parametrize("case", VECTORS["rfc"], ids=lambda case: case["id"])
def test_what_strict_mode_accepts_lenient_mode_accepts_alike(case: dict[str, Any]) -> None:
    if case["recommended_verdict"].startswith("accept"):
        assert check_rfc(case["input"], strict=False) == check_rfc(case["input"], strict=True)
        assert check_rfc(case["input"], strict=False).normalized == case["normalized"]


@pytest.mark.parametrize(
    "rfc", ["GODE561231GR8", "MAB9307148T4", "SAT970701NN3", "L&O950913MSA", "OÑO120726RX3", "BBA830831LJ2"]
)
def test_a_matching_check_digit_raises_no_doubt(rfc: str) -> None:
    assert codes(rfc, strict=True) == []


def test_a_real_rfc_with_a_wrong_check_digit_is_accepted_with_a_warning() -> None:
    for rfc in ("PAF070213GI1", "RTO840921RE4"):
        assert codes(rfc, strict=False) == codes(rfc, strict=True) == ["rfc_check_digit"]


@pytest.mark.parametrize(
    ("rfc", "doubt"),
    [
        ("PEPJ800101HNE", "rfc_looks_like_curp"),
        ("PEPJ800101MDF", "rfc_looks_like_curp"),
        ("GODE561231GRB", "rfc_check_digit"),
        ("GODE5612310R8", "rfc_homoclave"),
        ("GODE561231GO8", "rfc_homoclave"),
        ("GODE561231Z18", "rfc_homoclave"),
    ],
)
def test_an_ending_that_cannot_be_right_is_a_warning_and_a_refusal_in_strict_mode(rfc: str, doubt: str) -> None:
    assert doubt in codes(rfc, strict=False)
    with pytest.raises(RfcInvalid) as refusal:
        check_rfc(rfc, strict=True)
    assert refusal.value.code == doubt
    assert rfc not in str(refusal.value)


def test_a_company_does_not_look_like_a_curp() -> None:
    assert "rfc_looks_like_curp" not in codes("PEP800101HNE", strict=False)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("rfc", "reason"),
    [
        ("", "rfc_length"),
        ("GODE561231G", "rfc_length"),
        ("GODE561231GR88", "rfc_length"),
        ("GODE561231GR8" * 1000, "rfc_length"),
        ("GOD1561231GR8", "rfc_letters"),
        ("GODE56123IGR8", "rfc_letters"),
        ("GODE561231GRÑ", "rfc_letters"),
        ("GODE561231G&8", "rfc_letters"),
        ("MAB9307148T\n", "rfc_letters"),
        ("GODE56123\uff11GR8", "rfc_letters"),
        ("GODE56123\u0661GR8", "rfc_letters"),
        ("\uff27ODE561231GR8", "rfc_letters"),
        ("G\u0131DE561231GR8", "rfc_letters"),
        ("GODE561231GR\u200b", "rfc_letters"),
        ("ÜODE561231GR8", "rfc_letters"),
        ("GODE560230GR8", "rfc_date"),
        ("GODE560031GR8", "rfc_date"),
        ("GODE010229GR8", "rfc_date"),
        ("GODE561331GR8", "rfc_date"),
        ("XAXX010101000", "rfc_generic"),
        ("XEXX010101000", "rfc_generic"),
        ("PUTO800101AA0", "rfc_inconvenient_word"),
        ("BUEI800101AA0", "rfc_inconvenient_word"),
    ],
)
def test_what_can_be_nobodys_rfc_is_refused_in_both_modes(rfc: str, reason: str, strict: bool) -> None:
    with pytest.raises(RfcInvalid) as refusal:
        check_rfc(rfc, strict=strict)
    assert refusal.value.code == reason
    assert str(refusal.value) == refusal.value.message


def test_the_29th_of_february_of_year_00_exists() -> None:
    assert check_rfc("GODE000229GR4", strict=True).kind is RfcKind.INDIVIDUAL


def test_a_company_prefix_is_no_inconvenient_word() -> None:
    assert check_rfc("PUT850101AA0", strict=True).kind is RfcKind.COMPANY


@pytest.mark.parametrize("spelling", ["gode561231gr8", " GODE-561231-GR8 ", "GODE_561231 gr8"])
def test_spellings_of_one_rfc_are_one_rfc(spelling: str) -> None:
    assert check_rfc(spelling, strict=True).normalized == "GODE561231GR8"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("text", ["OÑO120726RX3", "oño120726rx3"])
def test_composed_and_decomposed_letters_are_one_rfc(form: Any, text: str) -> None:
    assert check_rfc(unicodedata.normalize(form, text), strict=True).normalized == "OÑO120726RX3"


@given(st.text(max_size=20))
def test_any_text_is_accepted_or_refused_with_a_reason(text: str) -> None:
    for strict in (True, False):
        try:
            verdict = check_rfc(text, strict=strict)
        except RfcInvalid:
            continue
        assert normalise_rfc(verdict.normalized) == verdict.normalized


@given(st.from_regex(r"[A-ZÑ&]{3,4}[0-9]{6}[A-Z0-9]{3}", fullmatch=True))
def test_strict_mode_only_ever_narrows(text: str) -> None:
    try:
        strict = check_rfc(text, strict=True)
    except RfcInvalid:
        return
    assert check_rfc(text, strict=False) == strict


@pytest.mark.parametrize("case", VECTORS["curp"], ids=lambda case: case["id"])
def test_the_verdicts_of_the_published_curps_hold(case: dict[str, Any]) -> None:
    if case["recommended_verdict"] == "accept":
        assert check_curp(case["input"]).birth_date == date.fromisoformat(case["birth_date"])
    else:
        with pytest.raises(CurpInvalid):
            check_curp(case["input"])


@pytest.mark.parametrize(
    ("curp", "reason"),
    [
        ("BOXW310820HNERXN0", "curp_length"),
        ("BOXW310820XNERXN09", "curp_letters"),
        ("BOXW310820HNEAXN09", "curp_letters"),
        ("BOXW310820HNERXN0A", "curp_letters"),
        ("BOXW311320HNERXN09", "curp_date"),
        ("BOXW310820HXXRXN09", "curp_state"),
        ("PUTO310820HNERXN09", "curp_inconvenient_word"),
        ("BOXW310820HNERXN08", "curp_check_digit"),
    ],
)
def test_a_curp_is_refused_with_its_reason(curp: str, reason: str) -> None:
    with pytest.raises(CurpInvalid) as refusal:
        check_curp(curp)
    assert refusal.value.code == reason


def test_position_17_of_a_curp_tells_the_century() -> None:
    assert check_curp("BOXW310820HNERXN09").birth_date == date(1931, 8, 20)
    assert check_curp("boxw000229hnerxna9").birth_date == date(2000, 2, 29)
    with pytest.raises(CurpInvalid, match="birth date"):
        check_curp("BOXW000229HNERXN09")


@pytest.mark.parametrize("case", VECTORS["clabe"], ids=lambda case: case["id"])
def test_the_verdicts_of_the_published_clabes_hold(case: dict[str, Any]) -> None:
    if case["control_digit_valid"]:
        assert check_clabe(case["input"]) == case["input"]
    else:
        with pytest.raises(ClabeInvalid):
            check_clabe(case["input"])


@pytest.mark.parametrize(
    ("clabe", "reason"),
    [
        ("03218000011835971", "clabe_length"),
        ("03218000011835971\uff19", "clabe_length"),
        ("03218000011835971²", "clabe_length"),
        ("032180000118359719\n", "clabe_length"),
        ("032180000118359718", "clabe_control_digit"),
    ],
)
def test_a_clabe_is_refused_with_its_reason(clabe: str, reason: str) -> None:
    with pytest.raises(ClabeInvalid) as refusal:
        check_clabe(clabe)
    assert refusal.value.code == reason


@pytest.mark.parametrize("clabe", ["002180032240946700", "002010077777777771"])
def test_a_clabe_from_the_published_rule_is_accepted(clabe: str) -> None:
    assert check_clabe(clabe) == clabe


def test_a_masked_rfc_shows_three_characters() -> None:
    assert mask_rfc("PEPJ800101HNE") == "PE**********E"
    assert mask_rfc("SAT970701NN3") == "SA*********3"


@pytest.mark.parametrize(
    ("name", "short"), [("Carlos Perez", "C. P."), ("  ángel   de la Ó ", "Á. D. L. Ó."), ("Ñ", "Ñ."), (" ", "")]
)
def test_a_name_is_shown_as_initials(name: str, short: str) -> None:
    assert initials(name) == short
