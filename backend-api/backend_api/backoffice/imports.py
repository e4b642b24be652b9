"""Imports: send a file, see what became of each line, mend it and send it again."""

import secrets
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from backend_api.backoffice.api import Answer, Api, Refused
from backend_api.backoffice.loans import products
from backend_api.backoffice.pages import (
    ONCE,
    SHOWN_AGAIN,
    About,
    Declared,
    DetailPage,
    Entry,
    Field,
    FilePage,
    FormPage,
    Input,
    Link,
    ListPage,
    Parts,
    Section,
    Staff,
)
from backend_api.backoffice.show import Column, Kind, Row
from backend_api.backoffice.words import IMPORTS, MODES, OUTCOMES, WORDS
from backend_api.imports.schemas import UNFINISHED
from backend_api.imports.upload import CHUNK_BYTES, FormatUnknown
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import space_of
from backend_api.pages.words import COMMON

router = APIRouter()

ONE = "/importaciones/{id}"
BACK = "/importaciones/{import_id}"
FORMATS = {"txt", "csv", "xlsx"}
STATE = Column("Situación", "status", Kind.STATE, IMPORTS)
DEPTHS = {"true": "Solo revisar, sin guardar nada", "false": "Revisar y guardar"}
FIELDS = (
    Field("mode", "Si hay líneas con errores", Entry.CHOICE, MODES, required=True, value="accept_good"),
    Field("dry_run", "Qué se hace", Entry.CHOICE, DEPTHS, required=True, value="true"),
    Field("product", "Producto de los saldos iniciales", Entry.CHOICE, value="STANDARD", required=True),
    Field("interest_rate", "Tasa anual de los saldos iniciales (%)", Entry.PERCENT, hint="Si su línea no dice otra."),
    Field("term_months", "Plazo en meses de los saldos iniciales", Entry.NUMBER, hint="Si su línea no dice otro."),
)


@router.get("/importaciones/nueva", operation_id="officeImportNew")
async def show_upload(request: Request, principal: Staff) -> Response:
    """The form that takes a file."""
    api = Api(request, principal)
    api.check("importClients")
    return await _form(api, {one.name: one.value for one in FIELDS})


@router.post("/importaciones/nueva", operation_id="officeImportSend")
async def send_upload(request: Request, principal: Staff) -> Response:
    """The file goes to the API part by part; the worker does the rest."""
    api = Api(request, principal)
    api.check("importClients")
    form = await door.fields_of(request)
    try:
        answer = await _upload(api, form, (await request.form()).get("file"))
    except (Refused, FormatUnknown) as refusal:
        if refusal.status not in SHOWN_AGAIN:
            raise
        return await _form(api, form, refusal)
    return see_other(space_of(request).base + ONE.format_map(answer.data), aviso="recibido")


async def _upload(api: Api, form: door.Fields, file: UploadFile | str | None) -> Answer:
    """Raises `FormatUnknown`, `Refused`."""
    name = (file.filename if isinstance(file, UploadFile) else None) or ""
    ending = name.rpartition(".")[2].lower()
    if not isinstance(file, UploadFile) or ending not in FORMATS:
        raise FormatUnknown
    query = {one.name: one.read(form) for one in FIELDS} | {"file_name": name[-200:], "format": ending}
    return await api.upload("importClients", query, form.get(ONCE, ""), _parts(file), file.size or 0)


async def _form(api: Api, values: door.Fields, refusal: Refused | FormatUnknown | None = None) -> Response:
    words, options = space_of(api.request).words, await products(api)
    wrong = {
        error.pointer.removeprefix("query:"): words.of_code(error.code) for error in getattr(refusal, "errors", [])
    }
    inputs = [
        Input(one, values.get(one.name, ""), {}, options if one.name == "product" else one.options, wrong.get(one.name))
        for one in FIELDS
    ]
    return page(
        api.request,
        "upload.html",
        refusal.status if refusal else 200,
        inputs=inputs,
        once=secrets.token_urlsafe(18),
        back=f"{space_of(api.request).base}/importaciones",
        problem=words.of_refusal(refusal) if refusal else None,
    )


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(CHUNK_BYTES):
        yield part


async def named(api: Api, parts: Parts) -> About:
    """Which import it is about."""
    found = (await api.call("getImport", parts)).data
    return About([("Archivo", found["file_name"] or "–"), ("Líneas revisadas", f"{found['lines_done']:,}")])


