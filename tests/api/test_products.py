"""Loan products: made, changed in versions, retired; what is refused; and what previews and new loans take of them."""

import asyncio
from hashlib import sha256
from secrets import token_hex
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
import rfc8785
from backend_api.auth.permissions import Role
from backend_api.db.pools import Connection
from backend_api.domain.products import Limits, Product
from backend_api.domain.term_sheet import product_sheet, product_values
from backend_api.outbox import envelope
from backend_api.products import service
from fastapi import FastAPI

from tests.support.builders import get
from tests.support.postgres import row_counts
from tests.support.problems import pointers, problem
from tests.support.service import signed_in_as

PRODUCTS = "/api/v1/loan-products"
PREVIEW = "/api/v1/loans/preview"
NO_LIMITS = Limits().sheet()
ASKED = {"amount": "10000.00", "interest_rate": "0.36", "installments": 12, "disbursed_on": "2026-01-31"}
Json = dict[str, Any]


def new_code() -> str:
    """A code that no product has."""
    return f"P{token_hex(6).upper()}"


async def new_product(api: httpx2.AsyncClient, **fields: Any) -> Json:
    """A product that was just created."""
    answer = await api.post(PRODUCTS, json={"code": new_code(), "name": "Payroll", **fields})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


async def events_of(owner: Connection, product_id: str) -> list[Json]:
    """A product's events, in order, after checking that they are a chain that its row knows the end of."""
    rows = await owner.fetch("SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence", product_id)
    events = [envelope.canonical(dict(row)) for row in rows]
    head = bytes(32)
    for number, (row, event) in enumerate(zip(rows, events, strict=True), start=1):
        assert (row["sequence"], row["prev_hash"], row["aggregate_type"]) == (number, head, "product")
        head = sha256(rfc8785.dumps(event)).digest()
        assert row["hash"] == head
    product = await owner.fetchrow("SELECT * FROM loan_products WHERE id = $1", product_id)
    assert product is not None
    assert (product["event_sequence"], product["chain_head"]) == (len(rows), head)
    waiting = await owner.fetchval("SELECT count(*) FROM outbox WHERE aggregate_id = $1", product_id)
    assert waiting == len(rows), "no relay runs here: each event waits to be sent, once"
    return events


def told(events: list[Json]) -> list[tuple[str, Json]]:
    """Type and payload of each, without what all of a product's payloads hold."""
    shared = ("product_id", "code")
    return [
        (event["event_type"], {name: value for name, value in event["payload"].items() if name not in shared})
        for event in events
    ]


async def test_the_standard_product_is_there_from_the_start(api: httpx2.AsyncClient, owner: Connection) -> None:
    standard = await get(api, f"{PRODUCTS}/STANDARD")
    assert (standard["status"], standard["version"]) == ("ACTIVE", 1)
    assert standard["terms"] == product_sheet({})
    assert standard["limits"] == NO_LIMITS
    assert told(await events_of(owner, standard["id"])) == [
        ("product_created", {"version": 1, "status": "ACTIVE", "fields": ["name"]})
    ]
    assert UUID(standard["id"]).version == 7


async def test_a_product_is_made_of_terms_and_limits(api: httpx2.AsyncClient, owner: Connection) -> None:
    code = new_code()
    terms = {
        "interest_rate": 0.36,
        "frequency": {"unit": "semimonth"},
        "opening_fee": {"rate": "0.02", "collection": "financed"},
        "moratory_rate": None,
        "waterfall": ["vat", "fees", "interest", "moratory", "principal"],
        "late_fee": 150,
    }
    limits = {"min_amount": 5000, "max_rate": "0.6", "min_installments": 2, "max_installments": 72}
    answer = await api.post(PRODUCTS, json={"code": code, "name": "Nómina", "terms": terms, "limits": limits})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PRODUCTS}/{code}"
    made = answer.json()
    assert (made["code"], made["name"], made["status"], made["version"]) == (code, "Nómina", "ACTIVE", 1)
    assert made["terms"] == {
        **product_sheet({}),
        "interest_rate": "0.36",
        "frequency": {"every": 1, "unit": "semimonth"},
        "opening_fee": {"flat": "0.00", "rate": "0.02", "collection": "financed"},
        "waterfall": ["vat", "fees", "interest", "moratory", "principal"],
        "late_fee": "150.00",
    }
    assert made["limits"] == {
        **NO_LIMITS, "min_amount": "5000.00", "max_rate": "0.6", "min_installments": 2, "max_installments": 72,
    }  # fmt: skip
    read = await api.get(f"{PRODUCTS}/{code}")
    assert read.json() == made
    assert read.headers["etag"] == answer.headers["etag"]
    assert (await api.get(f"{PRODUCTS}/{code}", headers={"If-None-Match": read.headers["etag"]})).status_code == 304
    given = sorted({"name", *terms, *limits})
    [event] = await events_of(owner, made["id"])
    assert event["payload"] == {
        "product_id": made["id"], "code": code, "version": 1, "status": "ACTIVE", "fields": given,
    }  # fmt: skip


