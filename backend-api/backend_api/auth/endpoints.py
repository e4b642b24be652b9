"""Sign in, and who am I."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request

from backend_api.auth import service
from backend_api.auth.dependencies import signed_in
from backend_api.auth.passwords import MAX_PASSWORD_LENGTH
from backend_api.auth.schemas import AccessToken, Me
from backend_api.auth.tokens import Principal
from backend_api.http import examples
from backend_api.http.strict import StrictRoute, Text

router = APIRouter(prefix="/api/v1/auth", tags=["Auth"], route_class=StrictRoute)


@router.post(
    "/token",
    responses=examples.refusals(service.SignInRefused()),
    operation_id="signIn",
    summary="Sign in (OAuth2 password form)",
)
async def sign_in(
    request: Request,
    username: Annotated[Text, Form(min_length=1, max_length=100, examples=["admin"])],
    password: Annotated[
        str, Form(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=r"^[^\x00]*$", examples=["string"])
    ],
) -> AccessToken:
    """Exchange name and password for an access token; send it as `Authorization: Bearer …`."""
    state = request.app.state
    return await service.sign_in(state.resources, state.tokens, username, password)


@router.get("/me", operation_id="whoAmI", summary="The signed-in user")
async def who_am_i(principal: Annotated[Principal, Depends(signed_in)]) -> Me:
    """Who the access token names."""
    return Me(id=principal.user_id, username=principal.username, role=principal.role)