def is_going_on(found: Row) -> bool:
    """Whether the worker is still at it."""
    return found["status"] in UNFINISHED


def _has_ended(found: Row) -> bool:
    return not is_going_on(found)


def _advice(_: Api, found: Row) -> str | None:
    """What to do next."""
    if is_going_on(found):
        return None
    if found["problem"]:
        return f"El archivo no se pudo leer en la línea {found['problem']['line']}: {found['problem']['detail']}"
    if found["dry_run"]:
        return (
            "Fue solo una revisión: no se guardó nada. Cuando esté bien, importe el archivo otra vez y elija guardar."
        )
    if found["status"] == "REFUSED":
        return "No se guardó nada, porque pidió todas las líneas o ninguna. Corrija el archivo e impórtelo de nuevo."
    if found["refused"]:
        return "Descargue el resultado, corrija ahí las líneas rechazadas e importe ese archivo de nuevo."
    return None


CANCEL = FormPage(
    path="/importaciones/{import_id}/detener",
    title="Detener importación",
    operation="cancelImport",
    button="Detener importación",
    leads_to=BACK,
    notice="detenido",
    note="Ya no se guarda nada más. Lo que ya se guardó, queda.",
    about=named,
    bodiless=True,
    offered=is_going_on,
    danger=True,
)
RESULTS = tuple(
    FilePage(
        f"/importaciones/{{import_id}}/resultado.{form}", f"Resultado ({form.upper()})", "downloadImportResult",
        {"format": form}, offered=_has_ended,
    )
    for form in ("csv", "xlsx")
)  # fmt: skip


LIST = ListPage(
    path="/importaciones",
    title="Importaciones",
    operation="listImports",
    columns=(
        Column("Archivo", "file_name"),
        Column("Revisadas", "lines_done", Kind.NUMBER, minor=True),
        Column("Aceptadas", "accepted", Kind.NUMBER),
        Column("Rechazadas", "refused", Kind.NUMBER),
        Column("Cuándo", "created_at", Kind.MOMENT, minor=True),
        STATE,
    ),
    leads_to=ONE,
    filters=(Field("status", "Situación", Entry.CHOICE, IMPORTS),),
    new=(Link("/importaciones/nueva", "Importar archivo", "importClients"),),
    empty="No se ha importado nada.",
)
DETAIL = DetailPage(
    path=BACK,
    title=lambda found: found["file_name"] or "Importación",
    operation="getImport",
    state=STATE,
    facts=(
        Column("Modo", lambda found: "Solo revisión" if found["dry_run"] else MODES[found["mode"]]),
        Column("Líneas revisadas", "lines_done", Kind.NUMBER),
        Column("Líneas del archivo (estimadas)", "lines_expected", Kind.NUMBER),
        Column("Aceptadas", "accepted", Kind.NUMBER),
        Column("Ya existían", "duplicates", Kind.NUMBER),
        Column("Rechazadas", "refused", Kind.NUMBER),
        Column("Créditos por saldo inicial", "loans", Kind.NUMBER),
        Column("Recibida", "created_at", Kind.MOMENT),
        Column("Terminada", "finished_at", Kind.MOMENT),
    ),
    sections=(
        Section(
            "Líneas que no se tomaron",
            (
                Column("Línea", "line"),
                Column("Qué pasó", "outcome", Kind.STATE, OUTCOMES),
                Column("Motivo", lambda line: _reasons(line)),
                Column("Decía", lambda line: _said(line), minor=True),
            ),
            "listImportErrors",
            {"limit": "50"},
            empty="Ninguna.",
        ),
    ),
    actions=(CANCEL,),
    files=RESULTS,
    live=is_going_on,
    remark=_advice,
)


def _reasons(line: Row) -> str:
    """In words where there are, with the column they are about."""
    return " ".join(
        f"{problem['column']}: {_sentence(problem)}" if problem["column"] else _sentence(problem)
        for problem in line["problems"]
    )


def _sentence(problem: Row) -> str:
    return WORDS.own.get(problem["code"]) or COMMON.get(problem["code"]) or str(problem["detail"])


def _said(line: Row) -> str | None:
    return " · ".join((line["record"] or {}).values()) or None


PAGES: tuple[Declared, ...] = (LIST, *RESULTS, DETAIL, CANCEL)
