"""What the lifespan opened, in one typed value that every request reaches by `request.app.state.resources`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from backend_api.cache.clients import ClientCache
from backend_api.cache.redis import BatchedRedis
from backend_api.db.pools import Databases
from backend_api.db.sampler import Sampler
from backend_api.http.consistency import CommitPosition
from backend_api.http.signing import Signer
from backend_api.http.turns import Turns
from backend_api.outbox.wake import Wake
from backend_api.reads import Reads
from backend_api.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """Opened and closed in `backend_api.app`, nowhere else."""

    settings: Settings
    clock: Callable[[], datetime]
    databases: Databases
    sampler: Sampler
    redis: BatchedRedis
    cache: ClientCache
    reads: Reads
    commit_position: CommitPosition
    wake: Wake
    turns: Turns
    token_signer: Signer
    cursor_signer: Signer


def resources_of(request: Request) -> Resources:
    """The resources of the application a request came to."""
    resources: Resources = request.app.state.resources
    return resources
