"""Whatever is written into a field of a body is refused, or stored as exactly that: never rounded, cut or guessed.

The fields are those of the document. `make test` tries some values of each kind on every field, always the same ones,
`make fuzz` all of them.
"""

import json
import random
import unicodedata
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from backend_api.auth.permissions import Role

from tests.api.test_hostile_values import OPERATIONS, PATHS, PLACE, WITH_BODY, fields, placed, resolved, story, told
from tests.fuzz.target import Target
from tests.fuzz.test_fuzz import CASES, SEED
from tests.support.builders import Json
from tests.support.problems import problem, refusal

SOME = 5
NUMBERS = [
    "NaN", "-NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1E2", "1e2", "100e-2", "-0", "-0.0",
    "0", "0.00", "0.001", "0.005", "1.005", "1.00", "1.0", "1.000", "1.10", "1.1", "100", "100.5", "0.1",
    "0.30", "12.345", "0.1000000000000000055511151231257827", "1.99999999999999999999", "4503599627370496.5",
    "9007199254740993", "9999999999999.99", "9999999999999.999", "10000000000000", "99999999999999999999",
    "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "-1", "-0.01", "-100", "true",
    "null", "[]", "[1]", "{}", '{"amount": 1}', '"1e2"', '"NaN"', '"1_000"', '"1,000.00"', '"١٢٣"', '"１２３"',
    '"1.00 "', '" 1.00"', '"+1"', '"01"', '".5"', '"5."', '"$5"', '"0x10"', '"1.00"', '"1.1"', '"100"',
    '"9999999999999.99"', '"10000000000000.00"', '"\\u0661"', '"−1"', '""', '"0"', '"0.00"', '"-0.00"',
    '"1\\u0000"',
]  # fmt: skip
TEXTS = [
    "", " ", "x", "Ana", "  Ana  ", "a\x00b", "\x00", "\ud800", "\udfff\ud800", "a\nb", "a\rb", "a\tb",
    "\x1b[31m", "\x7f", "\u200b", "a\u200bb", "\u202eabc", "\u2066a\u2069", "\ufeffa", "\ufffe", "\U0010ffff",
    "\ue000", "😀", "👩‍👧", "e\u0301", "é", "ﬁ", "Å", "ñandú", "名前", "שלום", "x" * 39, "x" * 41, "x" * 60,
    "x" * 61, "x" * 500, "x" * 501, "x" * 10_000, "e\u0301" * 300, "'; DROP TABLE loans; --",
    "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "%00", "..\\..\\", "=1+1", "@SUM(A1)", "-1",
    "null", "1.5", "0001-01-01", "\u0001", "\x85", "\xa0", "\u3000",
]  # fmt: skip
DATES = [
    "0000-00-00", "0001-01-01", "1969-12-31", "1970-01-01", "2026-01-31", "2026-02-29", "2028-02-29",
    "2026-02-30", "2026-1-31", "2026-01-31T00:00:00Z", "2026-01-31 ", "26-01-31", "31/01/2026", "2026-13-01",
    "2026-00-10", "2026-01-00", "2200-12-31", "2201-01-01", "9999-12-31", "10000-01-01", "+2026-01-31",
    "-2026-01-31", "２０２６-01-31", "2026-W05-6", "2026031", "now", "today", "infinity", "-infinity", "",
    "20260131", "1768003200",
]  # fmt: skip


def kinds(schema: Json) -> set[str]:
    """What the document says a field holds: its types, and `date`."""
    forms = [resolved(form) for form in resolved(schema).get("anyOf", [schema])]
    return {"enum" if "enum" in form else str(form.get("format", form.get("type", "any"))) for form in forms}


def at(schema: Json, place: list[str | int]) -> Json:
    """The schema of the field at a place."""
    if not place:
        return schema
    first, *rest = place
    for form in (resolved(form) for form in resolved(schema).get("anyOf", [schema])):
        if isinstance(first, int) and "items" in form:
            return at(form["items"], rest)
        if first in form.get("properties", {}):
            return at(form["properties"][first], rest)
    raise LookupError(place)


def values(schema: Json, name: str) -> list[str]:
    """What is tried on a field, as it is written in JSON."""
    kind = kinds(schema)
    texts = [json.dumps(text) for text in (DATES if "date" in kind else TEXTS)]
    found = (
        NUMBERS if kind & {"number", "integer"} else texts if "string" in kind or "date" in kind else NUMBERS + texts
    )
    if CASES >= 20_000:
        return found
    return random.Random(f"{SEED} {name}").sample(found, SOME)


