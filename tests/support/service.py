"""The application in this process: started with any settings, and called without a network."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import token_hex

import httpx2
from backend_api.app import create_app
from backend_api.auth import service as auth
from backend_api.auth.passwords import hash_password
from backend_api.auth.permissions import Role
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import Settings
from fastapi import FastAPI

ADDRESS = "http://testserver"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application with its lifespan."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: FastAPI, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
    """A client that calls the application directly, with these headers on every request."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ADDRESS, headers=dict(headers or {}))


async def sign_in(client: httpx2.AsyncClient, username: str, password: str) -> str:
    """An access token."""
    answer = await client.post("/api/v1/auth/token", data={"username": username, "password": password})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def create_user(resources: Resources, username: str, password: str, role: Role) -> None:
    """A user who may sign in; there is no call for it yet, so the use case is carried out directly."""
    use_case = auth.create_user(username, await hash_password(password), role)
    await carry_out(resources, Origin("system:test", "test", None, resources.clock()), use_case, auth.CONFLICTS)


@asynccontextmanager
async def signed_in_as(app: FastAPI, role: Role) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by a new user of this role."""
    username = f"{role.value}-{token_hex(4)}"
    await create_user(app.state.resources, username, "correct horse", role)
    async with client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {await sign_in(client, username, 'correct horse')}"
        yield client
