"""Use cases of products. Each: read, refuse, decide; the writing is done by `http.write`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from backend_api.db.conditional_write import Insert
from backend_api.db.pools import Connection
from backend_api.db.uuid7 import uuid7
from backend_api.domain.errors import DomainError
from backend_api.domain.products import STANDARD, Limits, Product, ProductStatus, check_product
from backend_api.domain.term_sheet import product_sheet, product_values
from backend_api.domain.terms import TermsRefused
from backend_api.http import etag
from backend_api.http.idempotency import Answer
from backend_api.http.problems import FieldError, NotFound
from backend_api.http.write import Aggregate, Change, UseCase
from backend_api.models import loan_product_versions, loan_products
from backend_api.outbox.envelope import GENESIS
from backend_api.outbox.record import Origin
from backend_api.products import events, queries
from backend_api.products.schemas import ProductChangeIn, ProductIn, ProductOut
from backend_api.products.terms import TermsImpossible
from backend_api.reads import Reader, Reads

VIEW = "product"
STAFF = "staff"


class DuplicateCode(DomainError):
    """Another product, maybe a retired one, has this code."""

    code = "duplicate_code"
    status = 409
    message = "Another product has this code."

    def __init__(self) -> None:
        super().__init__(field="code")
        self.errors = [FieldError(pointer="/code", code="duplicate", detail=self.message)]


class StandardNotRetirable(DomainError):
    """Loans that name no product are of this one."""

    code = "standard_not_retirable"
    status = 409
    message = "STANDARD cannot be retired: a loan that names no product is of this one."


class ProductRetired(DomainError):
    """A retired product takes no new loans and no changes."""

    code = "product_retired"
    status = 409
    message = "The product is retired: it takes no new loans and no changes."


class ProductUnknown(DomainError):
    """A loan names a product that there is not."""

    code = "product_not_found"
    status = 404
    message = "There is no such product."

    def __init__(self) -> None:
        super().__init__()
        self.errors = [FieldError(pointer="/product", code=self.code, detail=self.message)]


CONFLICTS: Mapping[str, Callable[[], DomainError]] = {"loan_products_code_key": DuplicateCode}


async def for_new_loan(connection: Connection, code: str) -> Product:
    """The product as a new loan copies it, read on the primary. Raises `ProductUnknown`, `ProductRetired`."""
    return _lendable(await queries.current(connection, code))


async def for_preview(reads: Reads, reader: Reader, code: str) -> Product:
    """The same for a reader, who sees their own changes. Raises what `for_new_loan` does."""
    return _lendable(await reads.find(reader, lambda connection: queries.product(connection, code)))


def create_product(body: ProductIn) -> UseCase:
    """A new product. Raises `TermsImpossible`, `DuplicateCode`."""

    async def use_case(connection: Connection, origin: Origin) -> Change:
        terms, limits = _checked(body)
        taken = await queries.taken(connection, body.code)
        if taken["taken"]:
            raise DuplicateCode
        values: dict[str, Any] = {
            "code": body.code,
            "name": body.name,
            "status": ProductStatus.ACTIVE.value,
            "version": 1,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        row = {**values, "id": uuid7(origin.at), "terms": terms, "limits": limits}
        given = {"name", *body.terms.said(), *(name for name, value in limits.items() if value is not None)}
        return Change(
            aggregate=Aggregate("product", loan_products, row["id"], 0, GENESIS),
            business_date=taken["today"],
            values=values,
            inserts=[_version(row, origin)],
            facts=[events.product_created(row["id"], body.code, given)],
            answer=_answer(201, row, 1, taken["today"], location=True),
        )

    return use_case


def replace_product(code: str, body: ProductChangeIn, if_match: str | None) -> UseCase:
    """A new version of name, terms and limits. Raises `NotFound`, `PreconditionFailed`, `ProductRetired`,
    `TermsImpossible`."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await _for_change(connection, code, if_match)
        if row["status"] == ProductStatus.RETIRED:
            raise ProductRetired
        terms, limits = _checked(body)
        changed = [
            *(["name"] if body.name != row["name"] else []),
            *_differing(product_values(row["terms"]), product_values(terms)),
            *_differing(_limit_values(row["limits"]), _limit_values(limits)),
        ]
        if not changed:
            return _answer(200, row, row["event_sequence"], row["today"])
        version = row["version"] + 1
        values = {"name": body.name, "version": version, "updated_at": origin.at}
        row |= {**values, "terms": terms, "limits": limits}
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            values=values,
            inserts=[_version(row, origin)],
            facts=[events.product_updated(row["id"], code, version, changed)],
            answer=_answer(200, row, row["event_sequence"] + 1, row["today"]),
        )

    return use_case


def retire_product(code: str, if_match: str | None) -> UseCase:
    """No new loans; a second time changes nothing. Raises `NotFound`, `PreconditionFailed`, `StandardNotRetirable`."""

    async def use_case(connection: Connection, origin: Origin) -> Change | Answer:
        row = await _for_change(connection, code, if_match)
        if code == STANDARD:
            raise StandardNotRetirable
        if row["status"] == ProductStatus.RETIRED:
            return Answer(204, b"", {})
        return Change(
            aggregate=_aggregate(row),
            business_date=row["today"],
            values={"status": ProductStatus.RETIRED.value, "updated_at": origin.at},
            facts=[events.product_retired(row["id"], code, row["version"])],
            answer=Answer(204, b"", {}),
        )

    return use_case


def _lendable(row: Mapping[str, Any] | None) -> Product:
    if row is None:
        raise ProductUnknown
    if row["status"] == ProductStatus.RETIRED:
        raise ProductRetired
    return Product(row["code"], row["version"], product_values(row["terms"]), Limits.of(row["limits"]))


async def _for_change(connection: Connection, code: str, if_match: str | None) -> dict[str, Any]:
    row = await queries.current(connection, code)
    if row is None:
        raise NotFound
    etag.check_if_match(if_match, row["version"])
    return row


def _checked(body: ProductChangeIn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Terms and limits as they are stored. Raises `TermsImpossible`."""
    values, limits = body.terms.said(), body.limits.limits()
    try:
        limits.check_themselves()
    except TermsRefused as refused:
        raise TermsImpossible(refused, "/limits") from refused
    try:
        check_product(values, limits)
    except TermsRefused as refused:
        raise TermsImpossible(refused, "/terms") from refused
    return product_sheet(values), limits.sheet()


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of what is not the same; 0.10 and 0.1 are."""
    return [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]


def _limit_values(sheet: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(Limits.of(sheet))


def _version(row: Mapping[str, Any], origin: Origin) -> Insert:
    version = {
        "product_id": row["id"],
        "version": row["version"],
        "terms": orjson.dumps(row["terms"]).decode(),
        "limits": orjson.dumps(row["limits"]).decode(),
        "created_at": origin.at,
    }
    return Insert(loan_product_versions, [version])


def _aggregate(row: Mapping[str, Any]) -> Aggregate:
    return Aggregate("product", loan_products, row["id"], row["event_sequence"], row["chain_head"])


def _answer(status: int, row: Mapping[str, Any], sequence: int, today: Any, *, location: bool = False) -> Answer:
    product = ProductOut.model_validate({name: row[name] for name in ProductOut.model_fields})
    headers = {"ETag": etag.make(product.version, sequence, today, VIEW, STAFF)}
    if location:
        headers["Location"] = f"/api/v1/loan-products/{product.code}"
    return Answer(status, product.model_dump_json().encode(), headers)
