"""The payment gateway: the sandbox is asked; a real one is somebody else's."""

import httpx2

from backend_api.cli.doctor.verdicts import Setup, Verdict, ok, start, wrong
from backend_api.cli.doctor.web import web


async def sandbox(setup: Setup) -> Verdict:
    """In development it answers on its port."""
    settings = setup.settings
    if not settings.is_development:
        return ok(f"Borrowers pay at {settings.gateway_url}; it was not asked.")
    where = f"http://{settings.sandbox_gateway_host}:{settings.sandbox_gateway_port}"
    try:
        async with web(where) as client:
            answer = await client.get("/livez")
    except httpx2.HTTPError:
        return wrong(
            f"No sandbox gateway answers at {where}: borrowers cannot pay.",
            f"{start('sandbox-gateway')}, or set SANDBOX_GATEWAY_HOST and SANDBOX_GATEWAY_PORT to where it listens.",
        )
    if answer.status_code != 200:
        return wrong(f"Something else than the sandbox gateway answers at {where}.", "Set SANDBOX_GATEWAY_PORT.")
    return ok(f"The sandbox gateway answers at {where}.")
