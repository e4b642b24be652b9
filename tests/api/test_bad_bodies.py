"""Bodies that are too large, too deep, not JSON or not what was asked for: a clear refusal, nothing stored."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from backend_api.db.pools import Connection
from backend_api.http.strict import MAX_BODY_BYTES

from tests.support.builders import client_body, new_client, new_loan
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem

JSON = {"Content-Type": "application/json"}
CHUNK = b"x" * 65536
GOOD = json.dumps(client_body())
UNREADABLE = {
    "nothing": (b"", "missing"),
    "white space": (b"  \n", None),
    "text": (b"hello", "json_invalid"),
    "half an object": (b'{"full_name":', "json_invalid"),
    "single quotes": (b"{'full_name':'Ana'}", "json_invalid"),
    "a trailing comma": (b'{"full_name":"Ana",}', "json_invalid"),
    "two documents": (b"{}{}", "json_invalid"),
    "a comment": (b"{} // no", "json_invalid"),
    "NaN": (b'{"credit_limit":NaN}', "json_invalid"),
    "Infinity": (b'{"credit_limit":-Infinity}', "json_invalid"),
    "a raw control character": (b'{"full_name":"a\nb"}', "json_invalid"),
    "bytes that are not UTF-8": (b'{"full_name":"\xff\xfe"}', "json_not_utf8"),
    "an overlong encoding": (b'{"full_name":"\xc0\x80"}', "json_not_utf8"),
    "an encoded surrogate": (b'{"full_name":"\xed\xa0\x80"}', "json_not_utf8"),
    "UTF-16": ('{"full_name":"Ana"}'.encode("utf-16"), "json_not_utf8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "json_invalid"),
    "a duplicate key": (b'{"full_name":"Ana","full_name":"Eva"}', "json_duplicate_key"),
    "a duplicate key in disguise": (b'{"full_name":"Ana","\\u0066ull_name":"Eva"}', "json_duplicate_key"),
    "a duplicate key below": (b'{"x":{"a":1,"a":2}}', "json_duplicate_key"),
    "a huge integer": (b'{"credit_limit":' + b"9" * 100_000 + b"}", "json_number_too_long"),
    "a costly power": (b'{"credit_limit":1e999999999}', "json_number_too_long"),
    "a power beyond all powers": (b'{"credit_limit":1e99999999999999999999}', "json_number_too_long"),
    "next to nothing": (b'{"credit_limit":1e-99999999999999999999}', "json_number_too_long"),
    "deep arrays": (b"[" * 20_000 + b"]" * 20_000, "json_too_deep"),
    "deep objects": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "json_too_deep"),
    "deep and never closed": (b"[" * 900_000, "json_too_deep"),
    "wide": (b"[" + b"[]," * 300_000 + b"[]]", "json_too_many_fields"),
    "many fields": (b"{" + b",".join(b'"a%d":1' % number for number in range(101)) + b"}", "json_too_many_fields"),
    "depth hidden behind strings": (b'["\\"[",' * 21 + b"1" + b"]" * 21, "json_too_deep"),
}
NOT_AN_OBJECT = ["[]", "[{}]", '"text"', "5", "null", "true"]


@pytest.mark.parametrize("body", UNREADABLE)
async def test_a_body_that_cannot_be_read_is_refused(body: str, api: httpx2.AsyncClient, owner: Connection) -> None:
    content, code = UNREADABLE[body]
    before = await row_counts(owner)
    answer = await api.post("/api/v1/clients", content=content, headers=JSON)
    found = problem(answer, 422)
    assert code is None or found["errors"][0]["code"] == code
    assert found["errors"][0]["pointer"] == ""
    assert len(answer.content) < 1000
    assert await row_counts(owner) == before


@pytest.mark.parametrize("body", NOT_AN_OBJECT)
async def test_json_that_is_no_object_is_refused(body: str, api: httpx2.AsyncClient) -> None:
    assert pointers(await api.post("/api/v1/clients", content=body, headers=JSON)) == [""]


async def test_twenty_levels_are_read_and_twenty_one_are_not(api: httpx2.AsyncClient) -> None:
    for levels, code in ((19, "extra_forbidden"), (20, "json_too_deep")):
        body = f'{{{GOOD[1:-1]},"deep":{"[" * levels}{"]" * levels}}}'
        answer = await api.post("/api/v1/clients", content=body, headers=JSON)
        assert problem(answer, 422)["errors"][0]["code"] == code


async def test_brackets_inside_of_text_are_no_depth(api: httpx2.AsyncClient) -> None:
    body = client_body(address="[" * 30 + '\\"{' * 30)
    assert (await api.post("/api/v1/clients", json=body)).status_code == 201


async def test_a_body_of_100_mb_is_refused_before_it_has_arrived(api: httpx2.AsyncClient, owner: Connection) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += len(CHUNK)
            yield CHUNK

    before = await row_counts(owner)
    problem(await api.post("/api/v1/clients", content=endless(), headers=JSON), 413, "body_too_large")
    assert sent <= 2 * MAX_BODY_BYTES, "the rest was not even read"
    assert await row_counts(owner) == before


async def test_a_declared_length_above_the_limit_is_refused_at_once(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/api/v1/clients", content=b"{}", headers={**JSON, "Content-Length": "104857600"})
    problem(answer, 413, "body_too_large")


async def test_a_body_just_below_the_limit_is_read(api: httpx2.AsyncClient) -> None:
    padding = " " * (MAX_BODY_BYTES - len(GOOD) - 10)
    body = json.dumps(client_body()) + padding
    assert (await api.post("/api/v1/clients", content=body, headers=JSON)).status_code == 201


async def test_a_form_above_the_limit_is_refused(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.post("/api/v1/auth/token", data={"username": "a" * 2_000_000, "password": "x"})
    assert problem(answer)["status"] in (413, 422)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
async def test_a_compressed_body_is_refused(encoding: str, api: httpx2.AsyncClient) -> None:
    content = gzip.compress(GOOD.encode())
    answer = await api.post("/api/v1/clients", content=content, headers={**JSON, "Content-Encoding": encoding})
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/octet-stream", "", "text/json",
    ],
)  # fmt: skip
async def test_a_body_of_another_type_is_refused(media_type: str, api: httpx2.AsyncClient, owner: Connection) -> None:
    before = await row_counts(owner)
    answer = await api.post("/api/v1/clients", content=GOOD, headers={"Content-Type": media_type})
    assert problem(answer)["status"] in (415, 422)
    assert "example.com" not in answer.text
    assert await row_counts(owner) == before


UNKNOWN = [
    "id", "version", "event_sequence", "chain_head", "created_at", "deleted_at", "warnings", "role", "__proto__",
    "amount", "",
]  # fmt: skip


@pytest.mark.parametrize("field", UNKNOWN)
async def test_fields_that_are_not_known_are_refused_everywhere(
    field: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    client = f"/api/v1/clients/{loan['client_id']}"
    terms = {"client_id": loan["client_id"], "amount": 5, "interest_rate": 0, "term_months": 1}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/v1/clients", client_body()),
        ("PUT", client, client_body()),
        ("PATCH", client, {"phone": "5"}),
        ("POST", "/api/v1/loans", terms),
        ("POST", f"/api/v1/loans/{loan['id']}/payments", {"amount": 5, "paid_on": None}),
        ("POST", f"{client}/payments", {"amount": 5, "paid_on": None}),
    ]
    before = await row_counts(owner)
    for method, path, body in calls:
        if field in body:
            continue
        answer = await api.request(method, path, json={**body, field: "Qz7Kw"})
        assert problem(answer, 422)["errors"][0]["code"] == "extra_forbidden", path
        assert "Qz7Kw" not in answer.text
    assert await row_counts(owner) == before


@pytest.mark.parametrize("field", ["full_name", "email", "rfc", "status"])
async def test_a_required_field_cannot_be_emptied(field: str, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    answer = await api.patch(f"/api/v1/clients/{client['id']}", json={field: None})
    found = problem(answer, 422)
    assert found["errors"][0]["code"] == "null_required"
    assert [error["pointer"] for error in found["errors"]] == [f"/{field}"]
    created = await api.post("/api/v1/clients", json=client_body(**{field: None}))
    assert pointers(created) == [f"/{field}"]


@pytest.mark.parametrize("field", ["full_name", "email", "rfc"])
async def test_a_required_field_cannot_be_left_out(field: str, api: httpx2.AsyncClient) -> None:
    body = client_body()
    del body[field]
    answer = await api.post("/api/v1/clients", json=body)
    assert problem(answer, 422)["errors"][0] == {"pointer": f"/{field}", "code": "missing", "detail": "Field required"}


@pytest.mark.parametrize("value", [5, True, [], {}, 1.5])
@pytest.mark.parametrize("field", ["full_name", "email", "rfc", "external_id", "status", "kind", "birth_date"])
async def test_a_value_of_the_wrong_kind_is_refused(value: object, field: str, api: httpx2.AsyncClient) -> None:
    assert pointers(await api.post("/api/v1/clients", json=client_body(**{field: value}))) == [f"/{field}"]


@pytest.mark.parametrize(
    "value",
    [
        "0192f0c1-2345-7abc-8def-0123456789a", "x", "", 5, None, [], "0192f0c1-2345-7abc-8def-0123456789aZ",
        "\u0000",
    ],
)  # fmt: skip
async def test_a_malformed_identifier_in_a_body_is_refused(value: object, api: httpx2.AsyncClient) -> None:
    terms = {"amount": 5, "interest_rate": 0, "term_months": 1}
    assert pointers(await api.post("/api/v1/loans", json={"client_id": value, **terms})) == ["/client_id"]


@pytest.mark.parametrize(
    "day",
    [
        "0001-01-01", "1879-12-31", "2200-12-32", "2201-01-01", "9999-12-31", "12024-01-01", "-001-01-01",
        "2026-02-30", "2026-2-3", "20260203", "2026-W05-2", "2026-034", "2026-02-03T00:00:00", "2026-02-03Z",
        "03/02/2026", "２０２６-01-01", " 2026-01-01", "", "today", 20260203, 1.5, True, None, [],
    ],
)  # fmt: skip
async def test_a_date_that_does_not_exist_or_is_out_of_range_is_refused(day: object, api: httpx2.AsyncClient) -> None:
    if day is not None:
        answer = await api.post("/api/v1/clients", json=client_body(birth_date=day))
        assert pointers(answer) == ["/birth_date"]
        loan = await new_loan(api)
        answer = await api.post(f"/api/v1/loans/{loan['id']}/payments", json={"amount": 5, "paid_on": day})
        assert pointers(answer) == ["/paid_on"]
    client = await new_client(api)
    path = f"/api/v1/clients/{client['id']}/account-statement"
    for name in ("from", "to"):
        assert pointers(await api.get(path, params={name: str(day)})) == [f"query:{name}"]


@pytest.mark.parametrize("details", [5, "x", {}, [5], [None], [{}], [{"loan_id": "x", "amount": 5}]])
async def test_malformed_payment_details_are_refused(details: object, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    answer = await api.post(f"/api/v1/clients/{client['id']}/payments", json={"amount": 5, "payment_details": details})
    assert all(pointer.startswith("/payment_details") for pointer in pointers(answer))


async def test_too_many_payment_details_are_refused(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    details = [{"loan_id": loan["id"], "amount": "0.01"}] * 51
    body = {"amount": 5, "payment_details": details}
    answer = await api.post(f"/api/v1/clients/{loan['client_id']}/payments", json=body)
    assert pointers(answer) == ["/payment_details"]


async def test_a_flood_of_wrong_fields_gets_a_short_answer(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/api/v1/clients", json={f"field{number}": number for number in range(100)})
    assert len(problem(answer, 422)["errors"]) == 20
