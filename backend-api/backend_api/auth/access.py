"""Whether credentials count now: the way from a header's value to a principal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from backend_api.auth.api_keys.secrets import Pepper
from backend_api.auth.api_keys.verify import ApiKeys
from backend_api.auth.feed import Feed
from backend_api.auth.principal import Principal
from backend_api.auth.tokens import Tokens
from backend_api.db.pools import Pool
from backend_api.settings import Settings


@asynccontextmanager
async def open_access(settings: Settings, writer: Pool) -> AsyncIterator["Access"]:
    """Know what counts, and keep up for as long as the process serves."""
    access = Access(settings, writer)
    await access.feed.start()
    try:
        yield access
    finally:
        await access.feed.close()
        await access.api_keys.close()


class Access:
    """What a process needs to tell who calls; opened and closed by the lifespan."""

    def __init__(self, settings: Settings, writer: Pool) -> None:
        self.tokens = Tokens(settings)
        self.feed = Feed(settings, writer, self.tokens.keys)
        self.pepper = Pepper(settings)
        self.api_keys = ApiKeys(self.pepper, self.feed, writer)

    async def of_token(self, token: str, now: datetime) -> Principal | None:
        """Whom an access token names, unless it is not ours, has run out or was revoked.

        Raises `DatabaseUnavailableError` when nobody can tell.
        """
        principal = self.tokens.verify(token, now)
        if principal is None and self.tokens.names_unknown_key(token, now):
            await self.feed.ask_for_keys()
            principal = self.tokens.verify(token, now)
        if principal is None or await self.feed.has_ended(principal.user_id, principal.epoch):
            return None
        if principal.session_id is not None and await self.feed.has_ended(principal.session_id, 0):
            return None
        return principal

    async def of_api_key(self, key: str, now: datetime) -> Principal | None:
        """For whom an API key acts, unless it is none, has run out or was revoked. Raises the same."""
        return await self.api_keys.verify(key, now)
