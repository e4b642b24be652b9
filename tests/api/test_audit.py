"""Histories read back from CouchDB: in order, whole or said not to be, and a clear answer when CouchDB is away."""

import asyncio
import time
from collections.abc import Mapping
from uuid import uuid4

import httpx2
import pytest
from backend_api.audit import archive, service
from backend_api.audit.archive import Archive, ArchiveAway, open_archive
from backend_api.audit.service import Subject
from backend_api.db.pools import Connection
from backend_api.http.resources import Resources
from backend_api.reads import Reader
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.chaos.oracle import content_hash
from tests.support.builders import CLIENTS, LOANS, Json, get, new_client, new_loan, pay
from tests.support.event_database import EventDatabase
from tests.support.problems import pointers, problem
from tests.support.proxy import Mode, Proxy
from tests.support.replica import caught_up
from tests.support.waiting import least

WHOLE = {"sequence": 8, "through": 8, "complete": True, "verified": True}


@pytest.fixture
async def borrower(
    api: httpx2.AsyncClient, owner: Connection, couch: EventDatabase, resources: Resources
) -> Mapping[str, str]:
    """A client with eight events that everybody sees, three of them of one loan and four of the other."""
    client = await new_client(api)
    loan, other = [(await new_loan(api, client["id"]))["id"] for _ in range(2)]
    for paid in (loan, other, other):
        assert (await pay(api, paid, "10.00")).status_code == 201
    await couch.store(owner, client["id"])
    await caught_up(resources)
    return {"client": client["id"], "loan": loan, "other": other}


def path(borrower: Mapping[str, str], what: str = "client") -> str:
    """Where a history is."""
    return f"{CLIENTS if what == 'client' else LOANS}/{borrower[what]}/events"


async def test_a_history_is_the_documents_in_order_and_whole(
    auditor: httpx2.AsyncClient, couch: EventDatabase, borrower: Mapping[str, str]
) -> None:
    found = await get(auditor, path(borrower))
    assert (found["has_more"], found["next_cursor"], found["history"]) == (False, None, WHOLE)
    assert [event["sequence"] for event in found["data"]] == list(range(1, 9))
    assert found["data"][0]["event_type"] == "client_created"
    for event in found["data"]:
        document = await couch.get(event["event_id"])
        del document["_id"], document["_rev"]
        assert event == {**document, "intact": True}


async def test_a_loan_s_history_is_what_names_the_loan(
    auditor: httpx2.AsyncClient, borrower: Mapping[str, str]
) -> None:
    found = await get(auditor, path(borrower, "loan"))
    assert [event["sequence"] for event in found["data"]] == [2, 3, 6]
    assert found["history"] == WHOLE
    first = await get(auditor, path(borrower, "other"), params={"limit": "3"})
    assert [event["sequence"] for event in first["data"]] == [4, 5, 7]
    rest = await get(auditor, path(borrower, "other"), params={"limit": "3", "cursor": first["next_cursor"]})
    assert ([event["sequence"] for event in rest["data"]], rest["history"]) == ([8], WHOLE)


async def test_every_page_goes_on_where_the_last_one_ended(
    auditor: httpx2.AsyncClient, admin: dict[str, str], api: httpx2.AsyncClient, borrower: Mapping[str, str]
) -> None:
    seen, cursor = [], None
    while True:
        page = await get(auditor, path(borrower), params={"limit": "3", **({"cursor": cursor} if cursor else {})})
        seen.append(([event["sequence"] for event in page["data"]], page["history"]["through"]))
        assert (page["history"]["complete"], page["history"]["verified"]) == (True, True)
        if not page["has_more"]:
            break
        last = cursor = page["next_cursor"]
    assert seen == [([1, 2, 3], 3), ([4, 5, 6], 6), ([7, 8], 8)]
    # A cursor is for the one it was made for, and for this history.
    for caller, where in ((api, path(borrower)), (auditor, path(borrower, "loan"))):
        assert pointers(await caller.get(where, params={"cursor": last})) == ["query:cursor"]


