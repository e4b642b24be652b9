"""Questions over HTTP."""

import ssl
from functools import cache

import httpx2

ANSWER_SECONDS = 3.0


def web(base_url: str, user: str = "", password: str = "") -> httpx2.AsyncClient:
    """A client of its own for every check, so that no session of one speaks for another."""
    return httpx2.AsyncClient(
        base_url=base_url,
        auth=(user, password) if user else None,
        headers={"Accept": "application/json"},
        timeout=ANSWER_SECONDS,
        verify=_tls(),
    )


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it takes longer than all that a client is asked."""
    return ssl.create_default_context()
