"""The API itself, asked as a caller."""

import httpx2

from backend_api.cli.doctor.verdicts import Setup, Verdict, ok, start, warning, wrong
from backend_api.cli.doctor.web import web


async def readiness(setup: Setup) -> Verdict:
    """It answers on its port and calls itself ready."""
    where = f"http://{setup.settings.api_host}:{setup.settings.api_port}"
    try:
        async with web(where) as client:
            answer = await client.get("/readyz")
        health = answer.json()
        troubles = [check["detail"] for check in health["checks"].values() if check["status"] != "ok"]
    except httpx2.HTTPError:
        return wrong(
            f"No API answers at {where}.",
            f"{start('backend-api')}, or set API_HOST and API_PORT to where it listens.",
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return wrong(f"Something else than the API answers at {where}.", "Set API_HOST and API_PORT.")
    if answer.status_code != 200:
        return wrong(f"The API at {where} cannot work: {' '.join(troubles)}", "See the finding about primary.")
    if troubles:
        return warning(f"The API answers at {where}, with less than it could: {' '.join(troubles)}", "See the others.")
    return ok(f"The API answers at {where} and is ready.")
