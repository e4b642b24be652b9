"""A CouchDB database of a test's own: filled as the consumer would, and harmed as nobody could who keeps the rules."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import httpx2
from backend_api.db.pools import Connection
from backend_api.settings import Settings

from tests.chaos.oracle import envelope
from tests.support.builders import Json


class EventDatabase:
    """The documents of one database, without the rule that protects them."""

    def __init__(self, admin: httpx2.AsyncClient, name: str) -> None:
        self._admin = admin
        self.name = name

    async def store(self, owner: Connection, client_id: str | None = None) -> None:
        """Store all events, or those of a client, as documents."""
        rows = await owner.fetch(
            "SELECT * FROM events WHERE $1::uuid IS NULL OR aggregate_id = $1 ORDER BY aggregate_id, sequence",
            client_id,
        )
        documents = [{"_id": document["event_id"], **document} for document in map(envelope, map(dict, rows))]
        answer = await self._admin.post(f"/{self.name}/_bulk_docs", json={"docs": documents})
        assert all(row["ok"] for row in answer.raise_for_status().json())

    async def get(self, document_id: str) -> Json:
        """A document."""
        document: Json = (await self._admin.get(f"/{self.name}/{document_id}")).raise_for_status().json()
        return document

    async def change(self, document_id: str, **fields: Any) -> None:
        """Put other fields into a document."""
        document = await self.get(document_id)
        (await self._admin.put(f"/{self.name}/{document_id}", json=document | fields)).raise_for_status()

    async def add(self, document: Json) -> None:
        """Store a document."""
        (await self._admin.put(f"/{self.name}/{document['_id']}", json=document)).raise_for_status()

    async def remove(self, document_id: str) -> None:
        """Delete a document."""
        revision = (await self.get(document_id))["_rev"]
        (await self._admin.delete(f"/{self.name}/{document_id}", params={"rev": revision})).raise_for_status()


@asynccontextmanager
async def event_database(settings: Settings) -> AsyncIterator[EventDatabase]:
    """An empty one that the auditor may read; it is gone at the end."""
    name = f"events_{token_hex(6)}"
    credentials = (os.environ.get("COUCHDB_USER", "admin"), os.environ.get("COUCHDB_PASSWORD", "password"))
    address = f"http://{settings.couchdb_host}:{settings.couchdb_port}"
    async with httpx2.AsyncClient(base_url=address, auth=credentials, timeout=20.0) as admin:
        (await admin.put(f"/{name}")).raise_for_status()
        members = {"admins": {"names": [], "roles": []}, "members": {"names": [], "roles": ["auditor"]}}
        (await admin.put(f"/{name}/_security", json=members)).raise_for_status()
        try:
            yield EventDatabase(admin, name)
        finally:
            await admin.delete(f"/{name}")
