"""Facts about products: their codes, and names of fields, never what stands in them."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from backend_api.domain.products import ProductStatus
from backend_api.outbox.record import Fact


def product_created(product_id: UUID, code: str, fields: Iterable[str]) -> Fact:
    """Loans may be made of a new product; `fields` are those that were given."""
    payload = _payload(product_id, code, 1, ProductStatus.ACTIVE)
    return Fact("product_created", product_id, {**payload, "fields": sorted(fields)})


def product_updated(product_id: UUID, code: str, version: int, changed: Iterable[str]) -> Fact:
    """The product has a new version; loans that copied an older one keep it."""
    payload = _payload(product_id, code, version, ProductStatus.ACTIVE)
    return Fact("product_updated", product_id, {**payload, "changed": sorted(changed)})


def product_retired(product_id: UUID, code: str, version: int) -> Fact:
    """No new loan is made of the product."""
    payload = _payload(product_id, code, version, ProductStatus.RETIRED)
    return Fact("product_retired", product_id, {**payload, "changed": ["status"]})


def _payload(product_id: UUID, code: str, version: int, status: ProductStatus) -> dict[str, Any]:
    return {"product_id": str(product_id), "code": code, "version": version, "status": status.value}