async def test_a_product_that_says_nothing_is_as_the_standard_one(api: httpx2.AsyncClient) -> None:
    nothing: list[Json] = [{}, {"terms": {}, "limits": {}}, {"terms": {"interest_rate": None, "installments": None}}]
    for fields in nothing:
        made = await new_product(api, **fields)
        assert (made["terms"], made["limits"]) == (product_sheet({}), NO_LIMITS)


async def test_a_change_is_a_new_version_and_the_old_ones_stay_readable(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_product(api, terms={"late_fee": "100.00", "installments": 12}, limits={"max_amount": 9000})
    path = f"{PRODUCTS}/{made['code']}"
    body = {"name": "Payroll", "terms": {"late_fee": "200.00"}, "limits": {"min_amount": 100}}
    changed = await api.put(path, json=body)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert changed.json()["terms"] == {**product_sheet({}), "late_fee": "200.00"}
    assert changed.json()["limits"] == {**NO_LIMITS, "min_amount": "100.00"}
    assert (changed.json()["id"], changed.json()["created_at"]) == (made["id"], made["created_at"])
    read = await api.get(path)
    assert (read.json(), read.headers["etag"]) == (changed.json(), changed.headers["etag"])
    renamed = (await api.put(path, json={**body, "name": "Nómina"})).json()
    assert (renamed["version"], renamed["name"], renamed["terms"]) == (3, "Nómina", changed.json()["terms"])

    for number, product in enumerate((made, changed.json(), renamed), start=1):
        version = await get(api, f"{path}/versions/{number}")
        assert version == {
            "code": made["code"], "version": number, "terms": product["terms"], "limits": product["limits"],
            "created_at": product["updated_at"],
        }  # fmt: skip
    problem(await api.get(f"{path}/versions/4"), 404, "not_found")
    assert told(await events_of(owner, made["id"]))[1:] == [
        (
            "product_updated",
            {
                "version": 2, "status": "ACTIVE",
                "changed": ["installments", "late_fee", "max_amount", "min_amount"],
            },
        ),
        ("product_updated", {"version": 3, "status": "ACTIVE", "changed": ["name"]}),
    ]  # fmt: skip


async def test_a_change_that_changes_nothing_makes_no_version(api: httpx2.AsyncClient, owner: Connection) -> None:
    made = await new_product(api, terms={"vat_rate": "0.10"}, limits={"max_rate": "0.50"})
    before = await row_counts(owner)
    same = {"name": " Payroll ", "terms": {"vat_rate": 0.1, "early_days": 10}, "limits": {"max_rate": 0.5}}
    again = await api.put(f"{PRODUCTS}/{made['code']}", json=same)
    assert (again.status_code, again.json()) == (200, made)
    assert await row_counts(owner) == before


async def test_a_retired_product_stays_readable_and_takes_no_changes(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_product(api)
    path = f"{PRODUCTS}/{made['code']}"
    old = (await api.get(path)).headers["etag"]
    retired = await api.delete(path)
    assert (retired.status_code, retired.content) == (204, b"")
    read = await api.get(path)
    assert read.json() == {**made, "status": "RETIRED", "updated_at": read.json()["updated_at"]}
    assert read.headers["etag"] != old
    assert (await get(api, f"{path}/versions/1"))["terms"] == made["terms"]
    problem(await api.put(path, json={"name": "New"}), 409, "product_retired")
    problem(await api.post(PRODUCTS, json={"code": made["code"], "name": "New"}), 409, "duplicate_code")
    assert (await api.delete(path)).status_code == 204, "a second time changes nothing"
    assert told(await events_of(owner, made["id"]))[1:] == [
        ("product_retired", {"version": 1, "status": "RETIRED", "changed": ["status"]})
    ]


async def test_the_standard_product_cannot_be_retired(api: httpx2.AsyncClient, owner: Connection) -> None:
    before = await row_counts(owner)
    problem(await api.delete(f"{PRODUCTS}/STANDARD"), 409, "standard_not_retirable")
    assert await row_counts(owner) == before
    assert (await get(api, f"{PRODUCTS}/STANDARD"))["status"] == "ACTIVE"


@pytest.mark.usefixtures("patience")
async def test_a_code_is_taken_once_also_by_requests_at_the_same_time(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    code = new_code()
    answers = await asyncio.gather(*(api.post(PRODUCTS, json={"code": code, "name": "One"}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert problem(refused, 409, "duplicate_code")["errors"][0]["pointer"] == "/code"
    assert await owner.fetchval("SELECT count(*) FROM loan_products WHERE code = $1", code) == 1


@pytest.mark.parametrize("code", ["NOWHERE", "STANDARD2"])
async def test_a_product_that_is_not_there_is_not_found(code: str, api: httpx2.AsyncClient) -> None:
    problem(await api.get(f"{PRODUCTS}/{code}"), 404, "not_found")
    problem(await api.get(f"{PRODUCTS}/{code}/versions/1"), 404, "not_found")
    problem(await api.put(f"{PRODUCTS}/{code}", json={"name": "New"}), 404, "not_found")
    problem(await api.delete(f"{PRODUCTS}/{code}"), 404, "not_found")


@pytest.mark.parametrize("code", ["a", "standard", "P", "1P", "P-1", "P" * 41, "P%00", "P%0A", "%C3%91U", "P'--"])
async def test_a_code_in_the_path_that_cannot_be_one_is_refused(code: str, api: httpx2.AsyncClient) -> None:
    for method, path, body in (
        ("GET", f"{PRODUCTS}/{code}", None),
        ("GET", f"{PRODUCTS}/{code}/versions/1", None),
        ("PUT", f"{PRODUCTS}/{code}", {"name": "New"}),
        ("DELETE", f"{PRODUCTS}/{code}", None),
    ):
        assert pointers(await api.request(method, path, json=body)) == ["path:code"], (method, code)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "2147483648", "1e1"])
async def test_a_version_that_cannot_be_one_is_refused(number: str, api: httpx2.AsyncClient) -> None:
    assert pointers(await api.get(f"{PRODUCTS}/STANDARD/versions/{number}")) == ["path:version"]


@pytest.mark.parametrize(
    ("terms", "limits", "pointer", "code"),
    [
        ({"interest_rate": "10.01"}, {}, "/terms/interest_rate", "interest_rate_out_of_range"),
        ({"interest_rate": "0.5"}, {"max_rate": "0.4"}, "/terms/interest_rate", "interest_rate_outside_product"),
        ({"interest_rate": "0.1"}, {"min_rate": "0.4"}, "/terms/interest_rate", "interest_rate_outside_product"),
        ({"installments": 0}, {}, "/terms/installments", "installments_out_of_range"),
        ({"installments": 13}, {"max_installments": 12}, "/terms/installments", "installments_outside_product"),
        ({"frequency": {"every": 0}}, {}, "/terms/frequency/every", "frequency_every_out_of_range"),
        ({"grace_principal": 12}, {"max_installments": 12}, "/terms/grace_principal", "grace_principal_out_of_range"),
        ({"vat_rate": "1.01"}, {}, "/terms/vat_rate", "vat_rate_out_of_range"),
        ({"moratory_rate": 21}, {}, "/terms/moratory_rate", "moratory_rate_out_of_range"),
        ({"opening_fee": {"rate": "1.1"}}, {}, "/terms/opening_fee/rate", "opening_fee_rate_out_of_range"),
        ({"opening_fee": {"rate": "0.1", "flat": 5}}, {}, "/terms/opening_fee", "opening_fee_twice"),
        ({"opening_fee": {"flat": 900}}, {"max_amount": 1000}, "/terms/opening_fee", "opening_fee_takes_all"),
        ({"vat_base": "real"}, {}, "/terms/vat_base", "vat_base_not_offered"),
        ({"waterfall": ["principal"]}, {}, "/terms/waterfall", "waterfall_incomplete"),
        ({"early_days": 367}, {}, "/terms/early_days", "early_days_out_of_range"),
        ({}, {"max_rate": "10.01"}, "/limits/max_rate", "max_rate_out_of_range"),
        ({}, {"min_installments": 0}, "/limits/min_installments", "min_installments_out_of_range"),
        ({}, {"max_installments": 601}, "/limits/max_installments", "max_installments_out_of_range"),
        ({}, {"min_amount": 5, "max_amount": 4}, "/limits/min_amount", "limits_reversed"),
    ],
)
async def test_impossible_terms_are_refused_with_field_and_rule(
    terms: Json, limits: Json, pointer: str, code: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_product(api)
    before = await row_counts(owner)
    body = {"name": "Impossible", "terms": terms, "limits": limits}
    for answer in (
        await api.post(PRODUCTS, json={"code": new_code(), **body}),
        await api.put(f"{PRODUCTS}/{made['code']}", json=body),
    ):
        found = problem(answer, 422, "terms_refused")
        assert [(error["pointer"], error["code"]) for error in found["errors"]] == [(pointer, code)]
        assert found["errors"][0]["detail"].endswith(".")
    assert await row_counts(owner) == before


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"name":"x"}', "/code"),
        ('{"code":"AB"}', "/name"),
        ('{"code":"ab","name":"x"}', "/code"),
        ('{"code":"AB\\n","name":"x\\u0000"}', "/name"),
        ('{"code":"A","name":"x"}', "/code"),
        ('{"code":5,"name":"x"}', "/code"),
        ('{"code":"AB","name":""}', "/name"),
        ('{"code":"AB","name":"  "}', "/name"),
        ('{"code":"AB","name":"x\\u202e"}', "/name"),
        ('{"code":"AB","name":"%s"}' % ("x" * 101), "/name"),
        ('{"code":"AB","name":"x","colour":1}', "/colour"),
        ('{"code":"AB","name":"x","status":"RETIRED"}', "/status"),
        ('{"code":"AB","name":"x","terms":null}', "/terms"),
        ('{"code":"AB","name":"x","terms":{"amount":5}}', "/terms/amount"),
        ('{"code":"AB","name":"x","terms":{"disbursed_on":"2026-01-31"}}', "/terms/disbursed_on"),
        ('{"code":"AB","name":"x","terms":{"first_due_on":"2026-01-31"}}', "/terms/first_due_on"),
        ('{"code":"AB","name":"x","terms":{"term_months":5}}', "/terms/term_months"),
        ('{"code":"AB","name":"x","terms":{"interest_rate":"0.1234567"}}', "/terms/interest_rate"),
        ('{"code":"AB","name":"x","terms":{"interest_rate":1e-7}}', "/terms/interest_rate"),
        ('{"code":"AB","name":"x","terms":{"interest_rate":1e999}}', "/terms/interest_rate"),
        ('{"code":"AB","name":"x","terms":{"interest_rate":1e999999}}', ""),
        ('{"code":"AB","name":"x","terms":{"amortization":null}}', "/terms/amortization"),
        ('{"code":"AB","name":"x","terms":{"day_count":"actual/366"}}', "/terms/day_count"),
        ('{"code":"AB","name":"x","limits":{"min_amount":0}}', "/limits/min_amount"),
        ('{"code":"AB","name":"x","limits":{"min_amount":-1}}', "/limits/min_amount"),
        ('{"code":"AB","name":"x","limits":{"max_rate":"0.1234567"}}', "/limits/max_rate"),
        ('{"code":"AB","name":"x","limits":{"max_installments":"5"}}', "/limits/max_installments"),
        ('{"code":"AB","name":"x","limits":{"most":5}}', "/limits/most"),
        ("[]", ""),
        ("{", ""),
    ],
)
async def test_a_malformed_body_is_refused_with_its_pointer(
    text: str, pointer: str, api: httpx2.AsyncClient, owner: Connection
) -> None:
    before = await row_counts(owner)
    answer = await api.post(PRODUCTS, content=text, headers={"Content-Type": "application/json"})
    assert [error["pointer"] for error in problem(answer, 422)["errors"]] == [pointer]
    assert await row_counts(owner) == before


@pytest.mark.parametrize("role", Role)
async def test_admins_write_officers_and_auditors_read(role: Role, app: FastAPI, api: httpx2.AsyncClient) -> None:
    made = await new_product(api)
    path = f"{PRODUCTS}/{made['code']}"
    reads = [("GET", PRODUCTS, None), ("GET", path, None), ("GET", f"{path}/versions/1", None)]
    writes = [
        ("POST", PRODUCTS, {"code": new_code(), "name": "New"}),
        ("PUT", path, {"name": "New"}),
        ("DELETE", path, None),
    ]
    async with signed_in_as(app, role) as caller:
        for method, where, body in reads:
            status = (await caller.request(method, where, json=body)).status_code
            assert status == (403 if role is Role.CLIENT else 200), where
        for method, where, body in writes:
            status = (await caller.request(method, where, json=body)).status_code
            assert (status < 300) if role is Role.ADMIN else (status == 403), (method, where)


async def test_nobody_without_a_token_reads_or_writes(anonymous: httpx2.AsyncClient) -> None:
    path = f"{PRODUCTS}/STANDARD"
    for method, where, body in (
        ("GET", PRODUCTS, None),
        ("GET", path, None),
        ("GET", f"{path}/versions/1", None),
        ("POST", PRODUCTS, {"code": new_code(), "name": "New"}),
        ("PUT", path, {"name": "New"}),
        ("DELETE", path, None),
    ):
        problem(await anonymous.request(method, where, json=body), 401, "unauthenticated")


async def test_a_change_based_on_an_old_version_is_refused(api: httpx2.AsyncClient) -> None:
    made = await new_product(api)
    path = f"{PRODUCTS}/{made['code']}"
    old = (await api.get(path)).headers["etag"]
    changed = await api.put(path, json={"name": "Second"}, headers={"If-Match": old})
    assert changed.status_code == 200
    for method, body in (("PUT", {"name": "Third"}), ("DELETE", None)):
        answer = await api.request(method, path, json=body, headers={"If-Match": old})
        problem(answer, 412, "precondition_failed")
        assert pointers(await api.request(method, path, json=body, headers={"If-Match": "x"})) == ["header:If-Match"]
    assert (await get(api, path))["name"] == "Second"
    assert (await api.delete(path, headers={"If-Match": changed.headers["etag"]})).status_code == 204


async def test_of_two_changes_of_one_version_one_is_made(api: httpx2.AsyncClient, owner: Connection) -> None:
    made = await new_product(api)
    path = f"{PRODUCTS}/{made['code']}"
    tag = (await api.get(path)).headers["etag"]
    answers = await asyncio.gather(
        *(api.put(path, json={"name": f"Name {number}"}, headers={"If-Match": tag}) for number in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert await get(api, path) == winner.json()
    assert len(await events_of(owner, made["id"])) == 2


@pytest.mark.usefixtures("patience")
async def test_changes_at_the_same_time_are_versions_one_after_the_other(
    api: httpx2.AsyncClient, owner: Connection
) -> None:
    made = await new_product(api)
    path = f"{PRODUCTS}/{made['code']}"
    answers = await asyncio.gather(
        *(api.put(path, json={"name": "Race", "terms": {"late_fee": number}}) for number in range(1, 7))
    )
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6, 7]
    for answer in answers:
        version = await get(api, f"{path}/versions/{answer.json()['version']}")
        assert version["terms"] == answer.json()["terms"]
    assert len(await events_of(owner, made["id"])) == 7


async def test_the_same_request_with_the_same_key_has_one_effect(api: httpx2.AsyncClient, owner: Connection) -> None:
    body, code = {"name": "Once", "terms": {"late_fee": 5}}, new_code()
    created = [
        await api.post(PRODUCTS, json={"code": code, **body}, headers={"Idempotency-Key": f"a-{code}"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in created] == [201, 201]
    assert created[0].content == created[1].content
    path, changed = f"{PRODUCTS}/{code}", {**body, "name": "Twice"}
    replaced = [await api.put(path, json=changed, headers={"Idempotency-Key": f"b-{code}"}) for _ in range(2)]
    assert [answer.json()["version"] for answer in replaced] == [2, 2]
    assert replaced[1].headers["idempotent-replayed"] == "true"
    other = await api.put(path, json=body, headers={"Idempotency-Key": f"b-{code}"})
    assert other.status_code in (409, 422)
    assert len(await events_of(owner, created[0].json()["id"])) == 2


async def test_lists_are_filtered_sorted_and_paged(api: httpx2.AsyncClient) -> None:
    made = [await new_product(api, name=f"List {number // 2}") for number in range(5)]
    await api.delete(f"{PRODUCTS}/{made[3]['code']}")
    mine = {product["code"] for product in made}

    async def crawl(**parameters: Any) -> list[Json]:
        rows: list[Json] = []
        cursor: str | None = None
        while True:
            page = await get(api, PRODUCTS, params={**parameters, **({"cursor": cursor} if cursor else {})})
            rows += [row for row in page["data"] if row["code"] in mine]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows

    for sort in ("created_at", "code", "name"):
        forward = await crawl(sort=sort, limit=2)
        backward = await crawl(sort=f"-{sort}", limit=2)
        assert {row["code"] for row in forward} == mine
        assert [row["code"] for row in backward] == [row["code"] for row in forward][::-1]
        assert [row[sort] for row in forward] == sorted(row[sort] for row in forward)
    assert [row["code"] for row in await crawl(status="RETIRED", limit=100)] == [made[3]["code"]]
    active = await crawl(status="ACTIVE", limit=100)
    assert active == [await get(api, f"{PRODUCTS}/{product['code']}") for product in made if product != made[3]]
    assert pointers(await api.get(PRODUCTS, params={"status": "GONE"})) == ["query:status"]
    assert pointers(await api.get(PRODUCTS, params={"sort": "version"})) == ["query:sort"]
    assert pointers(await api.get(PRODUCTS, params={"limit": 0})) == ["query:limit"]


async def test_a_preview_takes_from_its_product_what_it_does_not_say(api: httpx2.AsyncClient) -> None:
    terms = {
        "interest_rate": "0.24", "installments": 6, "frequency": {"unit": "week"}, "late_fee": "50.00",
        "opening_fee": {"flat": "200.00"}, "vat_rate": "0.08",
    }  # fmt: skip
    product = (await new_product(api, terms=terms))["code"]

    async def preview(**body: Any) -> Json:
        answer = await api.post(PREVIEW, json={"amount": "10000.00", "disbursed_on": "2026-01-31", **body})
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    assert await preview(product=product) == await preview(**terms)
    own: Json = {"interest_rate": "0.30", "frequency": {"unit": "month"}, "opening_fee": {"rate": "0.01"}}
    assert await preview(product=product, **own) == await preview(**{**terms, **own})
    assert await preview(product=product, term_months=4, frequency={"unit": "month"}) == await preview(
        **{**terms, "installments": 4, "frequency": {"unit": "month"}}
    )
    assert await preview(product=product, interest_rate=None, installments=None) == await preview(**terms)
    assert await preview(product="STANDARD", **terms) == await preview(**terms)
    assert await preview(product=None, **terms) == await preview(**terms)
    # One's own change is seen at once.
    await api.put(f"{PRODUCTS}/{product}", json={"name": "New", "terms": {**terms, "installments": 7}})
    assert len((await preview(product=product))["installments"]) == 7


@pytest.mark.parametrize(
    ("asked", "pointer", "code"),
    [
        ({"amount": "999.99"}, "/amount", "amount_outside_product"),
        ({"amount": "20000.01"}, "/amount", "amount_outside_product"),
        ({"interest_rate": "0.41"}, "/interest_rate", "interest_rate_outside_product"),
        ({"installments": 25}, "/installments", "installments_outside_product"),
        ({"installments": None, "term_months": 25}, "/installments", "installments_outside_product"),
        ({"interest_rate": None}, "/interest_rate", "missing"),
        ({"installments": None}, "/installments", "missing"),
    ],
)
async def test_a_preview_keeps_the_limits_of_its_product(
    asked: Json, pointer: str, code: str, api: httpx2.AsyncClient
) -> None:
    limits = {"min_amount": 1000, "max_amount": 20000, "max_rate": "0.4", "max_installments": 24}
    product = (await new_product(api, limits=limits))["code"]
    assert (await api.post(PREVIEW, json={**ASKED, "product": product})).status_code == 200
    answer = await api.post(PREVIEW, json={**ASKED, "product": product, **asked})
    found = problem(answer, 422, "terms_refused")
    assert [(error["pointer"], error["code"]) for error in found["errors"]] == [(pointer, code)]


async def test_only_a_product_s_terms_are_described_with_defaults(anonymous: httpx2.AsyncClient) -> None:
    schemas = (await get(anonymous, "/openapi.json"))["components"]["schemas"]
    assert schemas["ProductTermsIn"]["properties"]["early_days"]["default"] == 10
    by_themselves, of_product = (form["properties"] for form in schemas["PreviewIn"]["anyOf"])
    assert by_themselves["early_days"]["default"] == 10
    assert "product" not in by_themselves
    for name in schemas["ProductTermsIn"]["properties"]:
        assert "default" not in of_product[name], "sent, it would overrule the product"
        for model in ("LoanIn", "LoanPatch", "RestructureIn"):
            assert "default" not in schemas[model]["properties"][name], "sent, it would overrule what is agreed"


async def test_a_preview_without_a_product_says_its_rate(api: httpx2.AsyncClient) -> None:
    answer = await api.post(PREVIEW, json={"amount": 5})
    found = problem(answer, 422, "terms_refused")
    assert [error["pointer"] for error in found["errors"]] == ["/interest_rate", "/installments"]


async def test_a_preview_of_a_product_that_lends_nothing_is_refused(api: httpx2.AsyncClient) -> None:
    refused = await api.post(PREVIEW, json={**ASKED, "product": "NOWHERE"})
    problem(refused, 404, "product_not_found")
    assert pointers(refused) == ["/product"]
    retired = (await new_product(api))["code"]
    await api.delete(f"{PRODUCTS}/{retired}")
    problem(await api.post(PREVIEW, json={**ASKED, "product": retired}), 409, "product_retired")
    assert pointers(await api.post(PREVIEW, json={**ASKED, "product": "nowhere"})) == ["/product"]


@pytest.mark.parametrize("role", Role)
async def test_everybody_with_a_token_may_ask_for_a_preview_of_a_product(
    role: Role, app: FastAPI, api: httpx2.AsyncClient
) -> None:
    product = (await new_product(api))["code"]
    async with signed_in_as(app, role) as caller:
        assert (await caller.post(PREVIEW, json={**ASKED, "product": product})).status_code == 200


async def test_a_new_loan_gets_the_newest_terms_of_a_product_that_lends(
    api: httpx2.AsyncClient, app_role: Connection
) -> None:
    made = await new_product(api, terms={"late_fee": "100.00"})
    code = made["code"]
    body = {"name": "Second", "terms": {"late_fee": "200.00", "installments": 9}, "limits": {"min_amount": 100}}
    second = (await api.put(f"{PRODUCTS}/{code}", json=body)).json()
    expected = Product(code, 2, product_values(second["terms"]), Limits.of(second["limits"]))
    assert await service.for_new_loan(app_role, code) == expected
    assert expected.values["installments"] == 9
    assert "interest_rate" not in expected.values
    with pytest.raises(service.ProductUnknown):
        await service.for_new_loan(app_role, "NOWHERE")
    await api.delete(f"{PRODUCTS}/{code}")
    with pytest.raises(service.ProductRetired):
        await service.for_new_loan(app_role, code)


async def test_the_database_takes_no_code_name_or_status_that_cannot_be_one(owner: Connection) -> None:
    for column, value in (("code", "nope"), ("code", "P\n"), ("name", ""), ("status", "GONE"), ("version", 0)):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(f"UPDATE loan_products SET {column} = $1 WHERE code = 'STANDARD'", value)
