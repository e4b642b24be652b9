"""Imports: files of every kind, lines that are good, known or wrong, and what a file is told of itself."""

import asyncio
import io
import zipfile
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from backend_api.db import conditional_write
from backend_api.db.pools import Connection, connect
from backend_api.http import write
from backend_api.http.resources import Resources
from backend_api.imports import files, job, queries
from backend_api.imports.service import ImportMoved
from backend_api.imports.upload import CHUNK_BYTES
from backend_api.outbox import envelope
from backend_api.outbox.envelope import GENESIS

from tests.support.builders import Json, get, new_client, new_loan, random_rfc
from tests.support.imports import (
    CLIENTS,
    IMPORTS,
    ORPHANS,
    ask,
    counts,
    csv_file,
    done,
    errors,
    read_csv,
    read_workbook,
    row,
    work,
    workbook_file,
)

LOAN_COLUMNS = ("opening_balance", "product", "interest_rate", "term_months", "loan_external_id")
EVERY_COLUMN = (
    "full_name", "email", "rfc", "external_id", "status", "credit_limit", "kind", "curp", "clabe", "phone",
    "birth_date", "address", *LOAN_COLUMNS,
)  # fmt: skip
RECEIVABLE = """
SELECT sum(p.amount) FROM postings p JOIN ledger_entries e ON e.id = p.entry_id
  JOIN loan_movements m ON m.id = e.movement_id
 WHERE m.loan_id = $1 AND p.account = '1301'
"""
OF_CLIENT = "SELECT event_type, sequence, hash FROM events WHERE aggregate_id = $1 ORDER BY sequence"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of some hundred lines takes several."""
    monkeypatch.setattr(job, "CLIENTS_AT_ONCE", 200)


async def client_of(owner: Connection, rfc: str) -> Any:
    """The row of a client; None if there is none."""
    return await owner.fetchrow("SELECT * FROM clients WHERE rfc = $1 AND deleted_at IS NULL", rfc)


# --- What a file does ---


@pytest.mark.parametrize(("form", "make"), [("csv", csv_file), ("xlsx", workbook_file)])
async def test_a_file_makes_clients_with_one_event_each(
    form: str, make: Any, api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [row(external_id=uuid4().hex, credit_limit=1000 + number) for number in range(450)]
    ended = await done(api, resources, make(rows), form)
    assert counts(ended) == ("COMPLETED", 450, 0, 0, 0)
    for one in (rows[0], rows[200], rows[449]):
        client = await client_of(owner, one["rfc"])
        assert (client["email"], client["external_id"]) == (one["email"], one["external_id"])
        assert client["credit_limit"] == one["credit_limit"]
        [event] = await owner.fetch(OF_CLIENT, client["id"])
        assert (event["event_type"], event["hash"]) == ("client_created", client["chain_head"])
    rfcs = [one["rfc"] for one in rows]
    lanes = await owner.fetch(
        "SELECT DISTINCT lane FROM outbox JOIN clients ON id = aggregate_id WHERE rfc = ANY($1)", rfcs
    )
    assert [lane["lane"] for lane in lanes] in ([1], [])  # [] when a relay has sent them already
    assert await owner.fetchval("SELECT count(*) FROM import_chunks WHERE import_id = $1", UUID(ended["id"])) == 0


async def test_the_events_of_an_import_say_how_many_and_never_who(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    content = csv_file([row(), row(rfc="nonsense")])
    ended = await done(api, resources, content, mode="accept_good")
    events = await owner.fetch("SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence", UUID(ended["id"]))
    payloads = [envelope.canonical(dict(event))["payload"] for event in events]
    assert [event["event_type"] for event in events] == ["import_requested", "import_completed"]
    assert payloads[0] == {
        "import_id": ended["id"], "format": "csv", "mode": "accept_good", "dry_run": False, "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
    }  # fmt: skip
    assert payloads[1] == {
        "import_id": ended["id"], "status": "COMPLETED", "dry_run": False, "accepted": 1, "duplicates": 0, "refused": 1,
        "loans": 0,
    }  # fmt: skip
    assert events[0]["prev_hash"] == GENESIS
    assert events[1]["prev_hash"] == events[0]["hash"] == envelope.digest(envelope.canonical(dict(events[0])))


async def test_who_asked_for_an_import_is_who_registered_its_clients(
    officer: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    one = row()
    me = (await get(officer, "/api/v1/auth/me"))["id"]
    await done(officer, resources, csv_file([one]))
    client = await client_of(owner, one["rfc"])
    assert await owner.fetchval("SELECT actor FROM events WHERE aggregate_id = $1", client["id"]) == f"user:{me}"


async def test_a_partner_s_text_file_makes_clients_without_rfc_or_email(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    ids = [str(uuid4()) for _ in range(6)]
    lines = [
        "external_id\tscore", f"{ids[0]}\t750.00", f"{ids[1]},750", f"{ids[2]};0", "", f"{ids[3]}\t-1", f"{ids[4]}",
        f"{ids[5]},1,2", f"{ids[0]}\t900",
    ]  # fmt: skip
    ended = await done(api, resources, "\r\n".join(lines).encode(), "txt")
    assert counts(ended) == ("COMPLETED", 3, 1, 3, 0)
    found = await owner.fetch(
        "SELECT external_id, full_name, credit_limit, rfc, email FROM clients WHERE external_id = ANY($1)", ids
    )
    assert sorted((one["external_id"], one["credit_limit"]) for one in found) == sorted(
        [(ids[0], Decimal(750)), (ids[1], Decimal(750)), (ids[2], Decimal(0))]
    )
    assert all(one["full_name"] == one["external_id"] and (one["rfc"], one["email"]) == (None, None) for one in found)
    assert [(line["line"], line["outcome"]) for line in await errors(api, ended)] == [
        (6, "refused"), (7, "refused"), (8, "refused"), (9, "duplicate"),
    ]  # fmt: skip


async def test_the_first_line_of_a_text_file_may_be_a_client(api: httpx2.AsyncClient, resources: Resources) -> None:
    ended = await done(api, resources, f"{uuid4()}\t750.00\n".encode(), "txt")
    assert counts(ended) == ("COMPLETED", 1, 0, 0, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
async def test_what_spreadsheets_write_is_read(
    encoding: str, separator: str, api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    one = row(full_name='José "Pepe" Núñez, hijo')
    ended = await done(api, resources, csv_file([one], encoding=encoding, separator=separator))
    assert counts(ended) == ("COMPLETED", 1, 0, 0, 0)
    assert (await client_of(owner, one["rfc"]))["full_name"] == 'José "Pepe" Núñez, hijo'


async def test_columns_may_be_called_in_spanish(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    one = row()
    content = f"Nombre completo;Correo electrónico;RFC;Límite de crédito\nAna Torres;{one['email']};{one['rfc']};1500\n"
    assert counts(await done(api, resources, content.encode()))[1] == 1
    assert (await client_of(owner, one["rfc"]))["credit_limit"] == 1500


async def test_every_field_of_a_client_can_be_imported(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    one = row(
        external_id=uuid4().hex, status="INACTIVE", credit_limit="1500.50", kind="individual",
        curp="PEPJ800101HDFRRN03", clabe="032180000118359719", phone="+52 55 1234 5678", birth_date="1980-01-01",
        address="Calle 1, Centro",
    )  # fmt: skip
    ended = await done(api, resources, workbook_file([one], EVERY_COLUMN), "xlsx")
    assert counts(ended) == ("COMPLETED", 1, 0, 0, 0)
    client = await get(api, f"/api/v1/clients/{one['rfc']}")
    assert {name: client[name] for name in one} == one


# --- Opening balances ---


async def test_an_opening_balance_is_a_loan_in_the_same_commit(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [
        row(opening_balance="5000.00", interest_rate="0.36", term_months="12", loan_external_id=uuid4().hex),
        row(opening_balance="700.50"),
        row(opening_balance="0"),
        row(),
    ]
    ended = await done(
        api, resources, csv_file(rows, EVERY_COLUMN), interest_rate="0.24", term_months=24, mode="all_or_nothing"
    )
    assert counts(ended) == ("COMPLETED", 4, 0, 0, 2)
    client = await client_of(owner, rows[0]["rfc"])
    [loan] = (await get(api, f"/api/v1/clients/{client['id']}/loans"))["data"]
    assert (loan["amount"], loan["interest_rate"], loan["term_months"]) == ("5000.00", "0.36", 12)
    assert (loan["status"], loan["current_balance"], loan["product"]) == ("ACTIVE", "5000.00", "STANDARD")
    assert loan["external_id"] == rows[0]["loan_external_id"]
    events = await owner.fetch(OF_CLIENT, client["id"])
    assert [event["event_type"] for event in events] == ["client_created", "loan_created", "loan_activated"]
    assert (client["event_sequence"], client["chain_head"]) == (3, events[-1]["hash"])
    assert await owner.fetchval(RECEIVABLE, UUID(loan["id"])) == 5000
    by_default = await client_of(owner, rows[1]["rfc"])
    [other] = (await get(api, f"/api/v1/clients/{by_default['id']}/loans"))["data"]
    assert (other["interest_rate"], other["term_months"], other["amount"]) == ("0.24", 24, "700.50")


async def test_a_loan_that_cannot_be_granted_keeps_its_client_out(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    taken = uuid4().hex
    await new_loan(api, external_id=taken)
    terms = {"interest_rate": "0.36", "term_months": "12"}
    rows = [
        row(opening_balance="5000", term_months="12"),
        row(opening_balance="5000", interest_rate="0.36", term_months="x"),
        row(opening_balance="-5", **terms),
        row(opening_balance="5000", product="NOSUCH", **terms),
        row(opening_balance="5000", credit_limit="4999.99", **terms),
        row(opening_balance="5000", status="INACTIVE", **terms),
        row(opening_balance="5000", loan_external_id=taken, **terms),
        row(opening_balance="5000", interest_rate="11", term_months="12"),
    ]
    ended = await done(api, resources, csv_file(rows, EVERY_COLUMN))
    assert counts(ended) == ("COMPLETED", 0, 0, 8, 0)
    found = [
        [(problem["column"], problem["code"]) for problem in line["problems"]] for line in await errors(api, ended)
    ]
    assert found == [
        [("interest_rate", "missing")],
        [("term_months", "int_type")],
        [("opening_balance", "money_malformed")],
        [("product", "product_not_found")],
        [("opening_balance", "credit_limit_exceeded")],
        [("opening_balance", "client_inactive")],
        [("loan_external_id", "duplicate")],
        [("interest_rate", "interest_rate_out_of_range")],
    ]
    assert await owner.fetchval("SELECT count(*) FROM clients WHERE rfc = ANY($1)", [one["rfc"] for one in rows]) == 0


async def test_above_the_limit_of_one_person_the_loan_waits_for_a_second(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    settings = resources.settings.model_copy(update={"approve_activation_above": Decimal(1000)})
    one = row(opening_balance="1000.01", interest_rate="0.36", term_months="12")
    await done(api, replace(resources, settings=settings), csv_file([one], EVERY_COLUMN))
    client = await client_of(owner, one["rfc"])
    [loan] = (await get(api, f"/api/v1/clients/{client['id']}/loans"))["data"]
    assert loan["status"] == "PENDING"


# --- Lines that are not taken ---


async def test_a_line_is_told_why_it_was_not_taken(api: httpx2.AsyncClient, resources: Resources) -> None:
    rows = [
        row(rfc="TXAA801301AB1"),
        row(rfc=""),
        row(email="no address"),
        row(full_name="=HYPERLINK(1)"),
        row(full_name="Ana\u202eTorres"),
        row(credit_limit="1,500.00"),
        row(status="active"),
        row(birth_date="1980-02-30", phone="call me"),
        row(full_name="x" * 201),
    ]
    content = csv_file(rows, EVERY_COLUMN) + f"Ana,{uuid4().hex}@example.com,{random_rfc()}{',' * 16}more\n".encode()
    ended = await done(api, resources, content)
    assert counts(ended) == ("COMPLETED", 0, 0, 10, 0)
    lines = await errors(api, ended)
    assert [line["line"] for line in lines] == list(range(2, 12))
    assert [[(problem["column"], problem["code"]) for problem in line["problems"]] for line in lines] == [
        [("rfc", "rfc_date")],
        [("rfc", "missing")],
        [("email", "email_malformed")],
        [("full_name", "text_formula")],
        [("full_name", "text_character")],
        [("credit_limit", "money_malformed")],
        [("status", "enum")],
        [("phone", "string_pattern_mismatch"), ("birth_date", "date_malformed")],
        [("full_name", "too_long")],
        [("", "cells_surplus")],
    ]
    assert lines[0]["record"]["rfc"] == "TXAA801301AB1"


async def test_a_client_who_is_there_is_a_duplicate_and_stays_as_they_are(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    there = await new_client(api, external_id=uuid4().hex)
    before = dict(await client_of(owner, there["rfc"]))
    rows = [
        row(
            rfc=there["rfc"].lower(),
            full_name="Somebody Else",
            opening_balance="5",
            interest_rate="0.3",
            term_months="6",
        ),
        row(external_id=there["external_id"]),
        row(email=there["email"].upper()),
    ]
    ended = await done(api, resources, csv_file(rows, EVERY_COLUMN))
    assert counts(ended) == ("COMPLETED", 0, 2, 1, 0)
    lines = await errors(api, ended)
    assert [(line["outcome"], line["client_id"]) for line in lines] == [
        ("duplicate", there["id"]), ("duplicate", there["id"]), ("refused", None),
    ]  # fmt: skip
    assert lines[2]["problems"] == [
        {"column": "email", "code": "duplicate", "detail": "Another client has this e-mail address."}
    ]
    assert dict(await client_of(owner, there["rfc"])) == before


@pytest.mark.parametrize("apart", [1, 350])
@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"mode": "all_or_nothing"}])
async def test_of_twins_in_one_file_the_first_is_taken(
    apart: int, options: Json, api: httpx2.AsyncClient, resources: Resources
) -> None:
    loan = {"opening_balance": "5", "interest_rate": "0.3", "term_months": "6", "loan_external_id": uuid4().hex}
    twin = row(external_id=uuid4().hex, **loan)
    others = [row(rfc=twin["rfc"]), row(external_id=twin["external_id"]), row(email=twin["email"]), row(**loan)]
    rows = [twin, *(row() for _ in range(apart)), *others]
    ended = await done(api, resources, csv_file(rows, EVERY_COLUMN), **options)
    assert counts(ended)[1:] == (1 + apart, 2, 2, 1)
    assert [(line["line"] - apart, line["problems"][0]["column"]) for line in await errors(api, ended)] == [
        (3, "rfc"), (4, "external_id"), (5, "email"), (6, "loan_external_id"),
    ]  # fmt: skip


async def test_a_client_who_is_registered_meanwhile_is_a_duplicate(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row() for _ in range(30)]
    ask_known = queries.known
    races: list[Json] = []

    async def overtaken(*arguments: Any) -> Any:
        found = await ask_known(*arguments)
        if not races:
            races.append(await new_client(api, rfc=rows[7]["rfc"]))
        return found

    monkeypatch.setattr(queries, "known", overtaken)
    ended = await done(api, resources, csv_file(rows))
    assert counts(ended) == ("COMPLETED", 29, 1, 0, 0)
    assert [(line["line"], line["client_id"]) for line in await errors(api, ended)] == [(9, races[0]["id"])]


# --- All or nothing, and only to see ---


async def test_all_or_nothing_writes_nothing_when_one_line_is_wrong(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [row() for _ in range(420)]
    rows[300] = row(rfc="nonsense")
    ended = await done(api, resources, csv_file(rows), mode="all_or_nothing")
    assert counts(ended) == ("REFUSED", 419, 0, 1, 0)
    assert [line["line"] for line in await errors(api, ended)] == [302]
    rfcs = [one["rfc"] for one in rows]
    assert await owner.fetchval("SELECT count(*) FROM clients WHERE rfc = ANY($1)", rfcs) == 0
    rows[300] = row()
    mended = await done(api, resources, csv_file(rows), mode="all_or_nothing")
    assert counts(mended) == ("COMPLETED", 420, 0, 0, 0)


async def test_a_dry_run_tells_and_writes_nothing(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    there = await new_client(api)
    rows = [row(opening_balance="10", interest_rate="0.3", term_months="3"), row(rfc="nonsense"), row(rfc=there["rfc"])]
    content = csv_file(rows, EVERY_COLUMN)
    tried = await done(api, resources, content, dry_run=True)
    assert counts(tried) == ("COMPLETED", 1, 1, 1, 1)
    assert await client_of(owner, rows[0]["rfc"]) is None
    done_then = await done(api, resources, content)
    assert counts(done_then) == counts(tried)
    assert [line["line"] for line in await errors(api, tried)] == [3, 4]


# --- The same file again ---


async def test_the_same_file_is_imported_once(api: httpx2.AsyncClient, resources: Resources) -> None:
    content = csv_file([row(), row()])
    first = await ask(api, content)
    waiting = await api.post(CLIENTS, content=content, params={"format": "csv"})
    assert (waiting.status_code, waiting.json()["id"]) == (200, first["id"])
    await work(resources)
    again = await api.post(CLIENTS, content=content, params={"format": "csv"})
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, first["id"], "COMPLETED")


async def test_a_file_with_lines_that_were_refused_may_be_tried_again(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    content = csv_file([row(), row(rfc="nonsense")])
    assert counts(await done(api, resources, content)) == ("COMPLETED", 1, 0, 1, 0)
    assert counts(await done(api, resources, content)) == ("COMPLETED", 0, 1, 1, 0)


@pytest.mark.usefixtures("patience")
async def test_ten_who_send_the_same_file_at_once_get_one_import(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    content = csv_file([row() for _ in range(20)])
    answers = await asyncio.gather(*(api.post(CLIENTS, content=content, params={"format": "csv"}) for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    assert [answer.status_code for answer in answers].count(202) == 1
    await work(resources)
    digest = sha256(content).digest()
    assert await owner.fetchval("SELECT count(*) FROM imports WHERE file_digest = $1", digest) == 1
    assert await owner.fetchval(ORPHANS) == 0


async def test_an_import_that_is_committed_while_it_is_asked_for_again_is_one(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, asked = conditional_write.execute, []

    async def late(connection: Connection, wanted: Any) -> bool:
        asked.append(wanted)
        if len(asked) == 1:
            raise asyncpg.ConnectionDoesNotExistError("lost, while the server is still at it")
        if len(asked) == 2:
            async with resources.databases.writer.acquire() as lost:
                assert await execute(lost, asked[0])
        return await execute(connection, wanted)

    monkeypatch.setattr(conditional_write, "execute", late)
    made = await ask(api, csv_file([row()]))
    assert (await get(api, f"{IMPORTS}/{made['id']}"))["status"] == "WAITING"
    monkeypatch.undo()
    await work(resources)


async def test_the_file_of_an_import_that_may_have_been_committed_is_kept(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, asked = conditional_write.execute, []

    async def lost(_: Connection, wanted: Any) -> bool:
        asked.append(wanted)
        raise asyncpg.ConnectionDoesNotExistError("lost, while the server is still at it")

    with monkeypatch.context() as outage:
        outage.setattr(conditional_write, "execute", lost)
        outage.setattr(write, "TRIES", 0)
        answer = await api.post(CLIENTS, content=csv_file([one := row()]), params={"format": "csv"})
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    async with resources.databases.writer.acquire() as connection:
        assert await execute(connection, asked[0])
    await work(resources)
    assert await client_of(owner, one["rfc"]) is not None


async def test_an_idempotency_key_gives_the_same_import(api: httpx2.AsyncClient, resources: Resources) -> None:
    content, key = csv_file([row(), row(rfc="x")]), uuid4().hex
    first = await api.post(f"{CLIENTS}?format=csv", content=content, headers={"Idempotency-Key": key})
    await work(resources)
    again = await api.post(f"{CLIENTS}?format=csv", content=content, headers={"Idempotency-Key": key})
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await api.post(f"{CLIENTS}?format=csv", content=content + b"\n", headers={"Idempotency-Key": key})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


# --- How a file is sent, and what it cannot be ---


async def test_a_file_may_be_a_field_of_a_form(api: httpx2.AsyncClient, resources: Resources) -> None:
    content = csv_file([row()])
    answer = await api.post(CLIENTS, files={"file": ("C:\\hoja de mayo.csv", content, "application/vnd.ms-excel")})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["file_name"], answer.json()["format"]) == ("hoja de mayo.csv", "csv")
    await work(resources)
    ended = await get(api, answer.headers["location"])
    assert (ended["accepted"], ended["file_sha256"]) == (1, sha256(content).hexdigest())


async def test_a_large_file_is_kept_in_parts_and_put_together_again(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [row(address="Calle de los Libros 1 " * 20) for _ in range(1200)]
    content = csv_file(rows, EVERY_COLUMN)
    assert len(content) > 2 * CHUNK_BYTES
    asked = await ask(api, content)
    parts = await owner.fetch(
        "SELECT content FROM import_chunks WHERE import_id = $1 ORDER BY number", UUID(asked["id"])
    )
    assert b"".join(part["content"] for part in parts) == content
    assert [len(part["content"]) for part in parts[:-1]] == [CHUNK_BYTES] * (len(parts) - 1)
    await work(resources)
    assert counts(await get(api, f"{IMPORTS}/{asked['id']}")) == ("COMPLETED", 1200, 0, 0, 0)


def bomb() -> bytes:
    """A workbook that unpacks to a gigabyte."""
    file = io.BytesIO()
    quick = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with quick as archive, archive.open("xl/sharedStrings.xml", "w") as part:
        for _ in range(1024):
            part.write(bytes(1024 * 1024))
    return file.getvalue()


def damaged() -> bytes:
    """A workbook whose one sheet ends in the middle."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook_file([row()]))) as whole, zipfile.ZipFile(file, "w") as part:
        for name in whole.namelist():
            content = whole.read(name)
            part.writestr(name, content[: len(content) // 2] if "sheet1" in name else content)
    return file.getvalue()


GOOD = csv_file([row()])
CSV = {"format": "csv"}


@pytest.mark.parametrize(
    ("form", "content", "code"),
    [
        ("csv", b"", "columns_missing"),
        ("csv", b"full_name,email\nAna,a@example.com\n", "columns_missing"),
        ("csv", b"full_name,email,rfc,password\n", "column_unknown"),
        ("csv", b"full_name,email,rfc,rfc\n", "column_repeated"),
        ("csv", b"full_name,email,rfc\n\n\n", "file_empty"),
        ("csv", b'full_name,email,rfc\n"' + b"x" * 200_000, "csv_malformed"),
        ("csv", b"full_name,email,rfc\n\x81\x8d\x8f\n", "encoding_unknown"),
        ("txt", b"", "file_empty"),
        ("xlsx", b"", "workbook_malformed"),
        ("xlsx", GOOD, "workbook_malformed"),
        ("xlsx", damaged(), "workbook_malformed"),
        ("xlsx", bomb(), "workbook_too_large"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    form: str, content: bytes, code: str, api: httpx2.AsyncClient, resources: Resources
) -> None:
    ended = await done(api, resources, content, form)
    assert (counts(ended), ended["problem"]["code"]) == (("REFUSED", 0, 0, 0, 0), code)


async def test_what_stands_before_a_place_that_cannot_be_read_is_taken(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [row() for _ in range(250)]
    content = csv_file(rows) + b'"' + b"x" * 200_000
    ended = await done(api, resources, content)
    assert (counts(ended), ended["problem"]["line"]) == (("FAILED", 250, 0, 0, 0), 252)
    assert ended["problem"]["code"] == "csv_malformed"
    assert await client_of(owner, rows[249]["rfc"]) is not None
    nothing = await done(api, resources, csv_file([row()]) + b'"' + b"x" * 200_000, mode="all_or_nothing")
    assert (nothing["status"], nothing["problem"]["code"]) == ("REFUSED", "csv_malformed")


async def test_too_many_lines_are_refused(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINES", 3)
    ended = await done(api, resources, csv_file([row() for _ in range(4)]), mode="all_or_nothing")
    assert (ended["status"], ended["problem"]["code"]) == ("REFUSED", "too_many_lines")


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({}, 422, "validation_failed"),
        ({"params": {"format": "pdf"}}, 422, "validation_failed"),
        ({"content": None, "files": {"other": b"x"}}, 422, "validation_failed"),
        ({"headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "validation_failed"),
        ({"headers": {"Content-Encoding": "gzip"}, "params": CSV}, 415, "unsupported_media_type"),
        ({"headers": {"Content-Length": str(2**40)}, "params": CSV}, 413, "file_too_large"),
        ({"params": {**CSV, "term_months": "0"}}, 422, "validation_failed"),
        ({"params": {**CSV, "interest_rate": "15%"}}, 422, "validation_failed"),
        ({"params": {**CSV, "file_name": "a\u0000b"}}, 422, "validation_failed"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    request_of: Json, status: int, code: str, api: httpx2.AsyncClient
) -> None:
    answer = await api.post(CLIENTS, **{"content": b"x", **request_of})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_file_that_turns_out_too_large_leaves_nothing(
    api: httpx2.AsyncClient, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_api.imports.upload.MAX_FILE_BYTES", 3 * CHUNK_BYTES)
    before = await owner.fetchval("SELECT count(*) FROM import_chunks")

    async def endless() -> Any:
        for _ in range(5):
            yield bytes(CHUNK_BYTES)

    answer = await api.post(CLIENTS, content=endless(), params={"format": "csv"})
    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")
    assert await owner.fetchval("SELECT count(*) FROM import_chunks") == before


# --- Looking, and stopping ---


async def test_an_import_tells_when_to_look_again_until_it_has_ended(
    api: httpx2.AsyncClient, resources: Resources
) -> None:
    asked = await ask(api, csv_file([row(), row()]))
    waiting = await api.get(f"{IMPORTS}/{asked['id']}")
    assert (waiting.json()["status"], waiting.headers["retry-after"]) == ("WAITING", "2")
    assert waiting.json()["lines_expected"] == 3
    assert (await api.get(f"{IMPORTS}/{asked['id']}/result")).json()["code"] == "import_running"
    await work(resources)
    ended = await api.get(f"{IMPORTS}/{asked['id']}")
    assert (ended.json()["status"], "retry-after" in ended.headers) == ("COMPLETED", False)
    latest = await get(api, IMPORTS, params={"status": "COMPLETED", "limit": 1})
    assert latest["data"][0]["id"] == asked["id"]
    assert (await api.get(f"{IMPORTS}/{uuid4()}")).status_code == 404
    assert (await api.get(f"{IMPORTS}/{uuid4()}/errors")).status_code == 404


async def test_errors_come_by_the_page(api: httpx2.AsyncClient, resources: Resources) -> None:
    ended = await done(api, resources, csv_file([row(rfc="x") for _ in range(5)]))
    path, found, cursor = f"{IMPORTS}/{ended['id']}/errors", [], None
    while True:
        page = await get(api, path, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        found += [line["line"] for line in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert found == [2, 3, 4, 5, 6]
    assert (await api.get(path, params={"cursor": "x"})).status_code == 422


async def test_a_cancelled_import_writes_nothing_more(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    one = row()
    asked = await ask(api, csv_file([one]))
    cancelled = await api.post(f"{IMPORTS}/{asked['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    await work(resources)
    assert await client_of(owner, one["rfc"]) is None
    again = await api.post(f"{IMPORTS}/{asked['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "import_ended")


async def test_what_was_written_before_a_cancellation_stands(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    rows = [row() for _ in range(1000)]
    asked = await ask(api, csv_file(rows))
    begun = asyncio.Event()

    async def watched() -> None:
        with pytest.raises(ImportMoved):
            await job.run(resources, UUID(asked["id"]), lambda *_: begun.set())

    running = asyncio.create_task(watched())
    await begun.wait()
    cancelled = (await api.post(f"{IMPORTS}/{asked['id']}/cancel")).json()
    await running
    rfcs = [one["rfc"] for one in rows]
    written = await owner.fetchval("SELECT count(*) FROM clients WHERE rfc = ANY($1)", rfcs)
    ended = await get(api, f"{IMPORTS}/{asked['id']}")
    assert written == cancelled["accepted"] == ended["accepted"] < 1000
    assert ended["status"] == "CANCELLED"


async def test_what_a_check_found_is_told_when_it_is_cancelled_before_it_goes_on(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(api, csv_file([row(rfc="nonsense"), *(row() for _ in range(300))]), mode="all_or_nothing")

    class Killed(Exception):
        """The process is gone."""

    def killed(*_: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        await job.run(resources, UUID(asked["id"]), killed)
    begin = queries.begin

    async def cancelled_before(*arguments: Any) -> Any:
        assert (await api.post(f"{IMPORTS}/{asked['id']}/cancel")).json()["refused"] == 1
        return await begin(*arguments)

    monkeypatch.setattr(queries, "begin", cancelled_before)
    with pytest.raises(ImportMoved):
        await job.run(resources, UUID(asked["id"]), lambda *_: None)
    assert [line["line"] for line in await errors(api, asked)] == [2]


async def test_one_process_works_on_imports_and_the_others_wait(api: httpx2.AsyncClient, resources: Resources) -> None:
    asked = await ask(api, csv_file([row() for _ in range(600)]))
    other = await connect(resources.settings)
    try:
        await other.fetchval("SELECT pg_advisory_lock($1)", queries.IMPORT_LOCK)
        assert not await job.run_next(resources)
    finally:
        other.terminate()
    while (await get(api, f"{IMPORTS}/{asked['id']}"))["status"] == "WAITING":
        await asyncio.gather(*(job.run_next(resources) for _ in range(4)))
    assert counts(await get(api, f"{IMPORTS}/{asked['id']}")) == ("COMPLETED", 600, 0, 0, 0)


async def test_an_import_that_always_fails_is_given_up_and_keeps_nobody_waiting(
    api: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, after = await ask(api, csv_file([row()])), await ask(api, csv_file([row()]))

    def fails(*_: Any) -> Any:
        raise KeyError("a defect")

    with monkeypatch.context() as defect:
        defect.setattr("backend_api.imports.job.read", fails)
        for _ in range(job.MAX_FAILURES):
            assert await job.run_next(resources)
    assert (await get(api, f"{IMPORTS}/{broken['id']}"))["status"] == "FAILED"
    await work(resources)
    assert (await get(api, f"{IMPORTS}/{after['id']}"))["status"] == "COMPLETED"


# --- The result as a file ---


@pytest.mark.parametrize(("form", "read"), [("csv", read_csv), ("xlsx", read_workbook)])
async def test_the_result_names_every_line_and_can_be_mended_and_sent_again(
    form: str, read: Any, api: httpx2.AsyncClient, resources: Resources
) -> None:
    good, bad = row(), row(full_name="=1+1", phone="+52 55 1234 5678")
    ended = await done(api, resources, csv_file([good, bad], EVERY_COLUMN))
    answer = await api.get(f"{IMPORTS}/{ended['id']}/result", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="import-{ended["id"]}.{form}"'
    first, second = read(answer.content)
    assert (int(first["line"]), first["outcome"], first["rfc"]) == (2, "accepted", good["rfc"])
    assert first["client_id"] == (await get(api, f"/api/v1/clients/{good['rfc']}"))["id"]
    assert (int(second["line"]), second["outcome"], second["client_id"] or None) == (3, "refused", None)
    assert second["problems"].startswith("full_name: A text that begins with")
    escaped = "'" if form == "csv" else ""
    assert (second["full_name"], second["phone"]) == (f"{escaped}=1+1", f"{escaped}+52 55 1234 5678")
    mended = {**{name: second[name] for name in EVERY_COLUMN}, "full_name": "Ana Torres"}
    again = await done(api, resources, csv_file([mended], EVERY_COLUMN))
    assert counts(again) == ("COMPLETED", 1, 0, 0, 0)
    assert (await get(api, f"/api/v1/clients/{bad['rfc']}"))["phone"] == "+52 55 1234 5678"


async def test_what_stood_in_refused_lines_is_forgotten_after_a_month(
    api: httpx2.AsyncClient, resources: Resources, owner: Connection
) -> None:
    old = await done(api, resources, csv_file([row(rfc="x")]))
    young = await done(api, resources, csv_file([row(rfc="x")]))
    await owner.execute(
        "UPDATE imports SET finished_at = finished_at - interval '31 days' WHERE id = $1", UUID(old["id"])
    )
    orphan = uuid4()
    for age, import_id in (("25 hours", orphan), ("23 hours", UUID(young["id"]))):
        await owner.execute("INSERT INTO import_chunks VALUES ($1, 0, '', now() - $2::text::interval)", import_id, age)
    fresh = uuid4()
    await owner.execute("INSERT INTO import_chunks VALUES ($1, 0, '', now())", fresh)
    async with resources.databases.writer.acquire() as connection:
        await queries.forget(connection, resources.clock())
    assert [line["record"] for line in await errors(api, old)] == [None]
    assert (await errors(api, young))[0]["record"]["rfc"] == "x"
    left = await owner.fetch("SELECT import_id FROM import_chunks")
    assert [part["import_id"] for part in left] == [fresh]
    await owner.execute("DELETE FROM import_chunks WHERE import_id = $1", fresh)
