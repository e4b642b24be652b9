"""The conventions of HTTP that every call keeps: problems, entity tags, traces, tokens."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from tests.support.builders import CLIENTS, LOANS, client_body, get, new_client, new_loan, pay
from tests.support.problems import pointers, problem

NOBODY = "0192f0c1-2345-7abc-8def-0123456789ab"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("GET", "/api/v2/clients", 404, "not_found"),
        ("GET", f"/api/v1/clients/{NOBODY}", 404, "not_found"),
        ("GET", "/api/v1/clients/XXXX010101AAA", 404, "not_found"),
        ("GET", f"/api/v1/clients/{NOBODY}/balance", 404, "not_found"),
        ("GET", f"/api/v1/clients/{NOBODY}/account-statement", 404, "not_found"),
        ("GET", f"/api/v1/loans/{NOBODY}", 404, "not_found"),
        ("GET", f"/api/v1/payments/{NOBODY}", 404, "not_found"),
        ("DELETE", f"/api/v1/clients/{NOBODY}", 404, "not_found"),
        ("POST", f"/api/v1/loans/{NOBODY}/activate", 404, "not_found"),
        ("POST", f"/api/v1/loans/{NOBODY}/cancel", 404, "not_found"),
        ("DELETE", "/api/v1/clients", 405, "method_not_allowed"),
        ("PATCH", "/api/v1/payments", 405, "method_not_allowed"),
        ("TRACE", "/api/v1/clients", 405, "method_not_allowed"),
        ("BREW", "/api/v1/clients", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem(
    method: str, path: str, status: int, code: str, api: httpx2.AsyncClient
) -> None:
    problem(await api.request(method, path), status, code)


async def test_a_client_that_does_not_exist_gets_no_loan_and_pays_nothing(api: httpx2.AsyncClient) -> None:
    terms = {"client_id": NOBODY, "amount": 5, "interest_rate": 0, "term_months": 1}
    refused = await api.post(LOANS, json=terms)
    problem(refused, 404, "client_not_found")
    assert pointers(refused) == ["/client_id"]
    problem(await api.post(f"{CLIENTS}/{NOBODY}/payments", json={"amount": 5}), 404, "not_found")
    problem(await pay(api, NOBODY), 404, "not_found")
    problem(await api.put(f"{CLIENTS}/{NOBODY}", json=client_body()), 404, "not_found")
    problem(await api.patch(f"{CLIENTS}/{NOBODY}", json={"phone": "5"}), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/clients"),
        ("POST", "/api/v1/clients"),
        ("GET", f"/api/v1/clients/{NOBODY}"),
        ("PUT", f"/api/v1/clients/{NOBODY}"),
        ("PATCH", f"/api/v1/clients/{NOBODY}"),
        ("DELETE", f"/api/v1/clients/{NOBODY}"),
        ("GET", f"/api/v1/clients/{NOBODY}/balance"),
        ("GET", f"/api/v1/clients/{NOBODY}/loans"),
        ("GET", f"/api/v1/clients/{NOBODY}/payments"),
        ("GET", f"/api/v1/clients/{NOBODY}/account-statement"),
        ("POST", f"/api/v1/clients/{NOBODY}/payments"),
        ("GET", "/api/v1/loans"),
        ("POST", "/api/v1/loans"),
        ("GET", f"/api/v1/loans/{NOBODY}"),
        ("GET", f"/api/v1/loans/{NOBODY}/movements"),
        ("GET", f"/api/v1/loans/{NOBODY}/payments"),
        ("POST", f"/api/v1/loans/{NOBODY}/payments"),
        ("POST", f"/api/v1/loans/{NOBODY}/activate"),
        ("POST", f"/api/v1/loans/{NOBODY}/reject"),
        ("POST", f"/api/v1/loans/{NOBODY}/cancel"),
        ("GET", "/api/v1/payments"),
        ("GET", f"/api/v1/payments/{NOBODY}"),
        ("GET", "/api/v1/auth/me"),
    ],
)
async def test_a_call_without_credentials_is_asked_to_sign_in(
    method: str, path: str, anonymous: httpx2.AsyncClient
) -> None:
    answer = await anonymous.request(method, path)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_every_answer_carries_security_headers_and_a_request_id(api: httpx2.AsyncClient) -> None:
    for answer in [await api.get("/livez"), await api.get("/nowhere"), await api.get(CLIENTS)]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_a_caller_who_holds_the_newest_view_gets_304(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    for path in (f"{CLIENTS}/{loan['client_id']}", f"{CLIENTS}/{loan['client_id']}/balance", f"{LOANS}/{loan['id']}"):
        first = await api.get(path)
        tag = first.headers["etag"]
        assert first.headers["vary"] == "Authorization, X-API-Key, Accept"
        assert first.headers["cache-control"].startswith("private")
        for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await api.get(path, headers={"If-None-Match": sent})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), sent
        assert (await api.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
        await pay(api, loan["id"], "1")
        assert (await api.get(path, headers={"If-None-Match": tag})).status_code == 200, "something happened since"


async def test_the_answer_to_a_change_carries_the_tag_that_the_next_read_has(api: httpx2.AsyncClient) -> None:
    created = await api.post(CLIENTS, json=client_body())
    path = created.headers["location"]
    assert (await api.get(path)).headers["etag"] == created.headers["etag"]
    changed = await api.patch(path, json={"phone": "55 1234"})
    assert (await api.get(path)).headers["etag"] == changed.headers["etag"]


async def test_a_change_based_on_an_old_version_is_refused(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    old = (await api.get(path)).headers["etag"]
    changed = await api.patch(path, json={"phone": "1"}, headers={"If-Match": old})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    for method, body in (("PATCH", {"phone": "2"}), ("PUT", client_body()), ("DELETE", None)):
        answer = await api.request(method, path, json=body, headers={"If-Match": old})
        problem(answer, 412, "precondition_failed")
    assert (await get(api, path))["phone"] == "1"
    for fitting in (changed.headers["etag"], f"{old}, {changed.headers['etag']}", "*", '"2"'):
        again = await api.patch(path, json={"phone": "1"}, headers={"If-Match": fitting})
        assert (again.status_code, again.json()["version"]) == (200, 2), "nothing changed, so neither did the version"


async def test_a_payment_does_not_spoil_the_edit_of_an_address(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    path = f"{CLIENTS}/{loan['client_id']}"
    tag = (await api.get(path)).headers["etag"]
    assert (await pay(api, loan["id"])).status_code == 201
    assert (await api.get(path)).headers["etag"] != tag, "the payment changed the view"
    edited = await api.patch(path, json={"address": "Calle 5"}, headers={"If-Match": tag})
    assert edited.status_code == 200


async def test_a_loan_is_activated_only_by_who_saw_its_newest_version(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api, status="PENDING")
    for action in ("activate", "reject", "cancel"):
        answer = await api.post(f"{LOANS}/{loan['id']}/{action}", headers={"If-Match": '"7"'})
        problem(answer, 412, "precondition_failed")
    tag = (await api.get(f"{LOANS}/{loan['id']}")).headers["etag"]
    assert (await api.post(f"{LOANS}/{loan['id']}/activate", headers={"If-Match": tag})).status_code == 200


async def test_a_tag_that_was_never_issued_is_refused(api: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    for sent in ("abc", '"-1"', '"１"', ",", '""'):
        answer = await api.patch(
            f"{CLIENTS}/{client['id']}", json={"phone": "5"}, headers=[(b"If-Match", sent.encode())]
        )
        assert pointers(answer) == ["header:If-Match"], sent


async def test_request_id_and_trace_of_the_caller_stand_in_the_event(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await api.post(CLIENTS, json=client_body(), headers={"X-Request-ID": "call-7:a.b_c", "traceparent": trace})
    assert answer.headers["x-request-id"] == "call-7:a.b_c"
    event = await owner.fetchrow("SELECT * FROM events WHERE aggregate_id = $1", answer.json()["id"])
    assert event is not None
    assert (event["request_id"], event["traceparent"]) == ("call-7:a.b_c", trace)


@pytest.mark.parametrize(
    "trace",
    [
        "", "garbage", "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ],
)  # fmt: skip
async def test_a_trace_that_breaks_the_standard_is_replaced(
    trace: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    answer = await api.post(CLIENTS, json=client_body(), headers={"traceparent": trace})
    stored = await owner.fetchval("SELECT traceparent FROM events WHERE aggregate_id = $1", answer.json()["id"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", stored)
    assert stored != trace


async def test_a_read_with_the_token_of_a_write_sees_it(api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient) -> None:
    client = await new_client(api)
    for number in range(20):
        changed = await api.patch(f"{CLIENTS}/{client['id']}", json={"phone": str(number)})
        token = changed.headers["x-consistency-token"]
        read = await api.get(f"{CLIENTS}/{client['id']}", headers={"X-Consistency-Token": token})
        assert read.json()["phone"] == str(number)
        looked_up = await anonymous.get(f"{CLIENTS}/{client['rfc']}", headers={"X-Consistency-Token": token})
        assert looked_up.json()["id"] == client["id"]


async def test_a_token_that_was_changed_or_never_issued_is_refused(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    created = await api.post(CLIENTS, json=client_body())
    token = created.headers["x-consistency-token"]
    replaced = ("A" if token[10] != "A" else "B").join((token[:10], token[11:]))
    foreign = resources.cursor_signer.sign(b"1.5.0192f0c1-2345-7abc-8def-0123456789ab.5")
    for wrong in (replaced, token[:-1], token + "A", token + "=", "", "x", "é", foreign, token.swapcase()):
        for path in (CLIENTS, created.headers["location"], f"{created.headers['location']}/balance"):
            answer = await api.get(path, headers=[(b"X-Consistency-Token", wrong.encode())])
            assert pointers(answer) == ["header:X-Consistency-Token"], wrong


async def test_what_nobody_expected_is_a_problem_without_details_and_logged(
    app: FastAPI, api: httpx2.AsyncClient
) -> None:
    async def fail() -> None:
        raise RuntimeError("the secret detail")

    app.router.add_api_route("/test/fail", fail, include_in_schema=False)
    answer = await api.get("/test/fail", headers={"X-Request-ID": "call-8"})
    assert problem(answer, 500, "internal_error")["request_id"] == "call-8"
    assert "secret" not in answer.text


async def test_an_error_after_the_answer_has_begun_breaks_the_connection(
    app: FastAPI, anonymous: httpx2.AsyncClient
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("too late for a problem")

    async def begin() -> StreamingResponse:
        return StreamingResponse(parts())

    app.router.add_api_route("/test/half", begin, include_in_schema=False)
    with pytest.raises(RuntimeError):
        await anonymous.get("/test/half")
