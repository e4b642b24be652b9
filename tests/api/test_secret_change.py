"""A new API_SECRET_KEY over the same database: what is refused from then on, and what is not."""

from collections.abc import AsyncIterator
from secrets import token_hex

import httpx2
import pytest
from backend_api.settings import Settings
from pydantic import SecretStr

from tests.support.builders import CLIENTS, LOANS, new_loan
from tests.support.service import client_of, running, sign_in


@pytest.fixture
async def changed(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls without credentials to an application that signs with another key."""
    another = settings.model_copy(update={"api_secret_key": SecretStr(token_hex(32))})
    async with running(another) as app, client_of(app) as client:
        yield client


async def test_tokens_cursors_and_consistency_tokens_end_and_stored_answers_stay(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, changed: httpx2.AsyncClient
) -> None:
    loan, key = await new_loan(api), {"Idempotency-Key": token_hex(8)}
    paid = await api.post(f"{LOANS}/{loan['id']}/payments", json={"amount": "10.00"}, headers=key)
    await new_loan(api)
    cursor = (await api.get(CLIENTS, params={"limit": 1})).json()["next_cursor"]

    assert (await changed.get(LOANS, headers=dict(api.headers))).status_code == 401
    new = {"Authorization": f"Bearer {await sign_in(changed, 'admin', 'string')}"}
    assert (await anonymous.get(LOANS, headers=new)).status_code == 401

    listed = await changed.get(CLIENTS, params={"limit": 1, "cursor": cursor}, headers=new)
    assert listed.json()["errors"][0]["code"] == "cursor_invalid"
    consistency = {"X-Consistency-Token": paid.headers["X-Consistency-Token"]}
    read = await changed.get(f"{LOANS}/{loan['id']}", headers={**new, **consistency})
    assert read.json()["errors"][0]["code"] == "token_invalid"

    again = await changed.post(f"{LOANS}/{loan['id']}/payments", json={"amount": "10.00"}, headers={**new, **key})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == paid.json()
