"""Money: what is accepted, what is refused, and that no cent changes on the way."""

import json
from decimal import Decimal, localcontext

import pytest
from backend_api.domain.errors import MoneyMalformed, MoneyNotPositive
from backend_api.domain.money import MAX_MONEY, format_money, parse_money, parse_positive_money, round_half_up
from hypothesis import given
from hypothesis import strategies as st

AMOUNTS = st.decimals(min_value=0, max_value=MAX_MONEY, places=2)

HOSTILE_SPELLINGS = [
    "", " ", "NaN", "nan", "sNaN", "-NaN", "Infinity", "inf", "-inf", "+Infinity", "1e400", "1E400", "1e2", "1E+2",
    "1e-2", "5e0", "1_000", "1_0.00", "1,000", "1,00", "1 000", "1\u00a0000", "1'000", " 5 ", " 5", "5 ", "\t5", "5\n",
    "5.00\n", "5\r\n", "5\x00", "\x005", "\ufeff5", "5\u200b", "\u202e5", "+1", "-0", "-0.00", "-1", "\u22121", "1.",
    ".5", ".", "01", "00", "00.10", "1.005", "1.000", "0.001", "0.010", "0.100000000000000000000000000000",
    "10000000000000", "99999999999999.99", "9" * 400, "1." + "0" * 30, "1.2.3", "0x10", "0b1", "1/2", "½", "²", "$5",
    "5 MXN", "five", "\uff15", "\uff11\uff10.00", "\u0665", "\u0967", "1.\uff10\uff10", "true", "null", "None", "[]",
    "1e", "e1", "1d", "1L", "1f", "\ud800", "1٫50", "5%",
]  # fmt: skip

REFUSED_NUMBERS = [
    "-1", "-0.01", "-0.0", "1.005", "0.001", "1e-3", "10000000000000", "9999999999999.995", "1e13", "1e400", "1e999999",
    "1e-999999", "123456789012345.67", "0.1000000000000000055511151231257827",
]  # fmt: skip


@pytest.mark.parametrize("spelling", HOSTILE_SPELLINGS)
def test_a_hostile_spelling_is_refused(spelling: str) -> None:
    with pytest.raises(MoneyMalformed) as refusal:
        parse_money(spelling)
    assert (refusal.value.facts, refusal.value.status) == ({}, 422)


def test_there_are_enough_hostile_spellings() -> None:
    assert len(set(HOSTILE_SPELLINGS)) >= 60


@pytest.mark.parametrize("number", REFUSED_NUMBERS)
def test_a_json_number_that_means_no_amount_is_refused(number: str) -> None:
    with pytest.raises(MoneyMalformed):
        parse_money(json.loads(number, parse_float=Decimal))


@pytest.mark.parametrize("value", [True, False, 1.5, 0.1, float("nan"), None, [], b"5", complex(1), 10**400, -1])
def test_what_is_no_string_integer_or_decimal_is_refused(value: object) -> None:
    with pytest.raises(MoneyMalformed):
        parse_money(value)  # type: ignore[arg-type]  # what the types forbid must be refused at run time too


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("-0")]
)
def test_a_special_decimal_is_refused(value: Decimal) -> None:
    with pytest.raises(MoneyMalformed):
        parse_money(value)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("0", "0.00"),
        ("0.0", "0.00"),
        ("5", "5.00"),
        ("5.5", "5.50"),
        ("5.05", "5.05"),
        ("9999999999999.99", "9999999999999.99"),
        (0, "0.00"),
        (2500, "2500.00"),
        (9999999999999, "9999999999999.00"),
        (Decimal("50000.00"), "50000.00"),
        (Decimal("5e1"), "50.00"),
        (Decimal("1.25E+3"), "1250.00"),
        (Decimal("1.000"), "1.00"),
        (Decimal("0E+400"), "0.00"),
        (Decimal("0E-400"), "0.00"),
        (Decimal("9999999999999.990"), "9999999999999.99"),
    ],
)
def test_a_plain_amount_is_accepted(value: str | int | Decimal, amount: str) -> None:
    assert str(parse_money(value)) == amount


@given(AMOUNTS)
def test_every_amount_survives_the_round_trip(amount: Decimal) -> None:
    spelled = format_money(amount)
    assert parse_money(spelled) == parse_money(amount) == amount
    assert format_money(parse_money(spelled)) == spelled


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_json_numbers_and_strings_have_the_same_values(cents: int) -> None:
    spelled = f"{cents // 100}.{cents % 100:02d}"
    assert parse_money(json.loads(spelled, parse_float=Decimal)) == parse_money(spelled)


@given(st.text(max_size=20))
def test_a_text_is_an_amount_only_if_its_value_comes_back(text: str) -> None:
    try:
        amount = parse_money(text)
    except MoneyMalformed:
        return
    assert Decimal(text) == amount
    assert text.isascii()


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_a_number_is_kept_exactly_or_refused(number: Decimal) -> None:
    try:
        amount = parse_money(number)
    except MoneyMalformed:
        return
    assert amount == number
    assert amount.as_tuple().exponent == -2


def test_zero_moves_nothing() -> None:
    assert parse_positive_money("0.01") == Decimal("0.01")
    with pytest.raises(MoneyNotPositive):
        parse_positive_money("0.00")


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [("2.345", "2.35"), ("2.344999", "2.34"), ("2.355", "2.36"), ("-2.345", "-2.35"), ("0.005", "0.01")],
)
def test_halves_round_away_from_zero(exact: str, rounded: str) -> None:
    assert round_half_up(Decimal(exact)) == Decimal(rounded)


def test_the_context_of_the_thread_changes_no_cent() -> None:
    with localcontext() as context:
        context.prec = 3
        assert parse_money("9999999999999.99") == MAX_MONEY
        assert format_money(MAX_MONEY) == "9999999999999.99"


def test_formatting_does_not_round() -> None:
    assert format_money(Decimal("-1200")) == "-1200.00"
    assert format_money(Decimal("1E+3")) == "1000.00"
    with pytest.raises(ValueError, match="rounded first"):
        format_money(Decimal("0.005"))
