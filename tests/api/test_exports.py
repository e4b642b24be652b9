"""Exports: the lists as files, with the same filters and for the same eyes, and nothing that a spreadsheet runs."""

import csv
import io
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.exports import tables
from backend_api.http import sheets
from backend_api.http.resources import Resources
from backend_api.http.sheets import SheetFormat, sheet
from fastapi import FastAPI
from openpyxl import load_workbook

from tests.support.builders import Json, get, new_client, new_loan, pay
from tests.support.imports import read_csv, read_workbook
from tests.support.replica import caught_up
from tests.support.service import signed_in_as
from tests.support.waiting import eventually

EXPORTS = "/api/v1/exports"


async def exported(api: httpx2.AsyncClient, what: str, **options: str) -> list[Json]:
    """The rows of an export as CSV."""
    answer = await api.get(f"{EXPORTS}/{what}", params=options)
    assert answer.status_code == 200, answer.text
    return read_csv(answer.content)


async def some_clients(api: httpx2.AsyncClient, count: int) -> tuple[str, list[Json]]:
    """Clients whose names begin alike, as nobody else's do; and how they begin."""
    name = f"Zoe {uuid4().hex}"
    return name, [await new_client(api, full_name=f"{name} {number:02}") for number in range(count)]


async def test_an_export_holds_what_the_list_shows_on_all_its_pages(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    name, made = await some_clients(api, 7)
    listed = (await get(api, "/api/v1/clients", params={"name": name, "sort": "-full_name"}))["data"]
    rows = await exported(api, "clients", name=name, sort="-full_name")
    assert [row["id"] for row in rows] == [client["id"] for client in listed]
    assert {row["id"] for row in rows} == {client["id"] for client in made}
    columns = set(rows[0]) - {"created_at", "updated_at"}
    assert [{column: row[column] for column in columns} for row in rows] == [
        {column: client[column] or "" for column in columns} for client in listed
    ]


async def test_loans_and_payments_are_exported_with_the_filters_of_their_lists(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    await new_loan(api, loan["client_id"], status="PENDING")
    payment = (await pay(api, loan["id"], reference=uuid4().hex)).json()
    [row] = await exported(api, "loans", client_id=loan["client_id"], status="ACTIVE")
    assert (row["id"], row["amount"], row["current_balance"]) == (loan["id"], "1000.00", "900.00")
    assert len(await exported(api, "loans", client_id=loan["client_id"])) == 2
    [found] = await exported(api, "payments", reference=payment["reference"])
    assert (found["id"], found["amount"], found["status"]) == (payment["id"], "100.00", "REGISTERED")
    assert (await api.post(f"/api/v1/payments/{payment['id']}/reverse", json={})).status_code == 200
    assert await exported(api, "payments", client_id=loan["client_id"], status="REGISTERED") == []
    assert len(await exported(api, "payments", client_id=loan["client_id"], status="REVERSED")) == 1


async def test_a_workbook_holds_the_same_with_numbers_as_numbers(api: httpx2.AsyncClient) -> None:
    loan = await new_loan(api)
    path, options = f"{EXPORTS}/loans", {"client_id": loan["client_id"], "format": "xlsx"}
    answer = await api.get(path, params=options)
    [row] = read_workbook(answer.content)
    assert answer.headers["content-type"] == SheetFormat.XLSX.media_type
    assert answer.headers["content-disposition"] == 'attachment; filename="loans.xlsx"'
    assert (row["id"], row["amount"], row["term_months"]) == (loan["id"], 1000, 12)
    assert row["disbursed_on"] == loan["disbursed_on"]


async def test_an_empty_export_has_its_headings(api: httpx2.AsyncClient) -> None:
    answer = await api.get(f"{EXPORTS}/payments", params={"client_id": str(uuid4())})
    assert answer.content.decode("utf-8-sig") == ",".join(tables.PAYMENTS.columns) + "\r\n"


@pytest.mark.parametrize(("what", "options"), [("clients", {"sort": "rfc"}), ("loans", {"status": "x"})])
async def test_what_the_list_refuses_the_export_refuses(what: str, options: Json, api: httpx2.AsyncClient) -> None:
    answer = await api.get(f"{EXPORTS}/{what}", params=options)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_borrower_exports_their_own_and_nothing_else(app: FastAPI, api: httpx2.AsyncClient) -> None:
    own, other = await new_loan(api), await new_loan(api)
    for loan in (own, other):
        await pay(api, loan["id"])
    async with signed_in_as(app, Role.CLIENT, UUID(own["client_id"])) as borrower:
        assert [row["id"] for row in await exported(borrower, "clients")] == [own["client_id"]]
        assert [row["id"] for row in await exported(borrower, "loans")] == [own["id"]]
        assert [row["client_id"] for row in await exported(borrower, "payments")] == [own["client_id"]]
        assert await exported(borrower, "loans", client_id=other["client_id"]) == []


async def test_whose_record_is_exported_is_noted(
    app: FastAPI, api: httpx2.AsyncClient, owner: Connection, resources: Resources
) -> None:
    name, clients = await some_clients(api, 3)
    await caught_up(resources)
    async with signed_in_as(app, Role.OFFICER) as officer:
        me = (await get(officer, "/api/v1/auth/me"))["id"]
        await exported(officer, "clients", name=name)
    ids = [UUID(client["id"]) for client in clients]

    async def noted() -> bool:
        count = "SELECT count(*) FROM record_reads WHERE client_id = ANY($1) AND actor = $2"
        return bool(await owner.fetchval(count, ids, f"user:{me}") == 3)

    await eventually(noted)


async def pieces(form: SheetFormat, columns: list[str], *batches: list[list[object]]) -> bytes:
    """A table as a file."""

    async def rows() -> object:
        for batch in batches:
            yield batch

    return b"".join([part async for part in sheet(form, columns, rows())])  # type: ignore[arg-type]  # an async generator


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t=", "\r="])
async def test_a_text_that_begins_like_a_formula_is_told_to_be_a_text(begins: str) -> None:
    cell = f'{begins}HYPERLINK("http://example.com";"x")'
    written = (await pieces(SheetFormat.CSV, ["a"], [[cell]])).decode("utf-8-sig")
    _, row = csv.reader(io.StringIO(written, newline=""))
    assert row == [f"'{cell}"]


async def test_more_rows_than_a_sheet_holds_go_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "ROWS_OF_A_SHEET", 4)
    batches: list[list[list[object]]] = [[[number], [number + 1], [number + 2]] for number in range(0, 12, 3)]
    content = await pieces(SheetFormat.XLSX, ["n"], *batches)
    workbook = load_workbook(io.BytesIO(content))
    found = [[row[0] for row in part.iter_rows(values_only=True)] for part in workbook.worksheets]
    assert all(part[0] == "n" and len(part) <= 5 for part in found)
    assert [number for part in found for number in part[1:]] == list(range(12))
    assert all(cell.data_type in ("s", "n") for part in workbook.worksheets for row in part.iter_rows() for cell in row)
