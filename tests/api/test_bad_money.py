"""Sixty ways to spell money that are refused on every field, a few that are accepted to the cent, nothing stored."""

import httpx2
import pytest
from backend_api.db.pools import Connection

from tests.support.builders import get, new_client, new_loan, random_rfc
from tests.support.postgres import row_counts
from tests.support.problems import problem

STRINGS = [
    "", " ", "NaN", "nan", "sNaN", "Infinity", "-Infinity", "inf", "1e5", "1E5", "1e400", "1e-2", "-1", "-0.01", "-0",
    "+1", "--5", "5-", "(5)", "0x10", "1_000", "1,000", "1,000.00", "1.000,00", "1 000", "1\u00a0000", "1'000", " 5",
    "5 ", "5\n", "\t5", "5\r", "five", "５", "٥", "½", "²", "Ⅴ", "−5", "1.234", "1.000", "0.001", "00", "01", "00.5",
    ".5", "5.", "5..0", "5.0.0", "$5", "5 MXN", "5%", "1/2", "null", "true", "10000000000000", "99999999999999.99",
    "9" * 400, "1" + "0" * 5000, "0." + "0" * 400 + "1", "\u200b5", "5\u202e", "5\u0000", "\ufeff5",
]  # fmt: skip
LITERALS = [
    "-1", "-0.01", "-5e0", "0.001", "1.005", "1.0000001", "1e400", "1e-400", "1e999999999", "1e13", "1e15",
    "10000000000000", "10000000000000.00", "12345678901234567890", "9" * 5000, "9" * 5000 + ".5", "0." + "1" * 500,
    "true", "false", "[]", "{}", "[5]", '{"amount": 5}', "NaN", "Infinity", "-Infinity", "00", "01", ".5", "5.", "+5",
    "1_000", "0x10", "5 5", "1e", '"\\ud800"', '"5\\u0000"',
]  # fmt: skip
ACCEPTED = {
    '"0.01"': "0.01",
    '"1"': "1.00",
    '"1.5"': "1.50",
    '"9999999999999.99"': "9999999999999.99",
    "1": "1.00",
    "1.5": "1.50",
    "1.500": "1.50",
    "5e1": "50.00",
    "0.1e1": "1.00",
    "9007199254740.93": "9007199254740.93",
    "9999999999999.99": "9999999999999.99",
}
CLIENT, LOAN = "/api/v1/clients/$client", "/api/v1/loans/$loan"
FIELDS = {
    "the credit limit of a new client": (
        "POST",
        "/api/v1/clients",
        '{"full_name":"Ana","email":"a@example.com","rfc":"$rfc","credit_limit":$money}',
        "/credit_limit",
    ),
    "the credit limit of a client that changes": ("PATCH", CLIENT, '{"credit_limit":$money}', "/credit_limit"),
    "the amount of a loan": (
        "POST",
        "/api/v1/loans",
        '{"client_id":"$client","amount":$money,"interest_rate":0.1,"term_months":2}',
        "/amount",
    ),
    "the amount of a payment on a loan": ("POST", f"{LOAN}/payments", '{"amount":$money}', "/amount"),
    "the amount of a payment on a client": ("POST", f"{CLIENT}/payments", '{"amount":$money}', "/amount"),
    "the amount of a payment's detail": (
        "POST",
        f"{CLIENT}/payments",
        '{"amount":5,"payment_details":[{"loan_id":"$loan","amount":$money}]}',
        "/payment_details/0/amount",
    ),
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_wrong_spelling_is_refused_with_its_pointer_and_stores_nothing(
    field: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    method, path, template, pointer = FIELDS[field]
    loan = await new_loan(api)
    zero = [] if field.startswith("the credit limit") else ['"0"', '"0.00"', "0", "0.00", "-0", "0e5", "null"]
    spellings = [f'"{_escaped(text)}"' for text in STRINGS] + LITERALS + zero
    assert len(spellings) > 60
    known = {"$rfc": random_rfc(), "$client": loan["client_id"], "$loan": loan["id"]}
    before = await row_counts(owner)
    wrong: dict[str, object] = {}
    for spelling in spellings:
        answer = await api.request(
            method,
            _filled(path, known),
            content=_filled(template, {**known, "$money": spelling}),
            headers={"Content-Type": "application/json"},
        )
        found = problem(answer, 422)
        places = [error["pointer"] for error in found["errors"]]
        malformed_json = found["errors"][0]["code"].startswith("json_")
        if places != ([""] if malformed_json else [pointer]):
            wrong[spelling[:40]] = found
        if len(spelling) > 12 and spelling.strip('"') in answer.text:
            wrong[spelling[:40]] = "echoed"
    assert wrong == {}
    assert await row_counts(owner) == before


@pytest.mark.parametrize("spelling", ACCEPTED)
async def test_a_plain_string_and_a_number_of_the_same_value_are_kept_to_the_cent(
    spelling: str, api: httpx2.AsyncClient
) -> None:
    client = await new_client(api)
    answer = await api.patch(
        f"/api/v1/clients/{client['id']}",
        content=f'{{"credit_limit":{spelling}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["credit_limit"]) == (200, ACCEPTED[spelling])
    assert (await get(api, f"/api/v1/clients/{client['id']}"))["credit_limit"] == ACCEPTED[spelling]


@pytest.mark.parametrize(
    "rate",
    [
        "-0.1", "10.1", "1e400", "NaN", '"NaN"', '"1e1"', '"-1"', '"1_0"', '"１"', "true", "0.0000001", '"15%"',
        "null", "[]", '"."', '""', '"0.1.5"', '"²"',
    ],
)  # fmt: skip
async def test_a_wrong_interest_rate_is_refused(rate: str, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    answer = await api.post(
        "/api/v1/loans",
        content=f'{{"client_id":"{client["id"]}","amount":5,"interest_rate":{rate},"term_months":12}}',
        headers={"Content-Type": "application/json"},
    )
    assert problem(answer, 422)["errors"][0]["pointer"] in ("/interest_rate", "")


@pytest.mark.parametrize(
    "months",
    [
        "0", "-1", "601", "1.5", '"12"', "true", "null", "1e1", "999999999999999999", "9999999999999999999999",
    ],
)  # fmt: skip
async def test_a_wrong_term_is_refused(months: str, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    answer = await api.post(
        "/api/v1/loans",
        content=f'{{"client_id":"{client["id"]}","amount":5,"interest_rate":0.1,"term_months":{months}}}',
        headers={"Content-Type": "application/json"},
    )
    assert problem(answer, 422)["errors"][0]["pointer"] in ("/term_months", "")


def _escaped(text: str) -> str:
    """The inside of a JSON string, with nothing but ASCII."""
    return "".join(f"\\u{ord(character):04x}" if not " " <= character <= "~" else character for character in text)


def _filled(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(name, value)
    return template
