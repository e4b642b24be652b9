"""The account statement as an answer for people: a page or a PDF."""

import asyncio
from datetime import date
from enum import StrEnum
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from backend_api.auth.dependencies import reader_of
from backend_api.auth.principal import Principal
from backend_api.clients import views
from backend_api.clients.statement.document import Lender
from backend_api.clients.statement.gather import document
from backend_api.clients.statement.page import CONTENT_SECURITY_POLICY, html
from backend_api.clients.statement.printing import Printer
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of

PRINTER = Printer()


class StatementForm(StrEnum):
    """In what form an account statement is answered."""

    JSON = "json"
    HTML = "html"
    PDF = "pdf"

    @property
    def media_type(self) -> str:
        """Its name in `Accept`."""
        return f"text/{self}" if self is StatementForm.HTML else f"application/{self}"


async def printed(
    request: Request, principal: Principal, client_id: UUID, period: tuple[date, date], form: StatementForm
) -> Response:
    """The statement of a period as page or PDF. Raises `NotFound`, `StatementTooLong`, `PrintingFailed`."""
    resources = resources_of(request)
    rows = await resources.reads.find(
        reader_of(request, principal), lambda connection: views.statement_rows(connection, client_id, *period)
    )
    if rows is None:
        raise NotFound
    made = await asyncio.to_thread(document, rows, *period, Lender.of(resources.settings))
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
    if form is StatementForm.HTML:
        page = await asyncio.to_thread(html, made)
        return Response(page, 200, headers | {"Content-Security-Policy": CONTENT_SECURITY_POLICY}, "text/html")
    name = f"estado-de-cuenta-{period[0]}-{period[1]}.pdf"
    headers |= {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(await PRINTER.pdf(made), 200, headers, "application/pdf")
