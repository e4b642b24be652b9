"""Espacio Clientes: a table of contents. Refusals of the business are answers with a code, see `codes`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from backend_api.auth.defence import SignInDelayed
from backend_api.auth.dependencies import access_of, caller_of, require
from backend_api.auth.passwords import MAX_PASSWORD_LENGTH
from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.auth.service import NO_STORE, SignInRefused
from backend_api.auth.service import sign_in as open_session
from backend_api.http import examples
from backend_api.http.resources import resources_of
from backend_api.http.strict import StrictRoute, Text
from backend_api.legacy.espacio_clientes import service
from backend_api.legacy.espacio_clientes.schemas import (
    CART_EXAMPLE,
    DEBTS_EXAMPLE,
    FOREIGN_EXAMPLE,
    GONE_EXAMPLE,
    PAID_EXAMPLE,
    REQUESTED_EXAMPLE,
    UNDONE_EXAMPLE,
    USED_EXAMPLE,
    EspacioCart,
    EspacioDebts,
    EspacioPaid,
    EspacioToken,
    EspacioUndone,
)

router = APIRouter(tags=["Espacio Clientes"], route_class=StrictRoute)

Own = Annotated[Principal, Depends(require(Permission.OWN_ACCOUNT))]
User = Annotated[Text, Query(min_length=1, max_length=35, description="A label: the token tells who calls.")]


@router.post(
    "/token",
    response_model=EspacioToken,
    responses=examples.refusals(SignInRefused(), SignInDelayed(8)),
    operation_id="espacioSignIn",
    summary="Sign in",
)
async def sign_in(
    request: Request,
    username: Annotated[Text, Form(min_length=1, max_length=100, examples=["carlos.perez"])],
    password: Annotated[
        str,
        Form(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=r"^[^\x00]*$", examples=["una clave de Carlos"]),
    ],
) -> Response:
    """Exchange name and password for an access token; send it as `Authorization: Bearer …`."""
    tokens = access_of(request).tokens
    pair = await open_session(resources_of(request), tokens, username, password, caller_of(request))
    return _json(EspacioToken(access_token=pair.access_token), 200)


@router.get(
    "/consulta/deuda-cliente",
    response_model=EspacioDebts,
    responses=examples.answers(200, {"Done": DEBTS_EXAMPLE, "The document of somebody else": FOREIGN_EXAMPLE}),
    operation_id="espacioDebts",
    summary="What the client owes, and a session",
)
async def ask_debts(
    request: Request,
    principal: Own,
    documento: Annotated[Text, Query(min_length=6, max_length=15, description="The client's RFC.")],
    moneda: Annotated[int, Query(ge=1, description="1 is Mexican pesos.")],
    usuario: Annotated[Text | None, Query(min_length=3, description="A label: the token tells who calls.")] = None,
) -> Response:
    """All unpaid installments, oldest first. `idsession` names the cart of this user for 30 minutes."""
    return _json(await service.ask_debts(request, principal, documento, moneda), 200)


@router.post(
    "/carrito/agregar",
    response_model=EspacioCart,
    responses=examples.answers(200, {"Done": CART_EXAMPLE, "Another session, or none any more": GONE_EXAMPLE}),
    operation_id="espacioCart",
    summary="Put an installment into the cart, or take it out",
)
async def change_cart(
    request: Request,
    principal: Own,
    idsession: Annotated[Text, Query(min_length=1, max_length=9)],
    indicador: Annotated[Literal["S", "N"], Query(description="S puts it in, N takes it out.")],
    codmovimiento: Annotated[Text, Query(min_length=1, max_length=20)],
    usuario: User,
) -> Response:
    """None goes in while an older one of its loan is left out, none comes out while a newer one is in."""
    change = service.add if indicador == "S" else service.remove
    return _json(await change(request, principal, idsession, codmovimiento), 200)


@router.post(
    "/pago",
    status_code=201,
    response_model=EspacioPaid,
    responses=examples.answers(201, {"Done": PAID_EXAMPLE, "The code was used for something else": USED_EXAMPLE}),
    operation_id="espacioPay",
    summary="Pay what the cart holds",
)
async def pay(
    request: Request,
    principal: Own,
    session: Annotated[int, Query()],
    user: User,
    cod_transaccion: Annotated[Text, Query(min_length=1, max_length=20)],
) -> Response:
    """All of it in one payment, once for each `cod_transaccion`: sent again it gets the same answer."""
    return _json(await service.pay(request, principal, session, cod_transaccion), 201)


@router.post(
    "/anulacion",
    response_model=EspacioUndone,
    responses=examples.answers(200, {"Done": UNDONE_EXAMPLE, "After the window: staff is asked": REQUESTED_EXAMPLE}),
    operation_id="espacioUndo",
    summary="Take a payment back",
)
async def undo(
    request: Request, principal: Own, cod_transaccion: Annotated[Text, Query(min_length=2, max_length=20)]
) -> Response:
    """All that was paid under this code. Only the caller's own cart payments."""
    return _json(await service.undo(request, principal, cod_transaccion), 200)


def _json(answer: EspacioToken | EspacioDebts | EspacioCart | EspacioPaid | EspacioUndone, status: int) -> Response:
    return Response(answer.model_dump_json(), status, NO_STORE, "application/json")
