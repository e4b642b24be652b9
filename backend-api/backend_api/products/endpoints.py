"""Loan products: a table of contents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.products import ProductStatus
from backend_api.domain.terms import Refusal, TermsRefused
from backend_api.http import etag, examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import Page, Sort
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute
from backend_api.http.views import answer_model
from backend_api.models import loan_products
from backend_api.products import queries, service
from backend_api.products.schemas import PRODUCT_EXAMPLE, ProductChangeIn, ProductIn, ProductOut, ProductVersionOut
from backend_api.products.terms import CODE, TermsImpossible

router = APIRouter(prefix="/api/v1/loan-products", tags=["Products"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.PRODUCTS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.PRODUCTS_WRITE))]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]
Code = Annotated[str, Path(pattern=CODE, examples=["PAYROLL"])]
SORTS = {
    "created_at": Sort(loan_products.c.id, UUID),
    "code": Sort(loan_products.c.code),
    "name": Sort(loan_products.c.name),
}
MAX_VERSION = 2**31 - 1
"""What its column holds."""
REVERSED = Refusal("min_amount", "limits_reversed", "The least is not more than the most.")
IMPOSSIBLE = TermsImpossible(TermsRefused(REVERSED), "/limits")


@router.post(
    "",
    status_code=201,
    response_model=ProductOut,
    responses=examples.refusals(service.DuplicateCode(), IMPOSSIBLE),
    operation_id="createProduct",
    summary="Create a loan product",
)
async def create_product(request: Request, body: ProductIn, principal: CanWrite) -> Response:
    """Terms under a code. A loan of the product copies them; what the loan says itself goes first."""
    use_case = service.create_product(body)
    return await write.run(request, principal.actor, use_case, body=body, conflicts=service.CONFLICTS)


@router.get("", response_model=Page[ProductOut], operation_id="listProducts", summary="List loan products")
async def list_products(
    request: Request,
    principal: CanRead,
    page: Paged,
    status: Annotated[ProductStatus | None, Query()] = None,
) -> Response:
    """Products with their newest terms, oldest first. Sort by `created_at`, `code` or `name`."""
    paging = page.of("products", principal, loan_products.c.id, SORTS, {"status": status})
    conditions = [loan_products.c.status == status.value] if status else []
    rows = await resources_of(request).reads.query(
        reader_of(request, principal), lambda connection: queries.page(connection, paging, conditions)
    )
    return answer_model(request, paging.page(rows, lambda row: ProductOut.model_validate(row, from_attributes=True)))


@router.get("/{code}", response_model=ProductOut, operation_id="getProduct", summary="A loan product")
async def get_product(request: Request, code: Code, principal: CanRead) -> Response:
    """One product with its newest terms."""
    reads = resources_of(request).reads
    row = await reads.find(reader_of(request, principal), lambda connection: queries.product(connection, code))
    if row is None:
        raise NotFound
    tag = etag.make(row["version"], row["event_sequence"], await reads.business_date(), service.VIEW, service.STAFF)
    return answer_model(request, ProductOut.model_validate(dict(row)), tag)


@router.get(
    "/{code}/versions/{version}",
    response_model=ProductVersionOut,
    operation_id="getProductVersion",
    summary="A version of a product's terms",
)
async def get_product_version(
    request: Request, code: Code, version: Annotated[int, Path(ge=1, le=MAX_VERSION)], principal: CanRead
) -> Response:
    """Terms and limits as they were, and are for loans that copied them."""
    row = await resources_of(request).reads.find(
        reader_of(request, principal), lambda connection: queries.version(connection, code, version)
    )
    if row is None:
        raise NotFound
    return answer_model(request, ProductVersionOut.model_validate(row, from_attributes=True))


@router.put(
    "/{code}",
    response_model=ProductOut,
    responses=examples.answer(200, {**PRODUCT_EXAMPLE, "version": 2})
    | examples.refusals(service.ProductRetired(), IMPOSSIBLE),
    operation_id="replaceProduct",
    summary="Make a new version of a product",
)
async def replace_product(
    request: Request, code: Code, body: ProductChangeIn, principal: CanWrite, if_match: IfMatch = None
) -> Response:
    """Name, terms and limits anew. Loans that are there keep theirs, and the old versions stay readable."""
    return await write.run(request, principal.actor, service.replace_product(code, body, if_match), body=body)


@router.delete(
    "/{code}",
    status_code=204,
    responses=examples.refusals(service.StandardNotRetirable()),
    operation_id="retireProduct",
    summary="Retire a product",
)
async def retire_product(request: Request, code: Code, principal: CanWrite, if_match: IfMatch = None) -> Response:
    """No new loans. The product stays readable, and loans that are there keep their terms."""
    return await write.run(request, principal.actor, service.retire_product(code, if_match))