def is_exact(sent: Any, stored: Any) -> bool:
    """Whether the answer says what was sent: the same amount, the same date, the same text but for its composition."""
    if isinstance(sent, str) and isinstance(stored, str) and unicodedata.normalize("NFC", sent).strip() == stored:
        return True
    if isinstance(sent, dict) and isinstance(stored, dict):
        return all(name in stored and is_exact(value, stored[name]) for name, value in sent.items())
    if isinstance(sent, bool) or isinstance(stored, bool) or isinstance(sent, list | dict):
        return bool(sent == stored)
    try:
        return Decimal(str(sent)) == Decimal(str(stored))
    except ArithmeticError:
        return bool(sent == stored)


def told_back(answer: Any, place: list[str | int]) -> Any:
    """What the answer has at the place, or in its terms; the mark if it has nothing there."""
    for part in place:
        if isinstance(part, int):
            answer = answer[part] if isinstance(answer, list) and part < len(answer) else PLACE
        else:
            answer = answer.get(part, PLACE) if isinstance(answer, dict) else PLACE
    return answer


@pytest.fixture(scope="module")
async def admin_api(target: Target) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by an administrator."""
    headers = target.headers[Role.ADMIN.value]
    async with httpx2.AsyncClient(base_url=target.address, headers=headers, timeout=30.0) as client:
        yield client


# The answer says something else there on purpose.
ANSWERED_ELSEWHERE = {
    ("createLoan", "status"), ("createClient", "email"), ("replaceClient", "email"), ("updateClient", "email"),
    ("chargeFee", "amount"), ("waive", "amount"),
    ("previewLoan", "installments"), ("reversePayment", "reason"),
    ("moCreateLoan", "outstanding"), ("moRegisterPayment", "payment_details"), ("moRegisterPayment", "payment_amount"),
}  # fmt: skip

# As if the field had been left out: so the document says.
NULL_SAYS_NOTHING = {
    ("updateLoan", "amount"), ("updateLoan", "interest_rate"), ("updateLoan", "term_months"),
    ("createApiKey", "owner_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_BODY)
async def test_a_field_is_refused_or_stored_as_it_was_sent(name: str, admin_api: httpx2.AsyncClient) -> None:
    method, path, operation = OPERATIONS[name]
    media = operation["requestBody"]["content"]["application/json"]
    names, changed = await story(admin_api, name), []
    for place in fields(media["schema"]):
        body = json.dumps(placed(media["example"], place))
        for value in values(at(media["schema"], place), f"{name} {place}"):
            content = told(body, names).replace(json.dumps(PLACE), value)
            asked = told(told(path, PATHS), names)
            headers = {"Content-Type": "application/json"}
            answer = await admin_api.request(method, asked, content=content, headers=headers)
            assert answer.status_code < 500, (place, value)
            if answer.status_code >= 400:
                refusal(answer)
                continue
            names = await story(admin_api, name)
            if not answer.content:
                continue
            sent, stored = json.loads(value, parse_float=Decimal), told_back(answer.json(), place)
            said_elsewhere = ANSWERED_ELSEWHERE | (NULL_SAYS_NOTHING if sent is None else set())
            if stored != PLACE and not is_exact(sent, stored) and (name, place[-1]) not in said_elsewhere:
                changed.append((place, value, stored))
    assert not changed, "\n".join(map(str, changed))


HEADERS = [
    b"", b"x" * 129, b"x" * 8000, b"\xff\xfe", b"a\tb", "ñ".encode(), b"\"", b"*", b'W/"1"', b'"1", "2"', b"-1",
    b"9" * 40, b"0", b"null", b"{}", b"%00", b"Bearer", b"Bearer a b c", b"bearer eyJhbGciOiJub25lIn0.e30.",
    b"Basic YTpi",
]  # fmt: skip


@pytest.mark.parametrize(
    "header", ["Idempotency-Key", "If-Match", "If-None-Match", "X-Consistency-Token", "X-Request-ID", "Authorization",
               "traceparent", "Accept", "Content-Type", "Content-Encoding", "X-Forwarded-For", "X-HTTP-Method-Override"]
)  # fmt: skip
async def test_no_value_of_a_header_makes_a_call_fail(header: str, admin_api: httpx2.AsyncClient) -> None:
    names = await story(admin_api, "updateClient")
    client = told(told("/api/v1/clients/{client_id}", PATHS), names)
    for value in HEADERS:
        for method in ("GET", "PATCH"):
            content = b'{"phone": "5512345678"}' if method == "PATCH" else None
            given = [(b"Content-Type", b"application/json")] if content and header != "Content-Type" else []
            sent = [*given, (header.encode(), value)]
            answer = await admin_api.request(method, client, content=content, headers=sent)
            assert answer.status_code < 500, (method, value, answer.text)
            if answer.status_code >= 400:
                problem(answer)