async def test_a_document_that_was_changed_is_seen_also_from_the_pages_after_it(
    auditor: httpx2.AsyncClient, couch: EventDatabase, borrower: Mapping[str, str]
) -> None:
    event = f"{borrower['client']}:000000000002"
    await couch.change(event, actor="user:somebody-else")
    found = await get(auditor, path(borrower))
    assert found["history"] == {**WHOLE, "verified": False}
    assert [one["sequence"] for one in found["data"] if not one["intact"]] == [2]
    first = await get(auditor, path(borrower), params={"limit": "4"})
    rest = await get(auditor, path(borrower), params={"limit": "4", "cursor": first["next_cursor"]})
    assert rest["history"] == {**WHOLE, "verified": False}
    # Sealed again it does not fit the one after it.
    await couch.change(event, hash=content_hash(await couch.get(event)))
    found = await get(auditor, path(borrower))
    assert found["history"]["verified"] is False
    assert [one["sequence"] for one in found["data"] if not one["intact"]] == [3]


async def test_a_last_document_that_was_sealed_again_is_not_what_the_books_have(
    auditor: httpx2.AsyncClient, couch: EventDatabase, borrower: Mapping[str, str]
) -> None:
    event = f"{borrower['client']}:000000000008"
    await couch.change(event, actor="user:somebody-else")
    await couch.change(event, hash=content_hash(await couch.get(event)))
    found = await get(auditor, path(borrower))
    assert all(one["intact"] for one in found["data"])
    assert found["history"] == {**WHOLE, "verified": False}


async def test_a_document_that_is_missing_is_seen(
    auditor: httpx2.AsyncClient, couch: EventDatabase, borrower: Mapping[str, str]
) -> None:
    await couch.remove(f"{borrower['client']}:000000000008")
    found = await get(auditor, path(borrower))
    assert found["history"] == {"sequence": 8, "through": 7, "complete": False, "verified": True}, "not there yet"
    await couch.remove(f"{borrower['client']}:000000000003")
    found = await get(auditor, path(borrower))
    assert found["history"] == {"sequence": 8, "through": 7, "complete": False, "verified": False}
    assert [event["sequence"] for event in found["data"]] == [1, 2, 4, 5, 6, 7]


async def test_of_what_never_was_there_is_no_history(auditor: httpx2.AsyncClient) -> None:
    for where in (CLIENTS, LOANS):
        problem(await auditor.get(f"{where}/{uuid4()}/events"), 404, "not_found")


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HANG])
async def test_with_couchdb_away_it_says_so_in_seconds_and_the_rest_goes_on(
    mode: Mode,
    app: FastAPI,
    auditor: httpx2.AsyncClient,
    settings: Settings,
    borrower: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "ANSWER_SECONDS", 1.0)
    async with (
        Proxy(settings.couchdb_host, settings.couchdb_port) as proxy,
        open_archive(settings.model_copy(update={"couchdb_port": proxy.port})) as far,
    ):
        app.state.archive = far
        await get(auditor, path(borrower))
        await proxy.become(mode)

        async def seconds() -> float:
            began = time.monotonic()
            away, record = await asyncio.gather(
                auditor.get(path(borrower)), auditor.get(f"{CLIENTS}/{borrower['client']}")
            )
            taken = time.monotonic() - began
            assert record.status_code == 200
            problem(away, 503, "audit_unavailable")
            assert away.headers["Retry-After"] == "5"
            return taken

        assert await least(seconds, below=5) < 5


async def test_the_auditor_s_account_reads_and_writes_nothing(settings: Settings) -> None:
    account = (settings.couchdb_auditor_user, settings.couchdb_auditor_password.get_secret_value())
    address = f"http://{settings.couchdb_host}:{settings.couchdb_port}/business_events"
    headers = {"Accept": "application/json"}
    async with httpx2.AsyncClient(base_url=address, auth=account, headers=headers, timeout=30.0) as couchdb:
        assert (await couchdb.get("/_all_docs", params={"limit": "1"})).status_code == 200
        [row] = (await couchdb.post("/_bulk_docs", json={"docs": [{"_id": "x"}]})).json()
        assert (row["error"], row["reason"]) == ("forbidden", "auditors only read")
        assert (await couchdb.get("/x")).status_code == 404


async def test_a_wrong_password_is_an_outage(settings: Settings, resources: Resources, api: httpx2.AsyncClient) -> None:
    wrong = settings.model_copy(update={"couchdb_auditor_user": "nobody-at-all"})
    client = await new_client(api)
    async with open_archive(wrong) as stranger:
        with pytest.raises(ArchiveAway):
            await history_of(resources, stranger, client)


async def history_of(resources: Resources, opened: Archive, client: Json) -> service.History:
    """A client's history, as the pages of the back office ask for it."""
    return await service.history(resources.reads, opened, Reader("test"), Subject(client_id=client["id"]))
