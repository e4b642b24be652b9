"""The application in this process: started with any settings, and called without a network."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import token_hex
from uuid import UUID

import httpx2
from backend_api.app import create_app
from backend_api.auth.passwords import hash_password
from backend_api.auth.permissions import Role
from backend_api.auth.users import service as users
from backend_api.auth.users.schemas import UserIn
from backend_api.clients.schemas import ClientIn
from backend_api.clients.service import create_client
from backend_api.http.resources import Resources
from backend_api.http.write import carry_out
from backend_api.outbox.record import Origin
from backend_api.settings import Settings
from fastapi import FastAPI

from tests.support.builders import random_rfc

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


async def create_user(
    resources: Resources, username: str, password: str, role: Role, client_id: UUID | None = None
) -> None:
    """A user with a password, carried out directly: the call for it gives a one-time secret. One of role client is of a
    new client unless it is of this one."""
    if role is Role.CLIENT and client_id is None:
        client_id = await _new_client(resources)
    body = UserIn(username=username, role=role, client_id=client_id)
    use_case = users.create_user(body, None, await hash_password(password))
    await carry_out(resources, _origin(resources), use_case, users.CONFLICTS)


@asynccontextmanager
async def signed_in_as(app: FastAPI, role: Role, client_id: UUID | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls by a new user of this role, for role client of this client."""
    username = f"{role.value}-{token_hex(4)}"
    await create_user(app.state.resources, username, "correct horse", role, client_id)
    async with client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {await sign_in(client, username, 'correct horse')}"
        yield client


async def _new_client(resources: Resources) -> UUID:
    rfc = random_rfc()
    body = ClientIn.model_validate({"full_name": "Ana Torres", "email": f"{token_hex(8)}@example.com", "rfc": rfc})
    await carry_out(resources, _origin(resources), create_client(body, rfc_strict=False))
    async with resources.databases.writer.acquire() as connection:
        client_id: UUID = await connection.fetchval("SELECT id FROM clients WHERE rfc = $1", rfc)
    return client_id


def _origin(resources: Resources) -> Origin:
    return Origin("system:test", "test", None, resources.clock())
