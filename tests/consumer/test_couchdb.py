"""The adapter, on a real server: signing in, signing in again, and how each trouble is told."""

import time
from collections.abc import AsyncIterator

import pytest
from event_consumer.couchdb import BatchRefused, CouchDB, CouchDBAway

from tests.consumer.stack import Stack
from tests.support.proxy import Mode, Proxy
from tests.support.waiting import least


def adapter(
    stack: Stack, *, port: int | None = None, password: str | None = None, database: str | None = None
) -> CouchDB:
    settings = stack.settings
    return CouchDB(
        settings.couchdb_host,
        port or settings.couchdb_port,
        settings.couchdb_consumer_user,
        password or settings.couchdb_consumer_password.get_secret_value(),
        database or stack.database,
    )


@pytest.fixture
async def couchdb(stack: Stack) -> AsyncIterator[CouchDB]:
    opened = adapter(stack)
    yield opened
    await opened.close()


async def test_documents_are_offered_and_read_back(couchdb: CouchDB) -> None:
    await couchdb.up()
    status, rows = await couchdb.bulk_docs([{"_id": "a", "n": 1}, {"_id": "b", "n": 2}])
    assert status == 201
    assert [row["ok"] for row in rows] == [True, True]
    status, rows = await couchdb.bulk_docs([{"_id": "a", "n": 3}])
    assert (status, rows[0]["error"]) == (201, "conflict")
    found = await couchdb.documents(["b", "unknown", "a"])
    assert {key: document["n"] for key, document in found.items()} == {"a": 1, "b": 2}


async def test_an_expired_session_is_renewed(couchdb: CouchDB) -> None:
    await couchdb.bulk_docs([{"_id": "a"}])
    couchdb._client.cookies.clear()
    couchdb._client.cookies.set("AuthSession", "expired")
    _, rows = await couchdb.bulk_docs([{"_id": "b"}])
    assert rows[0]["ok"] is True
    couchdb._client.cookies.clear()
    couchdb._client.cookies.set("AuthSession", "expired")
    assert set(await couchdb.documents(["a", "b"])) == {"a", "b"}


async def test_a_wrong_password_is_not_tried_in_a_hurry(stack: Stack) -> None:
    stranger = adapter(stack, password="wrong")
    with pytest.raises(CouchDBAway, match="refuses the consumer's user or password") as caught:
        await stranger.bulk_docs([])
    assert caught.value.wait_seconds >= 5
    await stranger.close()


async def test_a_user_who_is_no_member_is_an_outage(stack: Stack, couchdb: CouchDB) -> None:
    nobody = {"admins": {"names": [], "roles": []}, "members": {"names": ["someone-else"], "roles": []}}
    (await stack.admin.put(f"/{stack.database}/_security", json=nobody)).raise_for_status()
    with pytest.raises(CouchDBAway):
        await couchdb.bulk_docs([{"_id": "a"}])
    assert await stack.documents() == {}


async def test_a_missing_database_is_an_outage(stack: Stack) -> None:
    lost = adapter(stack, database=f"{stack.database}-missing")
    with pytest.raises(CouchDBAway, match="404"):
        await lost.bulk_docs([])
    await lost.close()


@pytest.mark.parametrize("status", [b"413 Payload Too Large", b"400 Bad Request"])
async def test_a_refused_request_is_no_outage(stack: Stack, couchdb_proxy: Proxy, status: bytes) -> None:
    couchdb = adapter(stack, port=couchdb_proxy.port)
    await couchdb.bulk_docs([])
    couchdb_proxy.on_reply = lambda data: data.replace(b"201 Created", status)
    with pytest.raises(BatchRefused):
        await couchdb.bulk_docs([])
    await couchdb.close()


@pytest.mark.parametrize(
    ("found", "put", "sentence"),
    [
        (b"200 OK", b"500 Internal Server Error", "500 to the sign-in"),
        (b"201 Created", b"503 Service Unavailable", "503 to a call of _bulk_docs"),
        (b"\r\n\r\n[]", b"\r\n\r\nno", "not JSON"),
    ],
)
async def test_an_answer_that_is_none_is_an_outage(
    stack: Stack, couchdb_proxy: Proxy, found: bytes, put: bytes, sentence: str
) -> None:
    couchdb_proxy.on_reply = lambda data: data.replace(found, put)
    couchdb = adapter(stack, port=couchdb_proxy.port)
    with pytest.raises(CouchDBAway, match=sentence):
        await couchdb.bulk_docs([])
    await couchdb.close()


async def test_a_server_that_is_not_up_says_so(stack: Stack, couchdb_proxy: Proxy) -> None:
    couchdb_proxy.on_reply = lambda data: data.replace(b"200 OK", b"404 Not Found")
    couchdb = adapter(stack, port=couchdb_proxy.port)
    with pytest.raises(CouchDBAway, match="404 to /_up"):
        await couchdb.up()
    await couchdb.close()


@pytest.mark.parametrize(("mode", "longest"), [(Mode.REFUSE, 1.0), (Mode.HANG, 2.0), (Mode.DROP_REPLIES, 2.0)])
async def test_no_call_waits_for_ever(stack: Stack, couchdb_proxy: Proxy, mode: Mode, longest: float) -> None:
    couchdb = adapter(stack, port=couchdb_proxy.port)
    await couchdb.up()
    await couchdb_proxy.become(mode)

    async def seconds() -> float:
        began = time.monotonic()
        with pytest.raises(CouchDBAway, match="not reachable"):
            await couchdb.up()
        return time.monotonic() - began

    assert await least(seconds, below=longest) < longest
    await couchdb_proxy.become(Mode.PASS)
    await couchdb.up()
    await couchdb.close()


async def test_a_late_answer_counts(stack: Stack, couchdb_proxy: Proxy) -> None:
    couchdb = adapter(stack, port=couchdb_proxy.port)
    couchdb_proxy.delay = 0.3
    await couchdb_proxy.become(Mode.DELAY)

    async def seconds() -> float:
        began = time.monotonic()
        status, _ = await couchdb.bulk_docs([{"_id": "a"}])
        assert status == 201
        return time.monotonic() - began

    assert await least(seconds, below=3) < 3
    await couchdb.close()
