"""Imports: a table of contents."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of, require
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.products import STANDARD
from backend_api.http import examples, write
from backend_api.http.lists import Paged
from backend_api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, Sort
from backend_api.http.problems import FieldRefused, NotFound
from backend_api.http.resources import resources_of
from backend_api.http.sheets import SheetFormat, download
from backend_api.http.signing import SignatureInvalidError
from backend_api.http.strict import StrictRoute, Text
from backend_api.http.views import answer_model
from backend_api.imports import queries, results, service, upload
from backend_api.imports.files import Format
from backend_api.imports.schemas import (
    IMPORT_EXAMPLE,
    LINE_EXAMPLE,
    UNFINISHED,
    Asked,
    ImportIn,
    ImportOut,
    ImportStatus,
    LineOut,
    Mode,
    import_out,
)
from backend_api.models import imports
from backend_api.products.terms import ProductCode, StoredRate

router = APIRouter(prefix="/api/v1/imports", tags=["Imports"], route_class=StrictRoute)

CanRead = Annotated[Principal, Depends(require(Permission.IMPORTS_READ))]
CanWrite = Annotated[Principal, Depends(require(Permission.IMPORTS_WRITE))]
SORTS = {"created_at": Sort(imports.c.id, UUID)}
LOOK_AGAIN_SECONDS = "2"
WAITING_EXAMPLE = {
    **IMPORT_EXAMPLE,
    "status": "WAITING",
    **dict.fromkeys(("lines_done", "accepted", "duplicates", "refused"), 0),
    "started_at": None,
    "finished_at": None,
}
FILE = {"schema": {"type": "string", "format": "binary"}, "example": "full_name,email,rfc…"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                },
                "example": {"file": "full_name,email,rfc…"},
            },
            **dict.fromkeys(upload.MEDIA_TYPES, FILE),
            "application/octet-stream": FILE,
        },
    }
}
RESULT: examples.Responses = {
    200: {
        "description": "The table, as it is read.",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "line,outcome,client_id,loan_id,problems,full_name…"},
            SheetFormat.XLSX.media_type: {"schema": {"type": "string", "format": "binary"}, "example": "PK…"},
        },
    }
}


@router.post(
    "/clients",
    status_code=202,
    response_model=ImportOut,
    responses=examples.answer(202, WAITING_EXAMPLE)
    | {200: {"model": ImportOut, "description": "The import of the same file."}}
    | examples.refusals(upload.FileTooLarge(), upload.FormatUnknown(), service.FileTaken()),
    operation_id="importClients",
    summary="Import clients from a file",
    openapi_extra=BODY,
)
async def import_clients(
    request: Request,
    principal: CanWrite,
    form: Annotated[
        Format | None, Query(alias="format", description="What the media type or the file's name says by default.")
    ] = None,
    mode: Annotated[
        Mode, Query(description="Whether lines that are good are taken while others are not.")
    ] = Mode.ACCEPT_GOOD,
    dry_run: Annotated[bool, Query(description="Only tell what would happen.")] = False,
    file_name: Annotated[Text | None, Query(min_length=1, max_length=200)] = None,
    product: Annotated[ProductCode, Query(description="Of opening balances whose line names none.")] = STANDARD,
    interest_rate: Annotated[StoredRate | None, Query(description="The same for their yearly rate.")] = None,
    term_months: Annotated[int | None, Query(ge=1, le=600, description="The same for their term.")] = None,
) -> Response:
    """The file itself as the body, or as the field `file` of a form; at most 64 MiB and 200,000 clients.

    `txt` is `external_id` and `score` on each line. `csv` and `xlsx` name their columns in the first line; those of a
    client, and `opening_balance`, `product`, `interest_rate`, `term_months`, `loan_external_id` of a loan for it. A
    line whose RFC or external id a client has is reported as `duplicate`, and the client stays as it is. The worker
    does it; see `GET /api/v1/imports/{id}`.
    """
    resources = resources_of(request)
    async with upload.sent(request) as sent:
        options = ImportIn(
            format=sent.format(form),
            mode=mode,
            dry_run=dry_run,
            file_name=file_name or upload.plain_name(sent.name),
            product=product,
            interest_rate=interest_rate,
            term_months=term_months,
        )
        received = await upload.receive(resources, sent.parts, options.format)
    asked = Asked(sha256=received.digest.hex(), options=options)
    use_case = service.request_import(received, options)
    async with upload.forgotten_unless_asked(resources, received):
        return await write.run(request, principal.actor, use_case, body=asked, conflicts=service.CONFLICTS)


@router.get("", response_model=Page[ImportOut], operation_id="listImports", summary="List imports")
async def list_imports(
    request: Request, principal: CanRead, page: Paged, status: Annotated[ImportStatus | None, Query()] = None
) -> Response:
    """Imports, the latest first unless `sort` says otherwise."""
    paging = page.of("imports", principal, imports.c.id, SORTS, {"status": status}, default="-created_at")
    conditions = [imports.c.status == status.value] if status else []
    rows = await resources_of(request).reads.on_primary(lambda connection: queries.page(connection, paging, conditions))
    return answer_model(request, paging.page(rows, lambda row: import_out(row._mapping)))  # noqa: SLF001 - SQLAlchemy's name for a row as a mapping


@router.get("/{import_id}", response_model=ImportOut, operation_id="getImport", summary="How far an import is")
async def get_import(request: Request, import_id: UUID, principal: CanRead) -> Response:
    """Counts up to now; `Retry-After` says when to look again, until it has ended."""
    row = await _import(request, import_id)
    response = answer_model(request, import_out(row))
    if row["status"] in UNFINISHED:
        response.headers["Retry-After"] = LOOK_AGAIN_SECONDS
    return response


@router.get(
    "/{import_id}/errors",
    response_model=Page[LineOut],
    responses=examples.answer(200, {"data": [LINE_EXAMPLE], "next_cursor": None, "has_more": False}),
    operation_id="listImportErrors",
    summary="Lines that were not taken",
)
async def list_import_errors(
    request: Request, import_id: UUID, principal: CanRead, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """By their number in the file, with the reasons and what stood in them."""
    resources = resources_of(request)
    await _import(request, import_id)
    audience = f"import-errors {principal.actor} {import_id}"
    after = 0
    if cursor is not None:
        try:
            after = int(resources.cursor_signer.verify(cursor, audience))
        except (SignatureInvalidError, ValueError) as error:
            raise FieldRefused("query:cursor", "cursor_invalid", "This cursor was not issued for this list.") from error
    rows = await resources.reads.on_primary(
        lambda connection: queries.not_taken(connection, import_id, after, limit + 1)
    )
    shown, has_more = rows[:limit], len(rows) > limit
    next_cursor = resources.cursor_signer.sign(str(shown[-1]["line"]).encode(), audience) if has_more else None
    data = [LineOut.model_validate(dict(row)) for row in shown]
    return answer_model(request, Page[LineOut](data=data, next_cursor=next_cursor, has_more=has_more))


@router.get(
    "/{import_id}/result",
    response_class=Response,
    responses=RESULT | examples.refusals(service.ImportRunning()),
    operation_id="downloadImportResult",
    summary="What became of each line, as a file",
)
async def download_import_result(
    request: Request,
    import_id: UUID,
    principal: CanRead,
    form: Annotated[SheetFormat, Query(alias="format")] = SheetFormat.CSV,
) -> Response:
    """Every line with its outcome, its client or the reasons, and what stood in it: to be mended and sent again.

    After a dry run, and when nothing was written, only the lines that cannot be taken.
    """
    row = await _import(request, import_id)
    if row["status"] in UNFINISHED:
        raise service.ImportRunning(import_status=row["status"])
    written = Format(row["format"])
    lines = results.rows(resources_of(request).reads, reader_of(request, principal), import_id, written)
    return download(f"import-{import_id}", form, results.columns(written), lines)


@router.post(
    "/{import_id}/cancel",
    response_model=ImportOut,
    responses=examples.answer(200, {**IMPORT_EXAMPLE, "status": "CANCELLED"})
    | examples.refusals(service.ImportEnded()),
    operation_id="cancelImport",
    summary="Stop an import",
)
async def cancel_import(request: Request, import_id: UUID, principal: CanWrite) -> Response:
    """Nothing more is written; what was written by then stands."""
    use_case = service.end_import(import_id, ImportStatus.CANCELLED)
    return await write.run(request, principal.actor, use_case, turn=import_id)


async def _import(request: Request, import_id: UUID) -> Any:
    """On the primary: it is asked for to see how it goes on."""
    row = await resources_of(request).reads.on_primary(lambda connection: queries.one(connection, import_id))
    if row is None:
        raise NotFound
    return row
