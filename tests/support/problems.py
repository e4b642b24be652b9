"""What every refusal looks like (RFC 9457), checked in one place."""

from typing import Any

import httpx2

MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}


def problem(answer: httpx2.Response, status: int | None = None, code: str | None = None) -> dict[str, Any]:
    """The problem in an answer, after checking its form, and its status and code if they are given."""
    assert 400 <= answer.status_code < 500 or answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    body: dict[str, Any] = answer.json()
    assert body.keys() >= MEMBERS, body
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:sofipo:problem:{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"].endswith("."), "a detail is a sentence"
    if status is not None:
        assert answer.status_code == status, body
    if code is not None:
        assert body["code"] == code, body
    return body


MO_APP = ("/customers/", "/loans/", "/payments/", "/api/user/")


def refusal(answer: httpx2.Response) -> None:
    """The same for a call of any contract: an older one says no in the form that its callers know."""
    if answer.request.url.path.startswith(MO_APP) and answer.headers["content-type"] == "application/json":
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
        assert answer.json().keys() == {"detail"}, answer.text
        assert answer.json()["detail"].endswith("."), "a detail is a sentence"
    else:
        problem(answer)


def pointers(answer: httpx2.Response) -> list[str]:
    """The fields a problem names."""
    return [error["pointer"] for error in problem(answer)["errors"]]
