"""Text with traps in it is refused at the edge, wherever it comes in; it is neither stored nor sent back."""

from urllib.parse import quote

import httpx2
import pytest
from backend_api.db.pools import Connection

from tests.support.builders import client_body, get, new_client, new_loan
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem

MARK = "Qz7Kw"
"""Part of every hostile text: it must not come back."""
TRAPS = {
    "NUL": "\\u0000",
    "a bell": "\\u0007",
    "a line feed": "\\n",
    "a carriage return": "\\r",
    "an escape": "\\u001b[31m",
    "delete": "\\u007f",
    "a C1 control": "\\u0085",
    "a lone high surrogate": "\\ud800",
    "a lone low surrogate": "\\udfff",
    "surrogates in the wrong order": "\\udc00\\ud800",
    "right-to-left override": "\\u202e",
    "a left-to-right mark": "\\u200e",
    "an isolate": "\\u2066",
    "zero-width space": "\\u200b",
    "a zero-width joiner": "\\u200d",
    "a soft hyphen": "\\u00ad",
    "a byte order mark": "\\ufeff",
    "a private character": "\\ue000",
    "an unassigned character": "\\u0378",
    "a noncharacter": "\\uffff",
    "a tag character": "\\udb40\\udc41",
}
TEXT_FIELDS = {
    "full_name": "/api/v1/clients",
    "email": "/api/v1/clients",
    "rfc": "/api/v1/clients",
    "external_id": "/api/v1/clients",
    "phone": "/api/v1/clients",
    "address": "/api/v1/clients",
    "curp": "/api/v1/clients",
    "clabe": "/api/v1/clients",
    "status": "/api/v1/clients",
    "kind": "/api/v1/clients",
    "birth_date": "/api/v1/clients",
}
PAYMENT_FIELDS = ("reference", "external_id", "method", "paid_on")
OVERLONG = {"full_name": 201, "email": 255, "rfc": 41, "external_id": 61, "phone": 31, "address": 501}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("field", TEXT_FIELDS)
async def test_a_trap_in_a_client_s_field_is_refused_with_its_pointer(
    field: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    before = await row_counts(owner)
    for name, trap in TRAPS.items():
        others = ",".join(f'"{key}":"{value}"' for key, value in client_body().items() if key != field)
        answer = await api.post("/api/v1/clients", content=f'{{{others},"{field}":"{MARK}{trap}x"}}', headers=JSON)
        assert pointers(answer) == [f"/{field}"], name
        assert MARK not in answer.text, name
    assert await row_counts(owner) == before


@pytest.mark.parametrize("field", PAYMENT_FIELDS)
async def test_a_trap_in_a_payment_s_field_is_refused_with_its_pointer(
    field: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    loan = await new_loan(api)
    before = await row_counts(owner)
    for name, trap in TRAPS.items():
        body = f'{{"amount":"5","{field}":"{MARK}{trap}x"}}'
        answer = await api.post(f"/api/v1/loans/{loan['id']}/payments", content=body, headers=JSON)
        assert pointers(answer) == [f"/{field}"], name
        assert MARK not in answer.text, name
    assert await row_counts(owner) == before


@pytest.mark.parametrize("trap", TRAPS)
async def test_a_trap_in_the_name_of_a_field_is_refused_and_not_sent_back(
    trap: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    before = await row_counts(owner)
    answer = await api.post("/api/v1/clients", content=f'{{"{MARK}{TRAPS[trap]}":1}}', headers=JSON)
    problem(answer, 422)
    assert MARK not in answer.text
    assert await row_counts(owner) == before


@pytest.mark.parametrize("field", OVERLONG)
async def test_an_overlong_text_is_refused(field: str, api: httpx2.AsyncClient) -> None:
    text = "A" * OVERLONG[field]
    answer = await api.post("/api/v1/clients", json=client_body(**{field: text}))
    assert pointers(answer) == [f"/{field}"]
    assert text not in answer.text


@pytest.mark.parametrize("text", ["", " ", "\u2003"])
@pytest.mark.parametrize("field", ["full_name", "external_id", "phone", "address"])
async def test_an_empty_text_is_refused(text: str, field: str, api: httpx2.AsyncClient) -> None:
    answer = await api.post("/api/v1/clients", json=client_body(**{field: text}))
    assert pointers(answer) == [f"/{field}"]


async def test_twins_of_one_spelling_become_equal(api: httpx2.AsyncClient) -> None:
    composed, decomposed = "José Núñez", "Jose\u0301 Nu\u0301n\u0303ez"
    assert composed != decomposed
    client = await new_client(api, full_name=decomposed, external_id="e\u0301" + client_body()["rfc"])
    assert client["full_name"] == composed
    found = await get(api, "/api/v1/clients", params={"external_id": client["external_id"]})
    assert [row["id"] for row in found["data"]] == [client["id"]]
    twin = await api.post("/api/v1/clients", json=client_body(external_id=client["external_id"]))
    assert problem(twin, 409)["field"] == "external_id"


async def test_letters_beyond_the_basic_plane_are_kept(api: httpx2.AsyncClient) -> None:
    client = await new_client(api, full_name="María 𠮷野", address="Calle Ñandú 5 🏠")
    read = await get(api, f"/api/v1/clients/{client['id']}")
    assert (read["full_name"], read["address"]) == ("María 𠮷野", "Calle Ñandú 5 🏠")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/clients/{}", "/api/v1/clients/{}/balance", "/api/v1/loans/{}", "/api/v1/payments/{}",
        "/api/v1/loans/{}/payments", "/api/v1/clients/{}/account-statement",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "name",
    [
        "%00", "a%00b", "%ff%fe", "%ed%a0%80", "%e2%80%ae", "%0d%0aSet-Cookie:x", "..%2f..", "'%20OR%201=1--",
        "{{7*7}}", "9" * 200, "%F0%9F%8F%A0", "0192f0c1-2345-7abc-8def", "null",
        "0192f0c1-2345-7abc-8def-0123456789aZ",
    ],
)  # fmt: skip
async def test_a_path_that_can_name_nothing_is_refused(path: str, name: str, api: httpx2.AsyncClient) -> None:
    answer = await api.get(path.format(name))
    assert answer.status_code in (404, 422)
    problem(answer)
    assert name not in answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_path_that_can_name_nothing_is_refused_for_changes(method: str, api: httpx2.AsyncClient) -> None:
    answer = await api.request(method, "/api/v1/clients/%00", json=client_body() if method != "DELETE" else None)
    assert pointers(answer) == ["path:client_id"]


@pytest.mark.parametrize("query", ["external_id", "email", "name", "cursor", "sort", "status", "limit"])
async def test_a_trap_in_a_query_parameter_is_refused(query: str, api: httpx2.AsyncClient) -> None:
    for trap in ("\x00", "\n", "\u202e", "\u200b", "\u0085", "\ue000"):
        answer = await api.get("/api/v1/clients", params={query: f"{MARK}{trap}x"})
        assert pointers(answer) == [f"query:{query}"], trap
        assert MARK not in answer.text


@pytest.mark.parametrize("query", ["external_id", "email", "name", "cursor", "sort", "status", "limit"])
async def test_bytes_that_are_not_utf_8_in_a_query_are_refused_or_find_nothing(
    query: str, api: httpx2.AsyncClient
) -> None:
    for raw in ("%ff", "%c0%80", "%ed%a0%80", "%f4%90%80%80"):
        answer = await api.get(f"/api/v1/clients?{query}={MARK}{raw}")
        if answer.status_code == 200:
            assert answer.json()["data"] == []
        else:
            problem(answer, 422)
        assert MARK not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/loans", "/api/v1/payments"])
async def test_filters_of_the_other_lists_are_checked_as_well(path: str, api: httpx2.AsyncClient) -> None:
    assert pointers(await api.get(path, params={"client_id": "\x00"})) == ["query:client_id"]
    assert pointers(await api.get(path, params={"status": "GONE"})) == ["query:status"]
    assert pointers(await api.get(path, params={"limit": "１０１"})) == ["query:limit"]


HEADER_TRAPS = [b"\xff\xfe", b"\xed\xa0\x80", b"a\x0bb", b"\x7f", b"x" * 5000, b"\xc3\xa9", b"=", b"..", b"\"'"]


@pytest.mark.parametrize(
    "header",
    [
        "Authorization", "If-None-Match", "X-Consistency-Token", "X-Request-ID", "traceparent",
    ],
)  # fmt: skip
async def test_a_trap_in_a_header_of_a_read_is_refused_or_ignored(header: str, api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    for trap in HEADER_TRAPS:
        answer = await api.get(f"/api/v1/clients/{client['id']}", headers=[(header.encode(), trap)])
        if answer.status_code != 200:
            assert problem(answer)["status"] in (401, 422), trap
        for value in answer.headers.values():
            assert len(value) < 1000, "nothing overlong is sent back"


@pytest.mark.parametrize("header", ["If-Match", "Idempotency-Key", "X-Request-ID", "traceparent"])
async def test_a_trap_in_a_header_of_a_change_is_refused_or_ignored(
    header: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    client = await new_client(api)
    for trap in HEADER_TRAPS:
        before = await row_counts(owner)
        headers = [(header.encode(), trap)]
        answer = await api.patch(f"/api/v1/clients/{client['id']}", json={"status": "ACTIVE"}, headers=headers)
        if answer.status_code != 200:
            assert pointers(answer) == [f"header:{header}"], trap
            assert await row_counts(owner) == before


async def test_user_text_never_becomes_a_header(anonymous: httpx2.AsyncClient) -> None:
    for sent in ("a b", "é", "x" * 65, "a,b", "<script>"):
        answer = await anonymous.get("/livez", headers=[(b"X-Request-ID", sent.encode())])
        assert answer.headers["x-request-id"] != sent
    answer = await anonymous.get(f"/livez?x={quote('ä')}")
    assert answer.status_code == 200


async def test_login_with_traps_is_refused(anonymous: httpx2.AsyncClient) -> None:
    for name, secret, status in [
        ("admin\x00", "string", 422),
        ("admin", "string\x00", 422),
        ("adm\u200bin", "string", 422),
        ("a" * 101, "string", 422),
        ("admin", "s" * 129, 422),
        ("", "string", 422),
        ("admin' OR '1'='1", "string", 401),
    ]:
        answer = await anonymous.post("/api/v1/auth/token", data={"username": name, "password": secret})
        problem(answer, status)
        assert "adm" not in answer.text
    raw = await anonymous.post(
        "/api/v1/auth/token",
        content=b"username=%ff%fe&password=%00",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    problem(raw, 422)
